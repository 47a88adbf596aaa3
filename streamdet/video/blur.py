"""Makes people, or other classes, unrecognisable in the pictures themselves, before anything is drawn or written.

What is blurred is what was detected, and where it was a moment ago. Somebody whom the detector misses from the first
frame to the last is not blurred: look at what a camera's model finds before you rely on it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from streamdet.types import BoolArray, DetectedFrame, Float32Array, Int64Array
from streamdet.video.planes import Planes, copied

DAMAGED, FAILED = "damaged", "detection failed"
LEAST_SCORE = 0.1
"""Weaker objects than this are not blurred. A run must keep objects down to it, or the blur misses them."""
_HOLD_S = 1.0
"""A shown object that is not detected any more stays blurred where it was for so long."""
_GROW_PER_S = 0.4
"""By how much of its longer side, on each side, its box grows meanwhile: it may have walked on."""
_MARGIN = 0.1
"""Grown on each side by this much of the mean of its sides, and by _MARGIN_PX: boxes cut hands and hair."""
_MARGIN_PX = 3.0
_CELLS = 5
"""Cells across the shorter side of a box: a face gets one or two."""
_LEAST_CELL = 0.011
"""As a share of the picture's shorter side."""
_WHOLE_CELLS = 9
"""Cells across the shorter side of a picture that is blurred whole."""
_SAME = 0.5
"""An object is detected again where a new box covers this share of its old one."""


@dataclass(slots=True)
class BlurAccount:
    """What was blurred, for the receipt."""

    classes: tuple[str, ...]
    frames: int = 0
    """All that came."""
    frames_blurred: int = 0
    """Those with at least one object blurred, and not whole."""
    boxes: Counter[str] = field(default_factory=Counter)
    """Boxes of shown or tracked objects that were blurred, by class."""
    weak: int = 0
    """Boxes that were blurred to be safe: too weak to be shown, or outside of the region of interest."""
    remembered: int = 0
    """Blurred places where an object was shortly before and is not detected now."""
    whole: Counter[str] = field(default_factory=Counter)
    """Frames that were blurred as a whole, by reason."""

    def told(self) -> str:
        """One line, such as "person: 812 boxes + 90 weak in 311 of 341 frames, 3 frames whole (damaged)"."""
        boxes = sum(self.boxes.values())
        places = [f"{boxes:,} box{'' if boxes == 1 else 'es'}"]
        places += [f"{self.weak:,} weak"] if self.weak else []
        places += [f"{self.remembered:,} remembered"] if self.remembered else []
        parts = [
            f"{', '.join(self.classes)}: {' + '.join(places)} in {self.frames_blurred:,} of {self.frames:,} frames"
        ]
        parts += [
            f"{count:,} frame{'' if count == 1 else 's'} whole ({reason})" for reason, count in self.whole.items()
        ]
        return ", ".join(parts)

    def as_dict(self) -> dict[str, object]:
        """Ready for JSON."""
        return {
            "classes": list(self.classes),
            "frames": self.frames,
            "frames_blurred": self.frames_blurred,
            "boxes": dict(self.boxes),
            "weak": self.weak,
            "remembered": self.remembered,
            "whole": dict(self.whole),
        }


