"""The supervisor against real servers: every kind of source, what breaks it, and what it leaves behind."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from streamdet.types import Frame
from streamdet.video.live import source
from streamdet.video.live.stalls import fingerprint
from streamdet.video.live.status import SourceState
from tests.live_servers.clip import Clip, make_clip
from tests.live_servers.silent import ClosedPort
from tests.live_servers.transport import TransportSender
from tests.live_servers.web import HlsServer, MjpegServer
from tests.media import make_clip as make_file
from tests.video.live.watching import QUICK, Watched


@pytest.fixture(scope="module")
def jpegs() -> Clip:
    return make_clip("mjpeg", rate=30, frames=30)


def rising(frames: list[Frame]) -> bool:
    return all(before.pts < after.pts for before, after in itertools.pairwise(frames))


def test_motion_jpeg_takes_the_arrival_as_its_time(jpegs: Clip) -> None:
    with MjpegServer(jpegs) as server, Watched(server.url) as watched:
        frames = watched.until_frames(40)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert rising(frames)
    assert frames[0].time_base == Fraction(1, 1_000_000)
    for frame in frames:  # FFmpeg alone would count 25 a second
        assert frame.time_s - frames[0].time_s == pytest.approx(frame.arrival_s - frames[0].arrival_s, abs=1e-4)
        assert frame.utc_s == pytest.approx(time.time() - (time.monotonic() - frame.arrival_s), abs=1.0)
    info, counts = watched.source.info, watched.source.counts
    assert info is not None
    assert (info.width, info.height, info.codec, info.average_rate) == (320, 180, "mjpeg", None)
    assert counts.decoded == len(watched.frames)
    assert (counts.lost, counts.damaged, counts.sessions) == (0, 0, 1)
    assert watched.source.status.state is SourceState.STOPPED


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_transport_stream(clip: Clip, protocol: str) -> None:
    with TransportSender(clip, protocol) as sender, Watched(sender.url) as watched:
        frames = watched.until_frames(30)
    assert {after.pts - before.pts for before, after in itertools.pairwise(frames)} == {3000}
    ages = [frame.arrival_s for frame in frames]
    assert ages == sorted(ages)


def test_a_broken_connection_is_made_anew(jpegs: Clip) -> None:
    with MjpegServer(jpegs) as server, Watched(server.url) as watched:
        watched.until_frames(5)
        server.break_connections()
        watched.until_frames(5, session=1)
        server.break_connections()
        watched.until_frames(5, session=2)
        indices = [frame.index for frame in watched.frames]
    counts = watched.source.counts
    assert indices == list(range(len(indices)))
    assert (counts.sessions, counts.reconnects, counts.outages.calls) == (3, 2, 2)
    assert counts.failures.get("closed", 0) >= 2


def test_silence_is_a_stall_and_the_connection_is_made_anew(jpegs: Clip) -> None:
    with MjpegServer(jpegs) as server, Watched(server.url) as watched:
        watched.until_frames(5)
        server.stalled.set()
        assert "has sent nothing for 1 s" in watched.until_kind("no packets")
        server.stalled.clear()
        watched.until_frames(5, session=1)
        watched.until(lambda: not watched.source.status.problem)
    assert watched.source.counts.stalls == {"no packets": 1}
    assert watched.source.counts.outages.longest_s > 1


def test_a_server_that_comes_later(jpegs: Clip) -> None:
    with ClosedPort() as port:
        number = port.port
    with Watched(f"http://127.0.0.1:{number}/video.mjpg") as watched:
        watched.until_kind("refused")
        watched.until(lambda: watched.source.counts.attempts > 2)
        with MjpegServer(jpegs, port=number):
            watched.until_frames(3)
    assert watched.source.counts.sessions == 1


def test_a_port_that_opens_ends_a_long_wait(jpegs: Clip) -> None:
    with ClosedPort() as port:
        number = port.port
    slow = replace(QUICK, backoff_first_s=300, backoff_most_s=600)
    with Watched(f"http://127.0.0.1:{number}/video.mjpg", slow) as watched:
        watched.until_kind("refused")
        with MjpegServer(jpegs, port=number):
            watched.until_frames(3)
    assert watched.source.counts.attempts == 2


def test_an_unexpected_error_is_told_and_the_connection_made_anew(jpegs: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(picture: object) -> int:
        monkeypatch.setattr(source, "fingerprint", fingerprint)
        raise ValueError("nobody thought of this")

    monkeypatch.setattr(source, "fingerprint", broken)
    with MjpegServer(jpegs) as server, Watched(server.url) as watched:
        watched.until_frames(3)
    assert watched.source.counts.failures == {"unexpected": 1}
    assert watched.source.counts.attempts == 2


def test_a_live_playlist_is_shown_at_its_own_pace(clip: Clip) -> None:
    with HlsServer(clip) as server, Watched(server.url) as watched:
        frames = watched.until_frames(45)
    media_s = frames[44].time_s - frames[5].time_s
    assert media_s == pytest.approx(39 / 30, abs=0.05)
    assert frames[44].arrival_s - frames[5].arrival_s == pytest.approx(media_s, abs=0.4)


def test_a_finished_playlist_ends(clip: Clip) -> None:
    with HlsServer(clip, live=False) as server, Watched(server.url) as watched:
        watched.until_state(SourceState.ENDED)
        assert len(watched.frames) == 60
    assert watched.source.patient
    assert watched.source.status.problem == ""


def test_a_file_on_a_web_server_ends(tmp_path: Path) -> None:
    make_file(tmp_path / "clip.mp4", frames=40)
    with served(tmp_path) as url, Watched(f"{url}/clip.mp4") as watched:
        watched.until_state(SourceState.ENDED)
        assert [frame.index for frame in watched.frames] == list(range(40))
    assert watched.source.patient
    assert watched.source.info is not None
    assert watched.source.info.declared_duration_s == pytest.approx(1.6)


class served:  # noqa: N801 - reads like a function
    """A folder on a web server."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def __enter__(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().split("(")[1].split("/)")[0]

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def test_a_pipe_ends_with_its_writer(tmp_path: Path) -> None:
    video, fifo = make_file(tmp_path / "clip.ts", frames=40), tmp_path / "fifo"
    os.mkfifo(fifo)
    with Watched(str(fifo)) as watched:
        time.sleep(0.3)
        assert watched.source.status.state is SourceState.CONNECTING
        fifo.write_bytes(video.read_bytes())
        watched.until_state(SourceState.ENDED)
        assert len(watched.frames) == 40
    assert watched.source.status.problem == ""


