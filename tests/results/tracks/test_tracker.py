from __future__ import annotations

import numpy as np

from streamdet.results.tracks import Tracker, TrackRule
from streamdet.types import Detections

NAMES = ("person", "car", "truck")


def seen(*objects: tuple[float, float, float, str]) -> Detections:
    """(x, y, score, class) of boxes of 40 x 30 px, best first."""
    ordered = sorted(objects, key=lambda each: -each[2])
    boxes = np.array([(x, y, x + 40, y + 30) for x, y, _, _ in ordered], np.float32).reshape(-1, 4)
    scores = np.array([score for _, _, score, _ in ordered], np.float32)
    return Detections(boxes, scores, np.array([NAMES.index(name) for *_, name in ordered], np.int64), NAMES)


def test_an_object_gets_its_id_when_seen_twice_and_keeps_it() -> None:
    tracker = Tracker(TrackRule(), NAMES)
    ids = [tracker.update(seen((10 + 4 * i, 20, 0.8, "car")), i / 15).track_ids.tolist() for i in range(20)]
    assert ids == [[-1]] + [[1]] * 19


def test_weak_boxes_go_on_with_a_track_but_start_none() -> None:
    tracker = Tracker(TrackRule(start_score=0.4), NAMES)
    for i in range(20):
        score = 0.8 if i < 5 else 0.15
        told = tracker.update(seen((10, 20, score, "car"), (300, 20, 0.39, "car")), i / 15)
    by_place = dict(zip(told.boxes_xyxy[:, 0].tolist(), told.track_ids.tolist(), strict=True))
    assert by_place == {10: 1, 300: -1}
