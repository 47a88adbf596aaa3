"""Ends of a written file that are not clean."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from streamdet.video import VideoWriter, open_source
from tests.media import packets_of, times_of
from tests.video.writing import copy, decoded


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_an_exception_leaves_a_playable_file_marked_unfinished(
    clips: dict[str, Path], tmp_path: Path, ending: str
) -> None:
    target = tmp_path / f"out.{ending}"
    with open_source(clips["audio.mp4"]) as source:
        writer = VideoWriter(target, source.info, width=160, height=120)

        def fail_in_the_middle() -> None:
            with writer:
                for frame in source:
                    writer.write(frame.picture, frame.pts, frame.time_base)
                    _ = 1 / (20 - frame.index)

        with pytest.raises(ZeroDivisionError):
            fail_in_the_middle()
    assert times_of(target) == [Fraction(k, 25) for k in range(21)]
    assert len(decoded(target)) == 21
    assert "not finished" in writer.notes[0]
    with open_source(target) as fragment:
        list(fragment)
    assert "unfinished output" in (fragment.ended_early() or "")


def test_a_failing_finish_leaves_the_playable_file(
    clips: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("streamdet.video.remux._to_disk", full)
    writer = copy(clips["audio.mp4"], tmp_path / "out.mp4")
    assert "no space left" in writer.notes[0]
    assert len(decoded(tmp_path / "out.mp4")) == 30
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


WRITE_FOREVER = """
import sys, time
from fractions import Fraction
from pathlib import Path
import av
from streamdet.errors import OutputError
from streamdet.video import VideoWriter, open_source
from tests.media import test_picture

target, source, pause_s = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
with open_source(source) as opened:
    info = opened.info
pictures = [av.VideoFrame.from_ndarray(test_picture(k, (320, 240)), format="rgb24") for k in range(16)]
writer = VideoWriter(target, info, width=320, height=240)
print("ready", flush=True)
try:
    for k in range(100_000):
        writer.write(pictures[k % 16].reformat(format="yuv420p"), k, Fraction(1, 25))
        print(k, flush=True)
        time.sleep(pause_s)
except OutputError as error:
    print("error", error, flush=True)
"""


def start_writing(target: Path, source: Path, pause_s: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITE_FOREVER, str(target), str(source), str(pause_s)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
@pytest.mark.parametrize("seed", range(3))
def test_kill_9_leaves_a_playable_file(clips: dict[str, Path], tmp_path: Path, seed: int, ending: str) -> None:
    target = tmp_path / f"out.{ending}"
    # 10 frames a second come in: within 2 s of the kill means at most 20 frames are missing
    process = start_writing(target, clips["audio.mp4"], 0.1)
    assert process.stdout is not None
    stop_at = random.Random(seed).randint(8, 24)
    written = 0
    for line in process.stdout:
        if line.strip().isdigit():
            written = int(line) + 1
        if written >= stop_at:
            break
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    times = times_of(target)
    assert len(decoded(target)) == len(times) >= written - 6
    assert times == [Fraction(k, 25) for k in range(len(times))]
    if seed == 0:
        assert len(packets_of(target, "audio")) >= 5


def test_kill_9_before_the_first_frame_leaves_nothing_broken(clips: dict[str, Path], tmp_path: Path) -> None:
    process = start_writing(tmp_path / "out.mp4", clips["cfr.mp4"], 60)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.kill()
    process.communicate()
    # at most a header and the first frame
    assert not (tmp_path / "out.mp4").exists() or len(times_of(tmp_path / "out.mp4")) <= 1


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_full_disk_is_one_sentence_and_a_playable_file(clips: dict[str, Path], tmp_path: Path, ending: str) -> None:
    script = "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    script += "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n" + WRITE_FOREVER
    target = tmp_path / f"out.{ending}"
    done = subprocess.run(
        [sys.executable, "-c", script, str(target), str(clips["audio.mp4"]), "0"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=60,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert lines[-1].startswith(f"error {target} can't be written any further: file too large; free some space")
    written = int(lines[-2]) + 1
    assert written - 8 <= len(decoded(target)) <= written + 1
    assert done.stderr == ""
