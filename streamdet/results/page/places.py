"""What happened at lines, zones and bays, gathered over a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from streamdet.results.jsonl_reading import FrameLine
from streamdet.results.page.series import Series

MOST_CHANGES = 4000
"""Of a bay; later ones are counted, and not drawn."""


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
    seconds: dict[bool | None, float] = field(default_factory=lambda: {True: 0.0, False: 0.0, None: 0.0})
    """By state, without gaps."""

    def set(self, time_s: float, state: bool | None) -> None:
        """It is in this state now."""
        if self.changes and state is self.state:
            return
        self.changed += bool(self.changes) and self.state is not None and state is not None
        self.state = state
        if len(self.changes) < MOST_CHANGES:
            self.changes.append((time_s, state))


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
        self._before_s: float | None = None

    def __bool__(self) -> bool:
        return bool(self.lines or self.zones or self.bays)

    def add(self, line: FrameLine, time_s: float, longest_step_s: float) -> None:
        """Take in a frame; what is more than `longest_step_s` after the one before leaves a gap."""
        scene = line.scene_line
        step_s = 0.0 if self._before_s is None else time_s - self._before_s
        self._before_s = time_s
        if not scene:
            return
        for name in scene.get("lines", {}):
            self.lines.setdefault(name, Line())
        for name, counts in scene.get("zones", {}).items():
            zone = self.zones.setdefault(name, Zone())
            zone.over_time.add(time_s, np.array([sum(counts.values())], np.int64))
        bays = scene.get("bays", {})
        for name, state in bays.items():
            bay = self.bays.setdefault(name, Bay())
            if bay.changes and 0 < step_s <= longest_step_s:
                bay.seconds[bay.state] += step_s
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
