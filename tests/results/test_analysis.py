from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np

from streamdet.results.analysis import Analysis, as_written, clock_s, in_order
from streamdet.scene import Scene, ZoneState
from streamdet.types import DetectedFrame, Detections, Float32Array, Frame

CLASSES = ("person", "car")
SHOWN_FROM = np.array([0.6, 0.4], np.float32)


def found(*objects: tuple[float, int]) -> Detections:
    scores = np.array([score for score, _ in objects], np.float32)
    boxes = np.array([[index * 10 + 1 / 3, 0, index * 10 + 5, 9] for index in range(len(objects))], np.float32)
    class_ids = np.array([class_id for _, class_id in objects], np.int64)
    return Detections(boxes.reshape(-1, 4), scores, class_ids, CLASSES)


def framed(detections: Detections, **of_frame: object) -> DetectedFrame:
    frame = Frame(av.VideoFrame(64, 32, "yuv420p"), "clip.mp4", 0, 25, Fraction(1, 100), arrival_s=7.0)
    return DetectedFrame(replace(frame, **of_frame), detections)  # type: ignore[arg-type]


class NumberingTracker:
    """Follows what scores above 0.5, and bridges one object that is never seen."""

    def __init__(self) -> None:
        self.times_s: list[float] = []

    def update(self, detections: Detections, time_s: float, size_wh: tuple[int, int] | None = None) -> Detections:
        self.times_s.append(time_s)
        n = len(detections) + 1
        ids = [index if score > 0.5 else -1 for index, score in enumerate(detections.scores)]
        return Detections(
            np.concatenate([detections.boxes_xyxy, np.array([[1 / 3, 2 / 3, 9, 9]], np.float32)]),
            np.concatenate([detections.scores, np.array([0.1], np.float32)]),
            np.concatenate([detections.class_ids, np.array([1])]),
            CLASSES,
            np.array([*ids, 99], np.int64),
            np.arange(n) == n - 1,
        )

    @property
    def trails(self) -> dict[int, Float32Array]:
        return {0: np.zeros((2, 2), np.float32)}


class OneZone:
    def update(self, shown: Detections, time_s: float, size_wh: tuple[int, int]) -> Scene:
        self.asked = shown.names, time_s, size_wh
        return Scene(zones=(ZoneState("yard", np.zeros((3, 2), np.float32), {"car": shown.names.count("car")}),))


def test_without_tracking_the_threshold_of_a_class_decides_what_is_shown() -> None:
    analysed = Analysis(SHOWN_FROM)(framed(found((0.7, 0), (0.59, 0), (0.41, 1), (0.39, 1))))
    assert analysed.shown_mask is not None
    assert analysed.shown_mask.tolist() == [True, False, True, False]
    assert len(analysed.detections) == 4
    assert analysed.scene is None


def test_an_object_is_shown_once_whatever_else_it_might_be() -> None:
    names = ("person", "bicycle", "car", "truck")
    van, bike, other_van = (0, 0, 40, 20), (50, 0, 60, 20), (70, 0, 110, 20)
    detections = Detections(
        np.array([van, van, bike, bike, other_van, van], np.float32),
        np.array([0.9, 0.8, 0.7, 0.7, 0.6, 0.3], np.float32),
        np.array([2, 3, 0, 1, 3, 2], np.int64),
        names,
    )
    analysed = Analysis(np.full(4, 0.5, np.float32))(framed(detections))
    # the rider and the bicycle are two; what is too weak to be shown hides nothing, and is hidden by nothing new
    assert analysed.shown.names == ["car", "person", "bicycle", "truck"]
    assert len(analysed.detections) == 6
    weaker_first = Analysis(np.array([0.5, 0.5, 0.95, 0.5], np.float32))(framed(detections))
    assert weaker_first.shown.names == ["truck", "person", "bicycle", "truck"]


def test_a_third_car_between_two_is_not_shown_but_a_person_in_a_crowd() -> None:
    boxes = np.array([(0, 0, 40, 20), (42, 0, 82, 20), (20, 1, 60, 19)], np.float32)
    for class_id, shown in ((1, [True, True, False]), (0, [True, True, True])):
        row = Detections(boxes, np.array([0.9, 0.9, 0.8], np.float32), np.full(3, class_id, np.int64), CLASSES)
        analysed = Analysis(SHOWN_FROM)(framed(row))
        assert (analysed.shown_mask is None) == all(shown)
        assert len(analysed.shown) == sum(shown)


