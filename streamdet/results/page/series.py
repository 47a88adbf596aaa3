"""Numbers over time in bins that grow with the time covered: constant memory, whatever the length of a file.

Shape legend: C columns (classes, or zones).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamdet.results.jsonl_reading import FrameLine

Int64Array = npt.NDArray[np.int64]

WIDTHS_S = (0.1, 0.2, 1, 5, 10, 30, 60, 300, 600, 1800, 3600, 21600, 86400, 604800)
"""Widths of bins in seconds; each divides the next, so that bins can be joined."""
MOST_BINS = 2048


@dataclass(slots=True)
class Bin:
    """What was counted in one span of time."""

    frames: int
    sums: Int64Array
    """(C,) over its frames."""
    most: Int64Array
    """(C,) in one frame."""
    peak: FrameLine | None = None
    """The frame with most in all."""
    peak_s: float = 0.0
    """Its time."""
    peak_count: int = -1
    first_s: float = math.inf
    last_s: float = -math.inf
    """Times of its first and last frame."""

    def join(self, other: Bin) -> None:
        """Take in what a later bin holds."""
        self.frames += other.frames
        self.sums = self.sums + other.sums
        self.most = np.maximum(self.most, other.most)
        self.first_s, self.last_s = min(self.first_s, other.first_s), max(self.last_s, other.last_s)
        if other.peak_count > self.peak_count:
            self.peak, self.peak_s, self.peak_count = other.peak, other.peak_s, other.peak_count


class Series:
    """Counts per frame over time. Moments may come in any order."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self._level = 0
        self._bins: dict[int, Bin] = {}

    @property
    def width_s(self) -> float:
        """Seconds of a bin."""
        return WIDTHS_S[self._level]

    def add(self, time_s: float, counts: Int64Array, line: FrameLine | None = None) -> None:
        """Count one frame: `counts` (C,) at `time_s`; the `line` is kept while it holds most of its bin."""
        number = math.floor(time_s / self.width_s + 1e-9)
        found = self._bins.get(number)
        total = int(counts.sum())
        if found is None:
            self._bins[number] = Bin(1, counts.copy(), counts.copy(), line, time_s, total, time_s, time_s)
            while len(self._bins) > MOST_BINS and self._level < len(WIDTHS_S) - 1:
                self._bins = self._joined(self._level + 1)
                self._level += 1
            return
        found.frames += 1
        found.first_s, found.last_s = min(found.first_s, time_s), max(found.last_s, time_s)
        found.sums += counts
        np.maximum(found.most, counts, out=found.most)
        if total > found.peak_count:
            found.peak, found.peak_s, found.peak_count = line, time_s, total

    def bins(self, least_width_s: float = 0.0, most: int = MOST_BINS) -> tuple[float, list[tuple[float, Bin]]]:
        """Width, and begin and content of each bin that has frames, in order.

        Bins are `least_width_s` wide or more, and at most `most` in number where their width can still grow.
        """
        level, bins = self._level, self._bins
        while level < len(WIDTHS_S) - 1 and (WIDTHS_S[level] < least_width_s - 1e-9 or len(bins) > most):
            level += 1
            bins = self._joined(level)
        width_s = WIDTHS_S[level]
        return width_s, [(number * width_s, bins[number]) for number in sorted(bins)]

    def totals(self) -> Bin:
        """All of it as one bin."""
        total = Bin(0, np.zeros(self.columns, np.int64), np.zeros(self.columns, np.int64))
        for one in self._bins.values():
            total.join(one)
        return total

    def __iter__(self) -> Iterator[Bin]:
        return iter(self._bins.values())

    def _joined(self, level: int) -> dict[int, Bin]:
        ratio = round(WIDTHS_S[level] / self.width_s)
        joined: dict[int, Bin] = {}
        for number in sorted(self._bins):
            one = self._bins[number]
            place = number // ratio
            if place not in joined:
                joined[place] = Bin(0, np.zeros(self.columns, np.int64), np.zeros(self.columns, np.int64))
            joined[place].join(one)
        return joined
