"""Gives detections the ids of the objects that they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from streamdet.results.tracks.matching import Float64Array, assign, covered, overlaps, people, repeats
from streamdet.results.tracks.motion import Motion
from streamdet.results.tracks.resting import Resting
from streamdet.results.tracks.rule import TrackRule
from streamdet.results.tracks.trails import Trails
from streamdet.types import BoolArray, Detections, Float32Array, Int64Array

COASTS_S = 1.0
"""An object out of sight is taken to move on for so long, and then to wait."""


class Tracker:
    """ByteTrack (https://arxiv.org/abs/2110.06864) in real time: strong boxes first, then weak ones for what is left.

    A detector that calls a van a car in one frame and a truck in the next sees one object: classes don't take part, but
    for people, who are never the bicycle that they ride. The class of a track is what most of its sightings said,
    weighted by their scores. The same detections at the same times give the same ids.
    """

    def __init__(self, rule: TrackRule, class_names: Sequence[str]) -> None:
        """`class_names`: those of the model; a tuple as `rule.start_score` must have one number for each.

        Raises:
            ValueError: it has not.
        """
        starts = rule.start_score if isinstance(rule.start_score, tuple) else (rule.start_score,) * len(class_names)
        if len(starts) != len(class_names):
            raise ValueError(f"start_score has {len(starts)} numbers, expected {len(class_names)}, one for each class")
        self.rule = rule
        self._start_scores = np.array(starts, np.float32)
        self._now_s = -np.inf
        self._next_id = 1
        self._motion, self._resting, self._trails = Motion(), Resting(), Trails()
        self._ids: Int64Array = np.zeros(0, np.int64)
        """(T,) -1: seen too few times to have an id. What follows has a row for each track, too."""
        self._sightings: Int64Array = np.zeros(0, np.int64)
        self._are_people: BoolArray = np.zeros(0, np.bool_)
        self._in_sight: BoolArray = np.zeros(0, np.bool_)
        """Seen in the newest frame."""
        self._seen_s: Float64Array = np.zeros(0)
        """Time of the last sight."""
        self._scores: Float32Array = np.zeros(0, np.float32)
        """Of the last sight."""
        self._votes: Float64Array = np.zeros((0, len(class_names)))
        """(T, K) sum of the scores of each class."""

    def update(self, detections: Detections, time_s: float, size_wh: tuple[int, int] | None = None) -> Detections:
        """The detections of the next frame with `track_ids`, and the classes of their tracks.

        Boxes of tracks that are out of sight for a short while are put in between, `bridged`, with the score of their
        last sight. Bridged boxes that come in are left out: what was tracked before can be tracked again. A detection
        that belongs to no track keeps its class, and -1.

        Args:
            detections: All that the detector kept, the weak ones too.
            time_s: The frame's clock; a frame that is not later than the one before counts as of the same moment.
            size_wh: Width and height of the picture in pixels: bridged boxes end where it does.
        """
        seen = detections[~detections.bridged] if detections.bridged.any() else detections
        boxes = seen.boxes_xyxy.astype(np.float64)
        are_people = people(seen.class_ids, seen.class_names)
        better = repeats(boxes, are_people, self.rule.repeat_iou)
        sure = self._strong(seen) & (covered(boxes, seen.class_ids) < self.rule.covered_share)
        self._pass_time(time_s)
        rows = self._match(boxes, seen, are_people, better == np.arange(len(seen)), sure)
        self._learn(rows, boxes, seen, are_people, size_wh)
        self._vote(rows[better], seen)
        self._trails.note(self._motion.boxes_xyxy, self._now_s)
        return self._told(rows, seen, size_wh)

    @property
    def trails(self) -> dict[int, Float32Array]:
        """By id, of all tracks in sight or bridged: (M, 2) px where they stood in the last seconds, oldest first."""
        rows = np.flatnonzero((self._ids >= 0) & (self._seen_s >= self._now_s - self.rule.bridge_s))
        return dict(zip(self._ids[rows].tolist(), self._trails.of(rows), strict=True))

    def _pass_time(self, time_s: float) -> None:
        """Move all tracks to now, without those that have ended."""
        now_s = max(time_s, self._now_s)
        longest = np.where(self._resting.standing, self.rule.standing_lost_s, self.rule.lost_s)
        self._keep(np.where(self._ids >= 0, now_s - self._seen_s <= longest, self._in_sight))
        hidden = ~self._in_sight
        self._motion.stop(hidden & (now_s - self._seen_s > COASTS_S))
        self._motion.predict(now_s - self._now_s if np.isfinite(self._now_s) else 0.0)
        self._now_s = now_s

    def _match(
        self, boxes: Float64Array, seen: Detections, are_people: BoolArray, once: BoolArray, sure: BoolArray
    ) -> Int64Array:
        """(N,) the row of each detection's track; -1: none. Rows behind the last one are of new tracks.

        `once`: no second box of one object; `sure`: may start a track.
        """
        rule = self.rule
        strong = self._strong(seen)
        weak = seen.scores >= rule.low_score
        known = self._ids >= 0
        rows, free = np.full(len(boxes), -1, np.int64), np.ones(len(known), bool)
        expected = self._motion.boxes_xyxy
        for which, tracks, least in (
            (strong, known, rule.strong_iou),
            (weak, known, rule.weak_iou),
            (sure, ~known, rule.fresh_iou),
        ):
            left, waiting = np.flatnonzero(once & which & (rows < 0)), np.flatnonzero(tracks & free)
            if not len(left) or not len(waiting):
                continue
            similar = overlaps(expected[waiting], boxes[left])
            similar[~self._resting.may_be(waiting, boxes[left], clearly=which is strong)] = 0
            similar[self._are_people[waiting, None] != are_people[left]] = 0
            a, b = assign(similar, least)
            rows[left[b]] = waiting[a]
            free[waiting[a]] = False
        new = np.flatnonzero(once & sure & (rows < 0))
        rows[new] = len(known) + np.arange(len(new))
        return rows

    def _learn(
        self,
        rows: Int64Array,
        boxes: Float64Array,
        seen: Detections,
        are_people: BoolArray,
        size_wh: tuple[int, int] | None,
    ) -> None:
        """Take over what was seen, and give ids to tracks that have been seen often enough, best score first."""
        before = len(self._ids)
        old, new = np.flatnonzero((rows >= 0) & (rows < before)), np.flatnonzero(rows >= before)
        self._motion.correct(rows[old], boxes[old])
        self._add(boxes[new], are_people[new])
        tracked = np.concatenate((old, new))
        at = rows[tracked]
        lost = self._in_sight.copy()
        lost[at] = False
        self._motion.glide(np.flatnonzero(lost), size_wh)
        back = np.flatnonzero(lost & self._resting.standing)
        self._motion.place(back, self._resting.boxes_xyxy[back])
        self._in_sight[:] = False
        self._in_sight[at] = True
        self._seen_s[at] = self._now_s
        self._scores[at] = seen.scores[tracked]
        self._sightings[at] += 1
        strong = tracked[self._strong(seen)[tracked]]
        self._resting.note(rows[strong], boxes[strong], self._now_s)
        named = rows[np.flatnonzero(rows >= 0)]
        named = named[(self._ids[named] < 0) & (self._sightings[named] >= self.rule.sightings)]
        self._ids[named] = np.arange(self._next_id, self._next_id + len(named))
        self._next_id += len(named)

    def _strong(self, seen: Detections) -> BoolArray:
        return np.asarray(seen.scores >= self._start_scores[seen.class_ids])

    def _vote(self, rows: Int64Array, seen: Detections) -> None:
        """Count what each detection says about the class of its track; what is kept for later only has no vote."""
        voters = np.flatnonzero((rows >= 0) & (seen.scores >= self.rule.low_score))
        np.add.at(self._votes, (rows[voters], seen.class_ids[voters]), seen.scores[voters])

    def _told(self, rows: Int64Array, seen: Detections, size_wh: tuple[int, int] | None) -> Detections:
        """The detections with what the tracks know, and boxes for those that can't be seen for a moment."""
        tracked = np.flatnonzero(rows >= 0)
        ids, classes = np.full(len(seen), -1, np.int64), seen.class_ids.copy()
        ids[tracked] = self._ids[rows[tracked]]
        voted = self._votes.argmax(axis=1) if len(self._votes) else self._ids
        named = ids >= 0
        classes[named] = voted[rows[named]]
        hidden = np.flatnonzero((self._ids >= 0) & ~self._in_sight & (self._now_s - self._seen_s <= self.rule.bridge_s))
        bridged = self._motion.boxes_xyxy[hidden].astype(np.float32)
        if size_wh is not None:
            bridged = np.clip(bridged, 0, np.array((*size_wh, *size_wh), np.float32))
            inside = (bridged[:, 2:] - bridged[:, :2]).min(axis=1, initial=np.inf) >= 1
            hidden, bridged = hidden[inside], bridged[inside]
        if not len(hidden):
            return replace(seen, track_ids=ids, class_ids=classes)
        scores = np.concatenate((seen.scores, self._scores[hidden]))
        order = np.argsort(-scores, kind="stable")
        return replace(
            seen,
            boxes_xyxy=np.concatenate((seen.boxes_xyxy, bridged))[order],
            scores=scores[order],
            class_ids=np.concatenate((classes, voted[hidden]))[order],
            track_ids=np.concatenate((ids, self._ids[hidden]))[order],
            bridged=(np.arange(len(scores)) >= len(seen))[order],
        )

    def _add(self, boxes: Float64Array, are_people: BoolArray) -> None:
        """Rows for new tracks."""
        n = len(boxes)
        if not n:
            return
        self._motion.add(boxes)
        self._resting.add(boxes, self._now_s)
        self._trails.add(n)
        self._ids = np.concatenate((self._ids, np.full(n, -1, np.int64)))
        self._are_people = np.concatenate((self._are_people, are_people))
        self._sightings = np.concatenate((self._sightings, np.zeros(n, np.int64)))
        self._in_sight = np.concatenate((self._in_sight, np.ones(n, bool)))
        self._seen_s = np.concatenate((self._seen_s, np.full(n, self._now_s)))
        self._scores = np.concatenate((self._scores, np.zeros(n, np.float32)))
        self._votes = np.concatenate((self._votes, np.zeros((n, self._votes.shape[1]))))

    def _keep(self, mask: BoolArray) -> None:
        """Forget the other tracks."""
        if mask.all():
            return
        self._motion.keep(mask)
        self._resting.keep(mask)
        self._trails.keep(mask)
        self._ids, self._sightings, self._in_sight = self._ids[mask], self._sightings[mask], self._in_sight[mask]
        self._are_people = self._are_people[mask]
        self._seen_s, self._scores, self._votes = self._seen_s[mask], self._scores[mask], self._votes[mask]
