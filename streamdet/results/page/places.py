"""What happened at lines, zones and bays, gathered over a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from streamdet.results.jsonl_reading import FrameLine
from streamdet.results.page.coverage import Gap
from streamdet.results.page.series import Series

MOST_CHANGES = 4000
"""Of a bay; later ones are counted, and not drawn, and its times are those up to there."""


@dataclass(slots=True)
class Line:
    """Who crossed a line."""

    in_counts: Counter[str] = field(default_factory=Counter)
    out_counts: Counter[str] = field(default_factory=Counter)
    over_time: Series = field(default_factory=lambda: Series(2))
    """Crossings in, out."""
    speeds_m_per_s: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """Sum, number."""


@dataclass(slots=True)
class Zone:
    """Who was in a zone."""

    over_time: Series = field(default_factory=lambda: Series(1))
    """Objects in it."""
    entered: Counter[str] = field(default_factory=Counter)
    stays: int = 0
    """Objects that left it."""
    stays_s: float = 0.0
    """Their seconds in it, summed."""
    longest_s: float = 0.0


@dataclass(slots=True)
class Bay:
    """When a parking bay was occupied."""

    changes: list[tuple[float, bool | None]] = field(default_factory=list)
    """From when on it was occupied (True), free (False), unknown (None)."""
    changed: int = 0
    """Times that it became occupied or free after the first time that was known."""
    state: bool | None = None

    def set(self, time_s: float, state: bool | None) -> None:
        """It is in this state now."""
        if self.changes and state is self.state:
            return
        self.changed += bool(self.changes) and self.state is not None and state is not None
        self.state = state
        if len(self.changes) < MOST_CHANGES:
            self.changes.append((time_s, state))

    def seconds(self, gaps: Sequence[Gap], end_s: float) -> dict[bool | None, float]:
        """Seconds in each state up to `end_s`, without gaps."""
        found: dict[bool | None, float] = {True: 0.0, False: 0.0, None: 0.0}
        if len(self.changes) == MOST_CHANGES:
            end_s = self.changes[-1][0]
        ends_s = [time_s for time_s, _ in self.changes[1:]] + [end_s]
        for (begin_s, state), until_s in zip(self.changes, ends_s, strict=True):
            gone_s = sum(max(0.0, min(gap.end_s, until_s) - max(gap.begin_s, begin_s)) for gap in gaps)
            found[state] += max(0.0, until_s - begin_s - gone_s)
        return found


class Places:
    """Gathers the places of one view, by name.

    Attributes:
        lines: by name.
        zones: by name.
        bays: by name.
        occupied: bays that are occupied, over time.
    """

    def __init__(self) -> None:
        self.lines: dict[str, Line] = {}
        self.zones: dict[str, Zone] = {}
        self.bays: dict[str, Bay] = {}
        self.occupied = Series(1)

    def __bool__(self) -> bool:
        return bool(self.lines or self.zones or self.bays)

    def add(self, line: FrameLine, time_s: float) -> None:
        """Take in a frame."""
        scene = line.scene_line
        for name in scene.get("lines", {}):
            self.lines.setdefault(name, Line())
        for name, counts in scene.get("zones", {}).items():
            zone = self.zones.setdefault(name, Zone())
            zone.over_time.add(time_s, np.array([sum(counts.values())], np.int64))
        bays = scene.get("bays", {})
        for name, state in bays.items():
            bay = self.bays.get(name)
            if bay is None:
                bay = self.bays[name] = Bay()
            if state is not bay.state or not bay.changes:
                bay.set(time_s, state)
        if bays:
            self.occupied.add(time_s, np.array([sum(state is True for state in bays.values())], np.int64))
        for happening in scene.get("happenings", []):
            self._happen(happening, time_s)

    def _happen(self, happening: Mapping[str, Any], time_s: float) -> None:
        kind, name, class_name = happening.get("kind"), str(happening.get("place")), str(happening.get("class", "?"))
        if kind == "crossed":
            line = self.lines.setdefault(name, Line())
            comes_in = happening.get("direction") == "in"
            (line.in_counts if comes_in else line.out_counts)[class_name] += 1
            line.over_time.add(time_s, np.array([comes_in, not comes_in], np.int64))
            if "speed_m_per_s" in happening:
                line.speeds_m_per_s[0] += float(happening["speed_m_per_s"])
                line.speeds_m_per_s[1] += 1
        elif kind in ("entered", "left"):
            zone = self.zones.setdefault(name, Zone())
            if kind == "entered":
                zone.entered[class_name] += 1
            elif "lasted_s" in happening:
                zone.stays += 1
                zone.stays_s += float(happening["lasted_s"])
                zone.longest_s = max(zone.longest_s, float(happening["lasted_s"]))
