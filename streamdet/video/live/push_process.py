"""The program that pushes one stream: raw pictures come in by standard input, H.264 goes out to a server.

A process of its own, as PyAV has no timeouts for outputs and keeps the interpreter to itself while it connects: a
receiver that accepts and stays silent would stop the whole run, for ever. From here it can be killed.

In: one line of JSON (`PushRequest`), then for each picture a `HEADER` (time in units of 1/90000 s, 1 for a key
frame) and width * height * 3 / 2 bytes of yuv420p. Out: a line "open" once the receiver has agreed; before it ends in
failure, a line of JSON with FFmpeg's words (which may hold the password) under "error".
"""

from __future__ import annotations

import json
import signal
import struct
import sys
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import BinaryIO

import av
import av.error
import numpy as np
from av.container import OutputContainer
from av.video.frame import PictureType
from av.video.stream import VideoStream

HEADER = struct.Struct(">q?")
TIME_BASE = Fraction(1, 90_000)
OPEN = b"open\n"
STUCK_S = 60
"""A process that nobody watches any more, and that is stuck in the network, ends itself after this time."""
_ASSUMED_RATE = 25
_ENCODER = {
    "preset": "veryfast",
    "tune": "zerolatency",
    "crf": "23",
    "bf": "0",
    "forced-idr": "1",
    # key frames come when they are asked for
    "x264-params": "keyint=infinite:scenecut=0:force-cfr=1",
}


@dataclass(frozen=True, slots=True)
class PushRequest:
    """What to push where."""

    url: str
    """With its credentials: never on a command line, where every user of the machine sees it."""
    format: str
    """FFmpeg's name."""
    options: dict[str, str]
    """Of the muxer."""
    width: int
    """Even, like the height: yuv420p."""
    height: int
    colour: tuple[int, int, int, int]
    """Range, space, primaries, transfer: FFmpeg's numbers."""

    def to_line(self) -> bytes:
        """As the process reads it."""
        return json.dumps(asdict(self)).encode() + b"\n"


def push(request: PushRequest, pictures: BinaryIO, told: BinaryIO) -> None:
    """Connect, say so, and push until the pictures end. Raises av.error.FFmpegError."""
    av.logging.set_level(av.logging.PANIC)  # FFmpeg's messages hold the address
    with av.open(request.url, "w", format=request.format, container_options=request.options) as container:
        stream = _stream(container, request)
        container.start_encoding()
        told.write(OPEN)
        told.flush()
        size = request.width * request.height * 3 // 2
        while len(head := pictures.read(HEADER.size)) == HEADER.size:
            pts, is_key = HEADER.unpack(head)
            data = pictures.read(size)
            if len(data) < size:
                break
            picture = av.VideoFrame.from_ndarray(
                np.frombuffer(data, np.uint8).reshape(-1, request.width), format="yuv420p"
            )
            picture.pts, picture.time_base = pts, TIME_BASE
            picture.pict_type = PictureType.I if is_key else PictureType.NONE
            _watch(True)
            container.mux(stream.encode(picture))
            _watch(False)
        _watch(True)
        container.mux(stream.encode(None))


def _stream(container: OutputContainer, request: PushRequest) -> VideoStream:
    stream = container.add_stream("libx264", rate=_ASSUMED_RATE, options=_ENCODER)
    assert isinstance(stream, VideoStream)
    stream.time_base = TIME_BASE
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = request.width, request.height, "yuv420p"
    context.time_base = TIME_BASE
    context.color_range, context.colorspace, context.color_primaries, context.color_trc = request.colour
    context.thread_count = 2
    return stream


def _watch(on: bool) -> None:
    """The system's own alarm: it needs no turn of the interpreter."""
    if hasattr(signal, "alarm"):
        signal.alarm(STUCK_S if on else 0)


def main() -> int:
    """Read the request and do it; the exit code."""
    request = PushRequest(**json.loads(sys.stdin.buffer.readline()))
    _watch(True)
    try:
        push(request, sys.stdin.buffer, sys.stdout.buffer)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or str(error)
        sys.stdout.buffer.write(json.dumps({"error": words}).encode() + b"\n")
        sys.stdout.buffer.flush()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
