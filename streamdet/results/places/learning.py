"""Proposes parking bays from where vehicles stand still.

Shape legend: V vehicles in this frame, C spots that are followed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamdet.results.places.bays import VEHICLES, best_pairs, intersections
from streamdet.results.places.geometry import Floats
from streamdet.results.places.rules import BayRule
from streamdet.types import Detections

SAME_IOU = 0.6
"""A vehicle that overlaps a spot by so much stands there."""
ONE_BAY_IOU = 0.4
"""Two spots that overlap by so much are one bay, in which vehicles stood one after the other."""
MOST_PAUSE_S = 3.0
"""A vehicle that wasn't seen for longer than this has left."""
GROUND_SHARE = 0.6
"""Lower part of a parked car's box that its bay is drawn around: cars stand on the ground, and are half as high."""
ROW_SHARE = 0.4
"""Bays are in one row when their lower edges differ by less than this share of their height."""


@dataclass
class _Spot:
    """Where a vehicle stood."""

    box_xyxy: Floats
    sights: int
    """Frames in which it was seen."""
    stood_s: float
    seen_s: float


class BayLearner:
    """Watches vehicles, and tells where they stood."""

    def __init__(self, least_s: float = 10.0, least_score: float = 0.4) -> None:
        """`least_s`: seconds that a vehicle must stand; `least_score`: of detections that are looked at."""
        self.least_s = least_s
        self.least_score = least_score
        self._spots: list[_Spot] = []
        self._left: list[_Spot] = []

    def update(self, detections: Detections, time_s: float) -> None:
        """Take in the next frame."""
        names = detections.class_names
        usual = np.array([name in VEHICLES for name in names], np.bool_)
        usual = usual if usual.any() else np.ones(len(names), np.bool_)
        parks = usual[detections.class_ids] & (detections.scores >= self.least_score)
        boxes = detections.boxes_xyxy[parks].astype(np.float64)
        self._left += [spot for spot in self._spots if self._has_left(spot, time_s)]
        self._spots = [spot for spot in self._spots if not self._has_left(spot, time_s)]
        known = np.array([spot.box_xyxy for spot in self._spots]).reshape(-1, 4)
        partner = best_pairs(overlaps(known, boxes), SAME_IOU)
        for spot, place in zip(self._spots, partner.tolist(), strict=True):
            if place >= 0:
                spot.sights += 1
                spot.box_xyxy += (boxes[place] - spot.box_xyxy) / min(spot.sights, 50)
                spot.stood_s += time_s - spot.seen_s
                spot.seen_s = time_s
        new = set(range(len(boxes))) - set(partner.tolist())
        self._spots += [_Spot(boxes[place].copy(), 1, 0.0, time_s) for place in sorted(new)]

    def bays(self, size_wh: tuple[int, int]) -> list[BayRule]:
        """The bays, row by row from the nearest, each from left to right: A1, A2, ..., B1, ..."""
        spots = [spot for spot in (*self._left, *self._spots) if spot.stood_s >= self.least_s]
        spots.sort(key=lambda spot: -spot.stood_s)
        boxes: list[Floats] = []
        for spot in spots:
            if not boxes or overlaps(np.array(boxes), spot.box_xyxy[None]).max() < ONE_BAY_IOU:
                boxes.append(spot.box_xyxy)
        rules = []
        for row, members in enumerate(rows_of(boxes)):
            for number, box in enumerate(members, 1):
                x1, y1, x2, y2 = np.clip(box, 0, (*size_wh, *size_wh)).round(1).tolist()
                top = round(y2 - GROUND_SHARE * (y2 - y1), 1)
                corners = ((x1, y2), (x2, y2), (x2, top), (x1, top))
                rules.append(BayRule(f"{row_name(row)}{number}", corners, (x1, y1, x2, y2)))
        return rules

    def _has_left(self, spot: _Spot, time_s: float) -> bool:
        return time_s - spot.seen_s > MOST_PAUSE_S


def rows_of(boxes: Sequence[Floats]) -> list[list[Floats]]:
    """Boxes x1, y1, x2, y2 in rows, the nearest (lowest) first, each from left to right."""
    rows: list[list[Floats]] = []
    for box in sorted(boxes, key=lambda box: -float(box[3])):
        for row in rows:
            # the row may slant: its neighbour tells
            near = min(row, key=lambda other: abs(float(other[0] + other[2] - box[0] - box[2])))
            if abs(float(near[3] - box[3])) < ROW_SHARE * float(near[3] - near[1]):
                row.append(box)
                break
        else:
            rows.append([box])
    return [sorted(row, key=lambda box: float(box[0] + box[2])) for row in rows]


def row_name(row: int) -> str:
    """A, B, ..., Z, AA, AB, ..."""
    return ("" if row < 26 else row_name(row // 26 - 1)) + chr(ord("A") + row % 26)


def overlaps(one_xyxy: Floats, other_xyxy: Floats) -> Floats:
    """(C, V) intersection over union of boxes (C, 4) and (V, 4)."""
    shared = intersections(one_xyxy, other_xyxy)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (one_xyxy, other_xyxy)]
    ious: Floats = shared / np.maximum(areas[0][:, None] + areas[1] - shared, 1e-9)
    return ious
