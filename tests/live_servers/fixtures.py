"""Fixtures for tests against live servers; import them in a folder's conftest.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.live_servers.clip import Clip, make_clip
from tests.live_servers.rtsp import RtspServer


@pytest.fixture(scope="session")
def clip() -> Clip:
    """Two seconds of numbered pictures, 320x180, H.264, 30 fps, a key frame each half second."""
    return make_clip(rate=30, gop=15, frames=60)


@pytest.fixture(scope="session")
def large_clip() -> Clip:
    """The same at 640x360."""
    return make_clip(rate=30, gop=15, frames=60, size=(640, 360))


@pytest.fixture
def rtsp_server(clip: Clip) -> Iterator[Callable[..., RtspServer]]:
    """Starts RTSP servers (of `clip` unless told otherwise) that end with the test; mark the test `rtsp`."""
    with ExitStack() as stack:

        def start(clips: object = clip, **choices: object) -> RtspServer:
            return stack.enter_context(RtspServer(clips, **choices))  # type: ignore[arg-type]

        yield start
