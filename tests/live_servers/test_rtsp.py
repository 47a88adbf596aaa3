"""The RTSP server does what it is told, as plain PyAV sees it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import av
import pytest

from tests.live_servers.clip import Clip, make_clip, number_of, numbered_pictures
from tests.live_servers.rtsp import Mode, RtspServer
from tests.live_servers.silent import ClosedPort, SilentServer

pytestmark = pytest.mark.rtsp
QUICK = {"probesize": "50000", "analyzeduration": "300000"}


@pytest.fixture(scope="module")
def clip() -> Clip:
    return make_clip(rate=30)


@contextmanager
def watching(url: str, transport: str = "tcp", read_s: float = 3.0) -> Iterator[av.container.InputContainer]:
    with av.open(url, options={"rtsp_transport": transport, **QUICK}, timeout=(3.0, read_s)) as container:
        yield container


def frames(container: av.container.InputContainer, n: int) -> list[av.VideoFrame]:
    found = []
    for frame in container.decode(video=0):
        found.append(frame)
        if len(found) == n:
            break
    return found


def numbers(found: list[av.VideoFrame]) -> list[int]:
    return [number_of(frame.to_ndarray(format="rgb24")) for frame in found]


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_clip_is_played_round_and_round_at_its_rate(codec: str, transport: str) -> None:
    with RtspServer(make_clip(codec, frames=30, rate=30)) as server, watching(server.url(), transport) as container:
        found = frames(container, 50)
        seen, times = numbers(found), [frame.pts for frame in found if frame.pts is not None]
        assert [b - a for a, b in pairwise(seen)].count(1) >= 47  # -29 where the clip begins anew
        assert all(abs(b - a - 3000) <= 90 for a, b in pairwise(times[1:]))
        assert server.sent() >= 50


def test_motion_jpeg_by_rtp() -> None:
    with RtspServer(make_clip("mjpeg", rate=30, frames=30)) as server, watching(server.url()) as container:
        found = numbers(frames(container, 20))
        assert all(b == (a + 1) % 30 for a, b in pairwise(found))


def test_stall_keeps_the_connection_and_ends(clip: Clip) -> None:
    with RtspServer(clip) as server, watching(server.url(), read_s=1.0) as container:
        frames(container, 5)
        server.set_mode("stall")
        before = server.sent()
        with pytest.raises(av.error.ExitError):
            frames(container, 100)
        assert (server.sent(), server.clients) == (before, 1)
        server.set_mode("play")
        # PyAV's deadline closes nothing; a new connection finds the pictures going on.
        with watching(server.url()) as again:
            assert len(frames(again, 5)) == 5


def test_hanging_server_accepts_and_stays_silent(clip: Clip) -> None:
    with RtspServer(clip) as server:
        server.hang()
        started = time.monotonic()
        with pytest.raises(av.error.FFmpegError):  # of which kind depends on what was awaited
            av.open(server.url(), timeout=0.5)
        assert time.monotonic() - started < 3
        server.wake()
        with watching(server.url()) as container:
            assert len(frames(container, 5)) == 5


def test_frozen_picture_moves_in_time_only(clip: Clip) -> None:
    with RtspServer(clip) as server, watching(server.url()) as container:
        frames(container, 2)
        server.set_mode("frozen picture")
        found = frames(container, 60)[-10:]
        assert len({frame.to_ndarray().tobytes() for frame in found}) == 1
        assert len({frame.pts for frame in found}) == 10


def test_times_stand_still_while_the_picture_moves(clip: Clip) -> None:
    with RtspServer(clip) as server, watching(server.url()) as container:
        frames(container, 2)
        server.set_mode("times stand still")
        packets = []
        for packet in container.demux(video=0):
            packets.append(packet)
            if len(packets) == 60:
                break
        assert len({packet.pts for packet in packets[-10:]}) == 1


def test_damaged_frames_are_noise(clip: Clip) -> None:
    with RtspServer(clip) as server, watching(server.url()) as container:
        frames(container, 2)
        server.set_mode("damaged")
        damaged, failed = 0, 0
        for number, packet in enumerate(container.demux(video=0)):
            try:
                damaged += sum(frame.is_corrupt for frame in packet.decode()) if number > 45 else 0
            except av.error.InvalidDataError:
                failed += 1
            if number == 70:
                break
        assert damaged + failed >= 20


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_lost_packets_are_the_share_asked_for(codec: str) -> None:
    clip = make_clip(codec, rate=30, frames=30)
    with RtspServer(clip, seed=3) as server, watching(server.url(), "udp", read_s=5) as container:
        assert steps_of_time(container, 30).count(3000) >= 29
        server.set_loss(0.3)
        assert 5 <= sum(step > 3000 for step in steps_of_time(container, 60)) <= 35


def steps_of_time(container: av.container.InputContainer, n: int) -> list[int]:
    """Differences between the times of the next `n` packets; a lost packet is a wide step."""
    times = []
    for packet in container.demux(video=0):
        times += [packet.pts] if packet.pts is not None else []
        if len(times) == n:
            break
    return [b - a for a, b in pairwise(times)]


def test_restart_breaks_the_connection_and_keeps_the_port(clip: Clip) -> None:
    with RtspServer(clip) as server:
        port = server.port
        with watching(server.url()) as container:
            frames(container, 2)
            server.restart()
            assert len(frames(container, 1000)) < 60  # FFmpeg takes it for the end
        with watching(server.url()) as container:
            assert len(frames(container, 5)) == 5
        assert server.port == port


def test_killed_server_refuses(clip: Clip) -> None:
    with RtspServer(clip) as server:
        server.kill()
        with pytest.raises(av.error.ConnectionRefusedError):
            av.open(server.url(), timeout=2)
        server.start()
        with watching(server.url()) as container:
            assert len(frames(container, 2)) == 2


@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_password_is_asked_for(clip: Clip, auth: str) -> None:
    with RtspServer(clip, user="jo.doe", password="p@:/?# %ü", auth=auth) as server:  # type: ignore[arg-type]
        with pytest.raises(av.error.HTTPUnauthorizedError):
            av.open(server.url(), timeout=2)
        with pytest.raises(av.error.HTTPUnauthorizedError):
            av.open(server.url(user="jo.doe", password="wrong"), timeout=2)
        with watching(server.url(user="jo.doe", password="p@:/?# %ü")) as container:
            assert len(frames(container, 2)) == 2


def test_tls_with_a_certificate_of_its_own(clip: Clip) -> None:
    with RtspServer(clip, tls=True) as server:
        assert server.url().startswith("rtsps://")
        with watching(server.url()) as container:
            assert len(frames(container, 2)) == 2
        with pytest.raises(av.error.FFmpegError):
            av.open(server.url(), options={"tls_verify": "1"}, timeout=2)


def test_receives_what_is_pushed(clip: Clip) -> None:
    with RtspServer(clip, receives=True) as server:
        for _ in range(2):
            pushed = av.open(server.url("push"), "w", format="rtsp", options={"rtsp_transport": "tcp"})
            with pushed:
                stream = pushed.add_stream("libx264", rate=30, options={"tune": "zerolatency"})
                stream.width, stream.height = 320, 180
                for picture, _ in zip(numbered_pictures((320, 180)), range(30), strict=False):
                    pushed.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
                    time.sleep(1 / 30)  # as a camera would: what still waits at the end is thrown away
                pushed.mux(stream.encode(None))
            deadline = time.monotonic() + 5
            while server.clients and time.monotonic() < deadline:
                time.sleep(0.02)
        with av.open(str(server.received)) as container:
            assert numbers(list(container.decode(video=0))) == [*range(30), *range(30)]


def test_unknown_path_is_not_found(clip: Clip) -> None:
    with RtspServer(clip) as server, pytest.raises(av.error.HTTPNotFoundError):
        av.open(server.url("nothing"), timeout=2)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_size_changes_on_the_open_connection(codec: str) -> None:
    small, large = make_clip(codec, rate=30, frames=30), make_clip(codec, rate=30, frames=30, size=(640, 360))
    with RtspServer(small) as server, watching(server.url()) as container:
        assert frames(container, 5)[-1].width == 320
        server.switch(large)
        assert frames(container, 60)[-1].width == 640


def test_several_cameras_and_watchers(clip: Clip) -> None:
    with (
        RtspServer({"a": clip, "b": make_clip(size=(160, 96))}) as server,
        watching(server.url("a")) as first,
        watching(server.url("a")) as second,
        watching(server.url("b")) as third,
    ):
        assert [frames(container, 3)[-1].width for container in (first, second, third)] == [320, 320, 160]


@pytest.mark.parametrize("mode", ["play", "stall"])
def test_server_outlives_its_clients(clip: Clip, mode: Mode) -> None:
    with RtspServer(clip) as server:
        for _ in range(3):
            with watching(server.url()) as container:
                frames(container, 2)
                server.set_mode(mode)
            server.set_mode("play")
        assert server.clients <= 1


def test_silent_and_closed_ports() -> None:
    with SilentServer() as silent, pytest.raises(av.error.FFmpegError):
        av.open(f"rtsp://127.0.0.1:{silent.port}/cam", timeout=0.5)
    with ClosedPort() as closed, pytest.raises(av.error.ConnectionRefusedError):
        av.open(f"rtsp://127.0.0.1:{closed.port}/cam", timeout=2)


def test_sender_reports_carry_the_wall_clock(clip: Clip) -> None:
    with RtspServer(clip) as server, watching(server.url()) as container:
        for packet in container.demux(video=0):
            if packet.has_sidedata("prft"):
                camera_utc_s = int.from_bytes(bytes(packet.get_sidedata("prft"))[:8], sys.byteorder) / 1e6
                assert abs(camera_utc_s - time.time()) < 5
                return
            assert packet.pts is None or packet.pts < 10 * 90_000
