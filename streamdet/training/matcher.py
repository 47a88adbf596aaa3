"""Which anchors answer for which objects (paper, section 4, "Anchors"), and which must say nothing.

Shape legend: A anchors of all levels, M objects, I ignored regions, R regions of a picture, K classes.
A batch of 16 pictures has half a million anchors: everything here works on whole columns of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from streamdet.detection.boxes import areas, intersections, iou

IGNORED_OVERLAP = 0.5
"""An anchor with at least this share of its area in an ignored region is no negative."""

BELOW, BETWEEN = -1, -2


@dataclass(frozen=True)
class MatchRule:
    """When an anchor is an object's."""

    positive_iou: float = 0.5
    """An anchor with at least this IoU with an object is positive."""
    negative_iou: float = 0.4
    """One with less than this IoU with every object is negative; those between are not counted."""
    rescue: bool = True
    """Each object's best anchors become positive whatever their IoU, for the object that they overlap most, as in
    torchvision and Detectron: objects smaller than the anchors would have none otherwise."""

    def __post_init__(self) -> None:
        if not 0 < self.negative_iou <= self.positive_iou <= 1:
            raise ValueError(
                f"negative_iou is {self.negative_iou} and positive_iou is {self.positive_iou}; "
                "give 0 < negative_iou <= positive_iou <= 1"
            )


@dataclass(frozen=True)
class Targets:
    """What the heads should have said for one image."""

    matches: Tensor
    """(A,) int64: index of the anchor's object, BELOW (negative) or BETWEEN (not counted)."""
    counted: Tensor
    """(A, K) bool: logits that enter the classification loss."""


def match(boxes: Tensor, anchors: Tensor, rule: MatchRule | None = None) -> Tensor:
    """(A,) int64: for each of `anchors` (A, 4) the index of its object in `boxes` (M, 4), BELOW or BETWEEN."""
    if len(boxes) == 0:
        return torch.full((len(anchors),), BELOW, dtype=torch.int64, device=anchors.device)
    return assign(iou(boxes, anchors), rule or MatchRule())


def assign(overlaps: Tensor, rule: MatchRule) -> Tensor:
    """(A,) int64: the object of each anchor, BELOW or BETWEEN, from their `overlaps` (M, A), M of 1 or more."""
    best_iou = overlaps.amax(dim=0)
    positive = best_iou >= rule.positive_iou
    if rule.rescue:
        best_of_object = overlaps.amax(dim=1, keepdim=True)
        best_of_object[best_of_object == 0] = 2  # an object far from all anchors has no best one
        positive |= (overlaps - best_of_object).amax(dim=0) == 0  # five times as fast as to compare, and any()
    matches = torch.where(best_iou < rule.negative_iou, BELOW, BETWEEN)
    rows = positive.nonzero().squeeze(1)
    matches[rows] = overlaps[:, rows].argmax(dim=0)
    return matches


def overlap_of_anchor(anchors: Tensor, regions: Tensor) -> Tensor:
    """(A,) largest share of each anchor's area (A, 4) that lies in one of the `regions` (I, 4), I of 1 or more."""
    return (intersections(regions, anchors) / areas(anchors)).amax(dim=0)


def make_targets(
    anchors: Tensor,
    boxes: Tensor,
    class_ids: Tensor,
    ignored: Tensor,
    regions: Tensor,
    region_labelled: Tensor,
    rule: MatchRule | None = None,
) -> Targets:
    """Targets of one image: `boxes` (M, 4) with `class_ids` (M,), `ignored` (I, 4).

    `regions` (R, 4) are the parts that the picture is made of (one, or a mosaic's four, none over another) and
    `region_labelled` (R, K) the classes labelled in each: an anchor's other classes are no negatives.
    """
    anchors = anchors.T.contiguous().T  # by column in memory, once: the functions below want it so
    matches = match(boxes, anchors, rule)
    silent = matches == BETWEEN
    if len(ignored):
        hidden = overlap_of_anchor(anchors, ignored) >= IGNORED_OVERLAP
        hidden |= match(ignored, anchors, rule) != BELOW  # small ones: those that would answer for it as an object
        silent |= hidden & (matches < 0)
    # Row 0 of `classes`: the padding, where surely nothing is; then the regions; then anchors that say nothing.
    count, K = region_labelled.shape
    classes = torch.cat((region_labelled.new_ones(1, K), region_labelled, region_labelled.new_zeros(1, K)))
    counted = classes.index_select(0, _region_of(anchors, regions).masked_fill_(silent, count + 1))
    rows = (matches >= 0).nonzero().squeeze(1)
    counted[rows, class_ids[matches[rows]]] = True
    return Targets(matches, counted)


def _region_of(anchors: Tensor, regions: Tensor) -> Tensor:
    """(A,) int64: 1 + index of the region that holds the anchor's centre, 0 where there is none."""
    x1, y1, x2, y2 = anchors.T.contiguous()
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    places = torch.zeros_like(x, dtype=torch.int64)
    for place, (left, top, right, bottom) in enumerate(regions, 1):
        places.masked_fill_((x >= left) & (x < right) & (y >= top) & (y < bottom), place)
    return places
