"""Which anchors answer for which objects (paper, section 4, "Anchors"), and which must say nothing.

Shape legend: A anchors of all levels, M objects, I ignored regions, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou

POSITIVE_IOU = 0.5
NEGATIVE_IOU = 0.4
IGNORED_OVERLAP = 0.5
"""An anchor with at least this share of its area in an ignored region is no negative."""

BELOW, BETWEEN = -1, -2


@dataclass(frozen=True)
class Targets:
    """What the heads should have said for one image."""

    matches: Tensor
    """(A,) int64: index of the anchor's object, BELOW (negative) or BETWEEN (not counted)."""
    counted: Tensor
    """(A, K) bool: logits that enter the classification loss."""


def match(boxes: Tensor, anchors: Tensor) -> Tensor:
    """(A,) matches of `anchors` (A, 4) to `boxes` (M, 4): IoU >= 0.5 positive, < 0.4 negative, else not counted.

    Each object's best anchors become positive too, for the object that they overlap most, as in torchvision and
    Detectron: objects smaller than the anchors would have none otherwise.
    """
    if len(boxes) == 0:
        return torch.full((len(anchors),), BELOW, dtype=torch.int64, device=anchors.device)
    iou = box_iou(boxes, anchors)  # (M, A)
    best_iou, best_object = iou.max(dim=0)
    matches: Tensor = best_object.clone()
    matches[best_iou < POSITIVE_IOU] = BETWEEN
    matches[best_iou < NEGATIVE_IOU] = BELOW
    best_of_object = iou.max(dim=1, keepdim=True).values
    rescued = ((iou == best_of_object) & (best_of_object > 0)).any(dim=0)
    matches[rescued] = best_object[rescued]
    return matches


def overlap_of_anchor(anchors: Tensor, regions: Tensor) -> Tensor:
    """(A,) largest share of each anchor's area (A, 4) that lies in one of the `regions` (I, 4)."""
    top_left = torch.maximum(anchors[:, None, :2], regions[None, :, :2])
    bottom_right = torch.minimum(anchors[:, None, 2:], regions[None, :, 2:])
    intersections = (bottom_right - top_left).clamp(min=0).prod(dim=2)
    areas = (anchors[:, 2:] - anchors[:, :2]).prod(dim=1)
    return (intersections / areas[:, None]).amax(dim=1)


def make_targets(
    anchors: Tensor,
    boxes: Tensor,
    class_ids: Tensor,
    ignored: Tensor,
    regions: Tensor,
    region_labelled: Tensor,
) -> Targets:
    """Targets of one image.

    `regions` (R, 4) are the parts that the picture is made of (one, or a mosaic's four) and `region_labelled` (R, K)
    the classes labelled in each: an anchor's other classes are no negatives.
    """
    matches = match(boxes, anchors)
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    inside = ((centres[:, None] >= regions[None, :, :2]) & (centres[:, None] < regions[None, :, 2:])).all(dim=2)
    outside_all = ~inside.any(dim=1)  # padding: surely nothing there
    counted = (inside.float() @ region_labelled.float()).bool() | outside_all[:, None]
    if len(ignored):
        silent = (overlap_of_anchor(anchors, ignored) >= IGNORED_OVERLAP) & (matches < 0)
        counted[silent] = False
    counted[matches == BETWEEN] = False
    positive = matches >= 0
    counted[positive, class_ids[matches[positive]]] = True
    return Targets(matches, counted)
