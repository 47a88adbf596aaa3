"""The shipped model, the whole pipeline and the rendered parking lot, against the lot's exact truth."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamdet.cli.file_run import run_file
from streamdet.options import OTHERS, CommonOptions, RunOptions
from streamdet.results.jsonl_reading import read_jsonl
from streamdet.training.dataset import Dataset
from streamdet.training.evaluate import score
from streamdet.training.formats.coco import read_coco
from streamdet.types import Detections
from tests.media import times_of

SAMPLES = Path(__file__).parents[1] / "samples"
EVERY = 8


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    content = json.loads((SAMPLES / "parking.json").read_text())
    for image in content["images"]:
        image["file_name"] = f"parking.mp4, frame {image['index']}"
    path = tmp_path_factory.mktemp("truth") / "parking.json"
    path.write_text(json.dumps(content))
    return read_coco(path)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Detections]:
    """Detections by frame index, as `streamdet run` wrote them."""
    path = tmp_path_factory.mktemp("parking") / "boxes.jsonl"
    source = str(SAMPLES / "parking.mp4")
    options = RunOptions(source, video=False, common=CommonOptions(jsonl=str(path), conf={OTHERS: 0.05}, every=EVERY))
    assert run_file(options) == 0
    _, lines = read_jsonl(path)
    return {line.index: line.detections for line in lines}


def test_truth_and_clip_have_the_same_frames() -> None:
    images = json.loads((SAMPLES / "parking.json").read_text())["images"]
    assert [image["index"] for image in images] == list(range(len(images)))
    assert [image["time_s"] for image in images] == pytest.approx([float(t) for t in times_of(SAMPLES / "parking.mp4")])


def test_cars_are_found_where_they_are(truth: Dataset, found: dict[int, Detections]) -> None:
    assert sorted(found) == list(range(0, len(truth.images), EVERY))
    images = tuple(truth.images[index] for index in sorted(found))
    scores = score(replace(truth, images=images), [found[index] for index in sorted(found)])
    assert scores.ap50_per_class["car"] >= 0.95


def test_the_number_of_cars_is_about_right(truth: Dataset, found: dict[int, Detections]) -> None:
    car = truth.class_names.index("car")
    errors = []
    for index, detections in found.items():
        image = truth.images[index]
        cars = int((image.class_ids == car).sum())
        ignored = int((image.ignored_class_ids == car).sum())
        counted = sum(name == "car" and confidence >= 0.5 for _, confidence, name in detections)
        errors.append(max(0, cars - counted, counted - cars - ignored) / cars)
    assert float(np.mean(errors)) < 0.2
