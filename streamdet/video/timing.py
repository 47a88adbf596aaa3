"""Gives every frame a time: the source's own where it has one, a made-up one where it has none or a wrong one."""

from __future__ import annotations

from fractions import Fraction

JUMP_BACK_S = 1
"""A time that falls back by more than this begins a new count (a clock that was reset, files joined end to end)."""
FALLBACK_RATE = Fraction(25)
"""Frames per second of a source without times that tells no rate either."""


class FrameClock:
    """Makes the times of a stream strictly increasing, in units of its time base, touching as few as it can.

    - missing: one frame interval after the one before, 0 for the first;
    - repeated or slightly back: the smallest step after the one before;
    - more than a second back: one frame interval after the one before, and all that follow are moved along.
    """

    def __init__(self, time_base: Fraction, rate: Fraction | None) -> None:
        self._step = 1 / ((rate or FALLBACK_RATE) * time_base)
        self._jump_back = JUMP_BACK_S / time_base
        self._last: int | None = None
        self._exact = Fraction(0)
        self._offset = 0
        self.repaired = 0

    def stamp(self, pts: int | None) -> int:
        """The time to use for the next picture in presentation order, whose stored time is `pts`."""
        time = self._time_of(pts)
        if time != pts:
            self.repaired += 1
        if pts is not None or self._last is None:
            # made-up times count on from here with a fraction, so that rounding never adds up
            self._exact = Fraction(time)
        self._last = time
        return time

    def _time_of(self, pts: int | None) -> int:
        if self._last is None:
            return 0 if pts is None else pts
        if pts is None:
            self._exact += self._step
            return max(round(self._exact), self._last + 1)
        moved = pts + self._offset
        if moved > self._last:
            return moved
        if self._last - moved > self._jump_back:
            self._offset += self._last + max(round(self._step), 1) - moved
            return pts + self._offset
        return self._last + 1
