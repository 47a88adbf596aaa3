"""The H.264 encoder of the writer and all its settings."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Literal

import av
from av.codec import Codec
from av.codec.codec import UnknownCodecError
from av.container import OutputContainer
from av.video.stream import VideoStream

from streamdet.errors import OutputError
from streamdet.video.base import SourceInfo

Quality = Literal["small", "balanced", "high"]

ENCODER = "libx264"
PRESETS: dict[Quality, tuple[str, str]] = {
    "small": ("veryfast", "28"),
    "balanced": ("veryfast", "23"),
    "high": ("fast", "18"),
}
"""libx264 preset and constant rate factor."""
MAX_THREADS = 4
"""Each thread keeps one more frame from the disk; more gain little at the speed of a detector."""
ASSUMED_RATE = Fraction(25)
_UNSPECIFIED = (0, 2)


def check_encoder() -> None:
    """Check that this build of FFmpeg can write H.264.

    Raises:
        OutputError: it can't.
    """
    try:
        Codec(ENCODER, "w")
    except UnknownCodecError:
        raise OutputError(
            f"no H.264 encoder ({ENCODER}) in this build of PyAV: install the av package from PyPI"
        ) from None


def add_encoder(
    container: OutputContainer, picture: av.VideoFrame, info: SourceInfo, time_base: Fraction, quality: Quality
) -> VideoStream:
    """Add an H.264 stream for pictures like `picture`, with the colour tags of it or else of the source.

    No B-frames and no lookahead: what is written is what was last encoded, and decoding order is presentation order.
    """
    preset, crf = PRESETS[quality]
    rate = ((info.average_rate or ASSUMED_RATE) / info.every).limit_denominator(1_000_000)
    options = {
        "preset": preset,
        "crf": crf,
        "bf": "0",
        "forced-idr": "1",
        "rc-lookahead": "0",
        # force-cfr: the header names the usual rate, not one over the time base; times stay in the container
        "x264-params": "sync-lookahead=0:keyint=infinite:force-cfr=1",
    }
    stream = container.add_stream(ENCODER, rate=rate, options=options)
    assert isinstance(stream, VideoStream)
    stream.time_base = time_base
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = picture.width, picture.height, "yuv420p"
    context.time_base = time_base
    context.thread_count = min(os.cpu_count() or 1, MAX_THREADS)
    context.color_range = int(picture.color_range) or info.color_range
    context.colorspace = _tag(picture.colorspace, info.color_space)
    context.color_primaries = _tag(picture.color_primaries, info.color_primaries)
    context.color_trc = _tag(picture.color_trc, info.color_trc)
    if info.sample_aspect_ratio:
        context.sample_aspect_ratio = info.sample_aspect_ratio
    return stream


def _tag(of_picture: int, of_source: int) -> int:
    """A colour tag of the picture, or the source's where it has none."""
    return of_source if of_picture in _UNSPECIFIED else int(of_picture)
