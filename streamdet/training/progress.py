"""Where a run stands and how fast it goes, for whoever shows it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from streamdet.training.evaluate import Scores


@dataclass(frozen=True)
class StepResult:
    """What came of one step, over all batches and processes."""

    classification_loss: float
    box_loss: float
    positives: int
    gradient_norm: float
    """Before clipping."""
    problem: str = ""
    """Why the weights were not changed; "" when they were."""
    stop: bool = False
    """One of the processes was asked to stop."""

    @property
    def total(self) -> float:
        """Sum of the losses."""
        return self.classification_loss + self.box_loss


@dataclass(frozen=True)
class Progress:
    """State of a run."""

    step: int
    steps: int
    first_step: int
    """Steps that were done before this start (0 unless resumed)."""
    classification_loss: float
    box_loss: float
    learning_rate: float
    images_per_s: float
    wait_share: float
    """Share of the time spent waiting for samples."""
    note: str = ""
    scores: dict[str, Scores] | None = None


class Pace:
    """Clocks steps; time for evaluating and saving doesn't count."""

    def __init__(self) -> None:
        self._spent_s = self._waited_s = 0.0
        self._images = 0
        self._since = time.perf_counter()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Time spent in here is spent waiting."""
        self._since = time.perf_counter()
        yield
        self._waited_s += time.perf_counter() - self._since

    def step_done(self, images: int) -> None:
        """A step that began with `waiting` has ended."""
        self._spent_s += time.perf_counter() - self._since
        self._images += images

    def look(self) -> tuple[float, float]:
        """Images per second and share of waiting since the beginning."""
        spent = max(self._spent_s, 1e-9)
        return self._images / spent, self._waited_s / spent

    def begin_anew(self) -> None:
        """Forget the steps so far."""
        self._spent_s = self._waited_s = 0.0
        self._images = 0
