"""All places of one view: what happens at its lines, zones and bays, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from streamdet.errors import UsageError
from streamdet.results.places.bays import Bays
from streamdet.results.places.geometry import Floats
from streamdet.results.places.lines import Lines
from streamdet.results.places.pace import Paces
from streamdet.results.places.roster import Roster, Seen
from streamdet.results.places.rules import Anchor, BayRule, LineRule, PlaceRules, Point, ZoneRule, in_pixels
from streamdet.results.places.standing import Standing
from streamdet.results.places.zones import Zones
from streamdet.scene import Happening, Scene, ZoneState
from streamdet.types import Detections, Float32Array


class Places:
    """Follows the places of one view.

    Lines, dwell and those who entered need track ids; without them zones tell who is in them, and bays work. Boxes
    that a tracker bridged keep an object where it was, but never make it cross, enter or leave.
    """

    def __init__(
        self,
        lines: Sequence[LineRule] = (),
        zones: Sequence[ZoneRule] = (),
        bays: Sequence[BayRule] = (),
        homography: Sequence[Sequence[float]] | None = None,
        anchor: Anchor = "bottom",
    ) -> None:
        """`homography`: 3 x 3, from pixels to metres on the ground; with it there are speeds.

        Raises UsageError when two places have one name.
        """
        ground = None if homography is None else tuple((float(a), float(b), float(c)) for a, b, c in homography)
        self.rules = PlaceRules(tuple(lines), tuple(zones), tuple(bays), ground, anchor)
        self._roster = Roster()
        self._standing = Standing()
        self._paces = None if ground is None else Paces(np.array(ground))
        self._size: tuple[int, int] | None = None
        self._lines: Lines | None = None
        self._zones: Zones | None = None
        self._bays: Bays | None = None

    @classmethod
    def of(cls, rules: PlaceRules) -> Places:
        """The places that `rules` name."""
        return cls(rules.lines, rules.zones, rules.bays, rules.homography, rules.anchor)

    def geometry(self, size_wh: tuple[int, int]) -> dict[str, dict[str, Any]]:
        """Corners of all places in pixels of pictures of that size, by kind and name, ready for JSON.

        Raises UsageError when a place lies outside of such pictures.
        """
        check_inside(self.rules, size_wh)

        def corners(points: Sequence[Point]) -> list[list[float]]:
            return [[round(float(x), 2), round(float(y), 2)] for x, y in in_pixels(points, size_wh)]

        return {
            "lines": {rule.name: corners(rule.points_xy) for rule in self.rules.lines},
            "zones": {rule.name: corners(rule.polygon_xy) for rule in self.rules.zones},
            "bays": {rule.name: corners(rule.polygon_xy) for rule in self.rules.bays},
        }

    def update(self, shown: Detections, time_s: float, size_wh: tuple[int, int]) -> Scene:
        """How all places stand after a frame in which `shown` was seen; `trails` of the scene stay empty.

        `time_s` is the frame's own clock. When the size of the pictures changes, all begins anew.
        Raises UsageError when a place lies outside of the picture.
        """
        if size_wh != self._size:
            self._begin(size_wh)
        happenings: list[Happening] = []
        lines, zones, bays = self._lines, self._zones, self._bays
        zone_states: tuple[ZoneState, ...] = ()
        if lines is not None or zones is not None:
            names = shown.class_names
            happenings += self._forget(names, time_s)
            tracked = shown.track_ids >= 0
            seen = self._see(shown[tracked], time_s)
            if self._paces is not None:
                self._paces.update(seen)
            if lines is not None:
                happenings += lines.update(seen, names, self._roster, self._paces)
            if zones is not None:
                happenings += zones.update(seen, names, self._roster, self._paces)
                others = shown[~tracked]
                others_xy = self._anchors(others.boxes_xyxy.astype(np.float64))
                zone_states = zones.states(seen, names, self._roster, others_xy, others.class_ids)
        if bays is not None:
            happenings += bays.update(shown, time_s)
        return Scene(
            () if lines is None else tuple(lines.states),
            zone_states,
            () if bays is None else bays.states,
            tuple(happenings),
        )

    def _begin(self, size_wh: tuple[int, int]) -> None:
        check_inside(self.rules, size_wh)
        self._size, self._roster, self._standing = size_wh, Roster(), Standing()
        rules = self.rules
        self._lines = Lines(rules.lines, size_wh) if rules.lines else None
        self._zones = Zones(rules.zones, size_wh) if rules.zones else None
        self._bays = Bays(rules.bays, size_wh) if rules.bays else None

    def _forget(self, names: tuple[str, ...], time_s: float) -> list[Happening]:
        """Forget objects that are gone; the happenings that this makes."""
        gone = self._roster.gone(time_s)
        if not len(gone):
            return []
        happenings: list[Happening] = []
        if self._lines is not None:
            happenings += self._lines.forget(gone, self._roster, names)
        if self._zones is not None:
            happenings += self._zones.forget(gone, self._roster, names, self._paces)
        self._roster.forget(gone)
        return happenings

    def _see(self, tracked: Detections, time_s: float) -> Seen:
        """The tracked objects, and where they stand."""
        scores = tracked.scores.astype(np.float64)
        rows, new, clear = self._roster.update(tracked.track_ids, tracked.class_ids, scores, time_s)
        boxes, certain = tracked.boxes_xyxy.astype(np.float64), ~tracked.bridged & clear
        anchors = self._anchors(boxes)
        bottoms, hidden = self._standing.update(rows, new, boxes, certain, time_s)
        if self.rules.anchor == "bottom":
            anchors[:, 1] = bottoms
        return Seen(rows, boxes, anchors, tracked.class_ids, certain, hidden, new, time_s)

    def _anchors(self, boxes_xyxy: Floats) -> Floats:
        middle = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2
        if self.rules.anchor == "bottom":
            middle[:, 1] = boxes_xyxy[:, 3]
        return middle


def check_inside(rules: PlaceRules, size_wh: tuple[int, int]) -> None:
    """Raises UsageError when a place has no part in pictures of that size."""
    named: list[tuple[str, str, Sequence[Point]]] = [("line", rule.name, rule.points_xy) for rule in rules.lines]
    named += [("zone", rule.name, rule.polygon_xy) for rule in rules.zones]
    named += [("bay", rule.name, rule.polygon_xy) for rule in rules.bays]
    for kind, name, points in named:
        corners: Float32Array = in_pixels(points, size_wh).astype(np.float32)
        if bool((corners.min(0) >= size_wh).any()):
            x, y = corners[0].tolist()
            raise UsageError(
                f"{kind} {name} lies outside of the picture, which is {size_wh[0]}x{size_wh[1]} (its first corner is "
                f"{x:g},{y:g}); give pixels inside of it, or shares from 0 to 1"
            )
