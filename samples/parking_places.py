r"""Lines, zones and bays of the rendered parking lot, and what truly happens at them.

python samples/parking_places.py --seed 0 --toml samples/parking_places.toml --bays samples/parking_bays.json \
    --answers samples/parking_answers.json

All comes from the scene's own metres: where bays are painted, and where each thing is at each time.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from parking_mesh import Floats
from parking_raster import Camera
from parking_scene import BICYCLE, CATEGORIES, PERSON, Scene, Thing
from parking_stage import sample_stage
from render_parking import FPS, SECONDS

Point = tuple[float, float]
CAR_HEIGHT = 1.4
"""Metres."""
MOST_HIDDEN = 0.4
"""A bay is left out when trees and lamps hide more than this share of a car in it."""


@dataclass(frozen=True)
class Site:
    """The places of one lot, in metres on the ground."""

    scene: Scene
    camera: Camera
    lines: dict[str, tuple[Point, Point]]
    zones: dict[str, tuple[Point, ...]]
    bays: dict[str, tuple[Point, ...]]

    @classmethod
    def of(cls, seed: int) -> Site:
        """The places of the sample clip with that seed."""
        scene, camera = sample_stage(seed)
        (first, second), street = scene.layout.aisles, scene.layout.street
        lines = {
            "entry": ((-6.0, first - 3.1), (-6.0, first + 2.9)),
            "lane": ((4.0, second + 2.6), (4.0, second - 3.1)),
            "street": ((-4.0, street + 4.0), (-4.0, street - 5.6)),
        }
        zones = {
            "front": rectangle(-10.0, first - 2.95, 12.0, first + 2.3),
            "back": rectangle(-14.0, second - 2.9, 8.0, second + 2.0),
        }
        return cls(scene, camera, lines, zones, _bays(scene, camera))

    def pixels(self, points: Iterable[Point]) -> list[list[float]]:
        """Where points of the ground are in the picture."""
        seen, _ = self.camera.project(np.array([(x, y, 0.0) for x, y in points]))
        return [[round(float(x), 1), round(float(y), 1)] for x, y in seen]

    def answers(self, times_s: Sequence[float]) -> dict[str, Any]:
        """What truly happens until the last of these times.

        "lines": by name and direction, how many of each class crossed; "entered": by zone, how many of each class came
        in over its edge; "bays": by name, [time in seconds, occupied] at the start and at each change.
        """
        lines: dict[str, dict[str, Counter[str]]] = {name: {"in": Counter(), "out": Counter()} for name in self.lines}
        entered: dict[str, Counter[str]] = {name: Counter() for name in self.zones}
        occupied = {name: np.zeros(len(times_s), np.bool_) for name in self.bays}
        for thing in self.scene.things:
            kind = CATEGORIES[thing.category - 1]
            looks = times_s if thing.moves else times_s[:1]
            way = np.array([place_of(thing, t) for t in looks])
            if thing.category not in (PERSON, BICYCLE):
                for name, corners in self.bays.items():
                    occupied[name] |= _inside(corners, way)
            if thing.moves:
                for name, (a, b) in self.lines.items():
                    for direction in _crossings(np.array(a), np.array(b), way):
                        lines[name][direction][kind] += 1
                for name, corners in self.zones.items():
                    inside = _inside(corners, way)
                    entered[name][kind] += int((inside[1:] & ~inside[:-1]).sum())
        return {
            "lines": {name: {way: dict(n) for way, n in counts.items()} for name, counts in lines.items()},
            "entered": {name: dict(+counts) for name, counts in entered.items()},
            "bays": {
                name: [
                    [round(t, 3), bool(now)]
                    for t, before, now in zip(times_s, [None, *state], state, strict=False)
                    if before != now
                ]
                for name, state in occupied.items()
            },
        }


def rectangle(x0: float, y0: float, x1: float, y1: float) -> tuple[Point, ...]:
    """Its corners."""
    return (x0, y0), (x1, y0), (x1, y1), (x0, y1)


def place_of(thing: Thing, time_s: float) -> Floats:
    """(2,) where a thing stands, in metres."""
    footprints = np.concatenate([part.footprint for part in thing.parts(time_s) if part.low < 0.6])
    middle: Floats = (footprints.min(0) + footprints.max(0)) / 2
    return middle


def _bays(scene: Scene, camera: Camera) -> dict[str, tuple[Point, ...]]:
    """Bays that are wholly in the picture, and whose cars trees and lamps don't hide: as a person would draw them."""
    layout = scene.layout
    bays = {}
    per_row = len(layout.bays()) // len(layout.rows)
    for row, (y, _) in enumerate(layout.rows):
        before = np.zeros((camera.height, camera.width), np.uint8)
        for part in scene.scenery:
            if float(part.footprint[:, 1].mean()) < y:
                seen, _ = camera.project(part.mesh.quads)
                for quad in seen:
                    cv2.fillConvexPoly(before, quad.round().astype(np.int32), 1)
        for number, (x, _, _) in enumerate(layout.bays()[row * per_row : (row + 1) * per_row], 1):
            half, depth = layout.bay_width / 2, layout.bay_depth / 2
            corners = rectangle(x - half, y - depth, x + half, y + depth)
            seen, _ = camera.project(np.array([(cx, cy, z) for z in (0.0, CAR_HEIGHT) for cx, cy in corners]))
            if (seen[:4] >= 0).all() and (seen[:4] <= (camera.width, camera.height)).all():
                car = np.zeros_like(before)
                cv2.fillConvexPoly(car, cv2.convexHull(seen.round().astype(np.int32)), 1)
                if (car & before).sum() < MOST_HIDDEN * car.sum():
                    bays[f"{'ABCD'[row]}{number}"] = corners
    return bays


