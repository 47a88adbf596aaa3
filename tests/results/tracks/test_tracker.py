from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from streamdet.results.tracks import Tracker, TrackRule
from streamdet.types import Detections

NAMES = ("person", "car", "truck")
FPS = 15
SIZE_WH = 640, 360
Object = tuple[float, float, float, str]
"""Left, top, score and class of a box of 40 x 30 px."""


def seen(*objects: Object) -> Detections:
    ordered = sorted(objects, key=lambda each: -each[2])
    boxes = np.array([(x, y, x + 40, y + 30) for x, y, _, _ in ordered], np.float32).reshape(-1, 4)
    scores = np.array([score for _, _, score, _ in ordered], np.float32)
    return Detections(boxes, scores, np.array([NAMES.index(name) for *_, name in ordered], np.int64), NAMES)


def tracked(frames: Iterable[tuple[float, Detections]], rule: TrackRule | None = None) -> Iterator[Detections]:
    tracker = Tracker(rule or TrackRule(), NAMES)
    for time_s, detections in frames:
        yield tracker.update(detections, time_s, SIZE_WH)


def ids(told: Detections) -> dict[float, int]:
    """By the box's left edge: the id of what was seen."""
    return {
        float(box[0]): int(ident)
        for box, ident, bridged in zip(told.boxes_xyxy, told.track_ids, told.bridged, strict=True)
        if not bridged
    }


def test_an_object_gets_its_id_when_seen_twice_and_keeps_it() -> None:
    told = tracked((i / FPS, seen((10 + 4 * i, 20, 0.8, "car"))) for i in range(20))
    assert [each.track_ids.tolist() for each in told] == [[-1]] + [[1]] * 19


def test_a_flicker_gets_no_id() -> None:
    frames = [(i / FPS, seen((10, 20, 0.8, "car")) if i % 2 else seen()) for i in range(20)]
    assert all((each.track_ids == -1).all() for each in tracked(frames))


def test_weak_boxes_go_on_with_a_track_but_start_none() -> None:
    for i, told in enumerate(
        tracked((i / FPS, seen((10, 20, 0.8 if i < 5 else 0.25, "car"), (300, 20, 0.39, "car"))) for i in range(20))
    ):
        assert ids(told) == {10: 1 if i else -1, 300: -1}


def test_a_class_may_have_a_start_of_its_own() -> None:
    frames = [(i / FPS, seen((10, 20, 0.5, "car"), (300, 20, 0.5, "person"))) for i in range(3)]
    *_, told = tracked(frames, TrackRule(start_score=(0.6, 0.4, 0.4)))
    assert ids(told) == {10: 1, 300: -1}
    with pytest.raises(ValueError, match="start_score has 2 numbers, expected 3"):
        Tracker(TrackRule(start_score=(0.6, 0.4)), NAMES)


def test_a_track_has_the_class_that_most_of_its_sightings_say() -> None:
    names = ["car", "car", "truck", "car", "truck", "car"]
    for told in list(tracked((i / FPS, seen((10, 20, 0.8, name))) for i, name in enumerate(names)))[1:]:
        assert (told.track_ids.tolist(), told.names) == ([1], ["car"])


def test_one_vehicle_called_a_car_and_a_truck_at_once_is_one_track() -> None:
    frames = [
        (i / FPS, seen((10 + 3 * i, 20, 0.5 + 0.2 * (i % 2), "car"), (12 + 3 * i, 20, 0.6, "truck"))) for i in range(30)
    ]
    for told in list(tracked(frames))[1:]:
        assert sorted(told.track_ids.tolist()) == [-1, 1]


def test_a_rider_is_not_the_vehicle() -> None:
    frames = [
        (i / FPS, seen((10 + 3 * i, 20, 0.5 + 0.2 * (i % 2), "car"), (11 + 3 * i, 20, 0.6, "person")))
        for i in range(30)
    ]
    first, *others = tracked(frames)
    assert first.track_ids.tolist() == [-1, -1]
    by_name = {name: number for number, name in zip(others[0].track_ids.tolist(), others[0].names, strict=True)}
    assert sorted(by_name.values()) == [1, 2]
    for told in others:
        assert dict(zip(told.names, told.track_ids.tolist(), strict=True)) == by_name


def test_a_second_box_of_an_object_votes_for_its_class_too() -> None:
    frames = [
        (i / FPS, seen((10, 20, 0.9, "car")) if i % 3 == 0 else seen((10, 20, 0.7, "truck"), (12, 20, 0.6, "car")))
        for i in range(30)
    ]
    *_, told = tracked(frames)
    assert told.names[told.track_ids.tolist().index(1)] == "car"


