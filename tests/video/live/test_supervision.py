"""The supervisor: it stops in time, leaves nothing behind, and one connection's trouble is that one's only."""

from __future__ import annotations

import gc
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from streamdet.options import LiveOptions
from streamdet.types import Frame
from streamdet.video.live.connection import Description, Step
from streamdet.video.live.packets import Taken
from streamdet.video.live.source import LiveSource
from streamdet.video.live.status import SourceState
from streamdet.video.location import Location, parse_location
from tests.live_servers.clip import Clip, make_clip
from tests.live_servers.silent import ClosedPort, SilentServer
from tests.live_servers.transport import TransportSender
from tests.live_servers.web import MjpegServer
from tests.video.live.watching import QUICK, Watched

STOPS_WITHIN_S = 1.5


@pytest.fixture(scope="module")
def jpegs() -> Clip:
    return make_clip("mjpeg", rate=30, frames=30)


@pytest.mark.parametrize("waiting_for", ["opening", "reading", "the next attempt", "a pipe"])
def test_stop_wakes_whatever_it_waits_for(waiting_for: str, jpegs: Clip, tmp_path: Path) -> None:
    options = LiveOptions(open_timeout_s=3, read_timeout_s=3, backoff_first_s=20)
    os.mkfifo(tmp_path / "fifo")
    with SilentServer() as silent, ClosedPort() as closed, MjpegServer(jpegs) as server:
        where = {
            "opening": f"rtsp://127.0.0.1:{silent.port}/",
            "reading": server.url,
            "the next attempt": f"rtsp://127.0.0.1:{closed.port}/",
            "a pipe": str(tmp_path / "fifo"),
        }[waiting_for]
        with Watched(where, options) as watched:
            if waiting_for == "reading":
                watched.until_frames(3)
                server.stalled.set()
            if waiting_for == "the next attempt":
                watched.until_state(SourceState.WAITING)
            time.sleep(0.3)
            began_s = time.monotonic()
            watched.source.stop()
            watched.until_state(SourceState.STOPPED)
            assert time.monotonic() - began_s < STOPS_WITHIN_S
        server.stalled.clear()


def test_stopped_before_it_began(jpegs: Clip) -> None:
    with MjpegServer(jpegs) as server:
        source = LiveSource(parse_location(server.url), QUICK)
        source.stop()
        assert list(source.frames()) == []
        assert server.requests == []


def test_a_consumer_that_leaves_early(jpegs: Clip) -> None:
    with MjpegServer(jpegs) as server:
        frames = LiveSource(parse_location(server.url), QUICK).frames()
        assert isinstance(next(iter(frames)), Frame)
        frames.close()  # type: ignore[attr-defined]


def test_a_slow_consumer_holds_up_nobody_and_gets_frames_in_order(jpegs: Clip) -> None:
    with MjpegServer(jpegs) as server:
        source = LiveSource(parse_location(server.url), QUICK)
        taken = []
        for frame in source.frames():
            taken.append(frame)
            time.sleep(0.2)
            if len(taken) == 8:
                source.stop()
        assert [frame.index for frame in taken] == list(range(8))
        assert source.counts.stalls == {}


@pytest.mark.parametrize("server", ["refusing", "closing"])
def test_a_hundred_reconnects_leave_nothing_behind(server: str, jpegs: Clip) -> None:
    options = replace(QUICK, backoff_first_s=0.005, backoff_most_s=0.005)
    with ClosedPort() as closed, MjpegServer(jpegs, rounds=0) as closing:
        where = f"rtsp://u:p@127.0.0.1:{closed.port}/" if server == "refusing" else closing.url
        with Watched(where, options) as watched:
            watched.until(lambda: watched.source.counts.attempts > 10)
            before = resources()
            watched.until(lambda: watched.source.counts.attempts > 110)
            during = resources()
    assert during[0] <= before[0] + 3  # a socket or two of the attempt that goes on
    assert during[1] <= before[1] + 3


def test_sessions_with_pictures_leave_nothing_behind(clip: Clip) -> None:
    options = replace(QUICK, backoff_first_s=0.005, backoff_most_s=0.005)
    short = Clip(clip.codec, clip.size, Fraction(300), clip.packets[:15], clip.keys[:15])
    with TransportSender(short, rounds=1) as sender, Watched(sender.url, options) as watched:
        watched.until(lambda: watched.source.counts.sessions > 3)
        before = resources()
        watched.until(lambda: watched.source.counts.sessions > 23)
        during = resources()
    assert during[0] <= before[0] + 4
    assert during[1] <= before[1] + 3
    counts = watched.source.counts
    assert counts.decoded == len(watched.frames)


