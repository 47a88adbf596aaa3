"""The rendered parking lot: the committed clip, its truth, and the script that made both."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

SAMPLES = Path(__file__).parent.parent / "samples"
CLIP = SAMPLES / "parking.mp4"


@pytest.fixture(scope="module")
def truth() -> dict[str, Any]:
    return json.loads(CLIP.with_suffix(".json").read_text())


@pytest.fixture(scope="module")
def scenes() -> Any:
    """The module samples/parking_stage.py, a script's part and not in any package."""
    sys.path.insert(0, str(SAMPLES))
    try:
        yield importlib.import_module("parking_stage")
    finally:
        sys.path.remove(str(SAMPLES))


@pytest.fixture(scope="module")
def sample(scenes: Any) -> Any:
    """(view, light at a time) of the sample clip."""
    return scenes.sample_scene(0)


def run_script(*arguments: str) -> None:
    script = SAMPLES / "render_parking.py"
    subprocess.run([sys.executable, str(script), *arguments], check=True, stdout=subprocess.DEVNULL)


def changed_box(one: np.ndarray, other: np.ndarray) -> tuple[int, int, int, int]:
    """The box around all pixels that differ clearly."""
    rows, columns = np.nonzero(np.abs(one.astype(int) - other).max(2) > 6)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def test_the_clip_and_its_truth_are_small() -> None:
    assert CLIP.stat().st_size < 3_000_000
    assert CLIP.with_suffix(".json").stat().st_size < 1_000_000


def test_every_frame_of_the_clip_has_its_truth(truth: dict[str, Any]) -> None:
    with av.open(str(CLIP)) as container:
        stream = container.streams.video[0]
        size, time_base = (stream.width, stream.height), stream.time_base
        pts = [frame.pts for frame in container.decode(stream)]
    info, images = truth["info"], truth["images"]
    assert size == (info["width"], info["height"]) == (1280, 720)
    assert time_base == Fraction(*info["time_base"])
    assert pts == [image["pts"] for image in images]
    assert [image["index"] for image in images] == list(range(info["frames"]))
    for image in images:
        assert image["time_s"] == pytest.approx(image["pts"] * time_base, abs=1e-8)


def test_boxes_of_the_truth_lie_inside_the_picture(truth: dict[str, Any]) -> None:
    boxes = np.array([a["bbox"] for a in truth["annotations"]])
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] > 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= (1280, 720)).all()
    assert len({a["id"] for a in truth["annotations"]}) == len(boxes)
    assert [c["name"] for c in truth["categories"]] == ["person", "bicycle", "car", "motorcycle", "bus", "truck"]


def test_a_thing_is_one_class_and_at_most_once_in_a_frame(truth: dict[str, Any]) -> None:
    pairs = Counter((a["image_id"], a["instance_id"]) for a in truth["annotations"])
    assert max(pairs.values()) == 1
    classes = {(a["instance_id"], a["category_id"]) for a in truth["annotations"]}
    assert len(classes) == len({instance for instance, _ in classes})
    assert sum(category == 3 for _, category in classes) == truth["info"]["cars"]


def test_what_is_hidden_or_tiny_is_to_be_ignored(truth: dict[str, Any]) -> None:
    for a in truth["annotations"]:
        hidden, tiny = a.get("visible", 1.0) < 0.25, min(a["bbox"][2:]) < 8
        assert a["iscrowd"] == int(hidden or tiny) or a["visible"] == 0.25  # rounded


def test_the_clip_shows_what_the_script_renders(sample: Any, truth: dict[str, Any]) -> None:
    view, light = sample
    index = 70
    picture, truths = view.frame(index / 15, light(index / 15), index)
    with av.open(str(CLIP)) as container:
        frames = [frame for i, frame in enumerate(container.decode(video=0)) if i == index]
    shown = frames[0].to_ndarray(format="bgr24")
    assert np.abs(picture.astype(int) - shown).mean() < 5
    written = {a["instance_id"]: a["bbox"] for a in truth["annotations"] if a["image_id"] == index + 1}
    assert set(written) == {t.ident for t in truths}
    for t in truths:
        x, y, width, height = written[t.ident]
        np.testing.assert_allclose((x, y, x + width, y + height), t.box_xyxy, atol=1.1)


def test_boxes_match_what_changes_when_a_thing_is_taken_away(sample: Any) -> None:
    view, light = sample
    t = 6.0
    whole, truths = view.frame(t, light(t), 0, softness=0.3)
    dark = {thing.ident for thing in view.scene.things if thing.pose is None}  # glare reaches beyond its car
    clear = [x for x in truths if x.visible > 0.6 and not x.ignored and x.ident in dark]
    cars = [x for x in clear if x.category == 3][::9]
    people = [x for x in clear if x.category == 1][:2]
    assert len(cars) >= 3
    assert people
    for x in cars + people:
        without, left = view.frame(t, light(t), 0, without=x.ident, softness=0.3)
        assert x.ident not in {other.ident for other in left}
        np.testing.assert_allclose(changed_box(whole, without), x.box_xyxy, atol=2.0)


def test_the_same_seed_gives_the_same_pixels(scenes: Any) -> None:
    def picture(seed: int) -> np.ndarray:
        view, light, _ = scenes.random_view(scenes.random_scene(seed), np.random.default_rng(seed), (320, 180))
        return view.frame(0.0, light, 3)[0]

    first = picture(11)
    assert np.array_equal(first, picture(11))
    assert not np.array_equal(first, picture(12))


def test_frames_come_in_the_form_of_the_training_data(tmp_path: Path) -> None:
    run_script("frames", "--out", str(tmp_path), "--count", "2", "--seed", "3001")
    content = json.loads((tmp_path / "train.json").read_text())
    assert len(content["images"]) == 2
    for image in content["images"]:
        assert set(image) >= {"id", "file_name", "width", "height", "source", "group", "labelled_category_ids"}
        assert cv2.imread(str(tmp_path / "images" / image["file_name"])).shape == (360, 640, 3)
    boxes = np.array([a["bbox"] for a in content["annotations"]])
    assert len(boxes)
    assert (boxes[:, :2] + boxes[:, 2:] <= (640, 360)).all()
    assert {a["image_id"] for a in content["annotations"]} <= {1, 2}


@pytest.mark.slow
def test_the_script_writes_a_clip(tmp_path: Path) -> None:
    out = tmp_path / "lot.mp4"
    run_script("clip", "--out", str(out), "--frames", "2")
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 2
    assert len(json.loads(out.with_suffix(".json").read_text())["images"]) == 2
