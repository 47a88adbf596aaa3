"""Reads places from files: TOML tables of lines, zones and bays, and JSON files of bays; writes the latter.

A TOML table of places:

    anchor = "bottom"                                  # or "center": the point of a box that stands for the object

    [lines]
    gate = [100, 400, 500, 400]                        # x1, y1, x2, y2
    door = { points = [0.1, 0.5, 0.4, 0.5], classes = ["person"] }

    [zones]
    yard = [[0, 300], [640, 300], [640, 480], [0, 480]]

    [bays]
    A1 = [[580, 485], [700, 480], [755, 650], [590, 660]]

    [ground]                                           # where four or more points of the ground are: gives speeds
    pixels = [[82, 510], [1210, 480], [1500, 900], [10, 950]]
    metres = [[0, 0], [20, 0], [20, 12], [0, 12]]

`bays` may also be the name of a JSON file of bays: {"bays": [{"name": "A1", "polygon": [[x, y], ...],
"box": [x1, y1, x2, y2]}, ...]}, where "box", of a car that stands there, may be left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from streamdet.errors import DataError, OutputError, UsageError
from streamdet.results.places.geometry import edges_cross, homography_of
from streamdet.results.places.rules import Anchor, BayRule, LineRule, PlaceRules, Point, ZoneRule

KEYS = ("lines", "zones", "bays", "ground", "anchor")
"""What a table of places may hold."""


def read_places(table: Mapping[str, Any], where: str = "places", folder: Path = Path()) -> PlaceRules:
    """The places in a parsed TOML table; see the head of this module.

    `where` names the table in errors; the name of a file of bays counts from `folder`.

    Raises:
        UsageError: something in the table is wrong.
        DataError: a file of bays can't be read, or something in it is wrong.
    """
    for key in table:
        if key not in KEYS:
            raise UsageError(f"{where}: unknown key {key!r}; known are {', '.join(KEYS)}")
    anchor = table.get("anchor", "bottom")
    if anchor not in ("bottom", "center"):
        raise UsageError(f'{where}: anchor is {anchor!r}; give "bottom" or "center"')
    given = table.get("bays", {})
    if isinstance(given, str):
        bays = read_bays(folder / given)
    else:
        bays = tuple(
            BayRule(name, _polygon(value, f"{where}: bays.{name}"), classes=_classes(value, f"{where}: bays.{name}"))
            for name, value in _items(given, f"{where}: bays")
        )
    named: Anchor = "center" if anchor == "center" else "bottom"
    return PlaceRules(
        tuple(
            _line(name, value, f"{where}: lines.{name}")
            for name, value in _items(table.get("lines", {}), f"{where}: lines")
        ),
        tuple(
            ZoneRule(name, _polygon(value, f"{where}: zones.{name}"), _classes(value, f"{where}: zones.{name}"))
            for name, value in _items(table.get("zones", {}), f"{where}: zones")
        ),
        bays,
        _homography(table["ground"], where) if "ground" in table else None,
        named,
    )


def read_bays(path: Path) -> tuple[BayRule, ...]:
    """The bays in a JSON file. Raises DataError when it can't be read or something in it is wrong."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read bays from {path}: {(error.strerror or str(error)).lower()}") from None
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}); write it anew with `streamdet bays learn`") from None
    entries = content.get("bays") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise DataError(f'{path} has no list of bays; write it as {{"bays": [{{"name": ..., "polygon": ...}}]}}')
    bays = []
    for number, entry in enumerate(entries, 1):
        where = f"{path}, bay {number}"
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or "polygon" not in entry:
            raise DataError(f'{where} has no "name" or no "polygon"; add it')
        box = entry.get("box")
        if box is not None and not (isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))):
            raise DataError(f"{where}: box is {box!r}; give [x1, y1, x2, y2]")
        try:
            rule = BayRule(
                entry["name"],
                _polygon(entry["polygon"], where),
                None if box is None else (float(box[0]), float(box[1]), float(box[2]), float(box[3])),
                _classes(entry, where),
            )
        except UsageError as error:
            raise DataError(str(error) if str(error).startswith(where) else f"{where}: {error}") from None
        bays.append(rule)
    try:
        return PlaceRules(bays=tuple(bays)).bays
    except UsageError as error:
        raise DataError(f"{path}: {error}") from None


