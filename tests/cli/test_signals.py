"""Real processes that are interrupted, terminated, killed, or run out of disk."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest

from streamdet.results.jsonl_reading import read_jsonl
from tests.media import boxes_of, make_clip, times_of

SECONDS = 120.0


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("long") / "long.mp4", frames=4000, options={"preset": "ultrafast"})


def start(clip: Path, model_file: Path, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "streamdet", "run", str(clip), "--model", str(model_file)]
    command += ["--out", "out.mp4", "--jsonl", "out.jsonl", "--report", "run.json"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_lines(path: Path, lines: int) -> None:
    deadline = time.monotonic() + SECONDS
    while not path.exists() or path.read_bytes().count(b"\n") < lines:
        assert time.monotonic() < deadline, f"{path} did not get {lines} lines"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_leaves_a_plain_mp4_and_says_so(
    number: signal.Signals, long_clip: Path, model_file: Path, tmp_path: Path
) -> None:
    process = start(long_clip, model_file, tmp_path)
    wait_for_lines(tmp_path / "out.jsonl", 40)
    process.send_signal(number)
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    report = json.loads((tmp_path / "run.json").read_text())
    assert report["verdict"] == "interrupted"
    assert report["notes"] == []
    written = times_of(tmp_path / "out.mp4")
    assert len(written) == report["frames"]["written"]
    assert 30 < len(written) < 4000
    assert written == times_of(long_clip)[: len(written)]
    assert "moof" not in boxes_of(tmp_path / "out.mp4")
    _, lines = read_jsonl(tmp_path / "out.jsonl")
    assert len(list(lines)) == len(written)
    assert lines.complete is False


def test_kill_leaves_a_file_that_plays_up_to_the_kill(long_clip: Path, model_file: Path, tmp_path: Path) -> None:
    process = start(long_clip, model_file, tmp_path)
    wait_for_lines(tmp_path / "out.jsonl", 60)
    process.kill()
    process.communicate(timeout=SECONDS)
    _, lines = read_jsonl(tmp_path / "out.jsonl")
    detected = len(list(lines))
    with av.open(str(tmp_path / "out.mp4")) as container:
        played = sum(1 for _ in container.decode(video=0))
        assert container.metadata["comment"] == "streamdet: not finished"
    assert detected - 50 <= played <= detected + 1  # 50 frames are two seconds


def test_a_full_disk_ends_the_run_with_one_sentence(long_clip: Path, model_file: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "streamdet", "run", str(long_clip), "--model", str(model_file), "--out", "out.mp4"]

    def limit_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, preexec_fn=limit_files, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("streamdet: ")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) > 5
