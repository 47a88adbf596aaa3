"""Objects in pictures that nobody rendered: boxes where a test wants them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from streamdet.results.places import Places
from streamdet.scene import Happening, Scene
from streamdet.types import Detections

CLASSES = ("person", "car")
SIZE = (640, 480)
RATE = 10
"""Frames per second of `walk`."""

Box = tuple[float, float, float, float]


def seen(
    *boxes: Box,
    ids: Sequence[int] | None = None,
    classes: Sequence[str] | None = None,
    bridged: Sequence[bool] | None = None,
    scores: Sequence[float] | None = None,
) -> Detections:
    """Detections; without `ids` numbered from 1, without `classes` cars."""
    n = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(n, 4),
        np.array(scores or [0.9] * n, np.float32),
        np.array([CLASSES.index(name) for name in classes or ["car"] * n], np.int64),
        CLASSES,
        np.array(ids if ids is not None else range(1, n + 1), np.int64),
        np.array(bridged or [False] * n, np.bool_),
    )


def standing(x: float, y: float, width: float = 40.0, height: float = 30.0) -> Box:
    """The box of something that stands at (x, y): the middle of its lower edge."""
    return x - width / 2, y - height, x + width / 2, y


def walk(
    places: Places, frames: Iterable[Detections], start_s: float = 0.0, rate: float = RATE
) -> tuple[Scene, list[Happening]]:
    """The last scene and all happenings of frames at `rate` per second."""
    scene, happenings = Scene(), []
    for index, detections in enumerate(frames):
        scene = places.update(detections, start_s + index / rate, SIZE)
        happenings += scene.happenings
    return scene, happenings


def steps(*corners: tuple[float, float], pixels: float = 5.0) -> list[tuple[float, float]]:
    """Points every so many pixels along straight ways from corner to corner."""
    points = []
    for (x0, y0), (x1, y1) in pairwise(corners):
        count = max(1, round(float(np.hypot(x1 - x0, y1 - y0)) / pixels))
        points += [(x0 + (x1 - x0) * i / count, y0 + (y1 - y0) * i / count) for i in range(count)]
    return [*points, corners[-1]]
