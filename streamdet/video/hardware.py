"""NVIDIA's decoder (NVDEC) and encoder (NVENC), where they are there; where not, why not, and the CPU does the work.

NVDEC only decodes what FFmpeg's own decoder parses and puts in order, so that packets, pictures and times are accounted
for as on the CPU. Its pictures are brought to the host's memory, as nv12.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import av.error
from av.codec import Codec, CodecContext
from av.codec.codec import UnknownCodecError
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext

from streamdet.video.container import open_container, reason, video_stream

Processor = Literal["cpu", "gpu"]
"""What decodes or encodes."""
NVENC = "h264_nvenc"
_FROM_NVDEC = ("nv12", "p010le", "p016le", "yuv444p", "yuv444p16le")
"""Formats of pictures that come from there."""


def open_with_nvdec(path: Path) -> tuple[InputContainer, str | None]:
    """Open a file for demuxing, its pictures decoded by NVDEC; or else by the CPU, and why.

    Raises:
        SourceError: it is not a video file, or can't be read.
    """
    try:
        # software where NVDEC does not take a stream: `used_nvdec` tells
        accelerator = HWAccel("cuda", allow_software_fallback=True)
        container = av.open(f"file:{path}", metadata_errors="replace", hwaccel=accelerator)
    except (av.error.FFmpegError, NotImplementedError, RuntimeError) as error:
        return open_container(path), _reason(error)  # what is wrong with the file itself is told by this
    decoder = video_stream(container, path).codec_context
    if not decoder.is_hwaccel:
        return container, f"it does not know {decoder.codec.canonical_name}"
    return container, None


def used_nvdec(picture: av.VideoFrame) -> bool:
    """False for a picture of a file opened with NVDEC that the CPU has decoded after all."""
    return picture.format.name in _FROM_NVDEC


def why_not_nvenc(width: int, height: int, options: dict[str, str]) -> str | None:
    """Why NVENC can't encode H.264 of this size in pixels here, with these options of FFmpeg's; None where it can."""
    try:
        encoder = CodecContext.create(Codec(NVENC, "w"), "w")
        assert isinstance(encoder, VideoCodecContext)
        encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
        encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
        encoder.options = options
        encoder.open()
    except UnknownCodecError:
        return "this build of PyAV has none"
    except av.error.FFmpegError as error:
        return _reason(error)
    return None


def _reason(error: Exception) -> str:
    # FFmpeg's answer where it can't load the driver's library
    return "no NVIDIA driver" if isinstance(error, av.error.PermissionError) else reason(error)
