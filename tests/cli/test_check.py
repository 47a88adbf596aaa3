from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from tests.cli.conftest import Streamdet
from tests.media import make_clip, truncate
from tests.video.checking.planting import annotate, make_source, remake

VFR = [k * 40 + (k % 3) * 7 for k in range(30)]


@pytest.fixture
def source() -> Path:
    return make_source(Path("clip.mp4"), 30, pts=VFR, time_base=Fraction(1, 1000), audio="aac")


def test_what_run_makes_is_proven(streamdet: Streamdet, clip: Path, model_file: Path) -> None:
    streamdet(
        "run", clip, "--model", model_file, "--out", "out.mkv", "--jsonl", "boxes.jsonl", "--end", "1", "--every", "2"
    )
    for output in ("out.mkv", "boxes.jsonl"):
        done = streamdet("check", output, "--against", clip, "--end", "1", "--every", "2")
        assert done.exit_code == 0, done.err
        assert "proven" in done.err
        assert "13 of 13" in done.err


def test_what_is_missing_is_named_and_tells_in_the_exit_code(streamdet: Streamdet, source: Path) -> None:
    annotate(source, Path("good.mp4"))
    remake(Path("good.mp4"), Path("bad.mp4"), pictures=lambda pictures: pictures[:20] + pictures[21:])
    done = streamdet("check", "bad.mp4", "--against", source)
    assert done.exit_code == 5
    assert "1 frame missing, at 0.814 s" in done.err
    assert "29 of 30" in done.err


def test_what_is_wrong_is_named_and_tells_in_the_exit_code(streamdet: Streamdet, source: Path) -> None:
    annotate(source, Path("good.mp4"))
    remake(Path("good.mp4"), Path("bad.mp4"), pictures=lambda pictures: [(picture, s + 1) for picture, s in pictures])
    done = streamdet("check", "bad.mp4", "--against", source, "--json")
    assert done.exit_code == 1
    told = json.loads(done.out)
    assert told["exit_code"] == 1
    assert [fault["kind"] for fault in told["faults"]] == ["time"]
    assert told["faults"][0]["sentence"] == "all 30 frames are 1000.000 ms too late"
    assert told["largest_drift_s"] == pytest.approx(1)


def test_json_lines_of_a_killed_run_are_not_proven(streamdet: Streamdet, clip: Path, model_file: Path) -> None:
    streamdet("run", clip, "--model", model_file, "--no-video", "--jsonl", "whole.jsonl")
    lines = Path("whole.jsonl").read_text().splitlines(keepends=True)
    Path("killed.jsonl").write_text("".join(lines[:31]))
    done = streamdet("check", "killed.jsonl", "--against", clip)
    assert done.exit_code == 5
    assert "20 frames missing, from 1.200 s to 1.960 s" in done.err
    assert "has no end line" in done.err
    Path("wrong.jsonl").write_text("".join(lines).replace('"pts": 512,', '"pts": 513,'))
    done = streamdet("check", "wrong.jsonl", "--against", clip)
    assert done.exit_code == 1
    assert "the frame at 0.040 s is 0.078 ms too late" in done.err


def test_files_that_cannot_be_read_are_named(streamdet: Streamdet, source: Path) -> None:
    make_clip(Path("late_index.mp4"), frames=30)
    truncate(Path("late_index.mp4"), Path("cut.mp4"), 0.5)
    done = streamdet("check", "cut.mp4", "--against", source)
    assert done.exit_code == 3
    assert "cut.mp4" in done.err
    assert streamdet("check", "gone.mp4", "--against", source).exit_code == 3
