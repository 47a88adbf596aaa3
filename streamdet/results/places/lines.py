"""Counts who crosses lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from streamdet.results.places.geometry import shares_along, side_distances
from streamdet.results.places.pace import Paces
from streamdet.results.places.roster import Ints, Seen, Sides
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

    def forget(self, rows: Ints) -> None:
        """These objects are gone."""
        self._sides.forget(rows)

    def update(self, seen: Seen, class_names: tuple[str, ...], track_ids: Ints, paces: Paces | None) -> list[Happening]:
        """Take in the objects of a frame; the crossings that became certain with it."""
        distances = side_distances(self._points, seen.anchors_xy)
        _, changed = self._sides.update(seen, distances, self._size)
        if not changed.any():
            return []
        shares = shares_along(self._points, self._sides.turn_xy[:, seen.rows])
        happenings = []
        for line, place in np.argwhere(changed & (shares >= 0) & (shares <= 1)).tolist():
            name = class_names[int(seen.class_ids[place])]
            rule = self._rules[line]
            if rule.classes is not None and name not in rule.classes:
                continue
            row = int(seen.rows[place])
            direction: Literal["in", "out"] = "in" if self._sides.side[line, row] > 0 else "out"
            self._count(line, direction, name)
            happenings.append(
                Happening(
                    "crossed",
                    rule.name,
                    name,
                    int(track_ids[place]),
                    direction,
                    began_s=float(self._sides.turn_s[line, row]),
                    speed_m_per_s=None if paces is None else paces.speed_m_per_s(row, seen.time_s),
                )
            )
        return happenings

    def _count(self, line: int, direction: Literal["in", "out"], name: str) -> None:
        """A new state: the old one went out with an earlier frame."""
        old = self.states[line]
        counts = dict(old.in_counts if direction == "in" else old.out_counts)
        counts[name] = counts.get(name, 0) + 1
        is_in = direction == "in"
        self.states[line] = LineState(
            old.name, old.points_xy, counts if is_in else old.in_counts, old.out_counts if is_in else counts
        )
