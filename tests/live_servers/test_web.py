"""The HTTP servers do what they are told, as plain PyAV sees it."""

from __future__ import annotations

from itertools import pairwise

import av
import pytest

from tests.live_servers.clip import make_clip, number_of
from tests.live_servers.web import HlsServer, MjpegServer

CLIP = make_clip(rate=30, gop=15, frames=60)
PICTURES = make_clip("mjpeg", rate=30, frames=30)


def numbers(container: av.container.InputContainer, n: int) -> list[int]:
    found = []
    for frame in container.decode(video=0):
        found.append(number_of(frame.to_ndarray(format="rgb24")))
        if len(found) == n:
            break
    return found


@pytest.mark.parametrize("with_length", [True, False])
def test_mjpeg_pictures_come_in_order(with_length: bool) -> None:
    with MjpegServer(PICTURES, with_length=with_length) as server, av.open(server.url, timeout=3) as container:
        found = numbers(container, 40)
        assert all(b == (a + 1) % 30 for a, b in pairwise(found))


def test_mjpeg_ends_after_its_rounds() -> None:
    with MjpegServer(PICTURES, rounds=1) as server, av.open(server.url, timeout=3) as container:
        assert numbers(container, 28) == list(range(28))
        with pytest.raises(av.error.OSError):  # how FFmpeg takes the end of a multipart answer
            numbers(container, 100)


def test_mjpeg_stalls_and_breaks() -> None:
    with MjpegServer(PICTURES) as server:
        with av.open(server.url, timeout=(3, 0.5)) as container:
            numbers(container, 5)
            server.stalled.set()
            with pytest.raises(av.error.FFmpegError):
                numbers(container, 1000)
        server.stalled.clear()
        with av.open(server.url, timeout=3) as container:
            numbers(container, 5)
            server.break_connections()
            with pytest.raises(av.error.OSError):
                numbers(container, 1000)


def test_password_and_status() -> None:
    with MjpegServer(PICTURES, user="jo", password="p@ss") as server:
        with pytest.raises(av.error.HTTPUnauthorizedError):
            av.open(server.url, timeout=3)
        with av.open(server.url.replace("//", "//jo:p%40ss@"), timeout=3) as container:
            assert len(numbers(container, 3)) == 3
    with MjpegServer(PICTURES) as server:
        with pytest.raises(av.error.HTTPNotFoundError):
            av.open(server.url + "x", timeout=3)
        server.status = 503
        with pytest.raises(av.error.HTTPServerError):
            av.open(server.url, timeout=3)


def test_finished_playlist_is_the_clip() -> None:
    with HlsServer(CLIP, live=False) as server, av.open(server.url, timeout=3) as container:
        assert numbers(container, 1000) == list(range(60))
    assert [path for path in server.requests if "segment" in path][-1] == "/segment3.ts"


def test_live_playlist_goes_on_over_the_seams() -> None:
    with HlsServer(CLIP) as server, av.open(server.url, timeout=5) as container:
        found, times, damaged = [], [], 0
        for frame in container.decode(video=0):
            found.append(number_of(frame.to_ndarray(format="rgb24")))
            times.append(frame.pts)
            damaged += frame.is_corrupt
            if len(found) == 130:
                break
        assert all(b == (a + 1) % 60 for a, b in pairwise(found))
        assert all(b - a == 3000 for a, b in pairwise(times) if a is not None and b is not None)
        assert damaged == 0
