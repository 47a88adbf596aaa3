"""`streamdet bays learn`, from recordings and from what a run wrote about them."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from streamdet.results.places import read_bays
from tests.cli.conftest import Streamdet
from tests.media import make_clip

SIZE = (320, 240)
PARKED = [(20.0, 60.0, 80.0, 110.0), (120.0, 60.0, 180.0, 110.0)]


@pytest.fixture
def detections(tmp_path: Path) -> Path:
    """What a run of 30 s wrote about two parked cars and one that passes."""
    lines = [{"type": "header", "schema": 1, "classes": ["person", "car"], "width": SIZE[0], "height": SIZE[1]}]
    for index in range(60):
        boxes = [*PARKED, (4.0 * index, 150.0, 4.0 * index + 60, 200.0)]
        found = [{"box_xyxy": box, "class": "car", "score": 0.9} for box in boxes]
        moment = {"index": index, "pts": index, "time_base": "1/2", "time_s": index / 2, "damaged": False}
        lines.append({"type": "frame", **moment, "boxes": found})
    lines.append({"type": "end", "frames": 60, "complete": True})
    path = tmp_path / "clip.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_from_what_a_run_wrote(streamdet: Streamdet, detections: Path) -> None:
    outcome = streamdet("bays", "learn", detections, "--out", "bays.json")
    assert outcome.exit_code == 0, outcome.err
    assert "bays.json: 2 bays; look at them, and add the empty ones" in outcome.err
    bays = read_bays(Path("bays.json"))
    assert [(bay.name, bay.box_xyxy) for bay in bays] == [("A1", PARKED[0]), ("A2", PARKED[1])]


def test_from_a_recording(streamdet: Streamdet, model_file: Path, tmp_path: Path) -> None:
    def still(_: int, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        return np.random.default_rng(1).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)

    clip = make_clip(tmp_path / "clip.mp4", frames=60, rate=Fraction(10), size=SIZE, draw=still)
    given = ("--model", model_file, "--out", "bays.json", "--picture", "bays.png", "--conf", "0.3", "--least", "2")
    outcome = streamdet("bays", "learn", clip, *given)
    if outcome.exit_code == 1:  # a model of random weights: that it finds something that stands is likely, not sure
        pytest.fail(outcome.err)
    assert outcome.exit_code == 0
    assert len(read_bays(Path("bays.json"))) >= 1
    with Image.open("bays.png") as picture:
        assert picture.size == SIZE


def test_what_can_not_be_learned(streamdet: Streamdet, detections: Path, tmp_path: Path) -> None:
    def error(*arguments: str | Path) -> tuple[int, str]:
        outcome = streamdet("bays", "learn", *arguments)
        return outcome.exit_code, outcome.err.strip().removeprefix("streamdet: ")

    assert error(detections, "--out", "bays.json", "--least", "60") == (
        1,
        f"in the 30 s of {detections} no vehicle stood for 60 s; give a longer recording, a shorter --least, or a "
        "lower --conf",
    )
    assert error(detections, "--out", "bays.json", "--least", "-1") == (2, "--least is -1; give seconds, 0 or more")
    assert error(detections, "--out", "bays.json", "--conf", "2")[0] == 2
    code, sentence = error(detections, "--out", "bays.json", "--picture", "bays.png")
    assert (code, sentence.startswith("--picture needs pictures and")) == (2, True)
    assert not Path("bays.json").exists()
    Path("bays.json").write_text("mine")
    code, sentence = error(detections, "--out", "bays.json")
    assert (code, sentence) == (2, "bays.json is there already; give --overwrite to replace it")
    assert Path("bays.json").read_text() == "mine"
    assert streamdet("bays", "learn", detections, "--out", "bays.json", "--overwrite").exit_code == 0
    assert error(tmp_path / "none.mp4", "--out", "other.json")[0] == 3
