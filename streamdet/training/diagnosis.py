"""When training goes wrong: which samples did it, and what to tell the user."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from streamdet.errors import StreamdetError
from streamdet.training.loader import Batch
from streamdet.training.progress import StepResult

BAD_STEPS_IN_A_ROW = 5
WINDOW = 20
"""Steps whose median loss is compared."""
GROWN = 3.0
LEAST_GROWN = 10.0
"""A run diverges when its loss has grown to three times that of its beginning, and to at least 10."""


class DivergedError(StreamdetError):
    """The loss is not finite, or grows: the run was stopped, its last good checkpoint stands."""


class Watch:
    """Follows a run's losses, and stops it when it has no hope."""

    def __init__(self, *, has_prior: bool) -> None:
        self.has_prior = has_prior
        self.bad_in_a_row = 0
        self._first: list[float] = []
        self._last: list[float] = []

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"bad_in_a_row": self.bad_in_a_row, "first": self._first, "last": self._last}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.bad_in_a_row, self._first, self._last = state["bad_in_a_row"], [*state["first"]], [*state["last"]]

    def judge(self, step: int, rate: float, result: StepResult, note: str, kept: str) -> None:
        """Take in the result of a step. Raises DivergedError, with a diagnosis, when there is no hope.

        `note` says what was wrong with the step, `kept` which checkpoint stands.
        """
        if result.problem:
            self.bad_in_a_row += 1
            if self.bad_in_a_row == BAD_STEPS_IN_A_ROW:
                was = f"{BAD_STEPS_IN_A_ROW} steps in a row had no finite loss, the last {note}"
                raise DivergedError(self._diagnosis(step, rate, was, kept))
            return
        self.bad_in_a_row = 0
        if len(self._first) < WINDOW:
            self._first.append(result.total)
        self._last = [*self._last[-WINDOW + 1 :], result.total]
        before, now = median(self._first), median(self._last)
        if len(self._last) == WINDOW and now > max(LEAST_GROWN, GROWN * before):
            was = f"the loss has grown from {before:.4g} to {now:.4g}"
            raise DivergedError(self._diagnosis(step, rate, was, kept))

    def _diagnosis(self, step: int, rate: float, was: str, kept: str) -> str:
        first = f" (the loss began at {median(self._first):.4g})" if self._first and "grown" not in was else ""
        if not self.has_prior:
            cause = (
                "the class head has no prior, so at the start every anchor cries object and the loss of the background "
                "swamps all else (paper, section 4.1); leave out --prior none"
            )
        else:
            cause = f"lower the learning rate (it is {rate:.2g}), or look at the labels that bad_steps.jsonl names"
        return f"training diverged and was stopped at step {step}: {was}{first}; {cause}{kept}"


def bad_step(
    batches: Sequence[Batch], is_finite: Callable[[Batch], bool], class_names: Sequence[str]
) -> list[dict[str, Any]]:
    """Each sample of a bad step for `bad_steps.jsonl`: its pictures, and its boxes in pixels as the network saw it.

    "guilty" are those that alone make a loss or a gradient that is not finite.
    """
    return [
        {
            "paths": list(sample.paths),
            "boxes_xyxy": [[round(float(value), 2) for value in box] for box in sample.boxes_xyxy],
            "classes": [class_names[class_id] for class_id in sample.class_ids],
            "guilty": not is_finite(batch.single(place)),
        }
        for batch in batches
        for place, sample in enumerate(batch.samples)
    ]


def note_of(problem: str, samples: Sequence[dict[str, Any]]) -> str:
    """The problem and the guilty samples' pictures (all, where none is guilty alone), in a few words."""
    guilty = [sample for sample in samples if sample["guilty"]]
    paths = sorted({path for sample in guilty or samples for path in sample["paths"]})
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return f"{problem} from {', '.join(paths[:3])}{more}"
