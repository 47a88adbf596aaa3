"""Pictures in and out: sources of frames, the overlay, and the writer of annotated video."""

from streamdet.video.base import Source, SourceCounts, SourceInfo
from streamdet.video.sources import open_source
from streamdet.video.writer import VideoWriter

__all__ = ["Source", "SourceCounts", "SourceInfo", "VideoWriter", "open_source"]
