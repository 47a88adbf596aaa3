"""What the recording, the pushed stream and the window of one camera show: drawn once for all of them."""

from __future__ import annotations

import time

import av

from streamdet.report import StageTimes
from streamdet.types import DetectedFrame, Frame
from streamdet.video.live.gone import gone_picture
from streamdet.video.live.status import SourceState, SourceStatus
from streamdet.video.overlay import Overlay


class Painter:
    """Draws the pictures of one camera. Its outputs share one, and are written one after the other in one thread."""

    def __init__(self, overlay: Overlay, draw_times: StageTimes) -> None:
        """`draw_times`: the time is recorded here for each frame that is drawn."""
        self.last_frame: Frame | None = None
        """The last frame that came, None before the first."""
        self._overlay = overlay
        self._draw_times = draw_times
        self._drawn: tuple[DetectedFrame, av.VideoFrame] | None = None
        self._gone: tuple[float, av.VideoFrame] | None = None

    def saw(self, frame: Frame) -> None:
        """Keep a frame that need not be drawn."""
        self.last_frame = frame

    def draw(self, detected: DetectedFrame) -> av.VideoFrame:
        """The frame with its boxes, yuv420p; the same object when asked again for the same frame.

        Who takes it may set its times, and must leave the pixels alone.
        """
        if self._drawn is None or self._drawn[0] is not detected:
            started = time.perf_counter()
            self._drawn = detected, self._overlay.draw_frame(detected)
            self._draw_times.record(time.perf_counter() - started)
            self.saw(detected.frame)
        return self._drawn[1]

    def draw_gone(self, status: SourceStatus, now_s: float) -> av.VideoFrame | None:
        """The last picture with NO SIGNAL on it; `now_s`: monotonic clock.

        None when there was no picture yet, and for a source that lives, or that was ended on purpose.
        """
        frame = self.last_frame
        if frame is None or status.state not in (SourceState.CONNECTING, SourceState.WAITING):
            return None
        if self._gone is None or self._gone[0] != now_s:
            since_utc_s = utc_of(frame)
            now_utc_s = since_utc_s + (now_s - frame.arrival_s)
            picture = gone_picture(frame.picture, since_utc_s=since_utc_s, now_utc_s=now_utc_s, reason=status.kind)
            self._gone = now_s, picture
        return self._gone[1]


def utc_of(frame: Frame) -> float:
    """Wall clock when the frame arrived, in seconds since 1970; worked out where the source doesn't tell."""
    if frame.utc_s is not None:
        return frame.utc_s
    return time.time() - (time.monotonic() - frame.arrival_s)
