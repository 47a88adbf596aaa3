"""Anchor coverage: how well the anchors fit the true boxes at the size that the network sees.

An object counts in training as its best anchor fits it: IoU >= 0.5 is a positive, 0.4 to 0.5 counts for nothing, and
below 0.4 the object would be background, were it not for the one anchor that is kept for it (see `matcher.py`).

Shape legend: M true boxes, A anchors per cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
import torch

from streamdet.detection.anchors import LEVEL_STRIDES, AnchorRule, anchors_per_level, level_shapes
from streamdet.detection.resize import InputRule
from streamdet.training.dataset import BoolArray, LabelledImage
from streamdet.training.matcher import MatchRule
from streamdet.types import Float32Array, Int64Array

Float64Array = npt.NDArray[np.float64]

SIZE_NAMES = ("small", "medium", "large")
SMALL_SIDE, MEDIUM_SIDE = 32, 96
"""COCO's: small objects have an area below 32 x 32 pixels, large ones of 96 x 96 or more."""
MATCHING = MatchRule()


@dataclass(frozen=True)
class InputBoxes:
    """True boxes of many pictures in the pixels of the network's input."""

    boxes_xyxy: Float32Array
    """(M, 4)"""
    class_ids: Int64Array
    """(M,)"""
    shapes: tuple[tuple[int, int], ...]
    """Height and width of the padded inputs."""
    shape_ids: Int64Array
    """(M,) index into `shapes`: the input that each box lies in."""

    def __getitem__(self, chosen: Int64Array) -> InputBoxes:
        """The boxes at these places."""
        return InputBoxes(self.boxes_xyxy[chosen], self.class_ids[chosen], self.shapes, self.shape_ids[chosen])

    @property
    def sizes(self) -> Int64Array:
        """(M,) index into SIZE_NAMES, by the box's area."""
        areas = (self.boxes_xyxy[:, 2:] - self.boxes_xyxy[:, :2]).prod(axis=1)
        sizes: Int64Array = np.digitize(areas, (SMALL_SIDE**2, MEDIUM_SIDE**2)).astype(np.int64)
        return sizes


@dataclass(frozen=True)
class Row:
    """Coverage of some of the boxes."""

    name: str
    objects: int
    good: float
    """Share of boxes whose best IoU is 0.5 or more; nan without objects."""
    between: float
    """0.4 to 0.5"""
    poor: float
    """Below 0.4"""


@dataclass(frozen=True)
class Coverage:
    """How well the anchors of a rule fit the true boxes."""

    class_names: tuple[str, ...]
    anchor_rule: AnchorRule
    input_rule: InputRule
    best_iou: Float32Array
    """(M,) with any anchor"""
    class_ids: Int64Array
    """(M,)"""
    sizes: Int64Array
    """(M,) index into SIZE_NAMES, at the input's size."""

    @cached_property
    def total(self) -> Row:
        """Of all boxes."""
        return self._row("all", np.ones(len(self.best_iou), np.bool_))

    @property
    def by_size(self) -> tuple[Row, ...]:
        """Of small, medium and large boxes."""
        return tuple(self._row(name, self.sizes == place) for place, name in enumerate(SIZE_NAMES))

    @property
    def by_class(self) -> tuple[Row, ...]:
        """Of each class."""
        return tuple(self._row(name, self.class_ids == place) for place, name in enumerate(self.class_names))

    def _row(self, name: str, chosen: BoolArray) -> Row:
        iou = self.best_iou[chosen]
        if not len(iou):
            return Row(name, 0, float("nan"), float("nan"), float("nan"))
        good, poor = float((iou >= MATCHING.positive_iou).mean()), float((iou < MATCHING.negative_iou).mean())
        return Row(name, len(iou), good, max(0.0, 1 - good - poor), poor)


