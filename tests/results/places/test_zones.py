from __future__ import annotations

import pytest

from streamdet.results.places import Places, ZoneRule, parse_zone
from tests.results.places.objects import seen, standing, steps, walk

YARD = "yard:200,200,400,200,400,400,200,400"


def test_who_comes_in_stays_and_leaves() -> None:
    way = steps((100, 300), (300, 300), pixels=10)
    places = Places(zones=[parse_zone(YARD)])
    scene, entered = walk(places, [seen(standing(*point), ids=[5]) for point in way])
    (zone,) = scene.zones
    assert (zone.name, zone.counts, zone.entered) == ("yard", {"car": 1}, {"car": 1})
    assert zone.polygon_xy.tolist() == [[200, 200], [400, 200], [400, 400], [200, 400]]
    assert zone.dwell_s == {5: pytest.approx(1.0)}  # since x = 200, 10 px a frame
    assert [(one.kind, one.place, one.class_name, one.track_id) for one in entered] == [("entered", "yard", "car", 5)]
    assert entered[0].began_s == pytest.approx(1.0)
    scene, left = walk(
        places, [seen(standing(*point), ids=[5]) for point in steps((310, 300), (500, 300), pixels=10)], 2.1
    )
    assert (scene.zones[0].counts, scene.zones[0].dwell_s, scene.zones[0].entered) == ({}, {}, {"car": 1})
    assert [(one.kind, one.track_id) for one in left] == [("left", 5)]
    assert (left[0].began_s, left[0].lasted_s) == (pytest.approx(3.0), pytest.approx(2.0))


def test_who_is_there_at_the_start_is_in_but_has_not_entered() -> None:
    scene, happenings = walk(Places(zones=[parse_zone(YARD)]), [seen(standing(300, 300), ids=[1])] * 20)
    assert (scene.zones[0].counts, scene.zones[0].entered, happenings) == ({"car": 1}, {}, [])
    assert scene.zones[0].dwell_s == {1: pytest.approx(1.9)}


def test_who_comes_from_outside_the_picture_has_entered() -> None:
    zone = "left:0,0,300,0,300,480,0,480"
    places = Places(zones=[parse_zone(zone)])
    walk(places, [seen()] * 20)
    frames = [seen((0.0, 270.0, max(4.0, 8.0 * step), 300.0)) for step in range(1, 6)]
    frames += [seen((8.0 * step - 40, 270.0, 8.0 * step, 300.0)) for step in range(6, 20)]
    scene, happenings = walk(places, frames, 2.0)
    assert scene.zones[0].entered == {"car": 1}
    assert (happenings[0].kind, happenings[0].began_s) == ("entered", pytest.approx(2.0))


def test_a_box_cut_by_the_border_that_stands_has_not_entered() -> None:
    places = Places(zones=[parse_zone("left:0,0,300,0,300,480,0,480")])
    walk(places, [seen()] * 20)
    scene, happenings = walk(places, [seen((0.0, 270.0, 60.0, 300.0))] * 30, 2.0)
    assert (scene.zones[0].counts, scene.zones[0].entered, happenings) == ({"car": 1}, {}, [])


def test_an_edge_along_the_border_is_open() -> None:
    # boxes end at the border: their lower edge lies on the zone's own edge
    zone = parse_zone("floor:0,200,640,200,640,480,0,480")
    scene, _ = walk(Places(zones=[zone]), [seen((100.0, 440.0, 140.0, 480.0))] * 3)
    assert scene.zones[0].counts == {"car": 1}


def test_who_is_not_seen_any_more_has_left_when_last_seen() -> None:
    places = Places(zones=[parse_zone(YARD)])
    walk(places, [seen(standing(300, 300))] * 11)
    scene, happenings = walk(places, [seen()] * 60, 1.1)
    assert scene.zones[0].counts == {}
    assert [one.kind for one in happenings] == ["left"]
    assert (happenings[0].began_s, happenings[0].lasted_s) == (pytest.approx(1.0), pytest.approx(1.0))


def test_a_short_gap_and_bridged_boxes_do_not_end_a_stay() -> None:
    places = Places(zones=[parse_zone(YARD)])
    walk(places, [seen(standing(300, 300))] * 11)
    scene, happenings = walk(places, [seen(standing(420, 300), bridged=[True])] * 5, 1.1)
    assert scene.zones[0].counts == {"car": 1}
    walk(places, [seen()] * 20, 1.6)
    scene, more = walk(places, [seen(standing(300, 300))] * 2, 3.6)
    assert (happenings + more, scene.zones[0].dwell_s) == ([], {1: pytest.approx(3.7)})


def test_without_tracks_zones_tell_who_is_in_them() -> None:
    frames = [
        seen(standing(300, 300), standing(310, 350), standing(500, 300), ids=[-1] * 3, classes=["car", "person", "car"])
    ]
    scene, happenings = walk(Places(zones=[parse_zone(YARD)]), frames)
    assert (scene.zones[0].counts, scene.zones[0].dwell_s, happenings) == ({"car": 1, "person": 1}, {}, [])


def test_only_the_asked_classes_count() -> None:
    rule = ZoneRule("yard", ((200, 200), (400, 200), (400, 400), (200, 400)), ("person",))
    way = steps((100, 300), (300, 300), (500, 300))
    frames = [seen(standing(*point), standing(*point), classes=["car", "person"]) for point in way]
    scene, happenings = walk(Places(zones=[rule]), frames)
    assert scene.zones[0].entered == {"person": 1}
    assert [(one.kind, one.class_name) for one in happenings] == [("entered", "person"), ("left", "person")]


def test_zones_are_told_apart_and_may_overlap() -> None:
    zones = [parse_zone(YARD), parse_zone("half:0,0,320,0,320,480,0,480"), parse_zone("far:500,0,600,0,600,100")]
    scene, _ = walk(Places(zones=zones), [seen(standing(300, 300), standing(390, 390))])
    assert [dict(zone.counts) for zone in scene.zones] == [{"car": 2}, {"car": 1}, {}]


def test_shares_mean_the_same_place_in_every_size_and_a_new_size_begins_anew() -> None:
    places = Places(zones=[parse_zone("right:0.5,0,1,0,1,1,0.5,1")])
    small = places.update(seen(standing(400, 100)), 0.0, (640, 480))
    large = places.update(seen(standing(400, 100)), 0.1, (1280, 960))
    assert (small.zones[0].counts, large.zones[0].counts) == ({"car": 1}, {})
    assert large.zones[0].polygon_xy.tolist() == [[640, 0], [1280, 0], [1280, 960], [640, 960]]


def test_the_mean_speed_of_a_stay() -> None:
    ground = ((0.1, 0, 0), (0, 0.1, 0), (0, 0, 1))
    way = [(100 + 4 * step, 300) for step in range(90)]  # 40 px, 4 m a second
    _, happenings = walk(Places(zones=[parse_zone(YARD)], homography=ground), [seen(standing(*point)) for point in way])
    assert happenings[-1].kind == "left"
    assert happenings[-1].lasted_s == pytest.approx(5.0)
    assert happenings[-1].speed_m_per_s == pytest.approx(4.0, rel=0.1)


def test_the_middle_of_a_box_can_stand_for_it() -> None:
    frames = [seen((280.0, 180.0, 320.0, 210.0))]
    assert walk(Places(zones=[parse_zone(YARD)]), frames)[0].zones[0].counts == {"car": 1}
    assert walk(Places(zones=[parse_zone(YARD)], anchor="center"), frames)[0].zones[0].counts == {}
