"""`streamdet run --resume`: killed at any moment, a run goes on and ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from streamdet.results.jsonl_reading import read_jsonl
from streamdet.video.hardware import NVENC
from tests.cli.conftest import Streamdet
from tests.media import boxes_of, make_clip, packets_of, times_of

pytestmark = pytest.mark.timeout(600)
FRAMES = 160
PLACES = ("--line", "gate:0.5,0.9,0.5,0.1", "--zone", "all:0,0,1,0,1,1,0,1")


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("long") / "long.mp4", frames=FRAMES, audio="aac")


@pytest.fixture(scope="module")
def command(long_clip: Path, model_file: Path) -> list[str]:
    arguments = ["run", str(long_clip), "--model", str(model_file), *PLACES]
    return [*arguments, "--out", "out.mp4", "--jsonl", "a.jsonl", "--counts", "counts.csv"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, command: list[str]) -> Path:
    """What a run leaves that nobody stopped."""
    folder = tmp_path_factory.mktemp("whole")
    subprocess.run([sys.executable, "-m", "streamdet", *command], cwd=folder, check=True, capture_output=True)
    return folder


def start(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "streamdet", *command], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def lines_in(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def kill_after(command: list[str], folder: Path, lines: int) -> None:
    """Kill the run once its file of JSON lines has so many, wherever it is then."""
    with start(command, folder) as process:
        while process.poll() is None and lines_in(folder / "a.jsonl") < lines:
            time.sleep(0.002)
        process.kill()


def blocks(frame: av.VideoFrame) -> np.ndarray:
    """(15, 20) mean brightness of 8 x 8 pixels each."""
    luma = frame.to_ndarray()[: frame.height]
    return luma.reshape(frame.height // 8, 8, frame.width // 8, 8).mean((1, 3))


def assert_equal(folder: Path, whole: Path) -> None:
    ours, theirs = ((each / "a.jsonl").read_bytes().splitlines() for each in (folder, whole))
    assert ours == theirs
    assert (folder / "counts.csv").read_bytes() == (whole / "counts.csv").read_bytes()
    out, expected = folder / "out.mp4", whole / "out.mp4"
    assert times_of(out) == times_of(expected)
    assert packets_of(out, "audio") == packets_of(expected, "audio")
    assert boxes_of(out) == boxes_of(expected)
    with av.open(str(out)) as one, av.open(str(expected)) as other:
        for ours_frame, expected_frame in zip(one.decode(video=0), other.decode(video=0), strict=True):
            # the same pictures, boxes and all; an encoder that begins anew is another one only in the finest noise
            assert np.abs(blocks(ours_frame) - blocks(expected_frame)).max() < 25
    assert sorted(path.name for path in folder.iterdir()) == ["a.jsonl", "counts.csv", "out.mp4"]


@pytest.mark.slow
def test_killed_again_and_again(command: list[str], whole: Path, tmp_path: Path) -> None:
    chance = random.Random(7)
    kill_after(command, tmp_path, 60)
    for lines in (chance.randrange(61, 100), 0, chance.randrange(101, 150)):
        kill_after([*command, "--resume"], tmp_path, lines)
    assert start([*command, "--resume"], tmp_path).wait() == 0
    assert_equal(tmp_path, whole)


def test_a_run_that_was_interrupted_goes_on(streamdet: Streamdet, command: list[str], whole: Path) -> None:
    folder = Path.cwd()
    with start(command, folder) as process:
        while lines_in(folder / "a.jsonl") < 80:
            assert process.poll() is None
            time.sleep(0.002)
        process.terminate()
        assert process.wait() == 130
    assert "moov" in boxes_of(Path("out.mp4"))
    assert len(times_of(Path("out.mp4"))) < FRAMES
    done = streamdet(*command, "--resume")
    assert done.exit_code == 0, done.err
    assert "of a run that was stopped" in done.err
    assert f"{FRAMES} detected · {FRAMES} written" in " ".join(done.err.replace("│", " ").split())
    assert_equal(folder, whole)


def test_where_nothing_is_left_all_begins_anew(streamdet: Streamdet, clip: Path, model_file: Path) -> None:
    arguments = ("run", clip, "--model", model_file, "--out", "o.mp4", "--jsonl", "a.jsonl", "--resume")
    assert streamdet(*arguments).exit_code == 0
    assert len(times_of(Path("o.mp4"))) == 50
    again = streamdet(*arguments)
    assert (again.exit_code, again.err) == (0, "a.jsonl is complete: there is nothing to go on with\n")
    lines = Path("a.jsonl").read_bytes().splitlines(keepends=True)
    before = b"".join(lines)
    Path("a.jsonl").write_bytes(b"".join(lines[:11]) + lines[11][:30])  # the video has no second key frame
    os.truncate("o.mp4", 9000)
    assert streamdet(*arguments).exit_code == 0
    assert Path("a.jsonl").read_bytes() == before
    assert len(times_of(Path("o.mp4"))) == 50


@pytest.fixture
def stopped(streamdet: Streamdet, clip: Path, model_file: Path) -> tuple[str, ...]:
    """A run over a clip whose lines end after the tenth."""
    arguments = ("run", str(clip), "--model", str(model_file), "--no-video", "--jsonl", "a.jsonl")
    assert streamdet(*arguments).exit_code == 0
    lines = Path("a.jsonl").read_bytes().splitlines(keepends=True)
    Path("a.jsonl").write_bytes(b"".join(lines[:11]))
    return arguments


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--conf", "0.5"), "its thresholds differ"),
        (("--track",), "its kept, tracking differ"),
        (("--every", "2"), "a.jsonl is about another video: frame 2 at 0.080 s has a line for frame 1 at 0.040 s"),
    ],
)
def test_other_options_are_refused(
    streamdet: Streamdet, stopped: tuple[str, ...], more: tuple[str, ...], sentence: str
) -> None:
    before = Path("a.jsonl").read_bytes()
    done = streamdet(*stopped, *more, "--resume")
    assert done.exit_code in (1, 2)
    assert sentence in done.err
    assert Path("a.jsonl").read_bytes()[: len(before)] == before


def test_another_encoder_is_refused(
    streamdet: Streamdet, clip: Path, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind its pictures those of the one before, which need other parameters, can't be decoded."""
    arguments = ("run", str(clip), "--model", str(model_file), "--jsonl", "a.jsonl")
    assert streamdet(*arguments).exit_code == 0
    lines = Path("a.jsonl").read_bytes().splitlines(keepends=True)
    Path("a.jsonl").write_bytes(b"".join(lines[:11]))
    before = Path("clip.annotated.mp4").read_bytes()
    others = [streamdet(*arguments, "--quality", "high", "--resume")]
    monkeypatch.setattr("streamdet.video.encoding.choose_encoder", lambda *_: (NVENC, None))
    others.append(streamdet(*arguments, "--encode", "gpu", "--resume"))
    for done in others:
        assert done.exit_code == 2
        assert "its encoder differ" in done.err
    assert Path("clip.annotated.mp4").read_bytes() == before


