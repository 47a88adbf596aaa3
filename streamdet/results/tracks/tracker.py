"""Gives detections the ids of the objects that they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from streamdet.results.tracks.matching import Float64Array, assign, overlaps, repeats
from streamdet.results.tracks.motion import Motion
from streamdet.results.tracks.rule import TrackRule
from streamdet.results.tracks.trails import Trails
from streamdet.types import BoolArray, Detections, Float32Array, Int64Array

STANDS_AFTER_S = 2.0
"""An object that has been in one place for so long is standing."""
STANDS_WITHIN = 0.25
"""How far its centre may go from there, in sizes (mean of width and height): boxes tremble."""


class Tracker:
    """ByteTrack (https://arxiv.org/abs/2110.06864) in real time: strong boxes first, then weak ones for what is left.

    Classes don't take part: a detector that calls a van a car in one frame and a truck in the next sees one object. The
    class of a track is what most of its sightings said, weighted by their scores. The same detections at the same times
    give the same ids.
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
        self._motion, self._trails = Motion(), Trails()
        self._ids: Int64Array = np.zeros(0, np.int64)
        """(T,) -1: seen too few times to have an id. What follows has a row for each track, too."""
        self._sightings: Int64Array = np.zeros(0, np.int64)
        self._in_sight: BoolArray = np.zeros(0, np.bool_)
        """Seen in the newest frame."""
        self._seen_s: Float64Array = np.zeros(0)
        """Time of the last sight."""
        self._scores: Float32Array = np.zeros(0, np.float32)
        """Of the last sight."""
        self._votes: Float64Array = np.zeros((0, len(class_names)))
        """(T, K) sum of the scores of each class."""
        self._rest_xy: Float64Array = np.zeros((0, 2))
        """Centre of the place where it has been staying ..."""
        self._rest_s: Float64Array = np.zeros(0)
        """... since then."""

    def update(self, detections: Detections, time_s: float) -> Detections:
        """The detections of the next frame with `track_ids`, and the classes of their tracks.

        Boxes of tracks that are out of sight for a short while are put in between, `bridged`, with the score of their
        last sight. Bridged boxes that come in are left out: what was tracked before can be tracked again. A detection
        that belongs to no track keeps its class, and -1.

        Args:
            detections: All that the detector kept, the weak ones too.
            time_s: The frame's clock; a frame that is not later than the one before counts as of the same moment.
        """
        seen = detections[~detections.bridged] if detections.bridged.any() else detections
        boxes = seen.boxes_xyxy.astype(np.float64)
        better = repeats(boxes, self.rule.repeat_iou)
        self._pass_time(time_s)
        rows = self._match(boxes, seen, better == np.arange(len(seen)))
        self._learn(rows, boxes, seen)
        self._vote(rows[better], seen)
        self._trails.note(self._motion.boxes_xyxy, self._now_s)
        return self._told(rows, seen)

    @property
    def trails(self) -> dict[int, Float32Array]:
        """By id, of all tracks in sight or bridged: (M, 2) px where they stood in the last seconds, oldest first."""
        rows = np.flatnonzero((self._ids >= 0) & (self._seen_s >= self._now_s - self.rule.bridge_s))
        return dict(zip(self._ids[rows].tolist(), self._trails.of(rows), strict=True))

    def _pass_time(self, time_s: float) -> None:
        """Move all tracks to now, without those that have ended."""
        now_s = max(time_s, self._now_s)
        standing = self._seen_s - self._rest_s >= STANDS_AFTER_S
        longest = np.where(standing, self.rule.standing_lost_s, self.rule.lost_s)
        self._keep(np.where(self._ids >= 0, now_s - self._seen_s <= longest, self._in_sight))
        hidden = ~self._in_sight
        self._motion.stop(hidden & (now_s - self._seen_s > self.rule.bridge_s))
        self._motion.predict(now_s - self._now_s if np.isfinite(self._now_s) else 0.0)
        self._now_s = now_s

    def _match(self, boxes: Float64Array, seen: Detections, once: BoolArray) -> Int64Array:
        """(N,) the row of each detection's track; -1: none. Rows behind the last one are of new tracks."""
        rule = self.rule
        strong = seen.scores >= self._start_scores[seen.class_ids]
        weak = seen.scores >= rule.low_score
        known = self._ids >= 0
        rows, free = np.full(len(boxes), -1, np.int64), np.ones(len(known), bool)
        for which, tracks, least in (
            (strong, known, rule.strong_iou),
            (weak, known, rule.weak_iou),
            (strong, ~known, rule.fresh_iou),
        ):
            left, waiting = np.flatnonzero(once & which & (rows < 0)), np.flatnonzero(tracks & free)
            a, b = assign(overlaps(self._motion.boxes_xyxy[waiting], boxes[left]), least)
            rows[left[b]] = waiting[a]
            free[waiting[a]] = False
        new = np.flatnonzero(once & strong & (rows < 0))
        rows[new] = len(known) + np.arange(len(new))
        return rows

    def _learn(self, rows: Int64Array, boxes: Float64Array, seen: Detections) -> None:
        """Take over what was seen, and give ids to tracks that have been seen often enough, best score first."""
        before = len(self._ids)
        old, new = np.flatnonzero((rows >= 0) & (rows < before)), np.flatnonzero(rows >= before)
        self._motion.correct(rows[old], boxes[old])
        self._add(boxes[new])
        tracked = np.concatenate((old, new))
        at = rows[tracked]
        lost = self._in_sight.copy()
        lost[at] = False
        self._motion.glide(np.flatnonzero(lost))
        self._in_sight[:] = False
        self._in_sight[at] = True
        self._seen_s[at] = self._now_s
        self._scores[at] = seen.scores[tracked]
        self._sightings[at] += 1
        self._rest(at, boxes[tracked])
        named = rows[np.flatnonzero(rows >= 0)]
        named = named[(self._ids[named] < 0) & (self._sightings[named] >= self.rule.sightings)]
        self._ids[named] = np.arange(self._next_id, self._next_id + len(named))
        self._next_id += len(named)

    def _rest(self, at: Int64Array, boxes: Float64Array) -> None:
        """Note where objects have been staying, and since when."""
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        sizes = (boxes[:, 2:] - boxes[:, :2]).mean(axis=1)
        moved = np.linalg.norm(centres - self._rest_xy[at], axis=1) > STANDS_WITHIN * sizes
        self._rest_xy[at[moved]], self._rest_s[at[moved]] = centres[moved], self._now_s

    def _vote(self, rows: Int64Array, seen: Detections) -> None:
        """Count what each detection says about the class of its track."""
        voters = np.flatnonzero(rows >= 0)
        np.add.at(self._votes, (rows[voters], seen.class_ids[voters]), seen.scores[voters])

    def _told(self, rows: Int64Array, seen: Detections) -> Detections:
        """The detections with what the tracks know, and boxes for those that can't be seen for a moment."""
        tracked = np.flatnonzero(rows >= 0)
        ids, classes = np.full(len(seen), -1, np.int64), seen.class_ids.copy()
        ids[tracked] = self._ids[rows[tracked]]
        voted = self._votes.argmax(axis=1) if len(self._votes) else self._ids
        named = ids >= 0
        classes[named] = voted[rows[named]]
        hidden = np.flatnonzero((self._ids >= 0) & ~self._in_sight & (self._now_s - self._seen_s <= self.rule.bridge_s))
        if not len(hidden):
            return replace(seen, track_ids=ids, class_ids=classes)
        scores = np.concatenate((seen.scores, self._scores[hidden]))
        order = np.argsort(-scores, kind="stable")
        bridged = self._motion.boxes_xyxy[hidden].astype(np.float32)
        return replace(
            seen,
            boxes_xyxy=np.concatenate((seen.boxes_xyxy, bridged))[order],
            scores=scores[order],
            class_ids=np.concatenate((classes, voted[hidden]))[order],
            track_ids=np.concatenate((ids, self._ids[hidden]))[order],
            bridged=(np.arange(len(scores)) >= len(seen))[order],
        )

    def _add(self, boxes: Float64Array) -> None:
        """Rows for new tracks."""
        n = len(boxes)
        self._motion.add(boxes)
        self._trails.add(n)
        self._ids = np.concatenate((self._ids, np.full(n, -1, np.int64)))
        self._sightings = np.concatenate((self._sightings, np.zeros(n, np.int64)))
        self._in_sight = np.concatenate((self._in_sight, np.ones(n, bool)))
        self._seen_s = np.concatenate((self._seen_s, np.full(n, self._now_s)))
        self._scores = np.concatenate((self._scores, np.zeros(n, np.float32)))
        self._votes = np.concatenate((self._votes, np.zeros((n, self._votes.shape[1]))))
        self._rest_xy = np.concatenate((self._rest_xy, np.full((n, 2), np.inf)))
        self._rest_s = np.concatenate((self._rest_s, np.full(n, self._now_s)))

    def _keep(self, mask: BoolArray) -> None:
        """Forget the other tracks."""
        if mask.all():
            return
        self._motion.keep(mask)
        self._trails.keep(mask)
        self._ids, self._sightings, self._in_sight = self._ids[mask], self._sightings[mask], self._in_sight[mask]
        self._seen_s, self._scores, self._votes = self._seen_s[mask], self._scores[mask], self._votes[mask]
        self._rest_xy, self._rest_s = self._rest_xy[mask], self._rest_s[mask]
