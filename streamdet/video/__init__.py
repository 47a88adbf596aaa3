"""Pictures in and out: sources of frames, the overlay, and the writer of annotated video.

Importing this package loads neither PyAV nor numpy: each name below is loaded when it is first used, so that the
command line, which needs only `redaction` to show its help, starts at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamdet.video.base import Source, SourceCounts, SourceInfo
    from streamdet.video.sources import open_source
    from streamdet.video.writer import VideoWriter

__all__ = ["Source", "SourceCounts", "SourceInfo", "VideoWriter", "open_source"]

_HOME_OF = {
    "Source": "streamdet.video.base",
    "SourceCounts": "streamdet.video.base",
    "SourceInfo": "streamdet.video.base",
    "VideoWriter": "streamdet.video.writer",
    "open_source": "streamdet.video.sources",
}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
