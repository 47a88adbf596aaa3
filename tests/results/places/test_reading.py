from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamdet.errors import DataError, OutputError, StreamdetError, UsageError
from streamdet.results.places import (
    BayRule,
    LineRule,
    PlaceRules,
    Places,
    ZoneRule,
    parse_line,
    parse_zone,
    read_bays,
    read_places,
    write_bays,
)
from streamdet.results.places.geometry import on_ground
from streamdet.results.places.reading import places_toml
from streamdet.results.places.rules import in_pixels

SQUARE = ((10.0, 10.0), (20.0, 10.0), (20.0, 20.0), (10.0, 20.0))


def test_lines_and_zones_from_the_command_line() -> None:
    assert parse_line("gate:1,2,3.5,4") == LineRule("gate", ((1, 2), (3.5, 4)))
    assert parse_zone("back yard: 1,2, 3,4, 5,9") == ZoneRule("back yard", ((1, 2), (3, 4), (5, 9)))


def test_shares_of_the_picture() -> None:
    rule = parse_zone("all:0,0,1,0,1,1,0,1")
    assert in_pixels(rule.polygon_xy, (640, 480)).tolist() == [[0, 0], [640, 0], [640, 480], [0, 480]]
    assert in_pixels(((0.5, 2.0),), (640, 480)).tolist() == [[0.5, 2]]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("1,2,3,4", "--line '1,2,3,4' has no name; write it as gate:x1,y1,x2,y2"),
        ("gate:1,2,3", "--line 'gate:1,2,3' has 3 numbers; give four"),
        ("gate:1,2,x,4", "'x' is no number"),
        ("gate:1,2,nan,4", "line gate has the coordinate nan"),
        ("gate:1,2,-3,4", "line gate has the coordinate -3; give pixels, or shares from 0 to 1"),
        ("gate:1,2,1,2", "line gate goes from a point to the same point"),
        ("a/b:1,2,3,4", "a line is named 'a/b'; use up to 64 letters"),
        (":1,2,3,4", "a line is named ''"),
    ],
)
def test_wrong_lines(text: str, error: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_line(text)
    assert error in str(raised.value)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("yard:1,2,3,4", "--zone 'yard:1,2,3,4' has 4 numbers; give x and y of three corners or more"),
        ("yard:1,2,3,4,5,6,7", "has 7 numbers"),
        ("yard:1,1,1,1,2,2", "zone yard has 2 different corners"),
        ("yard:1,1,2,2,3,3", "lie on one straight line"),
    ],
)
def test_wrong_zones(text: str, error: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_zone(text)
    assert error in str(raised.value)


def test_a_table_of_places() -> None:
    rules = read_places(
        tomllib.loads(
            """
            anchor = "center"
            [lines]
            gate = [1, 2, 3, 4]
            door = { points = [[0.1, 0.5], [0.4, 0.5]], classes = ["person"] }
            [zones]
            yard = [[0, 0], [9, 0], [9, 9]]
            [bays]
            A1 = { points = [10, 10, 20, 10, 20, 20], classes = ["car", "van"] }
            [ground]
            pixels = [[0, 0], [100, 0], [100, 50], [0, 50]]
            metres = [[0, 0], [10, 0], [10, 5], [0, 5]]
            """
        )
    )
    assert rules.lines == (LineRule("gate", ((1, 2), (3, 4))), LineRule("door", ((0.1, 0.5), (0.4, 0.5)), ("person",)))
    assert rules.zones == (ZoneRule("yard", ((0, 0), (9, 0), (9, 9))),)
    assert rules.bays == (BayRule("A1", ((10, 10), (20, 10), (20, 20)), classes=("car", "van")),)
    assert rules.anchor == "center"
    assert on_ground(np.array(rules.homography), np.array([(50.0, 20.0)])) == pytest.approx(np.array([(5.0, 2.0)]))
    assert bool(rules)
    assert not PlaceRules()


def test_bays_of_a_table_may_stand_in_a_file_beside_it(tmp_path: Path) -> None:
    write_bays(tmp_path / "bays.json", [BayRule("A1", SQUARE)])
    assert [bay.name for bay in read_places({"bays": "bays.json"}, folder=tmp_path).bays] == ["A1"]


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ({"line": {}}, "yard.toml: unknown key 'line'; known are lines, zones"),
        ({"anchor": "top"}, "yard.toml: anchor is 'top'"),
        ({"lines": 3}, "yard.toml: lines is 3, no table"),
        ({"lines": {"gate": [1, 2]}}, "yard.toml: lines.gate has 1 points; give two"),
        ({"zones": {"yard": [1, 2, "3"]}}, "yard.toml: zones.yard is [1, 2, '3']; give corners as"),
        ({"zones": {"yard": [0, 0, 9, 9, 9, 0, 0, 9]}}, "the edges of yard.toml: zones.yard cross each other"),
        ({"zones": {"yard": {"points": [0, 0, 9, 0, 9, 9], "class": 1}}}, "unknown key 'class'"),
        ({"zones": {"yard": {"points": [0, 0, 9, 0, 9, 9], "classes": "car"}}}, "classes is 'car'; give names"),
        ({"ground": {"pixels": []}}, "yard.toml: ground needs pixels and metres"),
        ({"ground": {"pixels": [1, 2], "metres": [1, 2]}}, "has 1 pixels and 1 metres; give four or more"),
        (
            {"ground": {"pixels": [1, 1, 2, 2, 3, 3, 4, 4], "metres": [1, 1, 2, 2, 3, 3, 4, 4]}},
            "three of its four points lie on one line",
        ),
    ],
)
def test_wrong_tables(table: dict[str, Any], error: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_places(table, "yard.toml")
    assert error in str(raised.value)


def test_each_place_has_a_name_of_its_own() -> None:
    with pytest.raises(UsageError, match="two places are named gate"):
        Places([parse_line("gate:1,2,3,4")], [parse_zone("gate:0,0,1,0,1,1")])
    one, other = PlaceRules((parse_line("gate:1,2,3,4"),)), PlaceRules(bays=(BayRule("A1", SQUARE),), anchor="center")
    both = one + other
    assert (len(both.lines), len(both.bays), both.anchor) == (1, 1, "center")
    with pytest.raises(UsageError, match="two places are named gate"):
        one + one


def test_bays_go_into_a_file_and_come_back(tmp_path: Path) -> None:
    bays = (BayRule("A1", SQUARE, (8, 2, 22, 20)), BayRule("Bühne 2", SQUARE, classes=("truck",)))
    write_bays(tmp_path / "bays.json", bays)
    assert read_bays(tmp_path / "bays.json") == bays
    assert json.loads((tmp_path / "bays.json").read_text())["bays"][0]["box"] == [8, 2, 22, 20]
    with pytest.raises(OutputError, match="cannot write bays to"):
        write_bays(tmp_path / "none" / "bays.json", bays)


def test_places_go_into_a_file_and_come_back() -> None:
    rules = PlaceRules(
        (parse_line("main gate:1,2,3,4"), LineRule("door", ((0.1, 0.5), (0.4, 0.5)), ("person",))),
        (parse_zone("yard:0,0,9,0,9,9"),),
        (BayRule("A1", SQUARE),),
    )
    assert read_places(tomllib.loads(places_toml(rules))) == rules


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("{", "is not JSON"),
        ("[]", "has no list of bays"),
        ('{"bays": [{"name": "A1"}]}', 'bay 1 has no "name" or no "polygon"; add it'),
        ('{"bays": [{"name": "A1", "polygon": [[0, 0], [1, 1]]}]}', "bay 1 has 2 corners; give three or more"),
        (
            '{"bays": [{"name": "A1", "polygon": [[0, 0], [9, 0], [9, 9]], "box": [1, 2, 3]}]}',
            "bay 1: box is [1, 2, 3]",
        ),
        (
            '{"bays": [{"name": "A1", "polygon": [[0, 0], [9, 0], [9, 9]], "box": [9, 2, 3, 4]}]}',
            "the box of bay A1 is",
        ),
        ('{"bays": [{"name": "A/1", "polygon": [[0, 0], [9, 0], [9, 9]]}]}', "bay 1: a bay is named 'A/1'"),
        (
            '{"bays": [{"name": "A1", "polygon": [[0, 0], [9, 0], [9, 9]]}, {"name": "A1", "polygon": [[0, 0], [9, 0], '
            "[9, 9]]}]}",
            "two places are named A1",
        ),
    ],
)
def test_wrong_files_of_bays(tmp_path: Path, content: str, error: str) -> None:
    path = tmp_path / "bays.json"
    path.write_text(content)
    with pytest.raises(DataError) as raised:
        read_bays(path)
    assert str(path) in str(raised.value)
    assert error in str(raised.value)


def test_a_file_of_bays_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StreamdetError, match=r"cannot read bays from .*none.json: no such file or directory"):
        read_bays(tmp_path / "none.json")


def test_corners_in_pixels_for_a_header() -> None:
    places = Places([parse_line("gate:0.5,0.5,1,1")], [parse_zone("yard:1,2,30,4,5,60")], [BayRule("A1", SQUARE)])
    assert places.geometry((640, 480)) == {
        "lines": {"gate": [[320, 240], [640, 480]]},
        "zones": {"yard": [[1, 2], [30, 4], [5, 60]]},
        "bays": {"A1": [list(point) for point in SQUARE]},
    }
