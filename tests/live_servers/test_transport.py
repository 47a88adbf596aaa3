"""The MPEG-TS sender does what it is told, as plain PyAV sees it."""

from __future__ import annotations

from itertools import pairwise

import av
import pytest

from tests.live_servers.clip import make_clip, number_of
from tests.live_servers.transport import TransportSender


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_frames_come_in_order(codec: str, protocol: str) -> None:
    clip = make_clip(codec, rate=30, frames=30)
    with TransportSender(clip, protocol) as sender, av.open(sender.url, format="mpegts", timeout=5) as container:
        found, times = [], []
        for frame in container.decode(video=0):
            found.append(number_of(frame.to_ndarray(format="rgb24")))
            times.append(frame.pts)
            if len(found) == 45:
                break
    assert all(b == (a + 1) % 30 for a, b in pairwise(found))
    assert all(b - a == 3000 for a, b in pairwise(times) if a is not None and b is not None)


def test_ends_after_its_rounds_and_serves_again() -> None:
    with TransportSender(make_clip(rate=30, frames=15), rounds=1) as sender:
        for _ in range(2):
            with av.open(sender.url, format="mpegts", timeout=5) as container:
                assert sum(1 for _ in container.decode(video=0)) == 15


def test_stalls_and_breaks() -> None:
    with TransportSender(make_clip(rate=30, frames=15)) as sender:
        options = {"probesize": "20000", "analyzeduration": "200000"}
        with av.open(sender.url, format="mpegts", options=options, timeout=(5, 0.5)) as container:
            next(container.decode(video=0))
            sender.stalled.set()
            with pytest.raises(av.error.FFmpegError):
                list(container.decode(video=0))
        sender.stalled.clear()
        with av.open(sender.url, format="mpegts", options=options, timeout=5) as container:
            next(container.decode(video=0))
            sender.break_connection()
            assert len(list(container.decode(video=0))) < 100
