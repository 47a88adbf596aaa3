"""Where tracked objects came from: a line behind each, fading with age."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from streamdet.video.layer import Canvas, Layer, Points, Window, window_of
from streamdet.video.planes import Coder, Planes, Rgb

_STEPS = 8
"""Pieces of a trail, each less opaque than the newer one."""
_MOST_POINTS = 4 * _STEPS + 1
"""Points of a trail that are drawn."""
_OLD_OPACITY, _NEW_OPACITY = 0.1, 0.95
_LEAST_SPAN = 0.02
"""An object that moved less than this, as a share of the picture's shorter side, has no trail: it would be a blot."""


class TrailPen:
    """Draws trails in pictures of one size and one colour coding."""

    def __init__(self, width: int, height: int, coder: Coder, line_px: float) -> None:
        """`line_px`: width of the lines of boxes."""
        self._width, self._height = width, height
        self._line_px = line_px
        self._least_span_px = _LEAST_SPAN * min(width, height)
        self._canvas = Canvas(width, height, coder, zoom=0.5)

    def draw(self, planes: Planes, trails: Mapping[int, Points], colours: Mapping[int, Rgb]) -> None:
        """Draw the trails, (M, 2) x, y in pixels and oldest first, of the track ids that have a colour."""
        pieces: dict[tuple[Rgb, int], list[Points]] = defaultdict(list)
        drawn = []
        for track_id, rgb in colours.items():
            points = self._thinned(trails.get(track_id))
            if points is None:
                continue
            drawn.append(points)
            ends = [(len(points) - 1) * step // _STEPS for step in range(_STEPS + 1)]
            for step, (start, end) in enumerate(pairwise(ends)):
                if end > start:
                    pieces[rgb, step].append(points[start : end + 1])
        if not drawn:
            return
        window = self._clipped(window_of(np.concatenate(drawn), 2 * self._line_px + 4))
        x0, y0, x1, y1 = window
        if x1 <= x0 or y1 <= y0:
            return
        for (rgb, step), paths in sorted(pieces.items(), key=lambda item: item[0][1]):  # newer ones over older ones
            opacity = _OLD_OPACITY + (_NEW_OPACITY - _OLD_OPACITY) * step / (_STEPS - 1)
            self._canvas.line(paths, rgb, opacity, self._line_px)
        Layer.of_coarse(self._canvas, window).onto(planes)
        self._canvas.pixels[y0 // 2 : (y1 + 3) // 2, x0 // 2 : (x1 + 3) // 2] = 0

    def _thinned(self, points: Points | None) -> Points | None:
        """Every so many points, the newest one among them; None for an object that stood."""
        if points is None or len(points) < 2:
            return None
        near, far = points.min(0), points.max(0)
        if not max(far - near) >= self._least_span_px:  # true for NaN, too
            return None
        every = -(-(len(points) - 1) // (_MOST_POINTS - 1))
        return points[(len(points) - 1) % every :: every]

    def _clipped(self, window: Window) -> Window:
        x0, y0, x1, y1 = window
        return max(0, x0), max(0, y0), min(self._width, x1), min(self._height, y1)
