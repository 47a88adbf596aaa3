"""Whether each frame of an output is at its source's time."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from fractions import Fraction
from itertools import groupby

from streamdet.video.checking.faults import Fault, FaultKind, counted, span

SHOWN = 3
"""Most sentences about single frames; more are told together."""


class TimeCheck:
    """Collects how late each frame is."""

    def __init__(self, allowed_s: Fraction) -> None:
        """`allowed_s`: what the output's own count of time rounds by."""
        self._allowed = float(allowed_s) + 1e-9
        self._at_s = array("d")
        self._late_s = array("d")
        self.largest_s = 0.0

    def see(self, at_s: Fraction, late_s: Fraction) -> None:
        """Take note of a frame: its time in the source, and by how much it is later in the output."""
        self._at_s.append(float(at_s))
        self._late_s.append(float(late_s))
        self.largest_s = max(self.largest_s, abs(float(late_s)))

    def faults(self) -> Iterator[Fault]:
        """What is wrong with the times."""
        wrong = [place for place, late_s in enumerate(self._late_s) if abs(late_s) > self._allowed]
        if not wrong:
            return
        runs = list(self._runs(wrong))
        alike = all(self._alike(run) for run in runs)
        if alike and len(runs) <= SHOWN:
            for first, last in runs:
                yield self._told(first, last)
            return
        worst = max(wrong, key=lambda place: abs(self._late_s[place]))
        yield Fault(
            "time",
            f"the times drift: {len(wrong)} of {counted(len(self._at_s), 'frame')} are not at their time, the worst "
            f"{_amount(self._late_s[worst])} (at {self._at_s[worst]:.3f} s of the source)",
        )

    def _runs(self, wrong: list[int]) -> Iterator[tuple[int, int]]:
        """First and last of neighbours that are wrong by the same."""
        first = previous = wrong[0]
        for place in wrong[1:]:
            same = abs(self._late_s[place] - self._late_s[previous]) <= self._allowed
            if place != previous + 1 or not same:
                yield first, previous
                first = place
            previous = place
        yield first, previous

    def _alike(self, run: tuple[int, int]) -> bool:
        late_s = self._late_s[run[0] : run[1] + 1]
        return max(late_s) - min(late_s) <= 2 * self._allowed

    def _told(self, first: int, last: int) -> Fault:
        amount = _amount(self._late_s[first])
        if first == 0 and last == len(self._at_s) - 1:
            return Fault("time", f"all {counted(last + 1, 'frame')} are {amount}")
        if first == last:
            return Fault("time", f"the frame at {self._at_s[first]:.3f} s is {amount}")
        where = span(self._at_s[first], self._at_s[last])
        end = " (the end)" if last == len(self._at_s) - 1 else ""
        return Fault("time", f"{counted(last - first + 1, 'frame')} {where}{end} are {amount}")


def _amount(late_s: float) -> str:
    return f"{abs(late_s) * 1000:.3f} ms too {'late' if late_s > 0 else 'early'}"


def told_runs(kind: FaultKind, at_s: list[tuple[int, float]], phrase: str, noun: str, *, is_loss: bool) -> list[Fault]:
    """A sentence for each run of neighbours; `at_s`: number and time of each frame, ascending. Many are told as one."""
    neighbours = groupby(enumerate(at_s), key=lambda placed: placed[1][0] - placed[0])
    runs = [[moment for _, (_, moment) in members] for _, members in neighbours]
    if len(runs) > SHOWN:
        listed = ", ".join(f"{run[0]:.3f}" for run in runs[:SHOWN])
        sentence = f"{counted(len(at_s), noun)} {phrase}, in {len(runs)} places, the first at {listed} s"
        return [Fault(kind, sentence, is_loss)]
    return [Fault(kind, f"{counted(len(run), noun)} {phrase}, {span(run[0], run[-1])}", is_loss) for run in runs]
