"""Draws on a picture what is known about it: boxes and labels, trails and places.

Straight on the Y, U and V planes, without a trip through RGB.

Coordinates are pixels of the picture, x right, y down, (0, 0) the outer corner of the top left pixel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import av

from streamdet.scene import Scene
from streamdet.types import DetectedFrame, Detections
from streamdet.video.labels import Label, LabelPen
from streamdet.video.lettering import MAX_NAME, shortened
from streamdet.video.markings import MarkingPen
from streamdet.video.palette import class_colours
from streamdet.video.planes import Coder, Planes, Rgb, copied
from streamdet.video.strokes import BoxPen, HalfPixels, Line
from streamdet.video.trails import TrailPen

DAMAGED_BADGE = "DAMAGED"
"""Shown on frames whose decoder concealed damage."""
_BADGE_RGB: Rgb = (220, 38, 38)
_MOST_OVERHANG = 1.1
_MAX_STYLES = 4
"""Pictures of a stream mostly have one size; a folder of pictures may have many."""


class Overlay:
    """Draws the detections of one stream. It keeps what it has drawn before: use one object for all its pictures."""

    def __init__(self, class_names: tuple[str, ...], colours: Mapping[str, Rgb] | None = None) -> None:
        """Prepare a colour for each class; a class at the same place of the list has the same colour in every run.

        `colours`: RGB 0..255 by class name, for those that shall have another colour.
        """
        self._names = class_names
        defaults = class_colours(max(1, len(class_names)))
        own = colours or {}
        self._colours = tuple(own.get(name, rgb) for name, rgb in zip(class_names, defaults, strict=False)) or defaults
        self._styles: dict[tuple[int, int, Coder], _Style] = {}

    def colour(self, class_id: int) -> Rgb:
        """RGB, 0..255, of a class."""
        return self._colours[class_id % len(self._colours)]

    def draw_frame(self, detected: DetectedFrame) -> av.VideoFrame:
        """What a user sees of a detected frame: its shown detections and its scene, and a badge where it is damaged."""
        badge = DAMAGED_BADGE if detected.frame.damaged else None
        return self.draw(detected.frame.picture, detected.shown, badge=badge, scene=detected.scene)

    def draw(
        self, picture: av.VideoFrame, detections: Detections, badge: str | None = None, scene: Scene | None = None
    ) -> av.VideoFrame:
        """A new yuv420p frame of the same size, time and colour tags, with boxes and labels.

        A full-range picture (yuvj420p) stays full-range, and the new frame's `color_range` says so. `badge` is a short
        word for the corner, such as DAMAGED. Places and trails of `scene` lie below the boxes, its counts on top.
        """
        frame = copied(picture)
        style = self._style(frame)
        planes = Planes(frame)
        if scene is not None:
            style.markings.draw(planes, scene)
            style.trails.draw(planes, scene.trails, self._track_colours(detections))
        placed = []
        # Best first in `detections`, but drawn last, so that the best ones lie on top; all labels over all boxes.
        columns = (
            detections.boxes_xyxy, detections.class_ids, detections.scores, detections.track_ids, detections.bridged
        )  # fmt: skip
        for box_xyxy, class_id, score, track_id, bridged in zip(
            *(column[::-1].tolist() for column in columns), strict=True
        ):
            box = style.boxes.place(box_xyxy, frame.width, frame.height)
            if box is not None:
                rgb = self.colour(class_id)
                style.boxes.draw(planes, box, rgb, dashed=bridged)
                name = self._name(class_id, track_id)
                percent = -1 if bridged else min(100, max(0, int(score * 100 + 1e-3)))
                placed.append((box, Label(name, percent, 0, rgb), track_id >= 0))
        for box, label, tracked in placed:
            style.draw_label(planes, box, label, tracked=tracked)
        if scene is not None:
            style.markings.draw_labels(planes, scene)
        if badge:
            style.draw_badge(planes, badge)
        return frame

    def _track_colours(self, detections: Detections) -> dict[int, Rgb]:
        """Colour by track id, the best one last."""
        tracked = zip(detections.track_ids[::-1].tolist(), detections.class_ids[::-1].tolist(), strict=True)
        return {track_id: self.colour(class_id) for track_id, class_id in tracked if track_id >= 0}

    def _name(self, class_id: int, track_id: int) -> str:
        name = self._names[class_id] if 0 <= class_id < len(self._names) else f"class {class_id}"
        return name if track_id < 0 else f"{shortened(name, MAX_NAME - 1 - len(str(track_id)))} {track_id}"

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
        self.trails = TrailPen(width, height, coder, self._line.width)
        self.markings = MarkingPen(width, height, coder, self._labels, line_px=self._line.width, font_px=font)

    def draw_label(self, planes: Planes, box: HalfPixels, label: Label, *, tracked: bool) -> None:
        """Above the box, or inside when there is no room above: the place depends on box and class, not on the score.

        Small boxes get a small label, tiny ones none: it would hide more than it says. Where it is much wider than its
        box, a tracked object's label is only its name and number. `label.font_px` does not count.
        """
        left, top, right, bottom = (edge / 2 for edge in box)
        label = label._replace(font_px=self._font_px)
        rows, columns = self._labels.size(label)
        side = math.sqrt((right - left) * (bottom - top))
        if side < columns:
            label = label._replace(font_px=self._small_font_px)
            rows, columns = self._labels.size(label)
            if tracked and columns > _MOST_OVERHANG * (right - left):
                label = label._replace(percent=-1)
                rows, columns = self._labels.size(label)
            if side < 0.5 * columns:
                return
        reach = self._line.width / 2
        y = math.floor(top + reach + 0.5) - rows  # it stands on the box's line
        if y < 0:
            y = math.floor(top - reach)
        self._labels.draw(planes, label, math.floor(left - reach), y)

    def draw_badge(self, planes: Planes, text: str) -> None:
        """In the top right corner, where cameras seldom print their clock."""
        label = Label(text, -1, self._font_px, _BADGE_RGB)
        margin = round(self._font_px * 0.6)
        self._labels.draw(planes, label, planes.width - self._labels.size(label)[1] - margin, margin)