def test_a_score_that_is_written_as_the_threshold_is_shown() -> None:
    analysed = Analysis(SHOWN_FROM)(framed(found((0.39996, 1), (0.39994, 1))))
    assert analysed.shown_mask is not None
    assert analysed.detections.scores.tolist() == np.array([0.4, 0.3999], np.float32).tolist()
    assert analysed.shown_mask.tolist() == [True, False]


def test_no_mask_where_all_is_shown() -> None:
    assert Analysis(SHOWN_FROM)(framed(found((0.7, 0)))).shown_mask is None
    assert Analysis(SHOWN_FROM)(framed(Detections.empty(CLASSES))).shown_mask is None


def test_with_tracking_the_tracked_are_shown_and_counted() -> None:
    tracker, places = NumberingTracker(), OneZone()
    analysed = Analysis(SHOWN_FROM, tracker, places)(framed(found((0.55, 0), (0.45, 1))))
    assert analysed.shown.track_ids.tolist() == [0, 99]  # below its threshold, but tracked
    assert analysed.shown.bridged.tolist() == [False, True]
    assert tracker.times_s == [0.25]
    assert places.asked == (["person", "car"], 0.25, (64, 32))
    assert analysed.scene is not None
    assert analysed.scene.zones[0].counts == {"car": 1}
    assert list(analysed.scene.trails) == [0]


def test_bridged_boxes_are_rounded_too() -> None:
    analysed = Analysis(SHOWN_FROM, NumberingTracker())(framed(found((0.55, 0))))
    np.testing.assert_array_equal(analysed.detections.boxes_xyxy[-1], np.array([0.33, 0.67, 9, 9], np.float32))


class RenamingTracker(NumberingTracker):
    """Calls everything a car."""

    def update(self, detections: Detections, time_s: float, size_wh: tuple[int, int] | None = None) -> Detections:
        told = super().update(detections, time_s, size_wh)
        return replace(told, class_ids=np.ones(len(told), np.int64))


def test_what_the_detector_said_is_kept_beside_the_class_of_the_track() -> None:
    analysed = Analysis(SHOWN_FROM, RenamingTracker())(framed(found((0.55, 0), (0.52, 1))))
    assert analysed.detections.class_ids.tolist() == [1, 1, 1]
    assert analysed.seen_class_ids is not None
    assert analysed.seen_class_ids.tolist() == [0, 1, 1]
    assert Analysis(SHOWN_FROM, RenamingTracker())(framed(found((0.55, 1)))).seen_class_ids is None


def test_a_class_that_nobody_asked_for_is_never_shown() -> None:
    analysed = Analysis(np.array([np.inf, 0.4], np.float32), NumberingTracker())(framed(found((0.7, 0), (0.6, 1))))
    assert analysed.shown.track_ids.tolist() == [1, 99]


def test_rounding_twice_changes_nothing() -> None:
    once = as_written(found((0.123456, 0)))
    twice = as_written(once)
    np.testing.assert_array_equal(once.boxes_xyxy, twice.boxes_xyxy)
    np.testing.assert_array_equal(once.scores, np.array([0.1235], np.float32))
    np.testing.assert_array_equal(once.scores, twice.scores)


def test_live_frames_are_timed_by_their_arrival() -> None:
    assert clock_s(framed(found()).frame) == 0.25
    assert clock_s(framed(found(), utc_s=1.8e9).frame) == 7.0


def test_equal_scores_come_in_one_order() -> None:
    boxes = np.array([[9, 0, 20, 9], [1, 5, 20, 9], [1, 0, 20, 9], [3, 0, 20, 9]], np.float32)
    scores = np.array([0.9, 0.5, 0.5, 0.5], np.float32)
    expected = [[9, 0], [1, 0], [1, 5], [3, 0]]
    for order in ([0, 1, 2, 3], [0, 3, 2, 1], [0, 2, 3, 1]):
        found = in_order(Detections(boxes[order], scores, np.zeros(4, np.int64), ("car",)))
        assert found.boxes_xyxy[:, :2].tolist() == expected
