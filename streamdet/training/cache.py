"""Decoded pictures, kept in memory that the processes preparing samples share.

Pictures are reduced to the largest size at which a sample can show them, whether they are kept or not: how much memory
is free must not change what a run learns.
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from streamdet.training.dataset import LabelledImage, UInt8Array, read_rgb

SHARE_OF_MEMORY = 0.25
WORTH_REDUCING = 0.75
"""A picture is reduced only to less than this share of its sides: below half of its bytes."""


class PictureCache:
    """Pictures by their place in a list. The first process that needs one decodes it, for all that were forked.

    Two that need it at once write the same bytes.
    """

    def __init__(
        self, images: Sequence[LabelledImage], sizes: Sequence[tuple[int, int]], most_scale: float, budget: int
    ) -> None:
        """For samples of these `sizes` (width, height), in which a picture is scaled by up to `most_scale` beyond
        fitting. The first pictures are kept until `budget` bytes are full, the others decoded each time.
        """  # noqa: D205
        self.images = images
        self.shapes = [_reduced_shape(image, set(sizes), most_scale) for image in images]
        self._starts: list[int] = []
        end = len(images)  # a byte for each picture: 1 when it is there
        for height, width in self.shapes:
            if end + height * width * 3 > budget:
                break
            self._starts.append(end)
            end += height * width * 3
        # Anonymous shared memory takes pages as they are written, and is not limited to the size of /dev/shm.
        self._memory = np.frombuffer(mmap.mmap(-1, end), np.uint8) if self._starts else np.zeros(0, np.uint8)

    @property
    def kept(self) -> int:
        """Number of pictures that have a place in memory."""
        return len(self._starts)

    def read(self, place: int) -> UInt8Array:
        """(H, W, 3) RGB of picture `place`, reduced. Raises DataError when it can't be read."""
        height, width = self.shapes[place]
        if place >= len(self._starts):
            return _reduced(read_rgb(self.images[place]), height, width)
        start = self._starts[place]
        slot = self._memory[start : start + height * width * 3].reshape(height, width, 3)
        if not self._memory[place]:
            slot[:] = _reduced(read_rgb(self.images[place]), height, width)
            self._memory[place] = 1
        return slot


def _reduced_shape(image: LabelledImage, sizes: set[tuple[int, int]], most_scale: float) -> tuple[int, int]:
    """(H, W) of a picture that no sample shows any larger."""
    fit = max(min(width / image.width, height / image.height) for width, height in sizes)
    factor = fit * most_scale
    if factor >= WORTH_REDUCING:
        return image.height, image.width
    return math.ceil(image.height * factor), math.ceil(image.width * factor)


def _reduced(image_rgb: UInt8Array, height: int, width: int) -> UInt8Array:
    if image_rgb.shape[:2] == (height, width):
        return image_rgb
    return cv2.resize(image_rgb, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def cache_budget(kind: str, processes: int = 1) -> int:
    """Bytes for each of so many processes. `kind`: "auto" (a quarter of the free memory for all), "memory", "off"."""
    if kind == "off":
        return 0
    if kind == "memory":
        return 1 << 62
    return int(_free_memory() * SHARE_OF_MEMORY / processes)


def _free_memory() -> int:
    """Bytes that this machine, or this container, could give away."""
    free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        for line in _lines(Path(limit)):
            free = min(free, int(line)) if line.isdecimal() else free
    return free


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
