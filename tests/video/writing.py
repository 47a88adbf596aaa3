"""What the tests of the writer write with."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

from streamdet.video import SourceInfo, VideoWriter, open_source
from tests.media import test_picture


def copy(source_path: Path, target: Path, **window: float) -> VideoWriter:
    """Read and write every frame, as a run does."""
    with (
        open_source(source_path, **window) as source,  # type: ignore[arg-type]
        VideoWriter(target, source.info, width=source.info.width, height=source.info.height) as writer,
    ):
        for frame in source:
            writer.write(frame.picture.reformat(format="yuv420p"), frame.pts, frame.time_base)
    return writer


def source_times(path: Path, **window: float) -> list[Fraction]:
    with open_source(path, **window) as source:  # type: ignore[arg-type]
        return [frame.pts * frame.time_base for frame in source]


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def info_of(path: Path, rate: int = 25, size: tuple[int, int] = (64, 48)) -> SourceInfo:
    return SourceInfo(
        name="made",
        path=path / "no such source",
        width=size[0],
        height=size[1],
        codec="h264",
        container="mp4",
        pixel_format="yuv420p",
        average_rate=Fraction(rate),
        time_base=Fraction(1, rate),
        origin_s=Fraction(0),
    )


def picture(index: int, size: tuple[int, int] = (64, 48)) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(test_picture(index, size), format="rgb24").reformat(format="yuv420p")
