"""Where tracked objects have been: a short tail of points for each track."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamdet.types import BoolArray, Float32Array, Int64Array

LASTS_S = 3.0
"""Length of a trail in time."""
POINTS = 30
"""Most points of it."""
STEP_S = 0.1
"""Seconds between two points that are kept; the newest point is always where the object is now."""


class Trails:
    """The last seconds of T tracks, as bottom centres of their boxes."""

    def __init__(self) -> None:
        self._points: Float32Array = np.zeros((0, POINTS, 2), np.float32)
        """(T, POINTS, 2) px, newest last; the end of each row is filled."""
        self._filled: Int64Array = np.zeros(0, np.int64)
        self._times_s = np.full(POINTS, -np.inf)
        """Of the points of all tracks."""

    def add(self, count: int) -> None:
        """New tracks without a trail, behind the others."""
        self._points = np.concatenate((self._points, np.zeros((count, POINTS, 2), np.float32)))
        self._filled = np.concatenate((self._filled, np.zeros(count, np.int64)))

    def keep(self, mask: BoolArray) -> None:
        """Forget the other tracks."""
        self._points, self._filled = self._points[mask], self._filled[mask]

    def note(self, boxes_xyxy: npt.NDArray[np.float64], time_s: float) -> None:
        """All T tracks are at these (T, 4) boxes now."""
        step = self._times_s[-1] >= self._times_s[-2] + STEP_S - 1e-6  # the newest point is worth keeping
        if step:
            self._times_s[:-1] = self._times_s[1:]
        self._times_s[-1] = time_s
        # A new array each time: trails that were handed out stay as they were.
        self._points = (
            np.concatenate((self._points[:, 1:], self._points[:, -1:]), axis=1) if step else self._points.copy()
        )
        self._points[:, -1, 0] = (boxes_xyxy[:, 0] + boxes_xyxy[:, 2]) / 2
        self._points[:, -1, 1] = boxes_xyxy[:, 3]
        self._filled = np.minimum(self._filled + step, POINTS) if step else np.maximum(self._filled, 1)

    def of(self, rows: Int64Array) -> list[Float32Array]:
        """The trail of each of these tracks: (M, 2) px, oldest first."""
        oldest = int(np.searchsorted(self._times_s, self._times_s[-1] - LASTS_S - 1e-6))
        return [self._points[row, max(oldest, POINTS - int(self._filled[row])) :] for row in rows]
