from __future__ import annotations

import numpy as np
import pytest

from streamdet.results.places import BayRule, Places
from streamdet.results.places.bays import best_pairs, expected_box
from tests.results.places.objects import Box, seen, walk

BAYS = [
    BayRule(f"A{k + 1}", ((x, 200), (x + 60, 200), (x + 60, 260), (x, 260)), (x + 5, 180, x + 55, 255))
    for k, x in enumerate((100, 160, 220))
]


def parked(bay: int, shift: float = 0.0) -> Box:
    x = 100 + 60 * bay + shift
    return x + 6, 182.0, x + 54, 254.0


def states(places: Places, *boxes: Box, start_s: float = 0.0, frames: int = 2) -> list[bool | None]:
    scene, _ = walk(places, [seen(*boxes)] * frames, start_s)
    return [bay.occupied for bay in scene.bays]


def test_bays_are_known_after_two_frames() -> None:
    places = Places(bays=BAYS)
    assert states(places, parked(0), frames=1) == [True, None, None]  # nothing seen yet is no proof
    assert states(places, parked(0), start_s=0.1, frames=1) == [True, False, False]


def test_a_car_that_comes_and_one_that_goes_are_told_once_and_when_it_began() -> None:
    places = Places(bays=BAYS)
    walk(places, [seen(parked(0))] * 40)
    scene, happenings = walk(places, [seen(parked(2), ids=[9])] * 40, 4.0)
    assert [bay.occupied for bay in scene.bays] == [False, False, True]
    assert [(one.kind, one.place, one.class_name, one.track_id) for one in happenings] == [
        ("freed", "A1", None, -1),
        ("occupied", "A3", "car", 9),
    ]
    assert [one.began_s for one in happenings] == [pytest.approx(4.0)] * 2
    assert [one.lasted_s for one in happenings] == [pytest.approx(4.0), pytest.approx(3.9)]
    assert [bay.since_s for bay in scene.bays] == [pytest.approx(4.0), pytest.approx(0.1), pytest.approx(4.0)]


def test_a_car_that_passes_or_flickers_changes_nothing() -> None:
    places = Places(bays=BAYS)
    walk(places, [seen(parked(0))] * 40)
    passing = [seen(parked(0), parked(1, shift), ids=[1, 2]) for shift in range(-60, 61, 12)]
    flickering = [seen(parked(0)) if index % 3 else seen() for index in range(60)]
    scene, happenings = walk(places, [*passing, *flickering], 4.0)
    assert happenings == []
    assert [bay.occupied for bay in scene.bays] == [True, False, False]


def test_a_neighbour_on_the_line_is_in_one_bay_only() -> None:
    places = Places(bays=BAYS)
    assert states(places, parked(0), parked(1), parked(1, 12)) == [True, True, False]
    assert states(Places(bays=BAYS), parked(1, 15)) == [False, True, False]


def test_a_bay_behind_something_large_stays_as_it_was() -> None:
    lorry = (90.0, 120.0, 300.0, 330.0)
    places = Places(bays=BAYS)
    walk(places, [seen(parked(1))] * 40)
    scene, happenings = walk(places, [seen(lorry)] * 100, 4.0)
    assert ([bay.occupied for bay in scene.bays], happenings) == ([False, True, False], [])
    scene, happenings = walk(places, [seen()] * 30, 14.0)
    assert [(one.kind, one.place) for one in happenings] == [("freed", "A2")]


def test_weak_boxes_prove_neither_that_a_bay_is_occupied_nor_that_it_is_free() -> None:
    places = Places(bays=BAYS)
    both, one = (parked(0), parked(1)), (parked(0), parked(1), parked(2))
    walk(places, [seen(*both, scores=[0.9, 0.9])] * 40)
    scene, happenings = walk(places, [seen(*one, scores=[0.9, 0.4, 0.4])] * 100, 4.0)
    assert ([bay.occupied for bay in scene.bays], happenings) == ([True, True, False], [])
    # a model whose scores are low all over is believed
    low = Places(bays=BAYS)
    assert states_of_low_scores(low) == [True, True, False]


def states_of_low_scores(places: Places) -> list[bool | None]:
    scene, _ = walk(places, [seen(parked(0), parked(1), scores=[0.3, 0.25])] * 5)
    return [bay.occupied for bay in scene.bays]


def test_a_change_at_the_very_start_is_a_correction_and_no_event() -> None:
    places = Places(bays=BAYS)
    walk(places, [seen()] * 3)
    scene, happenings = walk(places, [seen(parked(0))] * 40, 0.3)
    assert ([bay.occupied for bay in scene.bays], happenings) == ([True, False, False], [])


def test_people_do_not_park() -> None:
    places = Places(bays=BAYS)
    scene, _ = walk(places, [seen(parked(0), classes=["person"])] * 3)
    assert scene.bays[0].occupied is False
    rule = BayRule("bench", BAYS[0].polygon_xy, BAYS[0].box_xyxy, ("person",))
    scene, _ = walk(Places(bays=[rule]), [seen(parked(0), classes=["person"])] * 3)
    assert scene.bays[0].occupied is True


def test_after_a_long_gap_two_frames_tell() -> None:
    places = Places(bays=BAYS)
    walk(places, [seen(parked(0))] * 40)
    scene, happenings = walk(places, [seen(parked(1))] * 2, 600.0)
    assert [bay.occupied for bay in scene.bays] == [False, True, False]
    assert [one.began_s for one in happenings] == [pytest.approx(600.0)] * 2


def test_best_pairs_take_the_best_first_and_each_once() -> None:
    overlaps = np.array([[0.9, 0.8, 0.0], [0.85, 0.2, 0.0], [0.1, 0.1, 0.1]])
    assert best_pairs(overlaps, 0.2).tolist() == [0, 1, -1]
    assert best_pairs(overlaps, 0.3).tolist() == [0, -1, -1]
    assert best_pairs(np.zeros((2, 0)), 0.3).tolist() == [-1, -1]


def test_the_expected_box_rises_above_the_bay_and_keeps_from_its_lines() -> None:
    x1, y1, x2, y2 = expected_box(np.float32([[100, 200], [160, 200], [160, 260], [100, 260]]))
    assert 100 < x1 < x2 < 160
    assert y1 < 200 < y2 < 260
    assert (x1 + x2) / 2 == 130
