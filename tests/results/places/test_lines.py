from __future__ import annotations

import numpy as np
import pytest

from streamdet.errors import UsageError
from streamdet.results.places import LineRule, Places, parse_line
from tests.results.places.objects import SIZE, seen, standing, steps, walk

GATE = "gate:100,200,300,200"  # from left to right: below is the right side


def passed(*corners: tuple[float, float], gate: str = GATE) -> tuple[dict[str, int], dict[str, int]]:
    scene, _ = walk(Places([parse_line(gate)]), (seen(standing(*point)) for point in steps(*corners)))
    return dict(scene.lines[0].in_counts), dict(scene.lines[0].out_counts)


def test_in_is_from_the_left_to_the_right_of_who_walks_along_the_line() -> None:
    assert passed((200, 100), (200, 300)) == ({"car": 1}, {})
    assert passed((200, 300), (200, 100)) == ({}, {"car": 1})
    assert passed((200, 100), (200, 300), gate="gate:300,200,100,200") == ({}, {"car": 1})
    assert passed((100, 240), (300, 240), gate="door:200,300,200,100") == ({"car": 1}, {})


def test_back_and_forth_counts_both_ways() -> None:
    assert passed((200, 100), (200, 300), (200, 100), (200, 300)) == ({"car": 2}, {"car": 1})


def test_who_goes_around_an_end_did_not_cross() -> None:
    assert passed((200, 100), (350, 200), (200, 300)) == ({}, {})
    assert passed((350, 100), (350, 300)) == ({}, {})
    # in through the line, out around its end: that is in
    assert passed((200, 100), (200, 300), (350, 300), (350, 100)) == ({"car": 1}, {})


def test_who_turns_back_at_the_line_or_stands_on_it_did_not_cross() -> None:
    assert passed((200, 100), (200, 202), (200, 100)) == ({}, {})
    scene, happenings = walk(Places([parse_line(GATE)]), [seen(standing(200, 201))] * 50)
    assert (scene.lines[0].in_counts, happenings) == ({}, [])


@pytest.mark.parametrize("seed", range(5))
def test_boxes_that_tremble_change_no_count(seed: int) -> None:
    rng = np.random.default_rng(seed)
    way = steps((200, 100), (210, 197), (190, 203), (205, 198), (200, 300), pixels=2)
    frames = [seen(tuple(np.array(standing(*point)) + rng.normal(0, 1.0, 4))) for point in way]
    scene, _ = walk(Places([parse_line(GATE)]), frames)
    assert (scene.lines[0].in_counts, scene.lines[0].out_counts) == ({"car": 1}, {})


def test_what_hides_the_feet_of_someone_who_stands_is_no_crossing() -> None:
    whole, cut = standing(200, 215, 30, 90), (185.0, 125.0, 215.0, 170.0)
    frames = [seen(whole)] * 10 + [seen(cut)] * 40 + [seen(whole)] * 10
    scene, happenings = walk(Places([parse_line(GATE)]), frames)
    assert (scene.lines[0].in_counts, scene.lines[0].out_counts, happenings) == ({}, {}, [])


def test_what_hides_the_feet_of_someone_who_walks_along_the_line_is_no_crossing() -> None:
    def box(step: int) -> tuple[float, float, float, float]:
        x = 110.0 + 3 * step
        swing = 6.0 * np.sin(step * 1.1)
        hidden = 25 <= step < 33
        return x - 10 - swing, 120.0, x + 10 + swing, 165.0 if hidden else 210.0

    scene, _ = walk(Places([parse_line(GATE)]), (seen(box(step), classes=["person"]) for step in range(60)))
    assert (scene.lines[0].in_counts, scene.lines[0].out_counts) == ({}, {})


def test_a_crossing_says_who_where_and_when() -> None:
    frames = [seen(standing(200, y), ids=[7], classes=["person"]) for y in range(150, 260, 10)]
    _, happenings = walk(Places([parse_line(GATE)]), frames)
    (crossing,) = happenings
    assert (crossing.kind, crossing.place, crossing.class_name, crossing.track_id) == ("crossed", "gate", "person", 7)
    assert crossing.direction == "in"
    assert crossing.began_s == pytest.approx(0.5)  # at y = 200, and 10 frames a second
    assert crossing.speed_m_per_s is None


def test_bridged_boxes_never_cross_and_the_next_real_one_does() -> None:
    places = Places([parse_line(GATE)])
    scene, _ = walk(places, [seen(standing(200, y)) for y in range(150, 190, 10)])
    scene, _ = walk(places, [seen(standing(200, y), bridged=[True]) for y in range(190, 250, 10)], 0.4)
    assert scene.lines[0].in_counts == {}
    scene, happenings = walk(places, [seen(standing(200, 250))], 1.0)
    assert scene.lines[0].in_counts == {"car": 1}
    assert happenings[0].began_s == pytest.approx(0.3 + 0.7 * 20 / 70)  # on the straight way between the two sights


