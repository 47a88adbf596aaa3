"""RTSP cameras that fail on command."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.video.codeccontext import VideoCodecContext

from streamdet.options import LiveOptions
from streamdet.types import Frame
from streamdet.video.live.status import SourceState
from tests.live_servers.clip import Clip, make_clip, number_of
from tests.live_servers.rtsp import RtspServer
from tests.video.live.watching import QUICK, Watched

pytestmark = pytest.mark.rtsp
Start = Callable[..., RtspServer]


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_pictures_come_with_their_packets_and_their_times(rtsp_server: Start, clip: Clip, transport: str) -> None:
    server = rtsp_server()
    with Watched(server.url(), LiveOptions(transport=transport)) as watched:  # type: ignore[arg-type]
        began_s = time.monotonic()
        frames = watched.until_frames(40)
    assert frames[0].arrival_s - began_s < 3
    assert {after.pts - before.pts for before, after in itertools.pairwise(frames)} == {3000}
    numbers = [number_of(frame.picture.to_ndarray(format="rgb24")) for frame in frames]
    assert {(after - before) % 60 for before, after in itertools.pairwise(numbers)} == {1}
    # what FFmpeg looked at while opening comes at once; after that each frame when it is due
    steady = frames[15:]
    for frame in steady:
        late_s = (frame.arrival_s - steady[0].arrival_s) - (frame.time_s - steady[0].time_s)
        assert abs(late_s) < 0.25
    counts = watched.source.counts
    assert (counts.lost, counts.damaged) == (0, 0)
    assert counts.packets == counts.decoded


def test_the_cameras_clock_comes_with_its_reports(rtsp_server: Start) -> None:
    server = rtsp_server()
    with Watched(server.url()) as watched:
        watched.until(lambda: watched.frames and watched.frames[-1].camera_utc_s is not None)
        frame = watched.frames[-1]
    assert frame.camera_utc_s == pytest.approx(time.time(), abs=10)


@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_passwords(rtsp_server: Start, auth: str) -> None:
    password = "p@s/s:w?o#r%d"
    server = rtsp_server(user="ann.lee", password=password, auth=auth)
    with Watched(server.url(user="ann.lee", password=password)) as watched:
        watched.until_frames(1)
    with Watched(server.url(user="ann.lee", password="wrong")) as watched:
        told = watched.until_kind("401")
    assert "refuses the user name or the password" in told
    assert "wrong" not in told
    with Watched(server.url()) as watched:
        assert "asks for a user name" in watched.until_kind("401")


def test_an_encrypted_camera(rtsp_server: Start) -> None:
    server = rtsp_server(tls=True, user="ann", password="p@ss")
    with Watched(server.url(user="ann", password="p@ss")) as watched:
        watched.until_frames(10)
    with Watched(server.url().replace("rtsps:", "rtsp:")) as watched:
        watched.until(lambda: watched.source.status.kind in ("closed", "not a stream", "half-open"))


def test_an_open_camera_that_is_asked_for_encryption(rtsp_server: Start) -> None:
    with Watched(rtsp_server().url().replace("rtsp:", "rtsps:")) as watched:
        assert "rtsp:// is the way without" in watched.until_kind("TLS")


def test_a_path_that_is_not_there(rtsp_server: Start) -> None:
    with Watched(rtsp_server().url("elsewhere")) as watched:
        assert "check the path" in watched.until_kind("404")


@pytest.mark.parametrize("fault", ["restart", "stall", "hang"])
def test_it_comes_back(rtsp_server: Start, fault: str) -> None:
    server = rtsp_server()
    with Watched(server.url()) as watched:
        watched.until_frames(5)
        if fault == "restart":
            server.kill()
            watched.until_kind("refused")
            server.start()
        elif fault == "stall":
            server.set_mode("stall")
            watched.until_kind("no packets")
            server.set_mode("play")
        else:
            server.hang()
            watched.until_kind("half-open")
            server.wake()
        returned_s = time.monotonic()
        back = watched.until_frames(1, session=1)
        assert back[0].arrival_s - returned_s < 5
    assert watched.source.counts.outages.calls == 1


@pytest.mark.parametrize("mode", ["frozen picture", "times stand still"])
def test_stalls_are_told_apart(rtsp_server: Start, mode: str) -> None:
    server = rtsp_server()
    with Watched(server.url(), replace(QUICK, frozen_warn_s=0.8, frozen_reconnect_s=1.6)) as watched:
        watched.until_frames(5)
        server.set_mode(mode)  # type: ignore[arg-type]
        watched.until_kind(mode)
        watched.until_frames(1, session=1)
        server.set_mode("play")
        watched.until(lambda: watched.source.status.state is SourceState.LIVE and not watched.source.status.problem)
    assert watched.source.counts.stalls == {mode: 1}


def test_damage_is_marked_and_endured(rtsp_server: Start) -> None:
    server = rtsp_server()
    with Watched(server.url(), replace(QUICK, frozen_warn_s=1.0, frozen_reconnect_s=2.0)) as watched:
        watched.until_frames(5)
        server.set_mode("damaged")
        watched.until_kind("only damaged frames")
        server.set_mode("play")
        watched.until(lambda: not watched.source.status.problem)
        watched.until(lambda: not watched.frames[-1].damaged)
    counts = watched.source.counts
    assert counts.damaged == sum(frame.damaged for frame in watched.frames) > 0
    assert (counts.sessions, counts.stalls) == (1, {"only damaged frames": 1})


def differs(frame: Frame, clip: Clip) -> bool:
    """True when the picture isn't the clip's of its number."""
    number = number_of(frame.picture.to_ndarray(format="rgb24")) % len(clip.packets)
    grey = frame.picture.to_ndarray(format="gray").astype(float)
    return bool(np.abs(grey - pictures_of(clip)[number]).mean() > 0.5)


@cache
def pictures_of(clip: Clip) -> list[npt.NDArray[np.float64]]:
    decoder = av.CodecContext.create(clip.codec, "r")
    assert isinstance(decoder, VideoCodecContext)
    packets = [av.Packet(packet) for packet in clip.packets]
    pictures = [picture for packet in [*packets, None] for picture in decoder.decode(packet)]
    return [picture.to_ndarray(format="gray").astype(float) for picture in pictures]


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_lost_packets_by_udp(rtsp_server: Start, codec: str) -> None:
    clip = make_clip(codec, rate=30, gop=15, size=(640, 360))
    server = rtsp_server(clip, loss=0.1)
    with Watched(server.url(), replace(QUICK, transport="udp")) as watched:
        watched.until_frames(90)
    frames, counts = watched.frames, watched.source.counts
    assert counts.sessions == 1
    wrong = [frame for frame in frames if differs(frame, clip)]
    assert wrong
    if codec == "h264":  # FFmpeg alone flags a tenth of them; H.265's decoder passes over some holes in silence
        assert sum(frame.damaged for frame in wrong) > 0.8 * len(wrong)
    assert counts.damaged == sum(frame.damaged for frame in frames) > 0
    longest_s = max(after.arrival_s - before.arrival_s for before, after in itertools.pairwise(frames))
    assert longest_s < 2  # the group of pictures has half a second


def test_another_size_in_the_middle_of_a_connection(rtsp_server: Start, clip: Clip, large_clip: Clip) -> None:
    server = rtsp_server(clip)
    with Watched(server.url()) as watched:
        watched.until_frames(5)
        server.switch(large_clip)
        watched.until(lambda: watched.frames[-1].width == 640)
        watched.until(lambda: watched.source.info is not None and watched.source.info.height == 360)
    assert watched.source.counts.sessions == 1


def test_another_codec_after_a_restart(rtsp_server: Start) -> None:
    server = rtsp_server(make_clip("h264", rate=30, frames=30))
    with Watched(server.url()) as watched:
        watched.until_frames(3)
        server.kill()
        with RtspServer(make_clip("hevc", rate=30, frames=30), port=server.port):
            watched.until_frames(3, session=1)
            assert watched.source.info is not None
            assert watched.source.info.codec == "hevc"
