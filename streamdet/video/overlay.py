"""Draws boxes and labels on pictures: straight on the Y, U and V planes, without a trip through RGB.

Coordinates are pixels of the picture, x right, y down, (0, 0) the outer corner of the top left pixel.
"""

from __future__ import annotations

import math

import av

from streamdet.types import Detections
from streamdet.video.labels import Label, LabelPen
from streamdet.video.palette import class_colours
from streamdet.video.planes import Coder, Planes, Rgb, copied
from streamdet.video.strokes import BoxPen, HalfPixels, Line

_BADGE_RGB: Rgb = (220, 38, 38)
_MAX_STYLES = 4
"""Pictures of a stream mostly have one size; a folder of pictures may have many."""


class Overlay:
    """Draws the detections of one stream. It keeps what it has drawn before: use one object for all its pictures."""

    def __init__(self, class_names: tuple[str, ...]) -> None:
        """Prepare a colour for each class; a class at the same place of the list has the same colour in every run."""
        self._names = class_names
        self._colours = class_colours(max(1, len(class_names)))
        self._styles: dict[tuple[int, int, Coder], _Style] = {}

    def colour(self, class_id: int) -> Rgb:
        """RGB, 0..255, of a class."""
        return self._colours[class_id % len(self._colours)]

    def draw(self, picture: av.VideoFrame, detections: Detections, badge: str | None = None) -> av.VideoFrame:
        """A new yuv420p frame of the same size, time and colour tags, with boxes and labels.

        A full-range picture (yuvj420p) stays full-range, and the new frame's `color_range` says so. `badge` is a short
        word for the corner, such as DAMAGED.
        """
        frame = copied(picture)
        style = self._style(frame)
        planes = Planes(frame)
        placed = []
        # Best first in `detections`, but drawn last, so that the best ones lie on top; all labels over all boxes.
        rows = (detections.boxes_xyxy.tolist(), detections.class_ids.tolist(), detections.scores.tolist())
        for box_xyxy, class_id, score in list(zip(*rows, strict=True))[::-1]:
            box = style.boxes.place(box_xyxy, frame.width, frame.height)
            if box is not None:
                style.boxes.draw(planes, box, self.colour(class_id))
                placed.append((box, class_id, score))
        for box, class_id, score in placed:
            style.draw_label(planes, box, self._name(class_id), score, self.colour(class_id))
        if badge:
            style.draw_badge(planes, badge)
        return frame

    def _name(self, class_id: int) -> str:
        return self._names[class_id] if 0 <= class_id < len(self._names) else f"class {class_id}"

    def _style(self, frame: av.VideoFrame) -> _Style:
        key = (frame.width, frame.height, Coder.of(frame))
        style = self._styles.get(key)
        if style is None:
            if len(self._styles) >= _MAX_STYLES:
                self._styles.clear()
            style = self._styles[key] = _Style(*key)
        return style


class _Style:
    """The pens for pictures of one size (pixels) and colour coding."""

    def __init__(self, width: int, height: int, coder: Coder) -> None:
        self._line = Line.of(width, height)
        font = max(10, round(6.5 + 0.0128 * min(width, height)))
        self._font_px, self._small_font_px = font, max(9, round(font * 0.74))
        self.boxes = BoxPen(coder, self._line)
        self._labels = LabelPen(coder)

    def draw_label(self, planes: Planes, box: HalfPixels, name: str, score: float, rgb: Rgb) -> None:
        """Above the box, or inside when there is no room above: the place depends on box and class, not on the score.

        Small boxes get a small label, tiny ones none: it would hide more than it says.
        """
        percent = min(100, max(0, int(score * 100 + 1e-3)))
        left, top, right, bottom = (edge / 2 for edge in box)
        label = Label(name, percent, self._font_px, rgb)
        rows, columns = self._labels.size(label)
        side = math.sqrt((right - left) * (bottom - top))
        if side < columns:
            label = label._replace(font_px=self._small_font_px)
            rows, columns = self._labels.size(label)
            if side < 0.5 * columns:
                return
        if rows > planes.height or columns > planes.width:
            return
        reach = self._line.width / 2
        y = math.floor(top + reach + 0.5) - rows  # it stands on the box's line
        if y < 0:
            y = math.floor(top - reach)
        self._labels.draw(planes, label, math.floor(left - reach), y)

    def draw_badge(self, planes: Planes, text: str) -> None:
        """In the top right corner, where cameras seldom print their clock."""
        label = Label(text, -1, self._font_px, _BADGE_RGB)
        rows, columns = self._labels.size(label)
        if rows <= planes.height and columns <= planes.width:
            margin = round(self._font_px * 0.6)
            self._labels.draw(planes, label, planes.width - columns - margin, margin)
