from __future__ import annotations

from tests.live_servers.fixtures import clip, rtsp_server

__all__ = ["clip", "rtsp_server"]
