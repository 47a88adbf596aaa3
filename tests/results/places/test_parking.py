"""The rendered parking lot with its true boxes, against what truly happens there."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamdet.results.places import Places, read_places
from streamdet.scene import Happening, Scene
from streamdet.types import Detections

SAMPLES = Path(__file__).parents[3] / "samples"
SIZE = (1280, 720)


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    return dict(json.loads((SAMPLES / "parking_answers.json").read_text()))


@pytest.fixture(scope="module")
def watched() -> tuple[list[tuple[float, Scene]], list[Happening]]:
    """Each frame's time and scene, and all happenings."""
    table = tomllib.loads((SAMPLES / "parking_places.toml").read_text())
    places = Places.of(read_places(table, folder=SAMPLES))
    scenes, happenings = [], []
    for time_s, detections in true_boxes():
        scene = places.update(detections, time_s, SIZE)
        scenes.append((time_s, scene))
        happenings += scene.happenings
    return scenes, happenings


def true_boxes() -> Iterator[tuple[float, Detections]]:
    truth = json.loads((SAMPLES / "parking.json").read_text())
    names = tuple(category["name"] for category in truth["categories"])
    for image in truth["images"]:
        here = [a for a in truth["annotations"] if a["image_id"] == image["id"] and not a["iscrowd"]]
        xywh = np.array([a["bbox"] for a in here], np.float32)
        yield (
            image["time_s"],
            Detections(
                np.concatenate((xywh[:, :2], xywh[:, :2] + xywh[:, 2:]), 1),
                np.ones(len(here), np.float32),
                np.array([a["category_id"] - 1 for a in here], np.int64),
                names,
                np.array([a["instance_id"] for a in here], np.int64),
            ),
        )


def test_the_count_of_every_line_is_exact(watched: Any, answers: dict[str, Any]) -> None:
    scene = watched[0][-1][1]
    counts = {line.name: {"in": dict(line.in_counts), "out": dict(line.out_counts)} for line in scene.lines}
    assert counts == answers["lines"]
    assert sum(sum(way.values()) for line in counts.values() for way in line.values()) > 10


def test_the_count_of_every_zone_is_exact(watched: Any, answers: dict[str, Any]) -> None:
    scene = watched[0][-1][1]
    assert {zone.name: dict(zone.entered) for zone in scene.zones} == answers["entered"]


def test_bays_are_right_in_99_percent_of_all_bay_seconds(watched: Any, answers: dict[str, Any]) -> None:
    right = total = 0
    for time_s, scene in watched[0]:
        for bay in scene.bays:
            true_state = [state for since_s, state in answers["bays"][bay.name] if since_s <= time_s + 1e-3][-1]
            right += bay.occupied is true_state
            total += 1
    assert total == 195 * len(answers["bays"])
    assert right / total >= 0.99


def test_bays_tell_their_changes_once_and_nothing_else(watched: Any, answers: dict[str, Any]) -> None:
    told = {(one.place, one.kind): one.began_s for one in watched[1] if one.kind in ("occupied", "freed")}
    changes = {
        (name, "occupied" if states[1][1] else "freed"): states[1][0]
        for name, states in answers["bays"].items()
        if len(states) > 1
    }
    assert told.keys() == changes.keys()
    assert len(changes) == 2
    for change, began_s in told.items():
        assert began_s == pytest.approx(changes[change], abs=1.0)


def test_speeds_are_those_of_the_scene(watched: Any) -> None:
    speeds = [(one.class_name, one.speed_m_per_s) for one in watched[1] if one.kind == "crossed"]
    walking = [speed for name, speed in speeds if name == "person" and speed < 3]  # one of them rides the bicycle
    assert len(walking) == 5
    assert np.median(walking) == pytest.approx(1.3, abs=0.2)  # they walk at 1.2 to 1.45
    (cycling,) = [speed for name, speed in speeds if name == "bicycle"]
    assert cycling == pytest.approx(4.2, abs=0.8)
