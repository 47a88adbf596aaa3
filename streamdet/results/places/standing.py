"""Where tracked objects stand, also while something before them hides their feet."""

from __future__ import annotations

import numpy as np

from streamdet.results.places.geometry import Floats
from streamdet.results.places.roster import Bools, Ints, grown

SHRINK_PER_S = 0.1
"""How fast a thing may lose height without losing width, and be believed: a share of its height per second."""
CUT_SHARE = 0.9
"""A thing that is lower than this share of the height that it lately had may be partly hidden."""
SMOOTH_S = 0.5
"""Time constant that evens out widths: arms and legs swing."""


class Standing:
    """Restores the lower edge of boxes that are cut from below.

    A thing that goes away gets lower and narrower alike; one that goes behind something only gets lower. So the lower
    edge is where it was by the full height that the thing had, as far as its width says that it still has it.
    """

    def __init__(self) -> None:
        self._heights = np.zeros(0)
        self._widths = np.zeros(0)
        self._ratios = np.zeros(0)
        self._bottoms = np.zeros(0)
        self._tallest = np.zeros(0)
        self._times = np.zeros(0)

    def update(self, rows: Ints, new: Bools, boxes_xyxy: Floats, certain: Bools, time_s: float) -> tuple[Floats, Bools]:
        """(N,) y of the lower edge of each object, and (N,) whether something may hide a part of it.

        `rows`, `new` and `certain` as in `Seen`.
        """
        if len(rows) and (top := int(rows.max())) >= len(self._heights):
            size = max(2 * len(self._heights), top + 1, 64)
            self._heights, self._widths = grown(self._heights, size), grown(self._widths, size)
            self._bottoms, self._tallest = grown(self._bottoms, size), grown(self._tallest, size)
            self._ratios, self._times = grown(self._ratios, size), grown(self._times, size)
        width, height = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).T
        passed_s = np.where(new, 0.0, time_s - self._times[rows])
        keep = np.exp(-SHRINK_PER_S * passed_s)
        widths = np.where(new, width, self._widths[rows])
        widths += (width - widths) * (1 - np.exp(-passed_s / SMOOTH_S))
        ratio = height / np.maximum(widths, 1e-9)
        ratios = np.where(new, ratio, np.maximum(ratio, self._ratios[rows] * keep))
        heights = np.where(new, height, np.maximum(height, np.minimum(self._heights[rows] * keep, ratios * widths)))
        lower, restored = boxes_xyxy[:, 3], boxes_xyxy[:, 1] + heights
        before = np.where(new, lower, self._bottoms[rows])
        # Cut from above or from below: where it stood a moment ago tells.
        bottoms: Floats = np.where(np.abs(restored - before) < np.abs(lower - before), restored, lower)
        tallest = np.where(new, height, np.maximum(height, self._tallest[rows] * keep))
        noted = rows[certain]
        self._tallest[noted] = tallest[certain]
        self._bottoms[noted] = bottoms[certain]
        self._heights[noted], self._widths[noted] = heights[certain], widths[certain]
        self._ratios[noted], self._times[noted] = ratios[certain], time_s
        return bottoms, height < CUT_SHARE * tallest
