"""Which tracked objects are about, and on which side of each border they stand for sure.

Shape legend: N objects in this frame, S rows (one per object that is remembered), P borders (lines or zones).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from streamdet.results.places.geometry import Floats

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Scalar = TypeVar("Scalar", bound=np.generic)

FORGET_S = 5.0
"""Seconds after which an object that isn't seen any more counts as gone."""
CLEAR_SHARE = 0.5
"""An object whose score is a smaller share of the best that it lately had is about to be lost, or lost already."""
BEST_S = 30.0
"""Time constant in which the best score is forgotten: light changes."""
BAND_SHARE = 0.1
"""How far an object must be beyond a border to be there for sure: this share of its box's shorter side."""
LEAST_BAND_PX = 1.0
MOVED_SHARE = 0.05
"""How far an edge of a box must have gone to count as moved, as a share of the box's side."""
HIDDEN_S = 1.0
"""How long an object that may be partly hidden must be beyond a border to be there for sure."""
_FIRST_ROWS = 64


@dataclass(frozen=True, slots=True)
class Seen:
    """The tracked objects of one frame."""

    rows: Ints
    """(N,) the row of each."""
    boxes_xyxy: Floats
    """(N, 4)."""
    anchors_xy: Floats
    """(N, 2) the point that stands for it."""
    class_ids: Ints
    """(N,)."""
    certain: Bools
    """(N,) False: put there by the tracker, or seen much less clearly than before: it stays where it was."""
    hidden: Bools
    """(N,) True: something may hide a part of it."""
    new: Bools
    """(N,) True: not known before."""
    time_s: float


class Roster:
    """Gives each track id a row in arrays that grow when needed.

    Attributes:
        ids, first_s, seen_s, class_ids, best_scores: (S,) of each row: track id (-1 = free row), when first and last
            seen, class when last seen, best score lately.
    """

    def __init__(self) -> None:
        self._rows: dict[int, int] = {}
        self.ids = np.full(_FIRST_ROWS, -1, np.int64)
        self.seen_s = np.zeros(_FIRST_ROWS)
        self.class_ids = np.zeros(_FIRST_ROWS, np.int64)
        self.best_scores = np.zeros(_FIRST_ROWS)
        self.first_s = np.zeros(_FIRST_ROWS)

    def gone(self, time_s: float) -> Ints:
        """Rows of those that have not been seen for so long that they are gone; to be told before `update`."""
        return np.flatnonzero((self.ids >= 0) & (self.seen_s < time_s - FORGET_S))

    def forget(self, rows: Ints) -> None:
        """Give their rows free."""
        for track_id in self.ids[rows].tolist():
            del self._rows[track_id]
        self.ids[rows] = -1

    def update(self, track_ids: Ints, class_ids: Ints, scores: Floats, time_s: float) -> tuple[Ints, Bools, Bools]:
        """Take in who is seen; (N,) the row of each, whether it is new, and whether it is seen as clearly as ever."""
        ids = track_ids.tolist()
        unknown = [track_id for track_id in ids if track_id not in self._rows]
        if unknown:
            free = np.flatnonzero(self.ids < 0).tolist()
            while len(free) < len(unknown):
                free += range(len(self.ids), 2 * len(self.ids))
                self._grow(2 * len(self.ids))
            self._rows.update(zip(unknown, free, strict=False))
        rows = np.array([self._rows[track_id] for track_id in ids], np.int64)
        new = self.ids[rows] != track_ids
        keep = np.exp((self.seen_s[rows] - time_s) / BEST_S)
        best = np.where(new, scores, np.maximum(scores, self.best_scores[rows] * keep))
        self.ids[rows], self.seen_s[rows], self.class_ids[rows] = track_ids, time_s, class_ids
        self.best_scores[rows], self.first_s[rows[new]] = best, time_s
        return rows, new, scores >= CLEAR_SHARE * best

    def _grow(self, size: int) -> None:
        self.ids = grown(self.ids, size, -1)
        self.seen_s, self.first_s = grown(self.seen_s, size), grown(self.first_s, size)
        self.class_ids, self.best_scores = grown(self.class_ids, size), grown(self.best_scores, size)