def resources() -> tuple[int, int]:
    """Descriptors and threads of this process."""
    gc.collect()
    return len(os.listdir("/proc/self/fd")), threading.active_count()  # noqa: PTH208


def test_a_program_may_end_while_a_camera_is_silent() -> None:
    program = """
import sys, threading, time
from streamdet.options import LiveOptions
from streamdet.video.live.source import LiveSource
from streamdet.video.location import parse_location
source = LiveSource(parse_location(sys.argv[1]), LiveOptions())
threading.Timer(0.5, source.stop).start()
print(len(list(source.frames())))
"""
    with SilentServer() as server:
        for scheme in ("rtsp", "http"):
            command = [sys.executable, "-c", program, f"{scheme}://127.0.0.1:{server.port}/"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=30)
            assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


# With a connection made up for the test.


class Script:
    """A connection that gives pictures as a function says."""

    def __init__(self, steps: Callable[[], Iterator[Step]], given_up: threading.Event) -> None:
        self.description = Description("rawvideo", "script", None, Fraction(1, 1000))
        self._steps, self._given_up = steps, given_up
        self.closed = False

    def steps(self) -> Iterator[Step]:
        return self._steps()

    def close(self) -> None:
        self.closed = True


def step(number: int, pts: int | None, size: tuple[int, int] = (64, 48)) -> Step:
    picture = av.VideoFrame(*size, "gray")
    picture.planes[0].update(bytes([number % 256]) * picture.planes[0].buffer_size)
    now_s = time.monotonic()
    return Step(now_s, pts, 1000, True, 0, (Taken(picture, pts, now_s, time.time(), 12.5 + number),))


def scripted(steps: Callable[[], Iterator[Step]]) -> Watched:
    location = parse_location("rtsp://camera/1")

    def connect(location: Location, options: LiveOptions, given_up: threading.Event) -> Script:
        return Script(steps, given_up)

    return Watched(location, source=LiveSource(location, QUICK, name="gate", connect=connect))


def test_times_are_repaired_and_the_cameras_clock_is_handed_on() -> None:
    times = [100, None, 180, 180, 170, 260]

    def steps() -> Iterator[Step]:
        yield from (step(number, pts) for number, pts in enumerate(times))
        time.sleep(0.2)

    with scripted(steps) as watched:
        frames = watched.until_frames(len(times))
    assert [frame.pts for frame in frames] == [100, 140, 180, 181, 182, 260]
    assert [frame.camera_utc_s for frame in frames] == [12.5 + number for number in range(6)]
    assert {frame.stream for frame in frames} == {"gate"}


def test_another_size_in_the_middle() -> None:
    def steps() -> Iterator[Step]:
        yield from (step(number, number, (64, 48)) for number in range(3))
        yield from (step(number, number, (32, 80)) for number in range(3, 6))
        time.sleep(0.2)

    with scripted(steps) as watched:
        frames = watched.until_frames(6)
        info = watched.source.info
    assert [(frame.width, frame.height) for frame in frames] == [(64, 48)] * 3 + [(32, 80)] * 3
    assert info is not None
    assert (info.width, info.height) == (32, 80)


def test_a_mistake_in_the_program_is_a_failure_of_this_source_only() -> None:
    def steps() -> Iterator[Step]:
        yield step(0, 0)
        raise ZeroDivisionError("rtsp://user:secret@camera/")

    with scripted(steps) as watched:
        told = watched.until_kind("unexpected")
        watched.until_frames(1, session=1)
    assert "ZeroDivisionError" in told
    assert "secret" not in told


def test_a_reader_that_hangs_for_ever_is_left_behind() -> None:
    release = threading.Event()
    attempts = itertools.count()

    def steps() -> Iterator[Step]:
        attempt = next(attempts)
        yield step(0, 0)
        if not attempt:
            release.wait(30)
        while not release.is_set():
            yield step(1, 1)
            time.sleep(0.02)

    with scripted(steps) as watched:
        watched.until_kind("no packets")
        watched.until_frames(1, session=1)
        release.set()
