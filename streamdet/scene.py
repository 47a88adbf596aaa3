"""What happens in a camera's view: how the lines, zones and bays that a user drew stand after a frame.

Coordinates are pixels of the upright source frame, x to the right, y down. Seconds are those of the frame's own clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
HappeningKind = Literal["crossed", "entered", "left", "occupied", "freed"]


@dataclass(frozen=True, slots=True)
class Happening:
    """A change at one of the places, at the frame at which it became certain."""

    kind: HappeningKind
    """"crossed" a line; "entered" or "left" a zone; a bay was "occupied" or "freed"."""
    place: str
    """Name of the line, zone or bay."""
    class_name: str | None = None
    """None where no single object is meant (a bay that was freed)."""
    track_id: int = -1
    direction: Literal["in", "out"] | None = None
    """Of a crossing."""
    began_s: float | None = None
    """When it began, where that was before it became certain (hysteresis), on the frame's clock."""
    lasted_s: float | None = None
    """Seconds in the zone ("left"), or that the bay was occupied ("freed") or free ("occupied")."""
    speed_m_per_s: float | None = None
    """Mean speed over ground; only with a homography."""


@dataclass(frozen=True, slots=True)
class LineState:
    """A line and who has crossed it so far."""

    name: str
    points_xy: tuple[tuple[float, float], tuple[float, float]]
    """From, to. "in" is a crossing from the left side to the right side of someone who walks from the first to the
    second point (y down: from above to below for a line drawn from left to right)."""
    in_counts: Mapping[str, int] = field(default_factory=dict)
    """By class name, since the start."""
    out_counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ZoneState:
    """A zone and who is in it now."""

    name: str
    polygon_xy: Float32Array
    """(M, 2) corners."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Objects in it now, by class name."""
    dwell_s: Mapping[int, float] = field(default_factory=dict)
    """By track id of those in it now: seconds since it entered. Empty without tracking."""
    entered: Mapping[str, int] = field(default_factory=dict)
    """Objects that came in since the start, by class name. Empty without tracking."""


@dataclass(frozen=True, slots=True)
class BayState:
    """A parking bay."""

    name: str
    polygon_xy: Float32Array
    """(M, 2) corners."""
    occupied: bool | None = None
    """None: not known yet."""
    since_s: float | None = None
    """When this began, on the frame's clock."""


@dataclass(frozen=True, slots=True)
class Scene:
    """All places after one frame, and what changed with it."""

    lines: tuple[LineState, ...] = ()
    zones: tuple[ZoneState, ...] = ()
    bays: tuple[BayState, ...] = ()
    happenings: tuple[Happening, ...] = ()
    trails: Mapping[int, Float32Array] = field(default_factory=dict)
    """By track id: (M, 2) where the object stood before (bottom centre of its box), oldest first. Empty without
    tracking."""
