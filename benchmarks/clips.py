"""Clips to measure on: our own rendered car park, scaled to any size."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import cycle
from pathlib import Path

import av

PARKING = Path(__file__).parents[1] / "samples" / "parking.mp4"
RATE = 15
ENCODER = {"preset": "veryfast", "crf": "21"}


def scaled_clip(path: Path, size_wh: tuple[int, int], frames: int) -> Path:
    """The car park in H.264 at `size_wh` pixels; from its beginning again when `frames` are more than it has."""
    width, height = size_wh
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options=ENCODER)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index, picture in zip(range(frames), _pictures(), strict=False):
            scaled = picture.reformat(width, height, "yuv420p", interpolation="BICUBIC")
            scaled.pts, scaled.time_base = index, Fraction(1, RATE)
            container.mux(stream.encode(scaled))
        container.mux(stream.encode(None))
    return path


def _pictures() -> Iterator[av.VideoFrame]:
    for _ in cycle((None,)):
        with av.open(str(PARKING)) as container:
            yield from container.decode(video=0)
