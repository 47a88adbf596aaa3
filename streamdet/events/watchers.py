"""One small state machine per kind of rule: looks at every frame and tells when its condition is fulfilled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np

from streamdet.events.event import Finding
from streamdet.events.rules import ALL, BayChange, CameraDown, Condition, Crossing, Crowd, Dwell, Visit
from streamdet.scene import Happening, Scene, ZoneState
from streamdet.types import DetectedFrame, Detections

GAP_S = 1.0
"""What is not true for a moment, as a detector misses an object, is passed over for so long."""
UNSEEN_S = 10.0
"""After so long without a frame nothing is known any more: what held begins anew."""
ROUNDING_S = 1e-6
"""Times are floats: 10 s after 1000.1 s are 10 s."""


class Watcher(Protocol):
    """Watches the frames of one source for one rule."""

    def update(self, detected: DetectedFrame, now_s: float) -> list[Finding]:
        """What became true with this frame; `now_s`: the frame's clock, seconds."""


def watcher_for(condition: Condition) -> Watcher | None:
    """The watcher of a condition; None for a camera that is down, which no frame can tell."""
    match condition:
        case Dwell():
            return DwellWatcher(condition)
        case Crowd():
            return CrowdWatcher(condition)
        case Visit() | Crossing() | BayChange():
            return HappeningWatcher(condition)
        case CameraDown():
            return None


class HappeningWatcher:
    """Passes on what lines, zones and bays have noticed."""

    def __init__(self, condition: Visit | Crossing | BayChange) -> None:
        self._condition = condition

    def update(self, detected: DetectedFrame, now_s: float) -> list[Finding]:
        """See Watcher."""
        if detected.scene is None:
            return []
        return [
            _finding_of(happening, detected.shown) for happening in detected.scene.happenings if self._wants(happening)
        ]

    def _wants(self, happening: Happening) -> bool:
        match self._condition:
            case Crossing(line, direction, classes):
                wanted = happening.kind == "crossed" and happening.place == line
                wanted = wanted and direction in (None, happening.direction)
            case Visit(zone, change, classes):
                wanted = happening.kind == change and happening.place == zone
            case BayChange(bays, change):
                classes = None
                wanted = happening.kind in ((change,) if change else ("occupied", "freed"))
                wanted = wanted and (ALL in bays or happening.place in bays)
        return wanted and (classes is None or happening.class_name in classes)


class DwellWatcher:
    """An object in a zone for longer than a time; each object once per visit."""

    def __init__(self, condition: Dwell) -> None:
        self._condition = condition
        self._told: set[int] = set()
        self._spell = Spell()

    def update(self, detected: DetectedFrame, now_s: float) -> list[Finding]:
        """See Watcher."""
        zone = _zone(detected.scene, self._condition.zone)
        if zone is None:
            return []
        shown = detected.shown
        if zone.dwell_s or bool((shown.track_ids >= 0).any()):
            return self._tracked(zone, shown)
        count = _count(zone.counts, self._condition.classes)
        held_s = self._spell.update(count > 0, now_s, self._condition.longer_than_s)
        if held_s is None:
            return []
        who = " or ".join(self._condition.classes or ("object",))
        return [Finding("dwell", f"{who} in {zone.name} for {held_s:.1f} s", zone.name, count=count, lasted_s=held_s)]

    def _tracked(self, zone: ZoneState, shown: Detections) -> list[Finding]:
        self._told &= zone.dwell_s.keys()  # who left and comes again is told of again
        over = [
            (track, dwell_s)
            for track, dwell_s in zone.dwell_s.items()
            if dwell_s >= self._condition.longer_than_s - ROUNDING_S and track not in self._told
        ]
        found = []
        for track, dwell_s in over:
            place = np.flatnonzero(shown.track_ids == track)
            if not len(place):  # hidden at this moment: told when it is seen again
                continue
            name = shown.class_names[int(shown.class_ids[place[0]])]
            self._told.add(track)
            if self._condition.classes is None or name in self._condition.classes:
                message = f"{name} {track} in {zone.name} for {dwell_s:.1f} s"
                found.append(_dwelling(shown, int(place[0]), message, zone.name, dwell_s))
        return found