def test_a_third_car_that_is_seen_between_two_is_none() -> None:
    two = (100, 50, 0.9, "car"), (142, 50, 0.9, "car")
    for name, expected in (("car", -1), ("truck", 3)):
        *_, told = tracked((i / FPS, seen(*two, (122, 50, 0.6, name))) for i in range(3))
        assert ids(told) == {100: 1, 142: 2, 122: expected}
    *_, told = tracked((i / FPS, seen(two[0], (122, 50, 0.6, "car"))) for i in range(3))  # half hidden by one car
    assert ids(told) == {100: 1, 122: 2}


def test_a_gap_is_bridged_where_the_object_must_be_and_marked() -> None:
    missing = range(30, 40)
    frames = [(i / FPS, seen() if i in missing else seen((10 + 4 * i, 20, 0.8, "car"))) for i in range(60)]
    for i, told in enumerate(tracked(frames)):
        if i in missing:
            assert (told.bridged.tolist(), told.track_ids.tolist(), told.names) == ([True], [1], ["car"])
            assert told.scores.tolist() == pytest.approx([0.8])
            assert told.boxes_xyxy[0] == pytest.approx([10 + 4 * i, 20, 50 + 4 * i, 50], abs=3)
        elif i:
            assert (told.bridged.tolist(), told.track_ids.tolist()) == ([False], [1])


def test_bridges_and_tracks_end_in_time() -> None:
    rule = TrackRule(bridge_s=0.5, lost_s=1.0)
    hidden = {i / FPS: seen() for i in range(15, 32)}
    frames = [(i / FPS, hidden.get(i / FPS, seen((10 + 4 * i, 20, 0.8, "car")))) for i in range(34)]
    told = list(tracked(frames, rule))
    assert [len(each) for each in told[14:32]] == [1] * 8 + [0] * 10  # the last sight, 0.5 s of bridge, nothing
    assert ids(told[-1]) == {10 + 4 * 33: 2}


def test_a_standing_object_keeps_its_id_and_place_while_others_pass_in_front_of_it() -> None:
    def frames() -> Iterator[tuple[float, Detections]]:
        for i in range(200):
            parked = [] if 60 <= i < 130 else [(200.0, 100.0, 0.9, "car")]
            passing = [(200 - (95 - i) * 3.0, 108.0, 0.85, "car")]
            weak = [(200 - (95 - i) * 1.5, 104.0, 0.3, "car")] if 75 <= i < 115 else []
            yield i / FPS, seen(*parked, *passing, *weak)

    told = list(tracked(frames()))
    parked = ids(told[50])[200]
    assert ids(told[190])[200] == parked != ids(told[50])[200 - 45 * 3]
    boxes = np.concatenate([each.boxes_xyxy[each.track_ids == parked] for each in told])
    assert np.abs(boxes - [200, 100, 240, 130]).max() < 9


def test_a_standing_object_waits_where_it_stood_however_its_box_trembled() -> None:
    def frames() -> Iterator[tuple[float, Detections]]:
        for i in range(80):
            yield i / FPS, seen((200.0 + max(0, i - 56), 100.0, 0.9, "car")) if i < 60 else seen()

    for told in list(tracked(frames()))[60:74]:
        assert told.bridged.tolist() == [True]
        assert told.boxes_xyxy[0] == pytest.approx([200, 100, 240, 130], abs=1)


def test_what_can_be_seen_of_a_standing_object_is_a_part_of_it() -> None:
    def frames() -> Iterator[tuple[float, Detections]]:
        for i in range(120):
            whole = seen((200, 100, 0.9, "car"))
            if 50 <= i < 100:
                whole.boxes_xyxy[0, 3] = 113  # the rest of its 30 px is hidden
            yield i / FPS, whole

    assert {int(each.track_ids[0]) for each in list(tracked(frames()))[1:]} == {1}
    assert not any(each.bridged.any() for each in tracked(frames()))


def test_an_object_out_of_sight_keeps_its_size() -> None:
    def frames() -> Iterator[tuple[float, Detections]]:
        for i in range(42):
            growing = seen((10 + 4.0 * i, 100, 0.9, "car"))
            growing.boxes_xyxy[0, 2:] += i
            yield i / FPS, growing if i < 30 else seen()

    bridges = [each.boxes_xyxy[0] for each in list(tracked(frames()))[30:]]
    assert {round(float(box[2] - box[0])) for box in bridges} == {round(float(bridges[0][2] - bridges[0][0]))}


def test_crossing_objects_keep_their_ids() -> None:
    def frames() -> Iterator[tuple[float, Detections]]:
        for i in range(60):
            yield i / FPS, seen((5.0 * i, 100, 0.9, "car"), (300 - 5.0 * i, 112, 0.8, "car"))

    told = list(tracked(frames()))
    assert ids(told[5])[25] == ids(told[-1])[295]
    assert ids(told[5])[275] == ids(told[-1])[5]


