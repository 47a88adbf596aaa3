"""Frames in which something happens, without a video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import av
import numpy as np

from streamdet.scene import Happening, Scene, ZoneState
from streamdet.types import DetectedFrame, Detections, Frame

CLASSES = ("person", "car")
RATE = 10
"""Frames per second."""
NOON_S = 1_800_000_000.0
YARD = np.array([[0, 0], [64, 0], [64, 48], [0, 48]], np.float32)


def frame_at(index: int, *, source: str = "gate", live: bool = True) -> Frame:
    """Frame `index` of a camera or of a file, 64x48."""
    picture = av.VideoFrame(64, 48, "yuv420p")
    for plane, value in zip(picture.planes, (90, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    moment_s = index / RATE
    utc_s = NOON_S + moment_s if live else None
    return Frame(picture, source, index, index * 9000, Fraction(1, 90_000), 1000.0 + moment_s, utc_s=utc_s)


def detected(
    index: int,
    *objects: tuple[str, int],
    happenings: Sequence[Happening] = (),
    counts: Mapping[str, int] | None = None,
    dwell_s: Mapping[int, float] | None = None,
    source: str = "gate",
    live: bool = True,
) -> DetectedFrame:
    """A frame with `objects` (class, track) and a zone "yard" with `counts` and `dwell_s`."""
    boxes = np.array([[4 * i, 4, 4 * i + 10, 30] for i in range(len(objects))], np.float32).reshape(-1, 4)
    scores = np.linspace(0.9, 0.5, len(objects), dtype=np.float32)
    class_ids = np.array([CLASSES.index(name) for name, _ in objects], np.int64)
    tracks = np.array([track for _, track in objects], np.int64)
    zones = (ZoneState("yard", YARD, counts or {}, dwell_s or {}),)
    return DetectedFrame(
        frame_at(index, source=source, live=live),
        Detections(boxes, scores, class_ids, CLASSES, tracks),
        None,
        Scene(zones=zones, happenings=tuple(happenings)),
    )


def crossing(track: int, direction: str = "in", line: str = "gate", name: str = "car") -> Happening:
    """An object crosses a line."""
    return Happening("crossed", line, name, track, direction)  # type: ignore[arg-type]
