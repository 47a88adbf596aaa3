"""Counts who crosses lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from streamdet.results.places.geometry import shares_along, side_distances
from streamdet.results.places.pace import Paces
from streamdet.results.places.roster import Bools, Ints, Roster, Seen, Sides
from streamdet.results.places.rules import LineRule, in_pixels
from streamdet.scene import Happening, LineState


class Lines:
    """The lines of a view, and the counts at them.

    A crossing counts once, when an object that was surely on one side of the line is surely on the other, and its
    anchor passed between the line's two ends. Back and forth over it counts out and in again.
    """

    def __init__(self, rules: Sequence[LineRule], size_wh: tuple[int, int]) -> None:
        self._rules = rules
        self._size = size_wh
        self._points = np.array([in_pixels(rule.points_xy, size_wh) for rule in rules])  # (P, 2, 2)
        self._sides = Sides(len(rules))
        self.states = [
            LineState(rule.name, ((float(a[0]), float(a[1])), (float(b[0]), float(b[1]))))
            for rule, (a, b) in zip(rules, self._points, strict=True)
        ]

    def forget(self, rows: Ints, roster: Roster, class_names: tuple[str, ...]) -> list[Happening]:
        """These objects are gone; crossings of theirs that had not become certain, and now are the last word."""
        sides = -self._sides.side[:, rows]
        changing = self._sides.forget(rows)
        if not changing.any():
            return []
        return [
            happening
            for line, place in np.argwhere(changing & self._between_ends(rows)).tolist()
            if (happening := self._cross(line, int(rows[place]), int(sides[line, place]), roster, class_names, None))
        ]

    def update(self, seen: Seen, class_names: tuple[str, ...], roster: Roster, paces: Paces | None) -> list[Happening]:
        """Take in the objects of a frame; the crossings that became certain with it."""
        distances = side_distances(self._points, seen.anchors_xy)
        _, changed = self._sides.update(seen, distances, self._size)
        if not changed.any():
            return []
        crossings = []
        for line, place in np.argwhere(changed & self._between_ends(seen.rows)).tolist():
            row = int(seen.rows[place])
            speed = None if paces is None else paces.speed_m_per_s(row, seen.time_s)
            crossings.append(self._cross(line, row, int(self._sides.side[line, row]), roster, class_names, speed))
        return [happening for happening in crossings if happening]

    def _between_ends(self, rows: Ints) -> Bools:
        """(P, N) whose anchor passed the endless line between the line's two ends."""
        shares = shares_along(self._points, self._sides.turn_xy[:, rows])
        between: Bools = (shares >= 0) & (shares <= 1)
        return between

    def _cross(
        self, line: int, row: int, side: int, roster: Roster, class_names: tuple[str, ...], speed: float | None
    ) -> Happening | None:
        """Count a crossing to `side`; None when the line doesn't count that class."""
        rule, name = self._rules[line], class_names[int(roster.class_ids[row])]
        if rule.classes is not None and name not in rule.classes:
            return None
        direction: Literal["in", "out"] = "in" if side > 0 else "out"
        self._count(line, direction, name)
        began_s = float(self._sides.turn_s[line, row])
        return Happening(
            "crossed", rule.name, name, int(roster.ids[row]), direction, began_s=began_s, speed_m_per_s=speed
        )

    def _count(self, line: int, direction: Literal["in", "out"], name: str) -> None:
        """A new state: the old one went out with an earlier frame."""
        old = self.states[line]
        counts = dict(old.in_counts if direction == "in" else old.out_counts)
        counts[name] = counts.get(name, 0) + 1
        is_in = direction == "in"
        self.states[line] = LineState(
            old.name, old.points_xy, counts if is_in else old.in_counts, old.out_counts if is_in else counts
        )
