"""The boxes of one picture, each checked when it is added; the same rules for every format.

Boxes are xyxy in pixels of the picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamdet.training.dataset import BoolArray, LabelledImage
from streamdet.types import Float32Array

Box = tuple[float, float, float, float]

SHORTEST_SIDE_PX = 0.01
"""A box with a shorter side has no area: float32 could not tell its edges apart in a large picture."""
OUTSIDE_PX, OUTSIDE_SHARE = 2.0, 0.01
"""A box may reach out of the picture by so many pixels, or by so much of the picture's side: tools round."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a box: to go on after a semicolon, behind the words that give its value."""

    kind: str
    clause: str
    is_error: bool = True


def numbers(values: object) -> list[float] | None:
    """The numbers of a list that JSON gave; None when it is no list of numbers that a float can hold."""
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        return None
    try:
        return [float(value) for value in values]
    except OverflowError:
        return None


def looks_normalised(values: Sequence[float]) -> bool:
    """Whether the four numbers, meant to be pixels, look like shares of the picture's sides."""
    return all(0 <= value <= 1 for value in values) and any(value != int(value) for value in values)


def checked(box_xyxy: Sequence[float], width: int, height: int) -> tuple[Box | None, Fault | None]:
    """The box, clipped where it reaches far out of the picture, and its fault; no box when there is an error."""
    if not all(math.isfinite(value) for value in box_xyxy):
        return None, Fault("not finite", "its numbers must be finite")
    x1, y1, x2, y2 = (float(value) for value in box_xyxy)
    if x2 < x1 or y2 < y1:
        return None, Fault("wrong order", "its right edge must be right of the left one and its bottom below its top")
    if x2 - x1 < SHORTEST_SIDE_PX or y2 - y1 < SHORTEST_SIDE_PX:
        return None, Fault("zero area", "it must have a positive width and height")
    if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
        return None, Fault("outside", f"it lies outside the picture of {width}x{height}")
    box = max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))
    slack_x, slack_y = max(OUTSIDE_PX, OUTSIDE_SHARE * width), max(OUTSIDE_PX, OUTSIDE_SHARE * height)
    if box[0] - x1 <= slack_x and x2 - box[2] <= slack_x and box[1] - y1 <= slack_y and y2 - box[3] <= slack_y:
        return (x1, y1, x2, y2), None
    if box[2] - box[0] < SHORTEST_SIDE_PX or box[3] - box[1] < SHORTEST_SIDE_PX:
        return None, Fault("outside", f"it lies outside the picture of {width}x{height}")
    return box, Fault("partly outside", f"it reaches out of the picture of {width}x{height} and was clipped", False)


class Sheet:
    """Gathers the boxes of one picture."""

    def __init__(self, width: int, height: int) -> None:
        """Width and height in pixels."""
        self.width, self.height = width, height
        self._boxes: dict[bool, list[Box]] = {False: [], True: []}
        self._class_ids: dict[bool, list[int]] = {False: [], True: []}
        self._areas: list[float | None] = []
        self._seen: set[tuple[bool, int, Box]] = set()

    def add(
        self, box_xyxy: Sequence[float], class_id: int, *, ignored: bool = False, area: float | None = None
    ) -> Fault | None:
        """Take a box unless it has an error; returns what is wrong with it, if anything.

        `area`: pixels that the object covers; None: all of its box.
        """
        box, fault = checked(box_xyxy, self.width, self.height)
        if box is None:
            return fault
        if (ignored, class_id, box) in self._seen:
            return Fault("duplicate box", "the same box is there already and counts once", False)
        self._seen.add((ignored, class_id, box))
        self._boxes[ignored].append(box)
        self._class_ids[ignored].append(class_id)
        if not ignored:
            self._areas.append(area)
        return fault

    def image(self, path: Path, labelled: BoolArray, source: str, group: str = "") -> LabelledImage:
        """The picture at `path` with what was gathered."""
        return LabelledImage(
            path,
            self.width,
            self.height,
            np.array(self._boxes[False], np.float32).reshape(-1, 4),
            np.array(self._class_ids[False], np.int64),
            np.array(self._boxes[True], np.float32).reshape(-1, 4),
            np.array(self._class_ids[True], np.int64),
            labelled,
            source,
            group,
            self._known_areas(),
        )

    def _known_areas(self) -> Float32Array | None:
        if all(area is None for area in self._areas):
            return None
        of_boxes = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in self._boxes[False]]
        both = zip(self._areas, of_boxes, strict=True)
        return np.array([own if area is None else area for area, own in both], np.float32)
