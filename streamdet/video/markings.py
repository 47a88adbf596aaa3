"""What a user drew on a camera's view, and how it stands: lines with their counts, zones and bays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from streamdet.scene import BayState, LineState, Scene
from streamdet.video.labels import Label, LabelPen
from streamdet.video.layer import Canvas, Layer, Points, window_of
from streamdet.video.lettering import MAX_NAME, shortened
from streamdet.video.planes import Coder, Planes, Rgb

LINE_RGB: Rgb = (255, 255, 255)
ZONE_RGB: Rgb = (120, 170, 255)
FREE_RGB: Rgb = (64, 220, 120)
OCCUPIED_RGB: Rgb = (240, 60, 60)
UNKNOWN_RGB: Rgb = (170, 174, 182)
_RIM_RGB: Rgb = (0, 0, 0)
_COUNT_RGB: Rgb = (24, 26, 31)
_RIM_OPACITY = 0.45
_OPACITY = {False: 0.1, True: 0.2}
"""Of the fill of an empty and of a busy zone."""
_BAY_OPACITY = {None: 0.06, False: 0.22, True: 0.12}
"""Of the fill of a bay that is free and of one that is occupied: what is looked for are free ones."""
_MAX_NAME = 16


class MarkingPen:
    """Draws places in pictures of one size and one colour coding."""

    def __init__(
        self, width: int, height: int, coder: Coder, labels: LabelPen, *, line_px: float, font_px: int
    ) -> None:
        """`line_px`: width of the lines of boxes; `font_px`: of the labels of places."""
        self._width, self._height, self._coder = width, height, coder
        self._labels = labels
        self._line_px, self._font_px = line_px, font_px
        self._shown: tuple[object, ...] | None = None
        self._layer: Layer | None = None

    def draw(self, planes: Planes, scene: Scene) -> None:
        """Draw the places themselves: below boxes. They are drawn anew only when one of them looks different."""
        shown = _looks(scene)
        if shown != self._shown:
            self._shown, self._layer = shown, self._drawn(scene)
        if self._layer is not None:
            self._layer.onto(planes)

    def draw_labels(self, planes: Planes, scene: Scene) -> None:
        """Names and counts: on top of all."""
        for zone in scene.zones:
            counts = told_counts(zone.counts) or "empty"
            self._draw_pair(planes, zone.name, counts, ZONE_RGB, _top(zone.polygon_xy))
        for line in scene.lines:
            counts = f"in {sum(line.in_counts.values())} out {sum(line.out_counts.values())}"
            path = np.asarray(line.points_xy, np.float32)
            self._draw_pair(planes, line.name, counts, LINE_RGB, path.mean(0), beside=-self._inwards(path)[0])
        if scene.bays:
            free, margin = sum(bay.occupied is False for bay in scene.bays), round(self._font_px * 0.6)
            text = Label(f"{free} free of {len(scene.bays)}", -1, self._font_px, _COUNT_RGB)
            self._labels.draw(planes, text, margin, planes.height - margin - self._labels.size(text)[0])

    def _draw_pair(
        self, planes: Planes, name: str, counts: str, rgb: Rgb, middle: Points, beside: Points | None = None
    ) -> None:
        """A plate with the name and one with the counts, side by side, at a point or in this direction from it."""
        pair = Label(shortened(name, _MAX_NAME), -1, self._font_px, rgb), Label(counts, -1, self._font_px, _COUNT_RGB)
        (rows, first), (_, second) = (self._labels.size(label) for label in pair)
        columns = first + second
        if rows > planes.height or columns > planes.width:
            return
        x, y = middle.tolist()
        if beside is not None:
            towards_x, towards_y = beside.tolist()
            gap = 3 * self._line_px
            x, y = x + towards_x * (columns / 2 + gap), y + towards_y * (rows / 2 + gap)
        left = max(0, min(round(x - columns / 2), planes.width - columns))
        top = round(y - rows / 2)
        self._labels.draw(planes, pair[0], left, top)
        self._labels.draw(planes, pair[1], left + first, top)

    def _drawn(self, scene: Scene) -> Layer | None:
        """All places as a layer; None when there are none."""
        outlines = [zone.polygon_xy for zone in scene.zones] + [bay.polygon_xy for bay in scene.bays]
        outlines += [np.asarray(line.points_xy, np.float32) for line in scene.lines]
        if not outlines:
            return None
        canvas = Canvas(self._width, self._height, self._coder)
        for zone in scene.zones:
            self._outline(canvas, zone.polygon_xy, ZONE_RGB, _OPACITY[any(zone.counts.values())])
        for bay in sorted(scene.bays, key=lambda bay: bay.occupied is False):  # free ones over the others' edges
            self._outline(canvas, bay.polygon_xy, _bay_rgb(bay), _BAY_OPACITY[bay.occupied])
        for line in scene.lines:
            self._gate(canvas, line)
        return Layer(canvas, window_of(np.concatenate(outlines), 14 * self._line_px + 4))

    def _outline(self, canvas: Canvas, polygon: Points, rgb: Rgb, opacity: float) -> None:
        placed = canvas.placed(polygon)
        canvas.fill(placed, rgb, opacity)
        canvas.line([placed], rgb, 0.85, self._line_px * 0.75, closed=True)

    def _gate(self, canvas: Canvas, line: LineState) -> None:
        """The line with a knob at each end, and an arrow from its middle towards "in"."""
        path = np.asarray(line.points_xy, np.float32)
        inwards, size = self._inwards(path)
        x, y = (inwards * size).tolist()
        arrow = np.array([(0, 0), (1.4 * x, 1.4 * y), (x + y, y - x), (2.4 * x, 2.4 * y), (x - y, y + x)], np.float32)
        arrow += path.mean(0)
        strokes = [canvas.placed(path), canvas.placed(arrow[:2])]
        shapes = [canvas.placed(arrow[2:]), *(canvas.placed(_circle(end, 1.4 * self._line_px)) for end in path)]
        canvas.line(strokes, _RIM_RGB, _RIM_OPACITY, self._line_px * 2.4)
        canvas.line(shapes, _RIM_RGB, _RIM_OPACITY, self._line_px * 1.2, closed=True)
        canvas.line(strokes, LINE_RGB, 1.0, self._line_px * 1.3)
        for shape in shapes:
            canvas.fill(shape, LINE_RGB, 1.0)

    def _inwards(self, path: Points) -> tuple[Points, float]:
        """The way "in" across a line, (2,) of length 1, and how large its arrow is in pixels."""
        x, y = (path[1] - path[0]).tolist()
        length = math.hypot(x, y) or 1.0
        # to the right of the way, as y runs down
        return np.array((-y / length, x / length), np.float32), min(5 * self._line_px, length / 5)


def told_counts(counts: Mapping[str, int]) -> str:
    """Such as "2 car, 1 person"; the total where that is too long; "" for none."""
    there = [(name, count) for name, count in counts.items() if count]
    text = ", ".join(f"{count} {name}" for name, count in sorted(there, key=lambda item: (-item[1], item[0])))
    return text if len(text) <= MAX_NAME else f"{sum(count for _, count in there)} objects"


class _Look(NamedTuple):
    """What a place's drawing depends on."""

    name: str
    points: bytes
    state: object


def _looks(scene: Scene) -> tuple[_Look, ...]:
    looks = [_Look(zone.name, zone.polygon_xy.tobytes(), any(zone.counts.values())) for zone in scene.zones]
    looks += [_Look(bay.name, bay.polygon_xy.tobytes(), bay.occupied) for bay in scene.bays]
    looks += [_Look(line.name, b"", line.points_xy) for line in scene.lines]
    return tuple(looks)


def _bay_rgb(bay: BayState) -> Rgb:
    return UNKNOWN_RGB if bay.occupied is None else OCCUPIED_RGB if bay.occupied else FREE_RGB


def _top(polygon: Points) -> Points:
    """The middle of a polygon's upper edge, (2,)."""
    return np.array((polygon[:, 0].min() / 2 + polygon[:, 0].max() / 2, polygon[:, 1].min()), np.float32)


def _circle(middle: Points, radius: float) -> Points:
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    points: Points = (np.stack((np.cos(angles), np.sin(angles)), 1) * radius + middle).astype(np.float32)
    return points
