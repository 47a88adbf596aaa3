"""Tracks, places, counts, blurring and events of live sources: pipes and folders, which need no server."""

from __future__ import annotations

import csv
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamdet.results.jsonl_reading import read_jsonl
from tests.cli.conftest import Streamdet
from tests.media import make_clip, times_of

FRAMES = 60


@pytest.fixture
def pipe(streamdet: Streamdet) -> Iterator[Path]:
    """A pipe that a clip comes out of, in the folder of the run."""
    make_clip(Path("clip.ts"), frames=FRAMES)
    os.mkfifo("pipe")
    feeder = threading.Thread(target=lambda: Path("pipe").write_bytes(Path("clip.ts").read_bytes()))
    feeder.start()
    yield Path("pipe")
    feeder.join()


def camera_of(path: str = "run.json") -> dict[str, Any]:
    [camera] = json.loads(Path(path).read_text())["cameras"]
    return dict(camera)


def test_places_of_a_camera_reach_every_output(streamdet: Streamdet, pipe: Path, model_file: Path) -> None:
    done = streamdet(
        "run", pipe, "--every-frame", "--out", "out.mp4", "--model", model_file, "--report", "run.json",
        "--jsonl", "b.jsonl", "--counts", "counts.csv", "--blur", "person", "--keep", "0.08",
        "--line", "gate:0.5,0.9,0.5,0.1", "--zone", "all:0,0,1,0,1,1,0,1",
    )  # fmt: skip
    assert done.exit_code == 0, done.err
    camera = camera_of()
    header, lines = read_jsonl("b.jsonl")
    assert header["kept"] == 0.08
    assert header["tracking"]["pipe"]["start_score"]["car"] == 0.4
    assert header["places"]["pipe"]["lines"] == {"gate": [[0.5, 0.9], [0.5, 0.1]]}
    found = list(lines)
    assert len(found) == FRAMES
    assert any((line.shown.track_ids >= 0).any() for line in found)
    last = found[-1].scene_line
    assert camera["places"]["lines"]["gate"] == last["lines"]["gate"]
    assert camera["places"]["zones"]["all"]["now"] == last["zones"]["all"]
    happenings = [each for line in found for each in line.scene_line.get("happenings", [])]
    with Path("counts.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["stream"], row["kind"]) for row in rows] == [("pipe", each["kind"]) for each in happenings]
    assert all(row["utc"] for row in rows)
    assert camera["blurred"]["frames"] == FRAMES
    assert {"track", "blur", "draw", "encode"} <= set(camera["stages"])
    assert len(times_of(Path("out.mp4"))) == FRAMES
    assert "gate" in done.err
    assert "blurred" in done.err


def test_places_that_do_not_fit_are_told_and_the_run_goes_on(
    streamdet: Streamdet, pipe: Path, model_file: Path
) -> None:
    done = streamdet(
        "run", pipe, "--every-frame", "--no-video", "--model", model_file, "--report", "run.json",
        "--jsonl", "b.jsonl", "--line", "gate:5000,0,9000,9",
    )  # fmt: skip
    assert done.exit_code == 0, done.err
    [note] = [note for note in camera_of()["notes"] if "gate" in note]
    assert note.startswith("nothing is counted at its places: ")
    lines = list(read_jsonl("b.jsonl")[1])
    assert len(lines) == FRAMES
    assert not any("lines" in line.scene_line for line in lines)


def test_cameras_of_a_file_have_places_of_their_own(streamdet: Streamdet, pipe: Path, model_file: Path) -> None:
    Path("cameras.toml").write_text(
        'every_frame = true\n[camera.gate]\nurl = "pipe"\n[camera.gate.zones]\nyard = [[0, 0], [160, 0], [160, 120]]\n'
    )
    arguments = ("--config", "cameras.toml", "--no-video", "--jsonl", "b.jsonl", "--report", "run.json")
    done = streamdet("run", *arguments, "--zone", "all:0,0,1,0,1,1,0,1", "--model", model_file)
    assert done.exit_code == 0, done.err
    assert list(camera_of()["places"]["zones"]) == ["yard"]


def test_events_of_a_camera(streamdet: Streamdet, pipe: Path, model_file: Path) -> None:
    Path("events.toml").write_text('folder = "ev"\nclip = true\n[rule.many]\nabove = 0\n')
    arguments = ("--every-frame", "--no-video", "--jsonl", "b.jsonl", "--report", "run.json", "--model", model_file)
    done = streamdet("run", pipe, "--events", "events.toml", *arguments)
    assert done.exit_code == 0, done.err
    report = json.loads(Path("run.json").read_text())
    assert report["events"]["told"] >= 1
    assert "ev/" in report["outputs"]
    assert list(Path("ev").glob("*.jpg"))
    assert list(Path("ev").glob("*.mp4"))
    assert "told" in done.err


def test_a_rule_about_a_place_that_is_not_there(streamdet: Streamdet, model_file: Path) -> None:
    Path("events.toml").write_text('[rule.in]\nline = "gate"\n')
    os.mkfifo("pipe")
    done = streamdet("run", "pipe", "--events", "events.toml", "--no-video", "--jsonl", "b", "--model", model_file)
    assert done.exit_code == 2
    assert "rule in watches the line 'gate', which is not known" in done.err
