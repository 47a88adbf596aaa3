"""What a user says about the places in a view: names, corners, classes, and where the ground is.

Coordinates are pixels of the upright source frame, or shares of its width and height where no number is above 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from streamdet.errors import UsageError

Point = tuple[float, float]
Anchor = Literal["bottom", "center"]
"""Which point of a box stands for the object: the middle of its lower edge (where it stands), or its middle."""

LONGEST_NAME = 64
_NAME = re.compile(r"[\w][\w .-]*")


@dataclass(frozen=True, slots=True)
class LineRule:
    """A line whose crossings are counted."""

    name: str
    points_xy: tuple[Point, Point]
    """From, to. "in" is a crossing from the left side to the right side of someone who walks from the first to the
    second point."""
    classes: tuple[str, ...] | None = None
    """Count only these; None: all."""

    def __post_init__(self) -> None:
        _check(self.name, self.points_xy, "line")
        if self.points_xy[0] == self.points_xy[1]:
            raise UsageError(f"line {self.name} goes from a point to the same point; give two different points")


@dataclass(frozen=True, slots=True)
class ZoneRule:
    """A part of the ground in which objects are counted."""

    name: str
    polygon_xy: tuple[Point, ...]
    """Three corners or more, in order around it."""
    classes: tuple[str, ...] | None = None
    """Count only these; None: all."""

    def __post_init__(self) -> None:
        _check(self.name, self.polygon_xy, "zone")
        _check_polygon(self.name, self.polygon_xy, "zone")


@dataclass(frozen=True, slots=True)
class BayRule:
    """A parking bay."""

    name: str
    polygon_xy: tuple[Point, ...]
    """Its marking on the ground: three corners or more, in order around it."""
    box_xyxy: tuple[float, float, float, float] | None = None
    """The box of a car that stands in it; None: estimated from the polygon."""
    classes: tuple[str, ...] | None = None
    """What may park in it; None: car, truck, bus and van (all, where the model knows none of them)."""

    def __post_init__(self) -> None:
        _check(self.name, self.polygon_xy, "bay")
        _check_polygon(self.name, self.polygon_xy, "bay")
        if self.box_xyxy is not None:
            x1, y1, x2, y2 = self.box_xyxy
            if not (all(map(math.isfinite, self.box_xyxy)) and x1 < x2 and y1 < y2):
                raise UsageError(f"the box of bay {self.name} is {list(self.box_xyxy)}; give [x1, y1, x2, y2], x2 > x1")


@dataclass(frozen=True, slots=True)
class PlaceRules:
    """All places of one view."""

    lines: tuple[LineRule, ...] = ()
    zones: tuple[ZoneRule, ...] = ()
    bays: tuple[BayRule, ...] = ()
    homography: tuple[tuple[float, float, float], ...] | None = None
    """3 x 3, from pixels to metres on the ground; None: no speeds."""
    anchor: Anchor = "bottom"

    def __post_init__(self) -> None:
        names = (
            [rule.name for rule in self.lines] + [rule.name for rule in self.zones] + [rule.name for rule in self.bays]
        )
        for name in names:
            if names.count(name) > 1:
                raise UsageError(f"two places are named {name}; give each line, zone and bay a name of its own")

    def __bool__(self) -> bool:
        return bool(self.lines or self.zones or self.bays)

    def __add__(self, other: PlaceRules) -> PlaceRules:
        """Both; ground and anchor are this one's where it has them."""
        return PlaceRules(
            self.lines + other.lines,
            self.zones + other.zones,
            self.bays + other.bays,
            self.homography or other.homography,
            other.anchor if self.anchor == "bottom" else self.anchor,
        )


def parse_line(text: str) -> LineRule:
    """A line from "gate:x1,y1,x2,y2". Raises UsageError."""
    name, numbers = _split(text, "--line", "gate:x1,y1,x2,y2")
    if len(numbers) != 4:
        raise UsageError(f"--line {text!r} has {len(numbers)} numbers; give four, as in gate:x1,y1,x2,y2")
    return LineRule(name, ((numbers[0], numbers[1]), (numbers[2], numbers[3])))


def parse_zone(text: str) -> ZoneRule:
    """A zone from "yard:x,y,x,y,x,y". Raises UsageError."""
    name, numbers = _split(text, "--zone", "yard:x,y,x,y,x,y")
    if len(numbers) < 6 or len(numbers) % 2:
        raise UsageError(
            f"--zone {text!r} has {len(numbers)} numbers; give x and y of three corners or more, as in yard:x,y,x,y,x,y"
        )
    return ZoneRule(name, tuple(zip(numbers[0::2], numbers[1::2], strict=True)))


def is_fraction(points_xy: Sequence[Point]) -> bool:
    """True when the points are shares of width and height."""
    return all(value <= 1 for point in points_xy for value in point)


def in_pixels(points_xy: Sequence[Point], size_wh: tuple[int, int]) -> npt.NDArray[np.float64]:
    """(M, 2) points in pixels of a picture of that size."""
    points = np.array(points_xy, np.float64).reshape(-1, 2)
    return points * size_wh if is_fraction(points_xy) else points


def _split(text: str, option: str, form: str) -> tuple[str, tuple[float, ...]]:
    name, colon, rest = text.partition(":")
    if not colon:
        raise UsageError(f"{option} {text!r} has no name; write it as {form}")
    numbers = []
    for part in rest.split(","):
        try:
            numbers.append(float(part))
        except ValueError:
            raise UsageError(f"{option} {text!r}: {part.strip()!r} is no number; write it as {form}") from None
    return name.strip(), tuple(numbers)


def _check(name: str, points_xy: Sequence[Point], kind: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise UsageError(f"a {kind} is named {name!r}; use up to {LONGEST_NAME} letters, digits, spaces, dots, - and _")
    if wrong := [value for point in points_xy for value in point if not (math.isfinite(value) and value >= 0)]:
        raise UsageError(f"{kind} {name} has the coordinate {wrong[0]:g}; give pixels, or shares from 0 to 1")


def _check_polygon(name: str, points_xy: Sequence[Point], kind: str) -> None:
    if len(set(points_xy)) < 3:
        raise UsageError(f"{kind} {name} has {len(set(points_xy))} different corners; give three or more")
    x, y = np.array(points_xy, np.float64).T
    if abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2 <= 1e-9:
        raise UsageError(f"the corners of {kind} {name} lie on one straight line, or its edges cross; give an area")
