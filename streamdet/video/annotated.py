"""The annotated video: each detected frame drawn over and encoded at its own time."""

from __future__ import annotations

import time

from streamdet.report import StageTimes
from streamdet.types import DetectedFrame
from streamdet.video.overlay import Overlay
from streamdet.video.writer import VideoWriter


class AnnotatedVideo:
    """A sink that draws and writes."""

    def __init__(self, writer: VideoWriter, overlay: Overlay, draw_times: StageTimes, encode_times: StageTimes) -> None:
        """The two times are recorded per frame."""
        self.writer = writer
        self._overlay = overlay
        self._draw_times = draw_times
        self._encode_times = encode_times

    def write(self, detected: DetectedFrame) -> None:
        """Draw and encode one frame. Raises OutputError when it can't be written."""
        frame = detected.frame
        started = time.perf_counter()
        picture = self._overlay.draw_frame(detected)
        drawn = time.perf_counter()
        self.writer.write(picture, frame.pts, frame.time_base)
        self._draw_times.record(drawn - started)
        self._encode_times.record(time.perf_counter() - drawn)

    def finish(self, *, complete: bool) -> None:
        """Turn the file into a plain one. Raises OutputError when its last frames can't be written."""
        self.writer.finish(complete=complete)

    def close(self) -> None:
        """Stop; the file plays up to where it was written."""
        self.writer.close()
