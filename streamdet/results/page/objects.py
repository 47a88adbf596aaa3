"""Objects that were followed: how many, how long, along which way. Constant memory, however many there were."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from dataclasses import dataclass, field

from streamdet.types import Detections

GONE_S = 60.0
"""A track that was not seen for so long has ended; its number then means another object (of a run begun anew)."""
MOST_POINTS = 48
"""Points of a way; when there are more every other one is left out, and from then on fewer are taken."""
MOST_WAYS = 250
"""Objects whose way is drawn, of those that moved."""
MOST_LISTED = 25
_RATIO = 1.05


@dataclass(slots=True)
class Track:
    """One object on its way through the view."""

    track_id: int
    first_s: float
    last_s: float
    frames: int = 0
    """Frames in which it was."""
    votes: dict[int, int] = field(default_factory=dict)
    """Frames by class id."""
    width_px: float = 0.0
    """Of its first box."""
    bridged: int = 0
    """Frames in which it was not seen, and a tracker placed it."""
    points_xy: list[tuple[float, float]] = field(default_factory=list)
    """Bottom centre of its box, in pixels."""
    stride: int = 1
    """Of so many frames one is a point."""

    @property
    def class_id(self) -> int:
        """Its class in most frames."""
        return max(self.votes, key=lambda class_id: (self.votes[class_id], -class_id))

    @property
    def lasted_s(self) -> float:
        """Seconds from its first frame to its last."""
        return self.last_s - self.first_s

    @property
    def reach_px(self) -> float:
        """How far it got from where it began, at most."""
        x, y = self.points_xy[0]
        return max(math.hypot(other_x - x, other_y - y) for other_x, other_y in self.points_xy)

    def go_on(self, time_s: float, class_id: int, bridged: bool, point_xy: tuple[float, float]) -> None:
        """One more frame."""
        self.last_s = time_s
        self.votes[class_id] = self.votes.get(class_id, 0) + 1
        self.bridged += bridged
        if self.frames % self.stride == 0:
            if len(self.points_xy) >= MOST_POINTS:
                del self.points_xy[1::2]
                self.stride *= 2
            self.points_xy.append(point_xy)
        self.frames += 1


class Objects:
    """Gathers the tracks of one view.

    Attributes:
        seen: tracks by class id.
        longest: those that lasted longest, longest first (after `finish`).
        moved: how many moved by the width of their box or more.
        ways: some of these (after `finish`).
    """

    def __init__(self) -> None:
        self.seen: Counter[int] = Counter()
        self.longest: list[Track] = []
        self.ways: list[Track] = []
        self._open: dict[int, Track] = {}
        self._durations: dict[int, Counter[int]] = {}
        self._by_time: list[tuple[float, int, Track]] = []
        self.moved = 0
        self._drawn: list[tuple[float, int, Track]] = []
        self._number = 0
        self._looked_s = -math.inf

    def add(self, shown: Detections, time_s: float) -> None:
        """Follow the objects of one frame; those without a track are passed over."""
        rows = (shown.track_ids.tolist(), shown.class_ids.tolist(), shown.bridged.tolist(), shown.boxes_xyxy.tolist())
        for track_id, class_id, bridged, (left, _, right, bottom) in zip(*rows, strict=True):
            if track_id < 0:
                continue
            track = self._open.get(track_id)
            if track is not None and abs(time_s - track.last_s) > GONE_S:
                self._end(self._open.pop(track_id))
                track = None
            if track is None:
                track = self._open[track_id] = Track(track_id, time_s, time_s, width_px=right - left)
            track.go_on(time_s, class_id, bridged, ((left + right) / 2, bottom))
        # a clock that was set back: look again at once
        if not 0 <= time_s - self._looked_s < GONE_S / 2:
            self._looked_s = time_s
            for track_id in [i for i, track in self._open.items() if abs(time_s - track.last_s) > GONE_S]:
                self._end(self._open.pop(track_id))

    def finish(self) -> None:
        """After the last frame."""
        for track in self._open.values():
            self._end(track)
        self._open.clear()
        self.longest = [track for _, _, track in sorted(self._by_time, key=lambda entry: (-entry[0], -entry[1]))]
        self.ways = [track for _, _, track in sorted(self._drawn, key=lambda entry: -entry[1])]

    def median_s(self, class_id: int) -> float:
        """Seconds that half of a class's objects were followed for, to 5 %."""
        steps = self._durations.get(class_id, Counter())
        seen = 0
        for step in sorted(steps):
            seen += steps[step]
            if seen * 2 >= sum(steps.values()):
                return float(_RATIO ** (step + 0.5)) if step > _NO_TIME else 0.0
        return 0.0

    def _end(self, track: Track) -> None:
        self.seen[track.class_id] += 1
        step = math.floor(math.log(track.lasted_s) / math.log(_RATIO)) if track.lasted_s > 1e-3 else _NO_TIME
        self._durations.setdefault(track.class_id, Counter())[step] += 1
        self._number -= 1  # among equals the first one stays
        _keep(self._by_time, MOST_LISTED, (track.lasted_s, self._number, track))
        if track.reach_px >= track.width_px:
            self.moved += 1
            # the same ones in every report of a file, and yet no kind of way preferred
            _keep(self._drawn, MOST_WAYS, (self._number * _SHUFFLE % 1.0, self._number, track))


_NO_TIME = -10_000
_SHUFFLE = 0.6180339887498949
"""Multiples of the golden ratio, without their whole parts, are spread evenly."""


def _keep(heap: list[tuple[float, int, Track]], most: int, entry: tuple[float, int, Track]) -> None:
    if len(heap) < most:
        heapq.heappush(heap, entry)
    else:
        heapq.heappushpop(heap, entry)
