"""`streamdet run` with tracks, places and low scores, on a file."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from streamdet.results.jsonl_reading import FrameLine, read_jsonl
from tests.cli.conftest import Streamdet

SIZES = ("--model", "MODEL", "--no-video", "--jsonl", "a.jsonl", "--overwrite")


def lines_of(path: str = "a.jsonl") -> list[FrameLine]:
    lines = read_jsonl(path)[1]
    found = list(lines)
    assert lines.complete
    return found


@pytest.fixture
def run(streamdet: Streamdet, clip: Path, model_file: Path) -> Streamdet:
    def call(*arguments: str | Path) -> object:
        filled = [str(model_file) if argument == "MODEL" else argument for argument in (*SIZES, *arguments)]
        done = streamdet("run", clip, *filled)
        assert done.exit_code == 0, done.err
        return done

    return call  # type: ignore[return-value]


def test_low_scores_are_kept_and_not_shown(run: Streamdet) -> None:
    run("--every", "10")
    usual = lines_of()
    assert "kept" not in read_jsonl("a.jsonl")[0]
    run("--every", "10", "--keep", "0.05")
    kept = lines_of()
    assert read_jsonl("a.jsonl")[0]["kept"] == 0.05
    assert read_jsonl("a.jsonl")[0]["thresholds"] == {"car": 0.4, "person": 0.4, "bicycle": 0.4}
    assert sum(len(line.detections) for line in kept) > sum(len(line.detections) for line in usual)
    for before, after in zip(usual, kept, strict=True):
        # those of one score come in any order
        assert sorted(before.shown.boxes_xyxy.tolist()) == sorted(after.shown.boxes_xyxy.tolist())
        assert after.detections.scores.min() < 0.4


def test_a_least_score_for_each_class(run: Streamdet) -> None:
    run("--every", "10", "--keep", "0.05", "--conf", "0.3,person=0.5")
    assert read_jsonl("a.jsonl")[0]["thresholds"] == {"car": 0.3, "person": 0.5, "bicycle": 0.3}
    for line in lines_of():
        least = np.array([0.5 if name == "person" else 0.3 for name in line.detections.names], np.float32)
        shown = np.ones(len(line.detections), np.bool_) if line.shown_mask is None else line.shown_mask
        strong = line.detections.scores >= least
        assert not (shown & ~strong).any()
        assert shown.sum() > strong.sum() / 2  # all but second boxes of one object


def test_tracks_and_places_reach_every_output(run: Streamdet) -> None:
    arguments = ("--line", "gate:0.5,0.9,0.5,0.1", "--zone", "all:0,0,1,0,1,1,0,1")
    done = run(*arguments, "--counts", "counts.csv", "--report", "run.json")
    header, _ = read_jsonl("a.jsonl")
    assert header["tracking"]["start_score"]["car"] == 0.4
    assert header["places"]["zones"] == {"all": [[0, 0], [160, 0], [160, 120], [0, 120]]}
    lines = lines_of()
    assert len({int(track) for line in lines for track in line.shown.track_ids}) > 1
    assert all((line.shown.track_ids >= 0).all() for line in lines)
    last = lines[-1]
    in_it = last.scene_line["zones"]["all"]
    assert sum(in_it.values()) > 0
    happenings = [each for line in lines for each in line.scene_line.get("happenings", [])]
    assert happenings
    with Path("counts.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["kind"], row["place"], row["track"]) for row in rows] == [
        (each["kind"], each["place"], str(each.get("track", ""))) for each in happenings
    ]
    report = json.loads(Path("run.json").read_text())
    assert report["places"]["zones"]["all"]["now"] == in_it
    assert report["places"]["lines"]["gate"] == last.scene_line["lines"]["gate"]
    assert report["stages"]["track"]["frames"] == 50
    assert "zones" in done.err
    assert "gate" in done.err


def test_a_class_that_is_only_blurred_is_kept_and_not_shown(run: Streamdet) -> None:
    done = run("--classes", "car", "--blur", "person", "--report", "run.json", "--every", "5")
    lines = lines_of()
    assert {name for line in lines for name in line.shown.names} <= {"car"}
    assert "person" in {name for line in lines for name in line.detections.names}
    blurred = json.loads(Path("run.json").read_text())["blurred"]
    assert blurred["classes"] == ["person"]
    assert blurred["frames"] == 10
    assert "blurred" in done.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--conf", "1.5"), "--conf is 1.5; give a number between 0 and 1"),
        (("--conf", "persn=0.5"), "--conf: tiny knows no class 'persn'; did you mean 'person'?"),
        (("--blur", "dog"), "--blur: tiny knows no class 'dog'; it knows car, person, bicycle"),
        (("--blur-only",), "--blur-only needs the classes to blur: add --blur person"),
        (("--keep", "24h"), "--keep with a time is for cameras and streams"),
        (("--keep", "0.0"), "--keep is 0; give a score"),
        (("--line", "gate:1,2"), "--line 'gate:1,2' has 2 numbers"),
        (("--zone", "1,2,3"), "--zone '1,2,3' has no name"),
        (("--line", "gate:0,0,9,9", "--zone", "gate:0,0,9,9,0,9"), "two places are named gate"),
        (("--line", "gate:5000,0,9000,9"), "line gate"),
        (("--bays", "none.json"), "cannot read bays from none.json"),
        (("--places", "none.toml"), "cannot read none.toml: no such file or directory; give a TOML file of places"),
        (("--counts", "clip.csv", "--report", "clip.csv"), "name the same file"),
        (("--resume",), "--resume goes on from the JSON lines"),
    ],
)
def test_bad_input_gets_one_sentence(
    streamdet: Streamdet, clip: Path, model_file: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    done = streamdet("run", clip, "--model", model_file, *arguments)
    assert done.exit_code in (1, 2)
    assert sentence in done.err
    assert done.err.startswith("streamdet: ")
    assert done.err.count("\n") == 1
    assert not list(Path().glob("*.mp4")), "nothing was written"
