"""What a live run's outputs are made of, without a camera."""

from __future__ import annotations

import json
import os
import time
from fractions import Fraction
from pathlib import Path

import av
import pytest

from streamdet.cli.cameras import CameraOptions
from streamdet.cli.live_outputs import Outputs
from streamdet.options import CommonOptions, LiveRunOptions
from streamdet.types import DetectedFrame, Detections, Frame
from streamdet.video.location import parse_location

CAMERA = CameraOptions("gate", parse_location("rtsp://10.0.0.1/a"))


def frame(utc_s: float) -> DetectedFrame:
    picture = av.VideoFrame(64, 48, "yuv420p")
    return DetectedFrame(
        Frame(picture, "gate", 0, 0, Fraction(1, 25), time.monotonic(), utc_s=utc_s), Detections.empty(("car",))
    )


def test_old_json_lines_are_deleted_and_new_ones_tell_of_the_cameras_of_now(tmp_path: Path) -> None:
    old = tmp_path / "b_2020-01-01T00-00-00Z.jsonl"
    old.touch()
    os.utime(old, (0, 0))
    options = LiveRunOptions(
        sources=("x",), video=False, segment_s=60, keep_s=3600, common=CommonOptions(jsonl=str(tmp_path / "b.jsonl"))
    )
    outputs = Outputs(options, [CAMERA])
    [journal] = outputs.journals({"sources": ["gate"], "classes": ["car"]})
    now_s = time.time()
    journal.write(frame(now_s))
    outputs.changed({"sources": ["gate", "yard"], "classes": ["car"]})
    journal.write(frame(now_s + 60))
    journal.finish(complete=True)
    assert not old.exists()
    headers = [json.loads(path.read_text().splitlines()[0]) for path in sorted(tmp_path.glob("b_*.jsonl"))]
    assert [header["sources"] for header in headers] == [["gate"], ["gate", "yard"]]


def test_without_a_screen_a_recording_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setenv("WAYLAND_DISPLAY", "")
    camera = CameraOptions("gate", CAMERA.location, out=f"{tmp_path}/rec/")
    outputs = Outputs(LiveRunOptions(config=tmp_path / "cameras.toml", show=True), [camera])
    [note] = outputs.news()
    assert note.startswith("--show needs")
    outputs.close()
    assert outputs.news() == []  # told once