class Blur:
    """Called with each frame of one source, in order, after its tracks are known and before any output sees it."""

    def __init__(self, classes: Sequence[str]) -> None:
        """`classes`: names of what is blurred; names that no model knows blur nothing (the caller checks them)."""
        self.account = BlurAccount(tuple(classes))
        self._boxes: Float32Array = np.zeros((0, 4), np.float32)
        """Where shown objects were seen last."""
        self._seen_s = np.zeros(0)

    def __call__(self, detected: DetectedFrame, *, failed: bool = False) -> DetectedFrame:
        """The frame with another picture, or as it is when there is nothing to blur.

        Args:
            detected: all that was detected: hidden objects are blurred, too, from LEAST_SCORE on.
            failed: the detector could not look at this picture, so that all of it is blurred.
        """
        boxes, whole = self._look(detected, failed=failed)
        if not len(boxes):
            return detected
        frame = detected.frame
        picture = copied(frame.picture)
        planes = Planes(picture)
        for box in boxes.tolist():
            _pixelate(planes, box, whole=whole)
        return replace(detected, frame=replace(frame, picture=picture))

    def replay(self, detected: DetectedFrame, *, failed: bool = False) -> None:
        """The same for a frame whose picture nobody needs: account and memory go on as if it had been blurred."""
        self._look(detected, failed=failed)

    def _look(self, detected: DetectedFrame, *, failed: bool) -> tuple[Float32Array, bool]:
        """Take account of a frame: the boxes (N, 4) to blur in it, and whether that is all of the picture."""
        frame, detections, account = detected.frame, detected.detections, self.account
        account.frames += 1
        wanted, outside = self._wanted(detected), self._outside(detected)
        followed = detections.track_ids >= 0
        followed |= True if detected.shown_mask is None else detected.shown_mask
        seen, weak = wanted & followed, wanted & ~followed & (detections.scores >= LEAST_SCORE)
        missing = self._remember(np.concatenate((detections.boxes_xyxy[seen], outside)), frame.clock_s)
        if frame.damaged or failed:
            account.whole[FAILED if failed else DAMAGED] += 1
            return np.array([(0, 0, frame.width, frame.height)], np.float32), True
        boxes = _outermost(_grown(np.concatenate((detections.boxes_xyxy[seen | weak], outside, missing))))
        if len(boxes):
            account.frames_blurred += 1
            account.boxes.update(detections[seen].names)
            account.weak += int(weak.sum()) + len(outside)
            account.remembered += len(missing)
        return boxes, False

    def _outside(self, detected: DetectedFrame) -> Float32Array:
        """Boxes (N, 4) to blur outside of the region of interest."""
        outside = detected.outside
        if outside is None:
            return np.zeros((0, 4), np.float32)
        return outside.boxes_xyxy[self._of_class(outside.class_ids, outside.class_names)]

    def _wanted(self, detected: DetectedFrame) -> BoolArray:
        """(N,) which are of a class to blur, by their track or as the detector called them in this frame."""
        names = detected.detections.class_names
        wanted = self._of_class(detected.detections.class_ids, names)
        if detected.seen_class_ids is not None:
            wanted |= self._of_class(detected.seen_class_ids, names)
        return wanted

    def _of_class(self, class_ids: Int64Array, names: Sequence[str]) -> BoolArray:
        blurred = [class_id for class_id, name in enumerate(names) if name in self.account.classes]
        return np.isin(class_ids, blurred)

    def _remember(self, boxes: Float32Array, time_s: float) -> Float32Array:
        """Take note of the objects there (N, 4); the boxes (M, 4) of those that were there shortly before."""
        age_s = np.maximum(0, time_s - self._seen_s)
        missing = (age_s <= _HOLD_S) & ~_covered(self._boxes, boxes)
        old, age_s = self._boxes[missing], age_s[missing]
        self._seen_s = np.concatenate((np.full(len(boxes), time_s), time_s - age_s))
        self._boxes = np.concatenate((boxes, old))
        reach = (_GROW_PER_S * age_s * (old[:, 2:] - old[:, :2]).max(1, initial=0))[:, None].astype(np.float32)
        return np.concatenate((old[:, :2] - reach, old[:, 2:] + reach), 1)


def _covered(boxes: Float32Array, by: Float32Array) -> BoolArray:
    """(N,) which of `boxes` (N, 4) are mostly covered by one of `by` (M, 4)."""
    if not len(boxes) or not len(by):
        return np.zeros(len(boxes), np.bool_)
    near, far = np.maximum(boxes[:, None, :2], by[None, :, :2]), np.minimum(boxes[:, None, 2:], by[None, :, 2:])
    shared = np.prod(np.maximum(far - near, 0), -1)
    covered: BoolArray = shared.max(1) >= _SAME * np.prod(boxes[:, 2:] - boxes[:, :2], 1)
    return covered


def _grown(boxes: Float32Array) -> Float32Array:
    sides = boxes[:, 2:] - boxes[:, :2]
    margin = _MARGIN * sides.mean(1, keepdims=True) + np.float32(_MARGIN_PX)
    return np.concatenate((boxes[:, :2] - margin, boxes[:, 2:] + margin), 1)


def _outermost(boxes: Float32Array) -> Float32Array:
    """Those boxes (N, 4) that don't lie within another one, whose cells are larger."""
    within = np.all(boxes[:, None, :2] >= boxes[None, :, :2], -1) & np.all(boxes[:, None, 2:] <= boxes[None, :, 2:], -1)
    within &= ~(within.T & np.tri(len(boxes), dtype=np.bool_).T)  # of two equal ones the first stays
    outermost: Float32Array = boxes[~within.any(1)]
    return outermost


def _pixelate(planes: Planes, box: Sequence[float], *, whole: bool = False) -> None:
    """Replace the pixels of a box by the means of few large cells, and what lies between their middles."""
    x0, y0, x1, y1 = box
    if not (x1 > 0 and y1 > 0 and x0 < planes.width and y0 < planes.height):  # true for NaN, too
        return
    # to whole chroma pixels, outwards
    left, top = (max(0, math.floor(edge / 2)) for edge in (x0, y0))
    right, bottom = math.ceil(min(x1, planes.width) / 2), math.ceil(min(y1, planes.height) / 2)
    width, height = 2 * (right - left), 2 * (bottom - top)
    if whole:
        cell = min(width, height) / _WHOLE_CELLS
    else:
        cell = max(min(width, height) / _CELLS, _LEAST_CELL * min(planes.width, planes.height), 4.0)
    cells = max(1, round(width / cell)), max(1, round(height / cell))
    for plane, array in enumerate(planes.arrays):
        step = 1 if plane else 2
        view = array[top * step : bottom * step, left * step : right * step]  # a picture of odd size ends earlier
        means = cv2.resize(view, cells, interpolation=cv2.INTER_AREA)
        view[...] = cv2.resize(means, view.shape[::-1], interpolation=cv2.INTER_LINEAR)
