from __future__ import annotations

import time
from collections.abc import Sequence
from fractions import Fraction

import pytest

from streamdet.errors import UsageError
from streamdet.events.engine import EventEngine
from streamdet.events.event import Event
from streamdet.events.rules import BayChange, CameraDown, Condition, Crossing, Crowd, Dwell, Rule, Visit, check_rules
from streamdet.scene import Happening
from streamdet.types import DetectedFrame
from streamdet.video.live.status import SourceState, SourceStatus
from tests.events.scenes import NOON_S, crossing, detected

WAITING = SourceStatus(SourceState.WAITING, 0.0, "192.168.1.20 refuses the connection: is it on?", "refused")


def events_of(condition: Condition, frames: Sequence[DetectedFrame], **choices: object) -> list[tuple[int, Event]]:
    """Each event with the index of the frame that gave it."""
    engine = EventEngine([Rule("rule", condition, **choices)], "gate")  # type: ignore[arg-type]
    return [(each.frame.index, event) for each in frames for event in engine.update(each)]


def test_a_crossing_in_the_wanted_direction_by_the_wanted_class() -> None:
    happenings = [
        [crossing(1, "in")],
        [crossing(2, "out")],
        [crossing(3, "in", "street")],
        [crossing(4, "in", name="person"), crossing(5, "in")],
    ]
    frames = [
        detected(index, ("car", 1), ("person", 4), ("car", 5), happenings=each) for index, each in enumerate(happenings)
    ]
    got = events_of(Crossing("gate", "in", ("car",)), frames)
    assert [(index, event.finding.track_id) for index, event in got] == [(0, 1), (3, 5)]
    told = got[1][1].to_dict()
    assert told == {
        "type": "event",
        "source": "gate",
        "number": 2,
        "rule": "rule",
        "kind": "crossed",
        "message": "car 5 crossed gate, in",
        "place": "gate",
        "class": "car",
        "track": 5,
        "direction": "in",
        "score": 0.5,
        "box_xyxy": [8.0, 4.0, 18.0, 30.0],
        "index": 3,
        "pts": 27_000,
        "time_base": "1/90000",
        "time_s": 0.3,
        "session": 0,
        "utc_s": NOON_S + 0.3,
        "utc": "2027-01-15T08:00:00.300Z",
    }
    assert [event.finding.direction for _, event in events_of(Crossing("gate"), frames)] == ["in", "out", "in", "in"]


def test_each_object_that_stays_too_long_is_told_of_once_per_visit() -> None:
    def frame(index: int) -> DetectedFrame:
        dwell = {7: index / 10} if index < 60 else {7: (index - 70) / 10} if index >= 70 else {}
        dwell[8] = index / 10
        return detected(index, ("person", 7), ("car", 8), counts={"person": 1, "car": 1}, dwell_s=dwell)

    got = events_of(Dwell("yard", 2.0, ("person",)), [frame(index) for index in range(100)])
    assert [(index, event.finding.track_id, event.finding.lasted_s) for index, event in got] == [(20, 7, 2), (90, 7, 2)]
    assert got[0][1].finding.message == "person 7 in yard for 2.0 s"


def test_an_object_that_is_hidden_when_its_time_is_up_is_told_of_when_it_is_seen_again() -> None:
    frames = [
        detected(index, *([("person", 7)] if index > 25 else [("car", 1)]), dwell_s={7: index / 10})
        for index in range(40)
    ]
    assert [index for index, _ in events_of(Dwell("yard", 2.0, ("person",)), frames)] == [26]


def test_without_tracking_a_zone_is_watched_as_a_whole_and_a_miss_is_passed_over() -> None:
    missed = {5, 6, 12, 13, 14}
    frames = [
        detected(index, ("person", -1), counts={} if index in missed or 40 <= index < 55 else {"person": 1})
        for index in range(80)
    ]
    got = events_of(Dwell("yard", 2.0), frames)
    assert [(index, event.finding.lasted_s) for index, event in got] == [
        (20, pytest.approx(2.0)),
        (75, pytest.approx(2.0)),
    ]


def test_time_that_nobody_saw_does_not_count() -> None:
    frames = [detected(index, ("person", -1), counts={"person": 1}) for index in (*range(5), *range(200, 230))]
    assert [index for index, _ in events_of(Dwell("yard", 2.0), frames)] == [220]


def test_a_crowd_in_a_zone_and_in_the_whole_picture() -> None:
    counts = [1, 3, 3, 1, *[3] * 15, *[0] * 20, *[4] * 9]
    frames = [detected(index, counts={"person": count, "car": 5}) for index, count in enumerate(counts)]
    got = events_of(Crowd(2, "yard", 0.8, ("person",)), frames)
    assert [(index, event.finding.count) for index, event in got] == [(9, 3), (47, 4)]
    people = [("person", -1)] * 3
    frames = [detected(index, *people[: index + 1], ("car", -1)) for index in range(3)]
    [(index, event)] = events_of(Crowd(2, classes=("person",)), frames)
    assert (index, event.finding.count, event.finding.message) == (2, 3, "3 × person, more than 2")


