"""Live servers for the tests of live sources."""

from __future__ import annotations

from tests.live_servers.fixtures import clip, large_clip, rtsp_server

__all__ = ["clip", "large_clip", "rtsp_server"]
