"""Who is in zones, since when, and who came in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from streamdet.results.places.geometry import Floats, Polygons
from streamdet.results.places.pace import Paces
from streamdet.results.places.roster import BAND_SHARE, Ints, Roster, Seen, Sides, at_border, grown
from streamdet.results.places.rules import ZoneRule, in_pixels
from streamdet.scene import Happening, ZoneState

HOLD_S = 0.25
"""How long an object must be on the other side of a zone's edge: things stand right at it, and boxes tremble."""
START_S = 1.0
"""Objects that are first seen within this time after the start were there before."""


class Zones:
    """The zones of a view.

    Entered counts who came in over the zone's edge, and who came in from outside the picture. Who was there at the
    start, or came out from behind something inside the zone, is in it, but has not entered.
    """

    def __init__(self, rules: Sequence[ZoneRule], size_wh: tuple[int, int]) -> None:
        self._rules = rules
        self._size = size_wh
        corners = [in_pixels(rule.polygon_xy, size_wh) for rule in rules]
        self._corners = [polygon.astype(np.float32) for polygon in corners]
        self._polygons = Polygons(corners, size_wh)
        self._sides = Sides(len(rules), HOLD_S)
        self._since_s = np.zeros((len(rules), 0))
        self._way_m = np.zeros((len(rules), 0))
        self._comes = np.zeros((len(rules), 0), np.bool_)  # from outside the picture, but has not moved yet
        self._first_xy = np.zeros((0, 2))
        self._entered: list[Counter[str]] = [Counter() for _ in rules]
        self._started_s: float | None = None
        self._distances = np.zeros((len(rules), 0))

    def forget(self, rows: Ints, roster: Roster, class_names: tuple[str, ...], paces: Paces | None) -> list[Happening]:
        """These objects are gone; the happenings that this makes."""
        happenings = []
        for zone, place in np.argwhere(self._sides.side[:, rows] > 0).tolist():
            row = int(rows[place])
            name, until_s = class_names[int(roster.class_ids[row])], float(roster.seen_s[row])
            if self._counts(zone, name):
                happenings.append(self._left(zone, row, name, int(roster.ids[row]), until_s, paces))
        self._sides.forget(rows)
        return happenings

    def update(self, seen: Seen, class_names: tuple[str, ...], roster: Roster, paces: Paces | None) -> list[Happening]:
        """Take in the tracked objects of a frame; who surely entered or left with it."""
        self._started_s = seen.time_s if self._started_s is None else self._started_s
        self._distances = self._polygons.distances(seen.anchors_xy)
        known, changed = self._sides.update(seen, self._distances, self._size)
        self._fit()
        inside = self._sides.side[:, seen.rows] > 0
        happenings = []
        for zone, place in np.argwhere(changed | (known & inside)).tolist():
            row = int(seen.rows[place])
            name, track_id = class_names[int(seen.class_ids[place])], int(roster.ids[row])
            turn_s = float(self._sides.turn_s[zone, row])
            if not inside[zone, place]:
                self._comes[zone, row] = False
                if self._counts(zone, name):
                    happenings.append(self._left(zone, row, name, track_id, turn_s, paces))
                continue
            self._since_s[zone, row] = turn_s
            self._way_m[zone, row] = 0 if paces is None else paces.way_m[row]
            if changed[zone, place]:
                happenings += self._enter(zone, row, name, track_id, turn_s)
            elif roster.first_s[row] > self._started_s + START_S and seen.new[place]:
                self._comes[zone, row] = bool(at_border(seen.boxes_xyxy[place], self._size).any())
                self._first_xy[row] = seen.anchors_xy[place]
        coming = self._comes[:, seen.rows] & seen.certain
        if coming.any():
            sides = np.minimum(*(seen.boxes_xyxy[:, 2:] - seen.boxes_xyxy[:, :2]).T)
            way = np.hypot(*(seen.anchors_xy - self._first_xy[seen.rows]).T)
            for zone, place in np.argwhere(coming & (way > 2 * BAND_SHARE * sides)).tolist():
                row = int(seen.rows[place])
                self._comes[zone, row] = False
                name = class_names[int(seen.class_ids[place])]
                happenings += self._enter(zone, row, name, int(roster.ids[row]), float(roster.first_s[row]))
        return happenings

    def states(
        self, seen: Seen, class_names: tuple[str, ...], roster: Roster, others_xy: Floats, others: Ints
    ) -> tuple[ZoneState, ...]:
        """How the zones stand after `update`. `others`: anchors (U, 2) and classes (U,) of objects without a track."""
        names = [class_names[class_id] for class_id in (*seen.class_ids.tolist(), *others.tolist())]
        ids = roster.ids[seen.rows].tolist()
        sides = self._sides.side[:, seen.rows]
        inside = np.where(sides == 0, self._distances > 0, sides > 0)
        since_s = np.where(sides == 0, self._sides.turn_s[:, seen.rows], self._since_s[:, seen.rows])
        if len(others):
            inside = np.concatenate((inside, self._polygons.distances(others_xy) > 0), 1)
        states = []
        for zone, rule in enumerate(self._rules):
            places = [place for place in np.flatnonzero(inside[zone]).tolist() if self._counts(zone, names[place])]
            dwell_s = {ids[place]: seen.time_s - float(since_s[zone, place]) for place in places if place < len(ids)}
            counts, entered = Counter(names[place] for place in places), self._entered[zone]
            states.append(ZoneState(rule.name, self._corners[zone], dict(counts), dwell_s, dict(entered)))
        return tuple(states)

    def _counts(self, zone: int, name: str) -> bool:
        classes = self._rules[zone].classes
        return classes is None or name in classes

    def _enter(self, zone: int, row: int, name: str, track_id: int, began_s: float) -> list[Happening]:
        if not self._counts(zone, name):
            return []
        self._entered[zone][name] += 1
        return [Happening("entered", self._rules[zone].name, name, track_id, began_s=began_s)]

    def _left(self, zone: int, row: int, name: str, track_id: int, until_s: float, paces: Paces | None) -> Happening:
        lasted_s = max(0.0, until_s - float(self._since_s[zone, row]))
        speed = None if paces is None else paces.mean_m_per_s(row, float(self._way_m[zone, row]), lasted_s)
        return Happening(
            "left", self._rules[zone].name, name, track_id, began_s=until_s, lasted_s=lasted_s, speed_m_per_s=speed
        )

    def _fit(self) -> None:
        size = self._sides.side.shape[1]
        if self._since_s.shape[1] < size:
            self._since_s, self._way_m = grown(self._since_s, size), grown(self._way_m, size)
            self._comes, self._first_xy = grown(self._comes, size), grown(self._first_xy.T, size).T