def test_what_is_no_file_of_detections_is_left_alone(streamdet: Streamdet, clip: Path, model_file: Path) -> None:
    Path("a.jsonl").write_text("precious\n")
    done = streamdet("run", clip, "--model", model_file, "--no-video", "--jsonl", "a.jsonl", "--resume")
    assert done.exit_code == 1
    assert "a.jsonl, line 1" in done.err
    assert Path("a.jsonl").read_text() == "precious\n"


def test_a_run_without_video_goes_on(streamdet: Streamdet, stopped: tuple[str, ...]) -> None:
    done = streamdet(*stopped, "--resume", "--report", "run.json")
    assert done.exit_code == 0, done.err
    lines = read_jsonl("a.jsonl")[1]
    assert [line.index for line in lines] == list(range(50))
    assert lines.complete
    report = json.loads(Path("run.json").read_text())
    assert report["frames"]["detected"] == 50
    assert report["stages"]["network"]["frames"] == 40


def test_events_are_told_once(streamdet: Streamdet, clip: Path, model_file: Path) -> None:
    Path("events.toml").write_text('folder = "ev"\nsnapshot = false\n[rule.gate]\nline = "gate"\n')
    arguments = ("run", clip, "--model", model_file, "--no-video", "--jsonl", "a.jsonl", *PLACES)
    done = streamdet(*arguments, "--events", "events.toml")
    assert done.exit_code == 0, done.err
    events = [line for line in events_of("ev") if line["type"] == "event"]
    assert len(events) > 3
    lines = Path("a.jsonl").read_bytes().splitlines(keepends=True)
    Path("a.jsonl").write_bytes(b"".join(lines[:26]))  # killed half way, a moment after it had told of more
    done = streamdet(*arguments, "--events", "events.toml", "--resume")
    assert done.exit_code == 0, done.err
    assert Path("a.jsonl").read_bytes() == b"".join(lines)
    assert [line for line in events_of("ev") if line["type"] == "event"] == events


def events_of(folder: str) -> list[dict[str, object]]:
    journal = sorted(Path(folder).glob("events-*.jsonl"))
    return [json.loads(line) for path in journal for line in path.read_text().splitlines()]
