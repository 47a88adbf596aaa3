"""A clean copy of a data set: without pictures that can't be read, copies, and boxes that can't be right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from streamdet.training.checking.duplicates import copies, fingerprints
from streamdet.training.checking.glances import Glance
from streamdet.training.checking.parts import Part, images_of
from streamdet.training.dataset import BoolArray, Dataset, LabelledImage
from streamdet.training.formats.boxes import SHORTEST_SIDE_PX
from streamdet.types import Float32Array


@dataclass(frozen=True)
class Repair:
    """What was changed."""

    parts: tuple[Part, ...]
    unreadable: tuple[LabelledImage, ...]
    """Pictures left out for a problem of their files."""
    copies: tuple[LabelledImage, ...]
    """Pictures left out because an equal file stays."""
    clipped: int
    """Boxes cut at the picture's edge."""


def repair(parts: Sequence[Part], glances: Sequence[Glance]) -> Repair:
    """The sets without faulty pictures and copies. What the label reader left out is missing already.

    Of equal files the first stays, or the first for validation if there is one: so the measure stays what it was.
    """
    images = images_of(parts)
    is_validation = np.array([part.role == "val" for part in parts for _ in part.dataset.images], np.bool_)
    unreadable = np.array([glance.problem is not None for glance in glances], np.bool_)
    surplus = np.zeros(len(images), np.bool_)
    for equal in copies(fingerprints(glances)):
        surplus[equal] = True
        surplus[equal[int(is_validation[equal].argmax())]] = False
    clean, clipped, place = [], 0, 0
    for part in parts:
        kept = []
        for image in part.dataset.images:
            if not (unreadable[place] or surplus[place]):
                inside, count = _clipped(image)
                kept.append(inside)
                clipped += count
            place += 1
        clean.append(Part(part.role, Dataset(part.dataset.name, part.dataset.class_names, tuple(kept))))
    return Repair(tuple(clean), _chosen(images, unreadable), _chosen(images, surplus), clipped)


def _chosen(images: Sequence[LabelledImage], mask: BoolArray) -> tuple[LabelledImage, ...]:
    return tuple(image for image, chosen in zip(images, mask, strict=True) if chosen)


def _clipped(image: LabelledImage) -> tuple[LabelledImage, int]:
    """The picture with its boxes cut at its edges, and how many that changed."""
    boxes, ignored = _cut(image.boxes_xyxy, image), _cut(image.ignored_xyxy, image)
    changed = int((boxes != image.boxes_xyxy).any(axis=1).sum() + (ignored != image.ignored_xyxy).any(axis=1).sum())
    kept, kept_ignored = _has_area(boxes), _has_area(ignored)
    return replace(
        image,
        boxes_xyxy=boxes[kept],
        class_ids=image.class_ids[kept],
        ignored_xyxy=ignored[kept_ignored],
        ignored_class_ids=image.ignored_class_ids[kept_ignored],
        areas=None if image.areas is None else image.areas[kept],
    ), changed


def _cut(boxes_xyxy: Float32Array, image: LabelledImage) -> Float32Array:
    edges = np.array([image.width, image.height] * 2, np.float32)
    cut: Float32Array = np.clip(boxes_xyxy, 0, edges)
    return cut


def _has_area(boxes_xyxy: Float32Array) -> BoolArray:
    shortest = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).min(axis=1, initial=np.inf)
    mask: BoolArray = shortest >= SHORTEST_SIDE_PX
    return mask
