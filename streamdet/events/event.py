"""The nouns of events: what a rule found in a frame, and the event that is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Literal

from streamdet.types import Float32Array, Frame

EventKind = Literal["dwell", "entered", "left", "crossed", "count", "occupied", "freed", "camera down", "camera up"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What fulfilled a rule's condition."""

    kind: EventKind
    message: str
    """One sentence for people."""
    place: str | None = None
    """Name of the line, zone or bay."""
    class_name: str | None = None
    track_id: int = -1
    direction: Literal["in", "out"] | None = None
    count: int | None = None
    lasted_s: float | None = None
    """Seconds in the zone, above the count, occupied, or down."""
    box_xyxy: Float32Array | None = None
    """(4,) of the object, pixels of the source frame, where a single one is meant."""
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a user asked to be told of."""

    source: str
    """Printable name of the source."""
    number: int
    """Counts the events of this source from 1, without a gap, over all runs with the same folder of events."""
    rule: str
    finding: Finding
    frame: Frame | None = None
    """The frame at which it became certain; None where there is none (a camera that is down)."""
    utc_s: float | None = None
    """Wall clock, seconds since 1970; None for a file."""
    suppressed: int = 0
    """Events of the same rule since its last one that its cooldown kept back."""
    snapshot: str | None = None
    """Name of the picture in the folder of events."""
    clip: str | None = None
    """Name of the clip in the folder of events; it is there once the message of type "clip" has come."""
    send: tuple[str, ...] | None = None
    """Names of the receivers that get it; None: all."""

    def to_dict(self) -> dict[str, object]:
        """Ready for JSON; fields that are not known are left out."""
        finding, frame = self.finding, self.frame
        told: dict[str, object | None] = {
            "type": "event",
            "source": self.source,
            "number": self.number,
            "rule": self.rule,
            "kind": finding.kind,
            "message": finding.message,
            "place": finding.place,
            "class": finding.class_name,
            "track": None if finding.track_id < 0 else finding.track_id,
            "direction": finding.direction,
            "count": finding.count,
            "lasted_s": None if finding.lasted_s is None else round(finding.lasted_s, 3),
            "score": None if finding.score is None else round(finding.score, 4),
            "suppressed": self.suppressed or None,
            "snapshot": self.snapshot,
            "clip": self.clip,
            "send": None if self.send is None else list(self.send),
        }
        if finding.box_xyxy is not None:
            told["box_xyxy"] = [round(float(edge), 2) for edge in finding.box_xyxy]
        if frame is not None:
            told |= {"index": frame.index, "pts": frame.pts, "time_base": _fraction(frame.time_base)}
            told |= {"time_s": round(frame.time_s, 6), "session": None if frame.utc_s is None else frame.session}
        if self.utc_s is not None:
            told |= {"utc_s": round(self.utc_s, 6), "utc": utc_text(self.utc_s)}
        return {key: value for key, value in told.items() if value is not None}


def utc_text(utc_s: float) -> str:
    """Seconds since 1970 as `2026-11-25T22:10:00.250Z`."""
    return datetime.fromtimestamp(utc_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fraction(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"