class Sides:
    """The sure side of each object at P borders, with hysteresis.

    A side changes when the object is beyond the border by a band, and has truly moved: where only one edge of its box
    has moved, something came before it or went away, and it stands where it stood. Where it may be partly hidden it
    must stay there for a while.

    Attributes:
        side: (P, S) int8: 1, -1, or 0 where it is not known yet.
        turn_s, turn_xy: (P, S), (P, S, 2) when and where the anchor passed the border itself the last time.
    """

    def __init__(self, borders: int, hold_s: float = 0.0) -> None:
        """`hold_s`: how long an object must be beyond a border to be there for sure."""
        self._hold_s = hold_s
        self.side = np.zeros((borders, _FIRST_ROWS), np.int8)
        self.turn_s = np.zeros((borders, _FIRST_ROWS))
        self.turn_xy = np.zeros((borders, _FIRST_ROWS, 2))
        self._sure_boxes = np.zeros((borders, _FIRST_ROWS, 4))
        self._changing_s = np.full((borders, _FIRST_ROWS), np.nan)
        self._distances = np.zeros((borders, _FIRST_ROWS))
        self._anchors = np.zeros((_FIRST_ROWS, 2))
        self._times = np.zeros(_FIRST_ROWS)

    def forget(self, rows: Ints) -> Bools:
        """These rows (R,) belong to nobody any more; (P, R) whose side had changed, but not for long enough."""
        changing: Bools = ~np.isnan(self._changing_s[:, rows])
        self.side[:, rows], self._changing_s[:, rows] = 0, np.nan
        return changing

    def update(self, seen: Seen, distances: Floats, size_wh: tuple[int, int]) -> tuple[Bools, Bools]:
        """Take in signed distances (P, N) to the borders; (P, N) whose side became known, and whose side changed."""
        if len(seen.rows) and (top := int(seen.rows.max())) >= self.side.shape[1]:
            self._grow(max(2 * self.side.shape[1], top + 1))
        self._note_turns(seen, distances)
        sides = np.minimum(*(seen.boxes_xyxy[:, 2:] - seen.boxes_xyxy[:, :2]).T)
        sure = (np.abs(distances) >= np.maximum(BAND_SHARE * sides, LEAST_BAND_PX)) & seen.certain
        now = np.where(distances > 0, 1, -1).astype(np.int8)
        before = self.side[:, seen.rows]
        known = sure & (before == 0)
        changed = sure & (before == -now)
        borders, places = np.nonzero(changed)
        if len(borders):
            rows = seen.rows[places]
            moved = has_moved(self._sure_boxes[borders, rows], seen.boxes_xyxy[places], size_wh)
            begins = moved & np.isnan(self._changing_s[borders, rows])
            self._changing_s[borders[begins], rows[begins]] = seen.time_s
            hold_s = np.where(seen.hidden[places], HIDDEN_S, self._hold_s)
            changed[borders, places] = moved & (seen.time_s - self._changing_s[borders, rows] >= hold_s)
        borders, places = np.nonzero(known | changed | (sure & (before == now)))
        rows = seen.rows[places]
        self.side[borders, rows] = now[borders, places]
        self._sure_boxes[borders, rows] = seen.boxes_xyxy[places]
        self._changing_s[borders, rows] = np.nan
        return known, changed

    def _note_turns(self, seen: Seen, distances: Floats) -> None:
        """Remember where anchors pass borders between two frames, on the straight way from one to the other."""
        before = self._distances[:, seen.rows]
        turned = ((before > 0) != (distances > 0)) & ~seen.new & seen.certain
        border, place = np.nonzero(turned)
        rows = seen.rows[place]
        share = before[border, place] / (before[border, place] - distances[border, place])
        start_s, start_xy = self._times[rows], self._anchors[rows]
        self.turn_s[border, rows] = start_s + share * (seen.time_s - start_s)
        self.turn_xy[border, rows] = start_xy + share[:, None] * (seen.anchors_xy[place] - start_xy)
        self.turn_s[:, seen.rows[seen.new]] = seen.time_s
        keep = seen.certain | seen.new
        rows = seen.rows[keep]
        self._distances[:, rows] = distances[:, keep]
        self._anchors[rows], self._times[rows] = seen.anchors_xy[keep], seen.time_s

    def _grow(self, size: int) -> None:
        self.side, self.turn_s = grown(self.side, size), grown(self.turn_s, size)
        self._changing_s = grown(self._changing_s, size, np.nan)
        self._distances, self._times = grown(self._distances, size), grown(self._times, size)
        self.turn_xy = np.moveaxis(grown(np.moveaxis(self.turn_xy, 2, 0), size), 0, 2)
        self._sure_boxes = np.moveaxis(grown(np.moveaxis(self._sure_boxes, 2, 0), size), 0, 2)
        self._anchors = grown(self._anchors.T, size).T


def has_moved(before_xyxy: Floats, now_xyxy: Floats, size_wh: tuple[int, int]) -> Bools:
    """(M,) whether the things in boxes (M, 4) have moved. Where one edge at most has, something came before it.

    An edge on the picture's border can't move, so it counts as moved.
    """
    sides = np.maximum(before_xyxy[:, 2:] - before_xyxy[:, :2], now_xyxy[:, 2:] - now_xyxy[:, :2])
    moved = np.abs(now_xyxy - before_xyxy) > MOVED_SHARE * np.tile(sides, (1, 2))
    edges = moved | at_border(before_xyxy, size_wh) | at_border(now_xyxy, size_wh)
    return np.asarray(edges.sum(axis=1) >= 2)


def at_border(boxes_xyxy: Floats, size_wh: tuple[int, int]) -> Bools:
    """(..., 4) which edges of boxes lie on the picture's border."""
    size = np.array(size_wh, np.float64)
    near = 0.005 * size
    touched: Bools = np.concatenate((boxes_xyxy[..., :2] <= near, boxes_xyxy[..., 2:] >= size - near), -1)
    return touched


def grown(array: npt.NDArray[Scalar], size: int, fill: Any = 0) -> npt.NDArray[Scalar]:
    """A copy that is `size` long in its last axis."""
    larger = np.full((*array.shape[:-1], size), fill, array.dtype)
    larger[..., : array.shape[-1]] = array
    return larger