@pytest.mark.parametrize("every", [1, 2, 3, 5])
def test_dropped_frames_change_no_id(every: int) -> None:
    frames = [(i / 30, seen((2.0 * i, 50, 0.9, "car"), (400 - 2.0 * i, 90, 0.8, "person"))) for i in range(120)]
    told = list(tracked(frames[::every]))
    ways = {ident: [each.boxes_xyxy[each.track_ids == ident][0] for each in told[2:]] for ident in (1, 2)}
    assert {ident for each in told[2:] for ident in each.track_ids.tolist()} == {1, 2}
    assert np.diff([box[0] for box in ways[1]]) == pytest.approx(2 * every)


def test_uneven_times_are_taken_as_they_are() -> None:
    times = np.cumsum(np.random.default_rng(0).choice([1 / 30, 1 / 15, 1 / 4], 60))
    frames = [(float(t), seen((40 * float(t), 50, 0.9, "car"))) for t in times]
    assert {int(each.track_ids[0]) for each in list(tracked(frames))[1:]} == {1}


def test_a_clock_that_stands_still_or_goes_back_does_no_harm() -> None:
    told = list(tracked((t, seen((10, 20, 0.8, "car"))) for t in (5.0, 5.0, 4.0, 5.1)))
    assert [each.track_ids.tolist() for each in told] == [[-1], [1], [1], [1]]


def test_an_object_that_leaves_is_not_bridged_outside_of_the_picture() -> None:
    left = [540 + 2 * i for i in range(80)]

    def frames() -> Iterator[tuple[float, Detections]]:
        for i, x in enumerate(left):
            told = seen((x, 100, 0.9, "car"))
            told.boxes_xyxy[:, 2] = np.minimum(told.boxes_xyxy[:, 2], 640)
            yield i / FPS, told if x < 632 else seen()

    told = list(tracked(frames()))
    assert max(each.boxes_xyxy[:, 2].max(initial=0) for each in told) == 640
    gone = [i for i, each in enumerate(told) if not len(each)]
    assert gone == list(range(gone[0], 80))
    assert left[gone[0]] == pytest.approx(640, abs=4)


def test_tracking_what_was_told_tells_the_same() -> None:
    rng = np.random.default_rng(3)

    def frames() -> Iterator[tuple[float, Detections]]:
        for i in range(150):
            objects = [
                (
                    30.0 * k + 1.5 * i + float(rng.normal(0, 1)),
                    20.0 + 60 * (k % 5),
                    float(rng.uniform(0.15, 0.95)),
                    "car",
                )
                for k in range(10)
                if rng.random() < 0.8
            ]
            gone_too_long = [] if 50 < i < 88 else [(300 + 2.0 * i, 300.0, 0.97, "truck")]
            yield i / FPS, seen(*objects, *gone_too_long)

    told = list(tracked(frames()))
    assert any(each.bridged.any() for each in told)
    assert ids(told[50])[400] != ids(told[90])[480]
    again = tracked((i / FPS, each) for i, each in enumerate(told))
    for one, other in zip(told, again, strict=True):
        for name in ("boxes_xyxy", "scores", "class_ids", "track_ids", "bridged"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)


@pytest.mark.parametrize("fps", [2, 15, 60])
def test_trails_are_where_an_object_stood_in_the_last_three_seconds(fps: int) -> None:
    tracker = Tracker(TrackRule(), NAMES)
    for i in range(6 * fps):
        tracker.update(seen((30.0 * i / fps, 20, 0.8, "car")), i / fps)
        if i == 3 * fps + 2:
            handed_out = tracker.trails[1]
            then = handed_out.copy()
    trail, now = tracker.trails[1], 30 * (6 - 1 / fps) + 20
    assert trail[-1] == pytest.approx([now, 50], abs=1)
    assert trail[0, 0] == pytest.approx(now - 90, abs=7)
    assert 6 <= len(trail) <= 30
    assert (np.diff(trail[:, 0]) > 0).all()
    np.testing.assert_array_equal(handed_out, then)


def test_nothing_seen_is_nothing_told() -> None:
    tracker = Tracker(TrackRule(), NAMES)
    assert len(tracker.update(Detections.empty(NAMES), 0.0)) == 0
    assert tracker.trails == {}


def test_what_is_too_weak_to_go_on_with_a_track_changes_nothing() -> None:
    least = TrackRule().low_score

    def frames(*, weak: bool) -> Iterator[tuple[float, Detections]]:
        dice = np.random.default_rng(0)
        for i in range(30):
            shaken = float(dice.uniform(0, 3))
            car = (10 + 4 * i + shaken, 20, 0.45, "car" if i % 2 else "truck")
            others = [(10 + 4 * i, 20, least - 0.01, "truck"), (11 + 4 * i, 21, least - 0.02, "person")] * weak
            yield i / FPS, seen(car, *others)

    for alone, among in zip(tracked(frames(weak=False)), tracked(frames(weak=True)), strict=True):
        strong = among.scores >= least
        assert among.track_ids[strong].tolist() == alone.track_ids.tolist()
        assert among.class_ids[strong].tolist() == alone.class_ids.tolist()
