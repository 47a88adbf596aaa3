"""Where tracked objects came from: a line behind each, fading with age."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from streamdet.video.layer import Canvas, Layer, Placed, Points, window_of
from streamdet.video.planes import Coder, Planes, Rgb

_STEPS = 6
"""Pieces of a trail, each less opaque than the newer one."""
_MOST_POINTS = 3 * _STEPS + 1
"""Points of a trail that are drawn."""
_PIECES = {
    points: [
        (step, (points - 1) * step // _STEPS, (points - 1) * (step + 1) // _STEPS + 1)
        for step in range(_STEPS)
        if (points - 1) * step // _STEPS < (points - 1) * (step + 1) // _STEPS
    ]
    for points in range(2, _MOST_POINTS + 1)
}
"""Of a trail of so many points: (step of age, first point, end) of each piece; it begins where the last one ends."""
_OLD_OPACITY, _NEW_OPACITY = 0.1, 0.95
_WIDTH = 0.8
"""Of the lines of boxes; the coarse canvas softens it. Up to 1080 lines it is one pixel there, which is fast."""
_BOLD_FROM_PX = 2.6
"""Where boxes have such lines, at 900 lines and more, trails are thickened by a pixel of the coarse canvas."""
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
        walked = _walked(
            {track_id: trails[track_id] for track_id in colours if track_id in trails}, self._least_span_px
        )
        if not walked:
            return
        ends = np.cumsum([len(points) for points in walked.values()]).tolist()
        every = np.concatenate(list(walked.values()))
        x0, y0, x1, y1 = window_of(every, 2 * self._line_px + 4)
        window = max(0, x0), max(0, y0), min(self._width, x1), min(self._height, y1)
        if window[2] <= window[0] or window[3] <= window[1]:
            return
        placed = self._canvas.placed(every)
        pieces: dict[tuple[int, Rgb], list[Placed]] = defaultdict(list)
        for track_id, start, end in zip(walked, [0, *ends], ends, strict=False):
            _cut(placed[start:end], colours[track_id], pieces)
        for step, rgb in sorted(pieces):  # newer ones over older ones
            opacity = _OLD_OPACITY + (_NEW_OPACITY - _OLD_OPACITY) * step / (_STEPS - 1)
            self._canvas.line(pieces[step, rgb], rgb, opacity, _WIDTH * self._line_px)
        if self._line_px >= _BOLD_FROM_PX:
            self._canvas.thicken(window)
        Layer.of_coarse(self._canvas, window).onto(planes)
        self._canvas.clear(window)


def _walked(trails: Mapping[int, Points], least_span_px: float) -> dict[int, Points]:
    """The trails of objects that did not just stand."""
    long = {track_id: points for track_id, points in trails.items() if len(points) >= 2}
    if not long:
        return {}
    starts = np.cumsum([0, *(len(points) for points in long.values())])[:-1]
    every = np.concatenate(list(long.values()))
    span = np.maximum.reduceat(every, starts) - np.minimum.reduceat(every, starts)
    moved = (span.max(1) >= least_span_px).tolist()  # false for NaN, too
    return {track_id: points for (track_id, points), far in zip(long.items(), moved, strict=True) if far}


def _cut(trail: Placed, rgb: Rgb, into: dict[tuple[int, Rgb], list[Placed]]) -> None:
    """Every so many points of a trail, the newest one among them, in pieces by age."""
    every = -(-(len(trail) - 1) // (_MOST_POINTS - 1))
    trail = np.ascontiguousarray(trail[(len(trail) - 1) % every :: every])
    for step, start, end in _PIECES[len(trail)]:
        into[step, rgb].append(trail[start:end])
