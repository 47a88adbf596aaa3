"""Whether parking bays are occupied.

Shape legend: B bays, V vehicles in this frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streamdet.results.places.geometry import Floats, area_of
from streamdet.results.places.rules import BayRule, in_pixels, is_fraction
from streamdet.scene import BayState, Happening
from streamdet.types import Detections

VEHICLES = ("car", "truck", "bus", "van")
"""What parks in a bay, where its rule names nothing else."""
SETTLE_S = 1.0
"""Time constant of what is believed: a bay that becomes free or occupied is told so after as many seconds."""
CHANGE_AT = 0.63
"""How sure of a change one must be, 0..1; reached after one time constant of seeing nothing else."""
LEAST_OVERLAP = 0.37
"""Intersection over union of a vehicle with the box that a parked car has there, to count as parked there."""
MOST_BESIDE = 0.35
"""How far beside the middle of that box the middle of a vehicle may be, in widths of the box: else it's a neighbour."""
HIDDEN_SHARE = 0.5
"""Share of that box covered by vehicles nearer to the camera, from which on nobody can say what is behind them."""
CAR_SHARE, HEIGHT_SHARE = 0.75, 0.7
"""How long and wide a car is in lengths and widths of its bay, and how high in its own widths."""
SURE, UNSURE, DOUBTFUL = 0.6, 0.5, 0.3
"""A vehicle's score as a share of the usual one in these bays. From SURE on it proves that the bay is occupied; below
DOUBTFUL it is a shadow or a stain. In between it proves nothing, but for a bay that nothing is known of: UNSURE halves
it. No score is asked for as such, as models differ in how high theirs are."""
USUAL_S = 60.0
"""Time constant in which the usual score is learned anew: light changes."""


class Bays:
    """The bays of a view. Each vehicle is in one bay at most, where it fits best; a hidden bay stays as it was."""

    def __init__(self, rules: Sequence[BayRule], size_wh: tuple[int, int]) -> None:
        self._rules = rules
        self._corners = [in_pixels(rule.polygon_xy, size_wh).astype(np.float32) for rule in rules]
        boxes = [_box_of(rule, corners, size_wh) for rule, corners in zip(rules, self._corners, strict=True)]
        size = np.array(size_wh * 2, np.float64)
        self._boxes = np.clip(np.array(boxes).reshape(-1, 4), 0, size)  # (B, 4)
        self._level = np.full(len(rules), np.nan)  # 0 free .. 1 occupied
        self._occupied = np.zeros(len(rules), np.bool_)
        self._since_s = np.zeros(len(rules))
        self._doubted_s = np.full(len(rules), np.nan)  # since when something speaks against the state
        self._usual_score: float | None = None
        self._started_s: float | None = None
        self._time_s = 0.0
        self._states = [BayState(rule.name, corners) for rule, corners in zip(rules, self._corners, strict=True)]

    @property
    def states(self) -> tuple[BayState, ...]:
        """How the bays stand."""
        return tuple(self._states)

    def update(self, shown: Detections, time_s: float) -> list[Happening]:
        """Take in the objects of a frame; the bays whose state changed with it."""
        if self._started_s is None:
            self._started_s = self._time_s = time_s
        passed_s, self._time_s = max(0.0, time_s - self._time_s), time_s
        holder, hidden = self._park(shown)
        seen = self._judge(shown, holder, hidden, passed_s)
        weight = 1 - np.exp(-min(passed_s, SETTLE_S) / SETTLE_S)
        told = ~np.isnan(seen)
        # A tracker may need two frames to be sure of an object: the very first one doesn't prove that a bay is free.
        first = told & np.isnan(self._level) & ((seen > 0.5) | (self._started_s != time_s))
        told &= first | ~np.isnan(self._level)
        self._level[first] = seen[first]
        self._level[told] += weight * (seen[told] - self._level[told])
        for bay in np.flatnonzero(first).tolist():
            self._set(bay, bool(seen[bay] > 0.5), time_s)
        against = told & ~first & ((seen > 0.5) != self._occupied)
        rest = np.abs(self._level - self._occupied) < 0.05
        self._doubted_s[rest & ~against] = np.nan
        begins = against & np.isnan(self._doubted_s)
        self._doubted_s[begins] = time_s
        change = against & (np.abs(self._level - self._occupied) >= CHANGE_AT)
        return [
            happening
            for bay in np.flatnonzero(change).tolist()
            if (happening := self._change(bay, shown, int(holder[bay])))
        ]

    def _change(self, bay: int, shown: Detections, place: int) -> Happening | None:
        """Change the state; None where that only corrects what was believed at the start."""
        began_s, was_since_s = float(self._doubted_s[bay]), float(self._since_s[bay])
        occupied = not self._occupied[bay]
        self._set(bay, occupied, began_s)
        self._doubted_s[bay] = np.nan
        assert self._started_s is not None
        if began_s <= self._started_s + SETTLE_S:
            return None
        return Happening(
            "occupied" if occupied else "freed",
            self._rules[bay].name,
            shown.class_names[int(shown.class_ids[place])] if occupied else None,
            int(shown.track_ids[place]) if occupied else -1,
            began_s=began_s,
            lasted_s=began_s - was_since_s,
        )

    def _set(self, bay: int, occupied: bool, since_s: float) -> None:
        self._occupied[bay], self._since_s[bay] = occupied, since_s
        self._states[bay] = BayState(self._rules[bay].name, self._corners[bay], occupied, since_s)

    def _park(self, shown: Detections) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """(B,) the place in `shown` of the vehicle in each bay, -1 for none, and (B,) whether nobody can see that."""
        boxes = shown.boxes_xyxy.astype(np.float64)
        shared = intersections(self._boxes, boxes)
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        own = (self._boxes[:, 2] - self._boxes[:, 0]) * (self._boxes[:, 3] - self._boxes[:, 1])
        overlaps = shared / np.maximum(own[:, None] + areas - shared, 1e-9)
        off = np.abs(self._boxes[:, None, 0] + self._boxes[:, None, 2] - boxes[:, 0] - boxes[:, 2]) / 2
        beside = off > MOST_BESIDE * (self._boxes[:, 2] - self._boxes[:, 0])[:, None]
        overlaps[~self._may_park(shown) | beside] = 0
        holder = best_pairs(overlaps, LEAST_OVERLAP)
        covered = np.where(boxes[:, 3] > self._boxes[:, 3, None], shared, 0).max(axis=1, initial=0)
        return holder, (holder < 0) & (covered > HIDDEN_SHARE * own)

    def _judge(
        self, shown: Detections, holder: npt.NDArray[np.int64], hidden: npt.NDArray[np.bool_], passed_s: float
    ) -> Floats:
        """(B,) what the vehicles found in the bays prove: 1 occupied, 0 free, NaN nothing."""
        scores = np.where(holder >= 0, np.append(shown.scores, np.float32(0))[holder], 0).astype(np.float64)
        if (holder >= 0).any():
            score = float(np.median(scores[holder >= 0]))
            usual = score if self._usual_score is None else self._usual_score
            self._usual_score = usual + (score - usual) * (1 - math.exp(-passed_s / USUAL_S))
        shares = scores / (self._usual_score or 1)
        seen = np.where(shares >= SURE, 1.0, np.where(shares < DOUBTFUL, 0.0, np.nan))
        unknown = np.isnan(seen) & np.isnan(self._level)
        seen[unknown] = shares[unknown] >= UNSURE
        seen[hidden] = np.nan
        return seen

    def _may_park(self, shown: Detections) -> npt.NDArray[np.bool_]:
        """(B, V) whether a vehicle's class is one that the bay is for."""
        names = shown.class_names
        usual = [name in VEHICLES for name in names]
        usual = usual if any(usual) else [True] * len(names)
        allowed = np.array(
            [usual if rule.classes is None else [name in rule.classes for name in names] for rule in self._rules],
            np.bool_,
        )
        return allowed.reshape(len(self._rules), len(names))[:, shown.class_ids]


