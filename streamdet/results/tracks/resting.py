"""Which objects stand still, and where: what hides them for a while doesn't move them."""

from __future__ import annotations

import numpy as np

from streamdet.results.tracks.matching import Float64Array, areas, shared_areas
from streamdet.types import BoolArray, Int64Array

STANDS_AFTER_S = 2.0
"""An object that has been in one place for so long is standing."""
STANDS_WITHIN = 0.15
"""How far its centre may go from there, in sizes (mean of width and height): boxes tremble."""
STAYS_IOU, MOVES_IOU = 0.8, 0.5
"""Least overlap with its place of a weak box, and of a strong one, that may show a standing object."""
WITHIN, PART = 0.85, 0.4
"""What can be seen of a partly hidden object: so much of the box is in its place, and covers so much of that."""
LEARNS_OF = 50
"""The place is the mean of about so many sightings."""


class Resting:
    """The last place of T tracks."""

    def __init__(self) -> None:
        self.boxes_xyxy: Float64Array = np.zeros((0, 4))
        """(T, 4) the mean box since it has been there."""
        self._since_s: Float64Array = np.zeros(0)
        self._until_s: Float64Array = np.zeros(0)
        self._sightings: Int64Array = np.zeros(0, np.int64)

    @property
    def standing(self) -> BoolArray:
        """(T,) has been in its place for long enough."""
        return np.asarray(self._until_s - self._since_s >= STANDS_AFTER_S)

    def add(self, boxes_xyxy: Float64Array, now_s: float) -> None:
        """New tracks behind the others."""
        n = len(boxes_xyxy)
        self.boxes_xyxy = np.concatenate((self.boxes_xyxy, boxes_xyxy))
        self._since_s = np.concatenate((self._since_s, np.full(n, now_s)))
        self._until_s = np.concatenate((self._until_s, np.full(n, now_s)))
        self._sightings = np.concatenate((self._sightings, np.ones(n, np.int64)))

    def keep(self, mask: BoolArray) -> None:
        """Forget the other tracks."""
        self.boxes_xyxy, self._sightings = self.boxes_xyxy[mask], self._sightings[mask]
        self._since_s, self._until_s = self._since_s[mask], self._until_s[mask]

    def may_be(self, rows: Int64Array, boxes_xyxy: Float64Array, *, clearly: bool) -> BoolArray:
        """(R, N) which of the tracks `rows` each of N boxes may show; `clearly`: the boxes are strong.

        A standing object is in its place, or what can be seen of it is a part of that. Only a strong box can say that
        it begins to move. Others may be anywhere.
        """
        places = self.boxes_xyxy[rows]
        shared = shared_areas(places, boxes_xyxy)
        sizes, of_places = areas(boxes_xyxy)[None, :], areas(places)[:, None]
        in_place = shared >= (MOVES_IOU if clearly else STAYS_IOU) * (sizes + of_places - shared)
        part = (shared >= WITHIN * sizes) & (shared >= PART * of_places)
        return np.asarray(in_place | part | ~self.standing[rows][:, None])

    def note(self, rows: Int64Array, boxes_xyxy: Float64Array, now_s: float) -> None:
        """The tracks `rows` were clearly seen at `boxes_xyxy` (R, 4)."""
        places = self.boxes_xyxy[rows]
        shared = _shared(places, boxes_xyxy)
        hidden = self.standing[rows] & (shared >= WITHIN * areas(boxes_xyxy)) & (shared < STAYS_IOU * areas(places))
        rows, boxes_xyxy, places = rows[~hidden], boxes_xyxy[~hidden], places[~hidden]
        away = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:] - places[:, :2] - places[:, 2:]) / 2
        size = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).mean(axis=1)
        moved = np.hypot(away[:, 0], away[:, 1]) > STANDS_WITHIN * size
        self._sightings[rows] = np.where(moved, 1, np.minimum(self._sightings[rows] + 1, LEARNS_OF))
        self.boxes_xyxy[rows] += (boxes_xyxy - places) / self._sightings[rows][:, None]
        self._since_s[rows[moved]] = now_s
        self._until_s[rows] = now_s


def _shared(a_xyxy: Float64Array, b_xyxy: Float64Array) -> Float64Array:
    """(N,) area that the boxes of each pair share."""
    sides = np.minimum(a_xyxy[:, 2:], b_xyxy[:, 2:]) - np.maximum(a_xyxy[:, :2], b_xyxy[:, :2])
    return np.asarray(np.prod(np.maximum(sides, 0), axis=1))