def test_zones_and_bays_that_changed() -> None:
    changes = [
        Happening("entered", "yard", "person", 3),
        Happening("left", "yard", "person", 3, lasted_s=12.0),
        Happening("occupied", "A1", "car", 4),
        Happening("occupied", "A2", "car", 5),
        Happening("freed", "A1", lasted_s=60.0),
    ]
    frames = [detected(index, happenings=[change]) for index, change in enumerate(changes)]
    assert [index for index, _ in events_of(Visit("yard", "left"), frames)] == [1]
    assert [index for index, _ in events_of(BayChange(("A1",)), frames)] == [2, 4]
    got = events_of(BayChange(change="occupied"), frames)
    assert [(index, event.finding.place) for index, event in got] == [(2, "A1"), (3, "A2")]
    assert got[0][1].finding.message == "bay A1 is occupied"


def test_a_cooldown_keeps_events_back_and_counts_them() -> None:
    frames = [detected(index, happenings=[crossing(index)]) for index in range(30)]
    got = events_of(Crossing("gate"), frames, cooldown_s=1.0)
    assert [(index, event.number, event.suppressed) for index, event in got] == [(0, 1, 0), (10, 2, 9), (20, 3, 9)]


def test_a_cooldown_of_one_bay_is_not_that_of_another() -> None:
    bays = ["A1", "A2", "A1", "A2", "A1"]
    frames = [detected(index * 4, happenings=[Happening("occupied", bay)]) for index, bay in enumerate(bays)]
    got = events_of(BayChange(), frames, cooldown_s=1.0)
    assert [(event.finding.place, event.suppressed) for _, event in got] == [("A1", 0), ("A2", 0), ("A1", 1)]


def test_a_camera_that_is_down_is_told_of_once_and_so_is_its_return() -> None:
    engine = EventEngine([Rule("down", CameraDown(30), cooldown_s=3600)], "gate", 4)
    assert engine.update(detected(0)) == []
    told = [event for seconds in range(1, 200) for event in engine.gone(WAITING, 1000.0 + seconds)]
    [down] = told
    assert (down.number, down.finding.kind, down.finding.lasted_s, down.frame) == (5, "camera down", 30, None)
    assert down.finding.message == f"camera gate gives no pictures for 30 s: {WAITING.problem}"
    assert abs((down.utc_s or 0) - time.time()) < 60
    [up] = engine.update(detected(2000))
    assert (up.number, up.finding.kind, up.finding.lasted_s) == (6, "camera up", pytest.approx(200))
    assert engine.update(detected(2001)) == []


def test_a_camera_that_never_came_and_one_that_was_stopped() -> None:
    engine = EventEngine([Rule("down", CameraDown(5))], "gate")
    assert [len(engine.gone(WAITING, 50.0 + seconds)) for seconds in range(8)] == [0, 0, 0, 0, 0, 1, 0, 0]
    engine = EventEngine([Rule("down", CameraDown(5))], "gate")
    stopped = SourceStatus(SourceState.STOPPED, 0.0)
    assert not any(engine.gone(stopped, 50.0 + seconds) for seconds in range(8))


def test_the_same_frames_give_the_same_events() -> None:
    rules = [Rule("a", Crossing("gate")), Rule("b", Crowd(0)), Rule("c", Dwell("yard", 1.0), cooldown_s=2.0)]
    frames = [
        detected(
            index,
            ("car", 1),
            happenings=[crossing(1)] if index % 7 == 0 else [],
            counts={"car": 1},
            dwell_s={1: index / 10},
        )
        for index in range(50)
    ]
    first, second = (
        [event.to_dict() for frame in frames for event in engine.update(frame)]
        for engine in (EventEngine(rules, "gate", 9), EventEngine(rules, "gate", 9))
    )
    assert first == second
    assert [each["number"] for each in first] == list(range(10, 10 + len(first)))


def test_rules_of_other_cameras_and_of_none() -> None:
    rules = [Rule("mine", Crossing("gate"), sources=("gate",)), Rule("other", Crossing("gate"), sources=("yard",))]
    engine = EventEngine(rules, "gate")
    assert [event.rule for event in engine.update(detected(0, happenings=[crossing(1)]))] == ["mine"]


def test_a_file_has_no_wall_clock() -> None:
    engine = EventEngine([Rule("rule", Crossing("gate"))], "clip.mp4")
    [event] = engine.update(detected(25, happenings=[crossing(1)], live=False))
    told = event.to_dict()
    assert (told["time_s"], told["pts"], Fraction(str(told["time_base"]))) == (2.5, 225_000, Fraction(1, 90_000))
    assert "utc_s" not in told
    assert "session" not in told


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (Crossing("gaet"), "rule rule watches the line 'gaet', which is not known; there are gate"),
        (Dwell("yard", 3), "rule rule watches the zone 'yard', which is not known; there is none: draw it with --zone"),
        (BayChange(("A7",)), "rule rule watches the bay 'A7', which is not known; there are A1, A2"),
        (Crossing("gate", classes=("cat",)), "rule rule names the class 'cat'; the model knows person, car"),
    ],
)
def test_a_rule_that_can_never_hold_is_a_mistake(condition: Condition, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_rules([Rule("rule", condition)], lines=["gate"], bays=["A1", "A2"], classes=["person", "car"])
    assert str(caught.value) == message
