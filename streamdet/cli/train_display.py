"""What `streamdet train` shows while it runs, on standard error: a live display, or plain lines without a terminal."""

from __future__ import annotations

import textwrap
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from streamdet.training.evaluate import Scores
    from streamdet.training.progress import Progress

LINE_EVERY_S = 15.0
"""Without a terminal a line of progress is printed this often."""
REFRESH_EVERY_S = 0.25
WIDTH = 79
"""Of plain lines."""


def say(sentence: str) -> None:
    """A sentence on standard error, wrapped."""
    console = Console(stderr=True, highlight=False, soft_wrap=False)
    width = console.width if console.is_terminal else WIDTH
    for line in textwrap.wrap(sentence, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False):
        console.print(line, markup=False, soft_wrap=True)


class TrainDisplay:
    """Progress of a run. Nothing of it runs in the background: `show` is called after each step."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._started = self._shown = time.perf_counter()
        self._scores: dict[str, Scores] = {}

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, progress: Progress) -> None:
        """Show the state after a step; notes and scores stay on the screen."""
        now = time.perf_counter()
        if progress.note:
            self._print(f"step {progress.step} skipped: {progress.note}")
        if progress.scores is not None:
            self._scores = progress.scores
            for name, scores in progress.scores.items():
                self._print(f"step {progress.step}  {name}  {describe(scores)}")
        if self._console.is_terminal:
            if now - self._shown >= REFRESH_EVERY_S or progress.scores is not None:
                self._shown = now
                self._live.update(self._picture(progress), refresh=True)
        elif now - self._shown >= LINE_EVERY_S or progress.scores is not None:
            self._shown = now
            self._print(fitting(self._parts(progress), WIDTH))

    def _print(self, line: str) -> None:
        if not line:
            return
        width = self._console.width if self._console.is_terminal else WIDTH
        for part in textwrap.wrap(line, width, subsequent_indent="    ", break_long_words=False):
            self._console.print(part, markup=False, soft_wrap=True)

    def _parts(self, progress: Progress) -> list[str]:
        return [
            f"step {progress.step}/{progress.steps}",
            f"loss {progress.classification_loss:.3f} + {progress.box_loss:.3f}",
            f"{progress.images_per_s:.1f} img/s",
            f"wait {progress.wait_share:.0%}",
            self._time_left(progress),
            f"rate {progress.learning_rate:.1e}",
        ]

    def _time_left(self, progress: Progress) -> str:
        """Counted from this start, with the evaluations that it had."""
        done = progress.step - progress.first_step
        left_s = (time.perf_counter() - self._started) / max(done, 1) * (progress.steps - progress.step)
        if left_s < 90:
            return f"{left_s:.0f} s left"
        minutes = round(left_s / 60)
        return f"{minutes} min left" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min left"

    def _picture(self, progress: Progress) -> Group:
        bar = ProgressBar(total=progress.steps, completed=progress.step)
        step, losses, speed, wait, left, rate = self._parts(progress)
        head = Table.grid(expand=True, padding=(0, 1))
        head.add_column(no_wrap=True)
        head.add_column(ratio=1)
        head.add_column(no_wrap=True)
        head.add_row(Text(step, style="bold"), bar, Text(left, style="cyan"))
        line = Text(
            f"{losses} (class + box)   {speed}   {wait}   {rate}", style="dim", no_wrap=True, overflow="ellipsis"
        )
        if not self._scores:
            return Group(head, line)
        table = Table.grid(padding=(0, 3))
        for name, scores in self._scores.items():
            table.add_row(Text(name), f"AP {scores.ap:.3f}", f"AP50 {scores.ap50:.3f}")
        return Group(head, line, table)


def fitting(parts: list[str], width: int) -> str:
    """The parts, the last of them left out until the line is not wider than `width`."""
    while len(parts) > 1 and len("  ".join(parts)) > width:
        parts = parts[:-1]
    return "  ".join(parts)


def describe(scores: Scores) -> str:
    """AP and AP50, and AP50 of the classes that the set has."""
    classes = ", ".join(f"{name} {value:.3f}" for name, value in scores.ap50_per_class.items() if value == value)
    return f"AP {scores.ap:.3f}  AP50 {scores.ap50:.3f}" + (f"  ({classes})" if classes else "")