def anchor_coverage(
    images: Sequence[LabelledImage], class_names: Sequence[str], anchor_rule: AnchorRule, input_rule: InputRule
) -> Coverage:
    """The coverage of all objects of `images` (ignored regions left out) by the anchors at the input's size."""
    boxes = input_boxes(images, input_rule)
    return Coverage(
        tuple(class_names), anchor_rule, input_rule, best_ious(boxes, anchor_rule), boxes.class_ids, boxes.sizes
    )


def input_boxes(images: Sequence[LabelledImage], input_rule: InputRule) -> InputBoxes:
    """The objects of `images` as the network sees them."""
    fittings = [input_rule.fit(image.width, image.height) for image in images]
    boxes = [fitting.boxes_from_source(image.boxes_xyxy) for image, fitting in zip(images, fittings, strict=True)]
    places: dict[tuple[int, int], int] = {}
    ids = [places.setdefault((fitting.padded_height, fitting.padded_width), len(places)) for fitting in fittings]
    counts = np.array([len(image.boxes_xyxy) for image in images], np.int64)
    return InputBoxes(
        np.concatenate([np.zeros((0, 4), np.float32), *boxes]),
        np.concatenate([np.zeros(0, np.int64), *(image.class_ids for image in images)]),
        tuple(places),
        np.array(ids, np.int64).repeat(counts),
    )


def best_ious(boxes: InputBoxes, rule: AnchorRule) -> Float32Array:
    """(M,) IoU of each box with the anchor that fits it best.

    Overlap shrinks with the distance of the centres in x and in y, so of all anchors of one shape the best is the one
    whose centre is nearest: A anchors per level are compared with each box, not the hundred thousand of the grid.
    """
    grids = np.array([_grids(rule.torchvision, height, width) for height, width in boxes.shapes])
    boxes_xyxy = boxes.boxes_xyxy.astype(np.float64)
    centres = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2
    best = np.zeros(len(boxes_xyxy))
    for level in range(len(LEVEL_STRIDES) if len(best) else 0):
        first, step, last = (grids[boxes.shape_ids, level, :, part] for part in range(3))  # each (M, 2)
        nearest = first + step * np.clip(np.rint((centres - first) / step), 0, last)
        anchors = rule.cell_anchors(level).numpy().astype(np.float64)  # (A, 4)
        best = np.maximum(best, _iou(boxes_xyxy - np.tile(nearest, 2), anchors).max(axis=1))
    return best.astype(np.float32)


@lru_cache(maxsize=4096)
def _grids(torchvision: bool, height: int, width: int) -> Float64Array:
    """(levels, x and y, 3): first centre, distance of centres and last index, of the anchors of an input."""
    result = np.zeros((len(LEVEL_STRIDES), 2, 3))
    single = AnchorRule(scales=(1.0,), ratios=(1.0,), torchvision=torchvision)
    levels = anchors_per_level(single, height, width, torch.device("cpu"))
    for level, (rows, columns) in enumerate(level_shapes(height, width)):
        anchors = levels[level].numpy().astype(np.float64).reshape(rows, columns, 4)
        for axis, line in enumerate((anchors[0], anchors[:, 0])):
            centres = (line[:, axis] + line[:, axis + 2]) / 2
            step = centres[1] - centres[0] if len(centres) > 1 else 1.0
            result[level, axis] = centres[0], step, len(centres) - 1
    return result


def _iou(boxes_xyxy: Float64Array, anchors_xyxy: Float64Array) -> Float64Array:
    """IoU of each pair, (M, A)."""
    low = np.maximum(boxes_xyxy[:, None, :2], anchors_xyxy[None, :, :2])
    high = np.minimum(boxes_xyxy[:, None, 2:], anchors_xyxy[None, :, 2:])
    overlap = np.maximum(high - low, 0).prod(axis=2)
    areas = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).prod(axis=1)
    anchor_areas = (anchors_xyxy[:, 2:] - anchors_xyxy[:, :2]).prod(axis=1)
    iou: Float64Array = overlap / (areas[:, None] + anchor_areas[None] - overlap)
    return iou