def places_toml(rules: PlaceRules) -> str:
    """The lines, zones and bays of `rules` as a TOML text that `read_places` reads."""
    tables: list[tuple[str, list[tuple[str, list[Point], tuple[str, ...] | None]]]] = [
        ("lines", [(rule.name, list(rule.points_xy), rule.classes) for rule in rules.lines]),
        ("zones", [(rule.name, list(rule.polygon_xy), rule.classes) for rule in rules.zones]),
        ("bays", [(rule.name, list(rule.polygon_xy), rule.classes) for rule in rules.bays]),
    ]
    lines = []
    for heading, places in tables:
        if places:
            lines += ["", f"[{heading}]"]
        for name, points, classes in places:
            corners = json.dumps([list(point) for point in points])
            value = corners if classes is None else f"{{ points = {corners}, classes = {json.dumps(list(classes))} }}"
            lines.append(f"{json.dumps(name, ensure_ascii=False)} = {value}")
    return "\n".join(lines).lstrip("\n") + "\n"


def write_bays(path: Path, bays: Iterable[BayRule]) -> None:
    """Write a JSON file of bays, one a line. Raises OutputError."""
    lines = []
    for bay in bays:
        entry: dict[str, Any] = {"name": bay.name, "polygon": [list(point) for point in bay.polygon_xy]}
        if bay.box_xyxy is not None:
            entry["box"] = list(bay.box_xyxy)
        if bay.classes is not None:
            entry["classes"] = list(bay.classes)
        lines.append(json.dumps(entry, ensure_ascii=False))
    try:
        path.write_text('{"bays": [\n' + ",\n".join(lines) + "\n]}\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write bays to {path}: {(error.strerror or str(error)).lower()}") from None


def _items(value: Any, where: str) -> Iterable[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise UsageError(f"{where} is {value!r}, no table; write name = [corners] below its heading")
    return value.items()


def _line(name: str, value: Any, where: str) -> LineRule:
    points = _points(value, where)
    if len(points) != 2:
        raise UsageError(f"{where} has {len(points)} points; give two, as in [x1, y1, x2, y2]")
    return LineRule(name, (points[0], points[1]), _classes(value, where))


def _polygon(value: Any, where: str) -> tuple[Point, ...]:
    points = _points(value, where)
    if len(points) < 3:
        raise UsageError(f"{where} has {len(points)} corners; give three or more")
    if edges_cross(np.array(points)):
        raise UsageError(f"the edges of {where} cross each other; give the corners in order around it")
    return points


def _points(value: Any, where: str) -> tuple[Point, ...]:
    """Points from [x, y, x, y] or [[x, y], [x, y]], also behind `points` in a table."""
    if isinstance(value, dict):
        for key in value:
            if key not in ("points", "classes"):
                raise UsageError(f"{where}: unknown key {key!r}; known are points, classes")
        value = value.get("points")
    if isinstance(value, list) and all(isinstance(point, list) and len(point) == 2 for point in value):
        value = [number for point in value for number in point]
    if not isinstance(value, list) or len(value) % 2 or not all(map(_is_number, value)):
        raise UsageError(f"{where} is {value!r}; give corners as [x, y, x, y, ...] or [[x, y], ...]")
    return tuple((float(x), float(y)) for x, y in zip(value[0::2], value[1::2], strict=True))


def _classes(value: Any, where: str) -> tuple[str, ...] | None:
    names = value.get("classes") if isinstance(value, dict) else None
    if names is None:
        return None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise UsageError(f'{where}: classes is {names!r}; give names, as in ["car", "truck"]')
    return tuple(names)


def _homography(value: Any, where: str) -> tuple[tuple[float, float, float], ...]:
    where = f"{where}: ground"
    if not isinstance(value, dict) or set(value) != {"pixels", "metres"}:
        raise UsageError(f"{where} needs pixels and metres, and nothing else: four points or more in each")
    pixels, metres = (np.array(_points(value[key], f"{where}.{key}")) for key in ("pixels", "metres"))
    if len(pixels) != len(metres) or len(pixels) < 4:
        raise UsageError(
            f"{where} has {len(pixels)} pixels and {len(metres)} metres; give four or more, as many of each"
        )
    try:
        matrix = homography_of(pixels, metres)
    except ValueError:
        raise UsageError(f"{where}: three of its four points lie on one line; give the corners of an area") from None
    return tuple((float(a), float(b), float(c)) for a, b, c in matrix)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
