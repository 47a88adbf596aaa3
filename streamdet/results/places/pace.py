"""How fast tracked objects go over the ground."""

from __future__ import annotations

import numpy as np

from streamdet.results.places.geometry import Floats, on_ground
from streamdet.results.places.roster import Seen, grown

STEP_S = 1.0
"""Seconds from one look at an object's place to the next."""
LEAST_STEP_M = 0.3
"""A shorter way than this is taken for a box that trembles."""


class Paces:
    """Way and speed of each row, where a homography tells metres.

    Attributes:
        way_m: (S,) metres that each has gone since it was first seen.
    """

    def __init__(self, homography: Floats) -> None:
        """`homography`: (3, 3), from pixels to metres."""
        self._homography = homography
        self.way_m = np.zeros(0)
        self._here_m = np.zeros((2, 0))
        self._steps_m = np.zeros((2, 2, 0))  # the newest step and the one before it
        self._steps_s = np.zeros((2, 0))
        self._looked_s = np.zeros(0)

    def update(self, seen: Seen) -> None:
        """Take in the objects of a frame."""
        if len(seen.rows) and (top := int(seen.rows.max())) >= len(self.way_m):
            size = max(2 * len(self.way_m), top + 1, 64)
            self.way_m, self._looked_s = grown(self.way_m, size), grown(self._looked_s, size)
            self._here_m, self._steps_m = grown(self._here_m, size), grown(self._steps_m, size)
            self._steps_s = grown(self._steps_s, size)
        metres = on_ground(self._homography, seen.anchors_xy).T
        new, rows = seen.new, seen.rows
        self._here_m[:, rows] = metres
        self._steps_m[:, :, rows[new]] = metres[:, new]
        self._steps_s[:, rows[new]] = self._looked_s[rows[new]] = seen.time_s
        self.way_m[rows[new]] = 0
        look = (seen.time_s - self._looked_s[rows] >= STEP_S) & seen.certain
        self._looked_s[rows[look]] = seen.time_s
        length = np.hypot(*(metres - self._steps_m[0][:, rows]))
        step = look & (length >= LEAST_STEP_M)
        rows = rows[step]
        self.way_m[rows] += length[step]
        self._steps_m[1][:, rows], self._steps_s[1, rows] = self._steps_m[0][:, rows], self._steps_s[0, rows]
        self._steps_m[0][:, rows], self._steps_s[0, rows] = metres[:, step], seen.time_s

    def speed_m_per_s(self, row: int, time_s: float) -> float | None:
        """Mean speed of a row over the last second or longer; None when it was seen for too short a time."""
        past_s = time_s - float(self._steps_s[1, row])
        metres = float(np.hypot(*(self._here_m[:, row] - self._steps_m[1][:, row])))
        return metres / past_s if past_s >= STEP_S and np.isfinite(metres) else None

    def mean_m_per_s(self, row: int, way_before_m: float, lasted_s: float) -> float | None:
        """Mean speed of a row since its way was `way_before_m`; None when that was too short a time ago."""
        metres = float(self.way_m[row]) - way_before_m
        return metres / lasted_s if lasted_s >= STEP_S and np.isfinite(metres) else None
