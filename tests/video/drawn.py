"""Pictures and detections to draw, and what drawing has changed."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from streamdet.scene import Scene
from streamdet.types import DetectedFrame, Detections, Frame
from streamdet.video.planes import Planes

NAMES = ("person", "bicycle", "car", "motorcycle", "bus", "truck")


def picture(width: int, height: int, form: str = "yuv420p", *, noise: bool = True, seed: int = 0) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, form)
    rng = np.random.default_rng(seed)
    for plane in frame.planes:
        values = np.frombuffer(memoryview(plane), np.uint8)
        values[:] = rng.integers(60, 190, values.shape) if noise else 110
    frame.pts, frame.time_base = 1234, Fraction(1, 90_000)
    frame.colorspace, frame.color_range = Colorspace.ITU709, ColorRange.MPEG
    return frame


def arrays(frame: av.VideoFrame) -> list[np.ndarray]:
    return [array.copy() for array in Planes(frame).arrays]


def detections(
    *rows: tuple[float, float, float, float, float, int], ids: list[int] | None = None, bridged: bool = False
) -> Detections:
    """Rows of x0, y0, x1, y1, score, class; `ids` of the rows in order of their scores."""
    table = np.array(sorted(rows, key=lambda row: -row[4]), np.float32).reshape(-1, 6)
    track_ids = np.array([-1] * len(rows) if ids is None else ids, np.int64)
    gaps = np.full(len(rows), bridged)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64), NAMES, track_ids, gaps)


def detected(
    source: av.VideoFrame,
    found: Detections | None = None,
    *,
    time_s: float = 0.0,
    damaged: bool = False,
    shown: list[bool] | None = None,
    scene: Scene | None = None,
) -> DetectedFrame:
    frame = Frame(source, "clip", 0, round(time_s * 90_000), Fraction(1, 90_000), 0.0, damaged)
    mask = None if shown is None else np.array(shown, np.bool_)
    return DetectedFrame(frame, found or Detections.empty(NAMES), mask, scene)


def changed(one: av.VideoFrame, other: av.VideoFrame, plane: int = 0) -> np.ndarray:
    return Planes(one).arrays[plane] != Planes(other).arrays[plane]