def test_a_pipe_may_be_silent_for_any_time(tmp_path: Path) -> None:
    video, fifo = make_file(tmp_path / "clip.ts", frames=40), tmp_path / "fifo"
    content = video.read_bytes()
    os.mkfifo(fifo)
    with Watched(str(fifo)) as watched:
        with fifo.open("wb", buffering=0) as writer:
            writer.write(content[: len(content) // 2])
            watched.until_frames(1)
            watched.until_kind("no packets")
            writer.write(content[len(content) // 2 :])
            watched.until(lambda: not watched.source.status.problem)
        watched.until_state(SourceState.ENDED)
        assert len(watched.frames) == 40
    assert watched.source.counts.sessions == 1


def test_standard_input(tmp_path: Path) -> None:
    video = make_file(tmp_path / "clip.ts", frames=40)
    program = """
from streamdet.options import LiveOptions
from streamdet.video.live.source import LiveSource
from streamdet.video.location import parse_location
source = LiveSource(parse_location("-"), LiveOptions())
print(sum(1 for _ in source.frames()), source.status.state.value)
"""
    with video.open("rb") as file:
        done = subprocess.run([sys.executable, "-c", program], stdin=file, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("40 ended\n", "")


def test_a_pipe_that_is_no_video(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with Watched(str(fifo)) as watched:
        fifo.write_bytes(b"no video" * 1000)
        watched.until_kind("not a stream")
