"""What stands in the rendered parking lots that models are trained on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

SAMPLES = Path(__file__).parents[1] / "samples"


def test_passers_by_come_on_top_of_who_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the pictures of a seed stay what they are where nobody asks for more people."""
    monkeypatch.syspath_prepend(str(SAMPLES))
    from parking_scene import BICYCLE, PERSON
    from parking_stage import add_passers_by, random_scene

    scene = random_scene(1000)
    before, state = list(scene.things), scene.rng.bit_generator.state
    add_passers_by(scene, 1000)
    assert scene.things[: len(before)] == before
    assert scene.rng.bit_generator.state == state
    added = Counter(thing.category for thing in scene.things[len(before) :])
    assert set(added) == {PERSON, BICYCLE}
    assert added[PERSON] >= 5 + added[BICYCLE]


def test_pictures_of_a_lot_are_told_to_belong_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So that no lot is both learned and tested."""
    monkeypatch.syspath_prepend(str(SAMPLES))
    from parking_scene import CAR, Truth
    from render_parking import Look, render_frames

    def looks(seed: int) -> Iterator[Look]:
        for shade in range(0, 250, 50):
            picture = np.full((24, 32, 3), shade, np.uint8)
            yield Look(picture, [Truth(seed, CAR, (1, 2, 11, 22), 1.0), Truth(1, CAR, (3, 4, 5, 6), 1.0)], "day", 90)

    render_frames(tmp_path, 6, 40, looks)

    told = json.loads((tmp_path / "train.json").read_text())
    assert [image["group"] for image in told["images"]] == 4 * ["parking_000040"] + 2 * ["parking_000041"]
    assert all(cv2.imread(str(tmp_path / "images" / i["file_name"])).shape == (24, 32, 3) for i in told["images"])
    assert [a["image_id"] for a in told["annotations"]] == [image["id"] for image in told["images"] for _ in "ab"]
    assert len({a["id"] for a in told["annotations"]}) == 12
    assert told["annotations"][-2]["bbox"] == [1, 2, 10, 20]
    assert [a["iscrowd"] for a in told["annotations"][:2]] == [0, 1]  # 2 px wide: too small to be asked for


def test_the_sample_camera_sees_the_same_lot_at_other_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SAMPLES))
    from parking_scene import CAR
    from render_parking import looks_of_sample_camera

    one, other = islice(looks_of_sample_camera()(100), 2)
    assert one.picture.shape == other.picture.shape == (720, 1280, 3)
    still = [{(t.ident, t.box_xyxy) for t in look.truths if t.category == CAR} for look in (one, other)]
    assert len(still[0] & still[1]) > 10  # what is parked stays
    assert still[0] != still[1]  # what moves doesn't
