"""Single pictures out of a recording, as JPEG."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
from PIL import Image

from streamdet.errors import SourceError
from streamdet.types import Frame
from streamdet.video.sources import open_source

JPEG_QUALITY = 80
EARLY_S = 0.0005
"""A picture is looked for from so much before its time: seconds are not as exact as `pts`."""


class Stills:
    """Gives the pictures of a video file, an image or a folder of images at given times."""

    def __init__(self, path: Path, *, most_px: int) -> None:
        """Open `path` once, to learn what it is; `most_px`: longer side of the pictures, in pixels.

        Raises:
            SourceError: it can't be read, or holds no picture.
            UsageError: it is not a file or folder.
        """
        self._path = path
        self._most_px = most_px
        with open_source(path) as source:
            self.info = source.info

    def at(
        self, time_s: Fraction, within_s: float, finish: Callable[[Frame], Frame] = lambda frame: frame
    ) -> bytes | None:
        """The first picture at `time_s` (the source's own time) or at most `within_s` later; None without one.

        `finish` is given the frame and may return another one in its place, such as a blurred one.
        """
        start_s = max(0.0, float(time_s - self.info.origin_s) - EARLY_S)
        try:
            with open_source(self._path, start_s=start_s) as source:
                frame = next(iter(source), None)
        except SourceError:  # the time is beyond its end
            return None
        if frame is None or not -2 * EARLY_S <= float(frame.pts * frame.time_base - time_s) <= within_s:
            return None
        return self._jpeg(finish(frame))

    def _jpeg(self, frame: Frame) -> bytes:
        picture: av.VideoFrame = frame.picture
        scale = min(1.0, self._most_px / max(frame.width, frame.height))
        width, height = (max(1, round(side * scale)) for side in (frame.width, frame.height))
        rgb = picture.to_ndarray(format="rgb24", width=width, height=height)
        stream = io.BytesIO()
        Image.fromarray(rgb).save(stream, "JPEG", quality=JPEG_QUALITY, optimize=True)
        return stream.getvalue()