def _inside(corners: Sequence[Point], places: Floats) -> npt.NDArray[np.bool_]:
    """(T,) of a rectangle with sides along x and y."""
    low, high = np.min(corners, 0), np.max(corners, 0)
    inside: npt.NDArray[np.bool_] = ((places >= low) & (places < high)).all(1)
    return inside


def _crossings(a: Floats, b: Floats, places: Floats) -> list[str]:
    """Directions in which the way along `places` (T, 2) crosses the line from `a` to `b`, as the picture shows it.

    y goes away from the camera, so the right side on the ground is the right side in the picture.
    """
    way = b - a
    sides = way[1] * (places - a)[:, 0] - way[0] * (places - a)[:, 1]
    directions = []
    for i in np.flatnonzero((sides[1:] > 0) != (sides[:-1] > 0)):
        at = places[i] + (places[i + 1] - places[i]) * sides[i] / (sides[i] - sides[i + 1])
        if 0 <= float((at - a) @ way / (way @ way)) <= 1:
            directions.append("in" if sides[i + 1] > 0 else "out")
    return directions


def to_toml(site: Site, seed: int, bays_file: str) -> str:
    """Places as `streamdet run --places` reads them."""
    layout = site.scene.layout
    ground = rectangle(-8.0, layout.aisles[0] - 3, 8.0, layout.aisles[1])
    text = [
        f"# Places of the rendered parking lot, seed {seed}: written by samples/parking_places.py. Pixels of 1280x720.",
        f'bays = "{bays_file}"',
        "",
        "[lines]",
        *(f"{name} = {json.dumps(site.pixels(points))}" for name, points in site.lines.items()),
        "",
        "[zones]",
        *(f"{name} = {json.dumps(site.pixels(points))}" for name, points in site.zones.items()),
        "",
        "[ground]",
        f"pixels = {json.dumps(site.pixels(ground))}",
        f"metres = {json.dumps([[round(x, 2), round(y, 2)] for x, y in ground])}",
    ]
    return "\n".join(text) + "\n"


def to_bays(site: Site) -> str:
    """Bays as `streamdet run --bays` reads them."""
    lines = [json.dumps({"name": name, "polygon": site.pixels(corners)}) for name, corners in site.bays.items()]
    return '{"bays": [\n' + ",\n".join(lines) + "\n]}\n"


def main() -> None:
    """Read the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--toml", type=Path, required=True)
    parser.add_argument("--bays", type=Path, required=True)
    parser.add_argument("--answers", type=Path, help="JSON file of what truly happens there in the sample clip")
    options = parser.parse_args()
    site = Site.of(options.seed)
    options.toml.write_text(to_toml(site, options.seed, options.bays.name))
    options.bays.write_text(to_bays(site))
    if options.answers is not None:
        options.answers.write_text(json.dumps(site.answers([i / FPS for i in range(FPS * SECONDS)])) + "\n")


if __name__ == "__main__":
    main()
