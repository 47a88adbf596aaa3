"""Frame lines for the tests of the page, without a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from streamdet.results.jsonl_reading import FrameLine
from streamdet.types import Detections

CLASSES = ("person", "car")
Box = tuple[str, float, float, float, float]


def frame_line(
    index: int,
    time_s: float,
    boxes: Sequence[Box] = (),
    *,
    tracks: Sequence[int] = (),
    bridged: Sequence[bool] = (),
    hidden: Sequence[bool] = (),
    utc_s: float | None = None,
    session: int = 0,
    damaged: bool = False,
    scene: Mapping[str, Any] | None = None,
) -> FrameLine:
    """`boxes`: class and edges of each; with `utc_s` a line of the live source "door"."""
    n = len(boxes)
    detections = Detections(
        np.array([box[1:] for box in boxes], np.float32).reshape(n, 4),
        np.full(n, 0.5, np.float32),
        np.array([CLASSES.index(box[0]) for box in boxes], np.int64),
        CLASSES,
        np.array(tracks or [-1] * n, np.int64),
        np.array(bridged or [False] * n, np.bool_),
    )
    live = utc_s is not None
    return FrameLine(
        index,
        round(time_s * 1000),
        Fraction(1, 1000),
        damaged,
        detections,
        stream="door" if live else None,
        session=session if live else None,
        utc_s=utc_s,
        shown_mask=~np.array(hidden, np.bool_) if any(hidden) else None,
        scene_line=scene or {},
    )
