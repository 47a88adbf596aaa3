"""What a file of detections covers of a view, and what it does not: gaps, missing and damaged frames."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from dataclasses import dataclass

from streamdet.results.jsonl_reading import FrameLine
from streamdet.types import Detections

LEAST_GAP_S = 2.0
"""Frames this far apart or less leave no gap."""
INTERVALS_OF_A_GAP = 5
"""Nor do frames that are this many usual intervals apart: a time lapse is no row of gaps."""
MOST_GAPS = 1000
"""Longest gaps that are remembered."""
MOST_STRIDES = 10_000
"""Different distances of frame numbers that are told apart."""


@dataclass(frozen=True, order=True, slots=True)
class Gap:
    """A time without frames."""

    begin_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        """Seconds."""
        return self.end_s - self.begin_s


class Coverage:
    """Accounts for the frames of one view, in the order of the file.

    Attributes:
        frames: lines.
        damaged: those whose picture was damaged.
        boxes: objects that count, in all frames.
        bridged: those of them that a tracker placed where nothing was seen.
        hidden: boxes kept in the file that neither are drawn nor count.
        sessions: connections to a live source.
        set_back: times that a clock went backwards.
        first_s: time of the first frame.
        last_s: of the last one.
    """

    def __init__(self) -> None:
        self.frames = self.damaged = self.boxes = self.bridged = self.hidden = self.set_back = 0
        self.sessions = 0
        self.first_s, self.last_s = math.inf, -math.inf
        self._session: int | None = None
        self._before_s: float | None = None
        self._index: int | None = None
        self._intervals: Counter[int] = Counter()
        self._strides: Counter[int] = Counter()
        self._gaps: list[tuple[float, float]] = []

    def add(self, line: FrameLine, shown: Detections, time_s: float) -> None:
        """Account for one frame, of which `shown` counts."""
        self.frames += 1
        self.damaged += line.damaged
        self.boxes += len(shown)
        self.hidden += len(line.detections) - len(shown)
        self.bridged += int(shown.bridged.sum())
        if self.frames == 1 or line.session != self._session:
            self.sessions += 1
            self._session = line.session
        stride = 0 if self._index is None else line.index - self._index
        if stride > 0 and (len(self._strides) < MOST_STRIDES or stride in self._strides):
            self._strides[stride] += 1
        self._index = line.index
        if self._before_s is not None:
            self._step(self._before_s, time_s)
        self._before_s = time_s
        self.first_s, self.last_s = min(self.first_s, time_s), max(self.last_s, time_s)

    def _step(self, before_s: float, time_s: float) -> None:
        interval_s = time_s - before_s
        if interval_s < 0:
            self.set_back += 1
            return
        self._intervals[_step_of(interval_s)] += 1
        if interval_s > LEAST_GAP_S:
            entry = (interval_s, before_s)
            if len(self._gaps) < MOST_GAPS:
                heapq.heappush(self._gaps, entry)
            else:
                heapq.heappushpop(self._gaps, entry)

    @property
    def usual_interval_s(self) -> float:
        """Seconds between two frames, to 3 %: the median; 0 when there is none."""
        half = sum(self._intervals.values()) / 2
        seen = 0
        for step in sorted(self._intervals):
            seen += self._intervals[step]
            if seen >= half:
                return 0.0 if step == _NO_TIME else _RATIO ** (step + 0.5)
        return 0.0

    @property
    def gaps(self) -> list[Gap]:
        """Times without frames, in order: up to MOST_GAPS, the longest."""
        least_s = max(LEAST_GAP_S, INTERVALS_OF_A_GAP * self.usual_interval_s)
        return sorted(Gap(begin_s, begin_s + length_s) for length_s, begin_s in self._gaps if length_s > least_s)

    @property
    def mean_interval_s(self) -> float:
        """Seconds between two frames, without gaps."""
        gaps = self.gaps
        steps = self.frames - 1 - len(gaps)
        return max(0.0, self.last_s - self.first_s - sum(gap.length_s for gap in gaps)) / steps if steps > 0 else 0.0

    @property
    def span_s(self) -> float:
        """From the first frame to the end of the last one."""
        return self.last_s - self.first_s + self.mean_interval_s if self.frames else 0.0

    @property
    def every(self) -> int:
        """Every how many frames one was looked at, where that was asked for: all numbers are multiples of it."""
        return math.gcd(*self._strides) or 1

    @property
    def missing(self) -> int:
        """Frames that the numbers of the others leave out: given up, or not written."""
        return sum((stride // self.every - 1) * count for stride, count in self._strides.items())


_RATIO = 1.05
_NO_TIME = -10_000


def _step_of(interval_s: float) -> int:
    """Place of an interval among lengths that each are 5 % longer."""
    return math.floor(math.log(interval_s) / math.log(_RATIO)) if interval_s > 1e-6 else _NO_TIME
