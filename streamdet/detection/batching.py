"""How many pictures to give a detector at a time: on a GPU found by measuring, as it depends on everything."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import av
import numpy as np
import torch

from streamdet.detection.detector import Detector, is_out_of_memory

ON_A_CPU = 2
"""One is computed while the next one is decoded: more only wait for each other."""
MOST = 64
GAIN = 1.05
"""Twice the pictures must come through this many times as fast, or the smaller batch stays: it answers sooner."""
WARM_UP = 3
"""Batches of each size that are not timed: memory is taken, and a CUDA graph recorded with the second one."""
TIMED = 3


def find_batch(seconds_of: Callable[[int], float], most: int = MOST) -> int:
    """The batch size, among 1, 2, 4, 8 ... up to `most`, at which pictures per second stop growing by 5 %.

    `seconds_of`: measures a batch of so many; running out of memory there ends the search, any other error is raised.
    """
    best, rate = 1, 0.0
    size = 1
    while size <= max(most, 1):
        try:
            seconds = seconds_of(size)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            break
        if size / seconds < GAIN * rate:
            break
        best, rate = size, size / seconds
        size *= 2
    return best


def batch_for(detector: Detector, width: int, height: int, most: int = MOST) -> int:
    """The batch size for pictures of this size in pixels: measured on a GPU, `ON_A_CPU` elsewhere; at most `most`."""
    if detector.placement.device.type != "cuda":
        return min(ON_A_CPU, max(most, 1))
    found = find_batch(lambda size: seconds_of(detector, width, height, size), most)
    torch.cuda.empty_cache()  # what the last trial took and nobody needs
    return found


def seconds_of(detector: Detector, width: int, height: int, size: int) -> float:
    """Seconds that a detector takes for a batch of `size` pictures of `width` x `height` pixels, once it is warm."""
    grey = np.full((-(-height // 2) * 3, -(-width // 2) * 2), 128, np.uint8)
    picture = av.VideoFrame.from_ndarray(grey, format="yuv420p").reformat(width, height)
    times = []
    for turn in range(WARM_UP + TIMED):
        started = time.perf_counter()
        detector([picture] * size)
        if turn >= WARM_UP:
            times.append(time.perf_counter() - started)
    return median(times)
