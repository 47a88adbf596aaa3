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
from streamdet.video.hardware import NVENC, Processor, why_not_nvenc

Quality = Literal["small", "balanced", "high"]

ENCODER = "libx264"
PRESETS: dict[Quality, tuple[str, str]] = {
    "small": ("veryfast", "28"),
    "balanced": ("veryfast", "23"),
    "high": ("fast", "18"),
}
"""libx264 preset and constant rate factor."""
NVENC_PRESETS: dict[Quality, tuple[str, str]] = {"small": ("p4", "33"), "balanced": ("p4", "28"), "high": ("p6", "23")}
"""NVENC's preset and constant quality: a guess at what libx264 gives, not measured."""
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


def choose_encoder(processor: Processor, width: int, height: int, quality: Quality) -> tuple[str, str | None]:
    """The encoder for pictures of this size in pixels, and a sentence where it is not the one asked for."""
    if processor == "cpu":
        return ENCODER, None
    why_not = why_not_nvenc(width + width % 2, height + height % 2, encoder_options(NVENC, quality))
    return (NVENC, None) if why_not is None else (ENCODER, f"encoded on the CPU: NVENC can't be used ({why_not})")


def add_encoder(
    container: OutputContainer,
    picture: av.VideoFrame,
    info: SourceInfo,
    time_base: Fraction,
    quality: Quality,
    encoder: str = ENCODER,
) -> VideoStream:
    """Add an H.264 stream for pictures like `picture`, with the colour tags of it or else of the source.

    `encoder`: what `choose_encoder` gave.

    No B-frames and no lookahead: what is written is what was last encoded, and decoding order is presentation order.
    """
    rate = ((info.average_rate or ASSUMED_RATE) / info.every).limit_denominator(1_000_000)
    stream = container.add_stream(encoder, rate=rate, options=encoder_options(encoder, quality))
    assert isinstance(stream, VideoStream)
    stream.time_base = time_base
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = picture.width, picture.height, "yuv420p"
    context.time_base = time_base
    if encoder == ENCODER:
        context.thread_count = min(os.cpu_count() or 1, MAX_THREADS)
    context.color_range = int(picture.color_range) or info.color_range
    context.colorspace = _tag(picture.colorspace, info.color_space)
    context.color_primaries = _tag(picture.color_primaries, info.color_primaries)
    context.color_trc = _tag(picture.color_trc, info.color_trc)
    if info.sample_aspect_ratio:
        context.sample_aspect_ratio = info.sample_aspect_ratio
    return stream


def encoder_options(encoder: str, quality: Quality) -> dict[str, str]:
    """FFmpeg's options of an encoder."""
    options = {"bf": "0", "forced-idr": "1", "rc-lookahead": "0"}
    if encoder == NVENC:
        preset, quantizer = NVENC_PRESETS[quality]
        # b: constant quality, whatever rate that takes; delay: what is written is what was last encoded
        return options | {"preset": preset, "rc": "vbr", "cq": quantizer, "b": "0", "delay": "0"}
    preset, quantizer = PRESETS[quality]
    # force-cfr: the header names the usual rate, not one over the time base; times stay in the container
    x264 = "sync-lookahead=0:keyint=infinite:force-cfr=1"
    return options | {"preset": preset, "crf": quantizer, "x264-params": x264}


def _tag(of_picture: int, of_source: int) -> int:
    """A colour tag of the picture, or the source's where it has none."""
    return of_source if of_picture in _UNSPECIFIED else int(of_picture)
