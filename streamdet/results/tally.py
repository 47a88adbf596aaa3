"""Sums up a run: objects that were followed, crossings of lines, stays in zones, time that bays were occupied."""

from __future__ import annotations

from collections import Counter

from streamdet.results.analysis import clock_s
from streamdet.scene import BayState, Happening, LineState, Scene, ZoneState
from streamdet.types import DetectedFrame

LONGEST_STEP_S = 5.0
"""Between two frames further apart nobody watched: that time is neither occupied nor free."""


class Tally:
    """Called with each analysed frame of one source, and hands it on as it is. Its memory doesn't grow with time."""

    def __init__(self) -> None:
        self._tracked: Counter[str] = Counter()
        self._last_id = -1
        self._lines: tuple[LineState, ...] = ()
        self._zones: tuple[ZoneState, ...] = ()
        self._bays: tuple[BayState, ...] = ()
        self._most: Counter[str] = Counter()
        self._stays: Counter[str] = Counter()
        self._stayed_s: dict[str, float] = {}
        self._changes: Counter[str] = Counter()
        self._occupied_s: dict[str, float] = {}
        self._watched_s: dict[str, float] = {}
        self._last_s: float | None = None

    def __call__(self, detected: DetectedFrame) -> DetectedFrame:
        """Add one frame."""
        self._count_tracks(detected)
        now_s = clock_s(detected.frame)
        step_s = 0.0 if self._last_s is None else now_s - self._last_s
        if detected.scene is not None:
            self._add(detected.scene, now_s, step_s if 0 < step_s <= LONGEST_STEP_S else 0.0)
        self._last_s = now_s
        return detected

    def to_dict(self) -> dict[str, object]:
        """Ready for JSON; only what there is.

        "tracks": objects followed by class; "lines": in and out by class; "zones": entered by class, in it now, most at
        once, stays that ended and their mean length; "bays": occupied now, share of the time watched, changes.
        """
        told: dict[str, object] = {"tracks": dict(self._tracked)}
        if self._lines:
            told["lines"] = {
                line.name: {"in": dict(line.in_counts), "out": dict(line.out_counts)} for line in self._lines
            }
        if self._zones:
            told["zones"] = {zone.name: self._zone(zone) for zone in self._zones}
        if self._bays:
            told["bays"] = {bay.name: self._bay(bay) for bay in self._bays}
        return told

    def _count_tracks(self, detected: DetectedFrame) -> None:
        shown = detected.shown
        new = shown.track_ids > self._last_id  # ids are given in rising order
        if new.any():
            self._tracked.update(shown[new].names)
            self._last_id = int(shown.track_ids.max())

    def _add(self, scene: Scene, now_s: float, step_s: float) -> None:
        for before in self._bays:  # as it was until this frame
            if before.occupied is not None:
                self._watched_s[before.name] = self._watched_s.get(before.name, 0.0) + step_s
                self._occupied_s[before.name] = self._occupied_s.get(before.name, 0.0) + step_s * before.occupied
        for before, bay in zip(self._bays, scene.bays, strict=False):
            if before.occupied is not None and bay.occupied not in (None, before.occupied):
                self._put_right(bay, now_s)
        self._lines, self._zones, self._bays = scene.lines, scene.zones, scene.bays
        for zone in scene.zones:
            self._most[zone.name] = max(self._most[zone.name], sum(zone.counts.values()))
        for happening in scene.happenings:
            self._add_happening(happening)

    def _put_right(self, bay: BayState, now_s: float) -> None:
        """A change is certain some time after it was: the time since then was counted for the state before."""
        if bay.since_s is None:
            return
        wrong_s = max(0.0, now_s - bay.since_s) * (1 if bay.occupied else -1)
        occupied_s = self._occupied_s.get(bay.name, 0.0) + wrong_s
        self._occupied_s[bay.name] = min(max(occupied_s, 0.0), self._watched_s.get(bay.name, 0.0))

    def _add_happening(self, happening: Happening) -> None:
        if happening.kind in ("occupied", "freed"):
            self._changes[happening.place] += 1
        elif happening.kind == "left" and happening.lasted_s is not None:
            self._stays[happening.place] += 1
            self._stayed_s[happening.place] = self._stayed_s.get(happening.place, 0.0) + happening.lasted_s

    def _zone(self, zone: ZoneState) -> dict[str, object]:
        stays = self._stays[zone.name]
        return {
            "entered": dict(zone.entered),
            "now": dict(zone.counts),
            "most": self._most[zone.name],
            "stays": stays,
            "mean_stay_s": round(self._stayed_s[zone.name] / stays, 3) if stays else None,
        }

    def _bay(self, bay: BayState) -> dict[str, object]:
        watched_s = self._watched_s.get(bay.name, 0.0)
        return {
            "occupied": bay.occupied,
            "occupied_share": round(self._occupied_s.get(bay.name, 0.0) / watched_s, 4) if watched_s else None,
            "watched_s": round(watched_s, 3),
            "changes": self._changes[bay.name],
        }
