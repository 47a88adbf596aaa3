"""Output times of one camera over all its connections: exact within one, true in the gaps between them."""

from __future__ import annotations

import math
from fractions import Fraction

from streamdet.types import Frame

CLOCK = 90_000
"""Units per second in which moments of the monotonic clock are counted: those of RTP and MPEG-TS."""
MOST_DRIFT_S = 60
"""A camera's time that has moved this far from the wall's was set anew, or runs wrong: its count begins again."""
MOST_UNITS = 2**31 - 1


class Timeline:
    """Gives each frame a time in seconds after the first one, as a `Fraction`, always later than the one before.

    Within a connection (`Frame.session`) the times differ exactly as the camera's own do. Where a connection begins,
    it is placed by the arrival of its first frame, so that a gap keeps its true length. A camera that sets its clock
    (its times fall back by more than a second, or part from their arrival by more than a minute) is placed anew too.
    """

    def __init__(self) -> None:
        self.replaced = 0
        """How often times were placed anew inside a connection."""
        self._first_arrival_s: float | None = None
        self._session = 0
        self._anchor_s = Fraction(0)
        """What is added to the camera's own time."""
        self._last_camera_s = Fraction(0)
        self._last_s: Fraction | None = None

    @property
    def started(self) -> bool:
        """Whether there was a frame."""
        return self._last_s is not None

    def stamp(self, frame: Frame) -> Fraction:
        """The time of the next frame."""
        camera_s = frame.pts * frame.time_base
        if self._first_arrival_s is None:
            self._first_arrival_s = frame.arrival_s
            self._place(frame, camera_s)
        elif frame.session != self._session:
            self._place(frame, camera_s)
        elif self._was_set(camera_s, frame.arrival_s):
            self.replaced += 1
            self._place(frame, camera_s)
        self._session, self._last_camera_s = frame.session, camera_s
        return self._later(camera_s + self._anchor_s)

    def at(self, now_s: float) -> Fraction:
        """The time of a moment of the monotonic clock, for a picture that no camera gave; after the first frame."""
        return self._later(self._of_arrival(now_s))

    def _place(self, frame: Frame, camera_s: Fraction) -> None:
        moment_s = self._of_arrival(frame.arrival_s)
        if self._last_s is not None and moment_s <= self._last_s:
            moment_s = self._last_s + Fraction(1, CLOCK)
        self._anchor_s = moment_s - camera_s

    def _was_set(self, camera_s: Fraction, arrival_s: float) -> bool:
        drift_s = camera_s + self._anchor_s - self._of_arrival(arrival_s)
        return camera_s < self._last_camera_s - 1 or abs(drift_s) > MOST_DRIFT_S

    def _of_arrival(self, arrival_s: float) -> Fraction:
        assert self._first_arrival_s is not None
        return Fraction(round((arrival_s - self._first_arrival_s) * CLOCK), CLOCK)

    def _later(self, moment_s: Fraction) -> Fraction:
        if self._last_s is not None and moment_s <= self._last_s:
            moment_s = self._last_s + Fraction(1, CLOCK)
        self._last_s = moment_s
        return moment_s


def fine_time_base(time_base: Fraction) -> Fraction:
    """The unit in which all times of a `Timeline` are whole numbers, for a camera that counts in `time_base`."""
    units = math.lcm(time_base.denominator, CLOCK)
    return Fraction(1, units if units <= MOST_UNITS else time_base.denominator)