def best_pairs(overlaps: Floats, least: float) -> npt.NDArray[np.int64]:
    """(B,) which of V each of B gets, -1 for none: the best pair first, each of them once."""
    partner = np.full(len(overlaps), -1, np.int64)
    bays, places = np.nonzero(overlaps >= least)
    free = set(places.tolist())
    for pair in np.argsort(-overlaps[bays, places], kind="stable").tolist():
        bay, place = int(bays[pair]), int(places[pair])
        if partner[bay] < 0 and place in free:
            partner[bay] = place
            free.discard(place)
    return partner


def expected_box(corners: npt.NDArray[np.float32]) -> Floats:
    """The box x1, y1, x2, y2 of a car in a bay with these corners (M, 2), by what bays and cars are like."""
    middle = corners.mean(0).astype(np.float64)
    car = middle + (corners - middle) * CAR_SHARE
    low, high = car.min(0), car.max(0)
    width = area_of(car) / max(float(high[1] - low[1]), 1e-9)  # mean of its level slices
    return np.array((low[0], low[1] - HEIGHT_SHARE * width, high[0], high[1]))


def _box_of(rule: BayRule, corners: npt.NDArray[np.float32], size_wh: tuple[int, int]) -> Floats:
    if rule.box_xyxy is None:
        return expected_box(corners)
    return np.array(rule.box_xyxy) * (np.array(size_wh * 2) if is_fraction(rule.polygon_xy) else 1)


def intersections(one_xyxy: Floats, other_xyxy: Floats) -> Floats:
    """(B, V) square pixels that boxes share."""
    width, height = (
        np.minimum(one_xyxy[:, None, side + 2], other_xyxy[:, side + 2])
        - np.maximum(one_xyxy[:, None, side], other_xyxy[:, side])
        for side in (0, 1)
    )
    shared: Floats = np.maximum(width, 0) * np.maximum(height, 0)
    return shared