class CrowdWatcher:
    """More than so many objects for longer than a time; once per spell."""

    def __init__(self, condition: Crowd) -> None:
        self._condition = condition
        self._spell = Spell()

    def update(self, detected: DetectedFrame, now_s: float) -> list[Finding]:
        """See Watcher."""
        condition = self._condition
        if condition.zone is None:
            shown = detected.shown
            count = len(shown)
            if condition.classes is not None:
                wanted = [shown.class_names.index(name) for name in condition.classes if name in shown.class_names]
                count = int(np.isin(shown.class_ids, wanted).sum())
        else:
            zone = _zone(detected.scene, condition.zone)
            if zone is None:
                return []
            count = _count(zone.counts, condition.classes)
        held_s = self._spell.update(count > condition.above, now_s, condition.longer_than_s)
        if held_s is None:
            return []
        who = f"× {' or '.join(condition.classes)}" if condition.classes else "objects"
        where = f" in {condition.zone}" if condition.zone else ""
        message = f"{count} {who}{where}, more than {condition.above}"
        return [Finding("count", message, condition.zone, count=count, lasted_s=held_s)]


class Spell:
    """How long something has been true without a gap; tells once per spell that it is long enough."""

    def __init__(self) -> None:
        self._since_s: float | None = None
        self._last_true_s = self._last_s = 0.0
        self._told = False

    def update(self, holds: bool, now_s: float, longer_than_s: float) -> float | None:
        """Seconds it has held, in the moment in which that is long enough; else None."""
        if self._since_s is not None and (
            now_s - self._last_s > UNSEEN_S or (not holds and now_s - self._last_true_s > GAP_S)
        ):
            self._since_s, self._told = None, False
        self._last_s = now_s
        if not holds:
            return None
        self._since_s = now_s if self._since_s is None else self._since_s
        self._last_true_s = now_s
        if self._told or now_s - self._since_s < longer_than_s - ROUNDING_S:
            return None
        self._told = True
        return now_s - self._since_s


def _zone(scene: Scene | None, name: str) -> ZoneState | None:
    zones: Iterable[ZoneState] = () if scene is None else scene.zones
    return next((zone for zone in zones if zone.name == name), None)


def _count(counts: Mapping[str, int], classes: tuple[str, ...] | None) -> int:
    return sum(number for name, number in counts.items() if classes is None or name in classes)


def _finding_of(happening: Happening, shown: Detections) -> Finding:
    who = happening.class_name or "object"
    if happening.track_id >= 0:
        who = f"{who} {happening.track_id}"
    match happening.kind:
        case "crossed":
            message = f"{who} crossed {happening.place}" + (f", {happening.direction}" if happening.direction else "")
        case "entered":
            message = f"{who} entered {happening.place}"
        case "left":
            message = f"{who} left {happening.place}"
        case "occupied" | "freed":
            message = f"bay {happening.place} is {'occupied' if happening.kind == 'occupied' else 'free'}"
    place = np.flatnonzero((shown.track_ids == happening.track_id) & (shown.track_ids >= 0))
    return Finding(
        happening.kind,
        message,
        happening.place,
        happening.class_name,
        happening.track_id,
        happening.direction,
        lasted_s=happening.lasted_s,
        box_xyxy=shown.boxes_xyxy[place[0]] if len(place) else None,
        score=float(shown.scores[place[0]]) if len(place) else None,
    )


def _dwelling(shown: Detections, place: int, message: str, zone: str, dwell_s: float) -> Finding:
    return Finding(
        "dwell",
        message,
        zone,
        shown.class_names[int(shown.class_ids[place])],
        int(shown.track_ids[place]),
        lasted_s=dwell_s,
        box_xyxy=shown.boxes_xyxy[place],
        score=float(shown.scores[place]),
    )
