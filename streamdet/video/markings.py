"""What a user drew on a camera's view, and how it stands: lines with their counts, zones and bays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from streamdet.scene import BayState, LineState, Scene
from streamdet.video.labels import Label, LabelPen
from streamdet.video.layer import Canvas, Layer, Points, window_of
from streamdet.video.planes import Coder, Planes, Rgb

LINE_RGB: Rgb = (255, 255, 255)
ZONE_RGB: Rgb = (120, 170, 255)
FREE_RGB: Rgb = (64, 220, 120)
OCCUPIED_RGB: Rgb = (240, 60, 60)
UNKNOWN_RGB: Rgb = (170, 174, 182)
_RIM_RGB: Rgb = (0, 0, 0)
_COUNT_RGB: Rgb = (24, 26, 31)
_RIM_OPACITY = 0.45
_EMPTY_OPACITY, _BUSY_OPACITY = 0.10, 0.24
"""Of a zone's or bay's fill."""
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
            x, y = _top(zone.polygon_xy)
            self._draw_pair(planes, zone.name, told_counts(zone.counts) or "empty", ZONE_RGB, x, y)
        for line in scene.lines:
            counts = f"in {sum(line.in_counts.values())}  out {sum(line.out_counts.values())}"
            x, y = np.mean(np.asarray(line.points_xy, np.float32), 0).tolist()
            self._draw_pair(planes, line.name, counts, LINE_RGB, x, y)
        if scene.bays:
            free, margin = sum(bay.occupied is False for bay in scene.bays), round(self._font_px * 0.6)
            text = Label(f"{free} free of {len(scene.bays)}", -1, self._font_px, _COUNT_RGB)
            self._labels.draw(planes, text, margin, planes.height - margin - self._labels.size(text)[0])

    def _draw_pair(self, planes: Planes, name: str, counts: str, rgb: Rgb, x: float, y: float) -> None:
        """A plate with the name and one with the counts, side by side, their middle at (x, y)."""
        pair = (Label(_short(name), -1, self._font_px, rgb), Label(counts, -1, self._font_px, _COUNT_RGB))
        (rows, first), (_, second) = (self._labels.size(label) for label in pair)
        if rows > planes.height or first + second > planes.width:
            return
        left = max(0, min(round(x) - (first + second) // 2, planes.width - first - second))
        top = round(y) - rows // 2
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
            self._outline(
                canvas, zone.polygon_xy, ZONE_RGB, _BUSY_OPACITY if any(zone.counts.values()) else _EMPTY_OPACITY
            )
        for bay in sorted(scene.bays, key=lambda bay: bay.occupied is False):  # free ones over the others' edges
            self._outline(canvas, bay.polygon_xy, _bay_rgb(bay), _BUSY_OPACITY if bay.occupied else _EMPTY_OPACITY)
        for line in scene.lines:
            self._gate(canvas, line)
        return Layer(canvas, window_of(np.concatenate(outlines), 8 * self._line_px + 4))

    def _outline(self, canvas: Canvas, polygon: Points, rgb: Rgb, opacity: float) -> None:
        canvas.fill(polygon, rgb, opacity)
        canvas.line([polygon], rgb, 0.85, self._line_px * 0.75, closed=True)

    def _gate(self, canvas: Canvas, line: LineState) -> None:
        """The line, with two arrowheads towards "in"."""
        path = np.asarray(line.points_xy, np.float32)
        way = path[1] - path[0]
        length = max(1e-3, float(np.hypot(*way)))
        along = way / np.float32(length)
        inwards = np.array((-along[1], along[0]), np.float32)  # to the right of the way, as y runs down
        size = np.float32(min(6 * self._line_px, length / 4))
        arrows = []
        for share in (0.2, 0.8):  # the middle is for the label
            foot = path[0] + share * way
            arrows.append(np.stack((foot - along * size, foot + inwards * size, foot + along * size)))
        canvas.line([path], _RIM_RGB, _RIM_OPACITY, self._line_px * 2.4)
        for arrow in arrows:
            canvas.fill(arrow, LINE_RGB, 1.0)
            canvas.line([arrow], _RIM_RGB, _RIM_OPACITY, self._line_px * 0.6, closed=True)
        canvas.line([path], LINE_RGB, 1.0, self._line_px * 1.3)


def told_counts(counts: Mapping[str, int]) -> str:
    """Such as "2 car, 1 person"; the total where that is too long; "" for none."""
    there = [(name, count) for name, count in counts.items() if count]
    text = ", ".join(f"{count} {name}" for name, count in sorted(there, key=lambda item: (-item[1], item[0])))
    return text if len(text) <= 24 else f"{sum(count for _, count in there)} objects"


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


def _top(polygon: Points) -> tuple[float, float]:
    """The middle of a polygon's upper edge."""
    x = float(polygon[:, 0].min() + polygon[:, 0].max()) / 2
    return x, float(polygon[:, 1].min())


def _short(name: str) -> str:
    return name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 1] + "…"
