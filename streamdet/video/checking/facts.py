"""What can be wrong with an output as a whole: its length, its size, its colours, damage in it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from streamdet.video.base import Source, SourceInfo
from streamdet.video.checking.faults import Fault, counted

UNSPECIFIED = {"color_range": 0, "color_space": 2, "color_primaries": 2, "color_trc": 2}
COLOURS = {
    "color_range": "range",
    "color_space": "matrix",
    "color_primaries": "primaries",
    "color_trc": "transfer curve",
}


def damage_faults(output: Source) -> Iterator[Fault]:
    """Frames of an exhausted output that can't be decoded well; an output that was cut off."""
    counts = output.counts
    if counts.lost:
        at_s = [float(pts * output.info.time_base) for pts in counts.lost_pts if pts is not None]
        where = f", the first at {min(at_s):.3f} s" if at_s else ""
        yield Fault("damage", f"{counted(counts.lost, 'frame')} can't be decoded{where}")
    if counts.damaged_marked:
        yield Fault("damage", f"{counted(counts.damaged_marked, 'frame')} can only be decoded with damage")
    if counts.times_repaired:
        yield Fault(
            "time", f"{counted(counts.times_repaired, 'frame')} without a time, or with one that runs backwards"
        )
    if (early := output.ended_early()) is not None:
        yield Fault("cut off", early, True)


def duration_faults(output: Source, end_s: float) -> Iterator[Fault]:
    """A declared length that is not that of the frames; what is missing at the end is told elsewhere.

    `end_s`: when the last frame begins, in the output's own time.
    """
    info = output.info
    if info.declared_duration_s is None or info.frame_interval_s is None or output.ended_early() is not None:
        return
    interval_s = float(info.frame_interval_s)
    held_s = end_s + interval_s
    begun_s = float(info.origin_s)
    # mp4 counts from the first frame, Matroska from 0; and the last frame may be shown for a while
    fits = min(abs(info.declared_duration_s - held_s), abs(info.declared_duration_s - (held_s - begun_s)))
    if fits > max(2 * interval_s, 0.1):
        yield Fault(
            "duration",
            f"it declares a length of {info.declared_duration_s:.3f} s, and its frames end at {held_s:.3f} s",
        )


def _even(side: int) -> int:
    return side + side % 2


def has_shape(output: SourceInfo, source: SourceInfo) -> bool:
    """True when pictures can be compared: of the same shape, perhaps scaled."""
    return math.isclose(output.width / output.height, _even(source.width) / _even(source.height), rel_tol=0.05)


def size_faults(source: SourceInfo, output: SourceInfo) -> Iterator[Fault]:
    """Another size than the source's, made even, or other pixels."""
    if (output.width, output.height) != (_even(source.width), _even(source.height)):
        yield Fault(
            "size",
            f"its pictures are {output.width}x{output.height} and the source's {source.width}x{source.height} pixels",
        )
    if (output.sample_aspect_ratio or 1) != (source.sample_aspect_ratio or 1):
        yield Fault(
            "size",
            f"its pixels are {output.sample_aspect_ratio or 1} as wide as high, and the source's "
            f"{source.sample_aspect_ratio or 1}",
        )


def colour_faults(source: SourceInfo, output: SourceInfo) -> Iterator[Fault]:
    """Tags that tell players other colours than the source's do."""
    if not source.pixel_format.startswith(("yuv", "nv", "p0")):
        return  # an output is never RGB
    wrong = [
        f"{word} {getattr(output, name)} instead of {getattr(source, name)}"
        for name, word in COLOURS.items()
        if getattr(source, name) not in (UNSPECIFIED[name], getattr(output, name))
    ]
    if wrong:
        yield Fault("colours", f"its colours are tagged differently: {', '.join(wrong)}")