def test_a_track_that_gets_weak_and_drifts_away_did_not_cross() -> None:
    places = Places([parse_line(GATE)])
    walk(places, [seen(standing(200, 170), scores=[0.9])] * 10)
    scene, _ = walk(places, [seen(standing(200, y), scores=[0.3]) for y in range(170, 260, 10)], 1.0)
    assert scene.lines[0].in_counts == {}
    # it was there after all, as is seen when it is clear again
    scene, _ = walk(places, [seen(standing(200, 260), scores=[0.8])], 2.0)
    assert scene.lines[0].in_counts == {"car": 1}
    # who is weak from the beginning is as clear as ever
    scene, _ = walk(Places([parse_line(GATE)]), [seen(standing(200, y), scores=[0.3]) for y in range(150, 260, 10)])
    assert scene.lines[0].in_counts == {"car": 1}


def test_only_the_asked_classes_count_and_objects_without_a_track_do_not() -> None:
    rule = LineRule("gate", ((100, 200), (300, 200)), ("person",))
    way = range(150, 260, 10)
    scene, _ = walk(Places([rule]), (seen(standing(150, y), standing(250, y), classes=["person", "car"]) for y in way))
    assert scene.lines[0].in_counts == {"person": 1}
    scene, _ = walk(Places([parse_line(GATE)]), (seen(standing(200, y), ids=[-1]) for y in way))
    assert scene.lines[0].in_counts == {}


def test_the_speed_over_ground_at_the_crossing() -> None:
    ground = ((0.05, 0, 0), (0, 0.05, 0), (0, 0, 1))  # 20 px are a metre
    frames = [seen(standing(200, 100 + 5 * step)) for step in range(40)]  # 50 px, 2.5 m a second
    _, happenings = walk(Places([parse_line(GATE)], homography=ground), frames)
    assert happenings[0].speed_m_per_s == pytest.approx(2.5, rel=0.02)


def test_states_of_earlier_frames_stay_as_they_were() -> None:
    places = Places([parse_line(GATE)])
    before, _ = walk(places, [seen(standing(200, y)) for y in range(150, 200, 10)])
    after, _ = walk(places, [seen(standing(200, y)) for y in range(200, 250, 10)], 0.5)
    assert (before.lines[0].in_counts, after.lines[0].in_counts) == ({}, {"car": 1})


def test_time_counts_and_not_frames() -> None:
    def count(every: int) -> dict[str, int]:
        places = Places([parse_line(GATE)])
        for frame in range(0, 100, every):
            scene = places.update(seen(standing(200, 100 + 2 * frame)), frame / 25, SIZE)
        return dict(scene.lines[0].in_counts)

    assert count(1) == count(7) == count(25) == {"car": 1}


def test_a_crossing_that_was_hidden_to_the_end_counts_when_its_object_is_gone() -> None:
    whole = [seen(standing(200, y, 30, 80)) for y in range(150, 200, 10)]
    hidden = [seen((185.0, y - 80.0, 215.0, y - 25.0)) for y in range(200, 290, 12)]
    places = Places([parse_line(GATE)])
    scene, _ = walk(places, [*whole, *hidden])
    scene, _ = walk(places, [seen()] * 60, 2.0)
    assert scene.lines[0].in_counts == {"car": 1}


def test_many_objects_come_and_go() -> None:
    rng = np.random.default_rng(3)
    places, last = Places([parse_line("wide:0,240,640,240")]), 0
    expected = {"in": 0, "out": 0}
    for round_ in range(6):
        ids = list(range(last, last + 90))
        last += 90
        x, down = rng.uniform(30, 600, 90), rng.random(90) < 0.5
        expected["in"] += int(down.sum())
        expected["out"] += int((~down).sum())
        for step in range(11):
            y = np.where(down, 140 + 20 * step, 340 - 20 * step)
            frame = seen(*(standing(*point) for point in zip(x.tolist(), y.tolist(), strict=True)), ids=ids)
            scene = places.update(frame, round_ * 20 + step / 10, SIZE)
    assert scene.lines[0].in_counts == {"car": expected["in"]}
    assert scene.lines[0].out_counts == {"car": expected["out"]}


def test_a_line_outside_of_the_picture_is_refused() -> None:
    with pytest.raises(UsageError, match=r"line gate lies outside of the picture, which is 640x480"):
        Places([parse_line("gate:700,100,900,100")]).update(seen(), 0.0, SIZE)
