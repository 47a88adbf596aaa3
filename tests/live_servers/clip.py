"""A short clip as a camera would send it: encoded once, replayed for ever by the servers of this folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.video.codeccontext import VideoCodecContext

ENCODERS = {"h264": "libx264", "hevc": "libx265", "mjpeg": "mjpeg"}
FAST: Mapping[str, Mapping[str, str]] = {
    "h264": {"preset": "ultrafast", "tune": "zerolatency", "threads": "1", "crf": "26"},
    "hevc": {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "x265-params": "log-level=none:pools=1:frame-threads=1:open-gop=0:bframes=0:crf=26",
    },
    "mjpeg": {},
}
NUMBER_BITS = 12


@dataclass(frozen=True)
class Clip:
    """Encoded pictures in their order of showing (no B-frames); H.264 and H.265 as whole Annex B access units."""

    codec: str
    """h264, hevc or mjpeg."""
    size: tuple[int, int]
    """Width and height."""
    rate: Fraction
    packets: tuple[bytes, ...]
    keys: tuple[bool, ...]

    @property
    def duration_s(self) -> float:
        """Length of one round."""
        return float(len(self.packets) / self.rate)

    def save(self, path: Path) -> Path:
        """Write what the RTSP server's process reads: a line of JSON, then the packets one after another."""
        head = {
            "codec": self.codec,
            "size": self.size,
            "rate": [self.rate.numerator, self.rate.denominator],
            "sizes": [len(packet) for packet in self.packets],
            "keys": list(self.keys),
        }
        path.write_bytes(json.dumps(head).encode() + b"\n" + b"".join(self.packets))
        return path


def make_clip(
    codec: str = "h264",
    *,
    size: tuple[int, int] = (320, 180),
    rate: Fraction | int = 15,
    gop: int = 15,
    frames: int = 60,
    pictures: Iterable[npt.NDArray[np.uint8]] | None = None,
) -> Clip:
    """Encode `frames` pictures; without `pictures` a moving pattern that carries its number (see `number_of`)."""
    context = av.CodecContext.create(ENCODERS[codec], "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height = size
    context.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    context.framerate, context.time_base = Fraction(rate), 1 / Fraction(rate)
    context.gop_size = gop
    context.options = dict(FAST[codec])
    if codec != "mjpeg":
        context.options = {**context.options, "forced-idr": "1"}
    packets: list[bytes] = []
    keys: list[bool] = []

    def keep(encoded: Iterable[av.Packet]) -> None:
        for packet in encoded:
            packets.append(bytes(packet))
            keys.append(bool(packet.is_keyframe))

    for index, picture in zip(range(frames), pictures or numbered_pictures(size), strict=False):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(*size, format=context.pix_fmt)
        frame.pts, frame.time_base = index, context.time_base
        if index % gop == 0:
            frame.pict_type = av.video.frame.PictureType.I
        keep(context.encode(frame))
    keep(context.encode(None))
    return Clip(codec, size, Fraction(rate), tuple(packets), tuple(keys))


def numbered_pictures(size: tuple[int, int]) -> Iterator[npt.NDArray[np.uint8]]:
    """A shaded ground that drifts, a red box that moves, and along the top the picture's number in black and white."""
    width, height = size
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    index = 0
    while True:
        red = 128 + 60 * np.sin((x + 4 * index) / 37) + 0 * y
        green = 128 + 60 * np.sin((y + 2 * index) / 23) + 0 * x
        blue = 128 + 40 * np.sin((x + y - 3 * index) / 51)
        picture = np.stack([red, green, blue], axis=2).astype(np.uint8)
        left, side = (7 * index) % (width * 3 // 4), height // 4
        picture[height // 2 : height // 2 + side, left : left + side] = (230, 20, 20)
        for bit in range(NUMBER_BITS):
            edges = [width * b // NUMBER_BITS for b in (bit, bit + 1)]
            picture[: height // 8, edges[0] : edges[1]] = 240 if index >> bit & 1 else 16
        yield picture
        index += 1


def number_of(picture_rgb: npt.NDArray[np.uint8]) -> int:
    """The number in a picture of `numbered_pictures`, as it came out of the decoder."""
    height, width = picture_rgb.shape[:2]
    number = 0
    for bit in range(NUMBER_BITS):
        left, right = (width * b // NUMBER_BITS for b in (bit, bit + 1))
        margin = (right - left) // 4
        number |= int(picture_rgb[height // 32 : height // 11, left + margin : right - margin].mean() > 128) << bit
    return number


def pictures_of(path: Path, size: tuple[int, int], rate: Fraction | int) -> Iterator[npt.NDArray[np.uint8]]:
    """Pictures of a video file, scaled to `size`, taken at `rate` by their times."""
    with av.open(str(path)) as container:
        due = Fraction(0)
        for frame in container.decode(video=0):
            assert frame.pts is not None
            assert frame.time_base is not None
            while frame.pts * frame.time_base >= due:
                yield frame.to_ndarray(format="rgb24", width=size[0], height=size[1])
                due += 1 / Fraction(rate)
