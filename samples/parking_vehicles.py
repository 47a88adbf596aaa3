"""Cars, lorries and buses of the parking lot.

Local axes: x forward, y left, z up, metres, origin on the ground below the middle. Colours are linear BGR.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from parking_mesh import (
    DARK,
    FINE,
    GLASS,
    HEAD,
    STEEL,
    TAIL,
    TYRE,
    Floats,
    Mesh,
    Pile,
    Rng,
    ball,
    box,
    cap,
    disc,
    loft,
    rod,
)

PAINTS = {  # BGR -> share on the road
    (0.78, 0.78, 0.77): 22, (0.40, 0.39, 0.38): 15, (0.16, 0.155, 0.15): 15, (0.022, 0.02, 0.02): 18,
    (0.25, 0.09, 0.03): 9, (0.05, 0.02, 0.016): 5, (0.03, 0.022, 0.36): 9, (0.04, 0.05, 0.015): 3,
    (0.30, 0.40, 0.46): 4, (0.02, 0.03, 0.10): 3, (0.03, 0.36, 0.58): 2, (0.32, 0.22, 0.08): 3,
}  # fmt: skip


def paint_of(rng: Rng) -> Floats:
    """A car colour as common as on the road."""
    shares = np.array(list(PAINTS.values()), float)
    colour = np.array(list(PAINTS))[rng.choice(len(PAINTS), p=shares / shares.sum())]
    colour = 0.85 * colour + 0.15 * colour.mean()
    return (colour * rng.uniform(0.8, 1.2) * rng.uniform(0.93, 1.07, 3)).clip(0.012, 0.85).astype(np.float32)


# Half a cross-section of a car's lower body: (share of half the width, share of the height), from below to the top.
SECTION = np.array(
    ((0, 0), (0.80, 0), (0.95, 0.10), (1.0, 0.32), (1.0, 0.56), (0.975, 0.80), (0.92, 0.94), (0.78, 1.0),
     (0.4, 1.03), (0, 1.04))
)  # fmt: skip
# Outline of the cabin: (place from rear 0 to front 1, share of half the width), then what the wall after it is.
CABIN = (
    (1.0, -0.78, "g"), (1.03, -0.3, "g"), (1.03, 0.3, "g"), (1.0, 0.78, "p"), (0.955, 0.965, "g"), (0.75, 1.0, "g"),
    (0.54, 1.0, "b"), (0.51, 1.0, "g"), (0.33, 1.0, "g"), (0.15, 0.98, "p"), (0.02, 0.86, "g"), (-0.02, 0.3, "g"),
    (-0.02, -0.3, "g"), (0.02, -0.86, "p"), (0.15, -0.98, "g"), (0.33, -1.0, "g"), (0.51, -1.0, "b"), (0.54, -1.0, "g"),
    (0.75, -1.0, "g"), (0.955, -0.965, "p"),
)  # fmt: skip


@dataclass(frozen=True)
class CarShape:
    """Size in metres; the places of cowl, roof and rear window as shares of the length from the front."""

    length: float
    width: float
    height: float
    cowl: float
    roof_front: float
    roof_rear: float
    rear_glass: float
    nose_z: float
    cowl_z: float
    belt_z: float
    deck_z: float
    clearance: float = 0.22
    wheel: float = 0.315
    clad: bool = False


CAR_SHAPES = {
    "sedan": CarShape(4.65, 1.82, 1.45, 0.27, 0.42, 0.69, 0.855, 0.66, 0.93, 0.92, 0.97),
    "hatchback": CarShape(4.0, 1.76, 1.48, 0.25, 0.385, 0.86, 0.965, 0.68, 0.96, 0.95, 0.98),
    "estate": CarShape(4.7, 1.83, 1.49, 0.27, 0.41, 0.88, 0.965, 0.66, 0.93, 0.92, 0.95),
    "suv": CarShape(4.55, 1.9, 1.70, 0.25, 0.37, 0.87, 0.965, 0.80, 1.06, 1.05, 1.08, 0.28, 0.36, True),
    "minivan": CarShape(4.85, 1.94, 1.93, 0.15, 0.30, 0.94, 0.985, 0.82, 1.06, 1.08, 1.12, 0.24, 0.33),
    "mini": CarShape(3.5, 1.64, 1.50, 0.22, 0.37, 0.86, 0.97, 0.70, 0.98, 0.97, 1.0, 0.2, 0.29),
}


def car(rng: Rng, kind: str, paint: Floats) -> Mesh:
    """A car: rounded hull of 15 cross-sections, cabin with windows and pillars, wheels, lights, plates."""
    shape = CAR_SHAPES[kind]
    stretch = rng.uniform(0.95, 1.06)
    shape = replace(shape, length=shape.length * stretch, height=shape.height * rng.uniform(0.97, 1.03))
    pile = Pile()
    _car_hull(pile, shape, paint)
    _car_cabin(pile, shape, paint, rng)
    _car_wheels(pile, shape, rng)
    _car_details(pile, shape, paint, rng)
    return pile.mesh()


def _car_hull(pile: Pile, s: CarShape, paint: Floats) -> None:
    stations = np.array(
        (0.0, 0.010, 0.028, 0.06, 0.11, 0.18, s.cowl, 0.38, 0.5, 0.62, 0.75, 0.86, 0.93, 0.97, 0.988, 1.0)
    )
    stations.sort()
    last = len(stations) - 1
    widths = np.interp(
        stations, (0, 0.010, 0.028, 0.06, 0.11, 0.2, 0.8, 0.93, 0.97, 0.988, 1),
        (0.62, 0.80, 0.90, 0.955, 0.985, 1, 1, 0.965, 0.92, 0.85, 0.74)
    )  # fmt: skip
    tops = np.interp(
        stations, (0, 0.010, 0.028, 0.07, s.cowl, 0.5, s.rear_glass - 0.05, 0.94, 0.975, 1.0),
        (s.nose_z * 0.90, s.nose_z * 0.96, s.nose_z, s.nose_z + 0.05, s.cowl_z, s.belt_z, s.deck_z, s.deck_z - 0.02,
         s.deck_z - 0.09, s.deck_z - 0.2),
    )  # fmt: skip
    bottoms = s.clearance + np.interp(stations, (0, 0.05, 0.15, 0.85, 0.95, 1), (0.06, 0.0, -0.02, -0.02, 0.05, 0.12))
    half = np.concatenate((SECTION, SECTION[-2:0:-1] * (-1, 1)))  # closed loop of 18 points
    rings = np.empty((len(stations), len(half), 3))
    rings[:, :, 0] = (s.length * (0.5 - stations))[:, None]
    rings[:, :, 1] = half[:, 0] * widths[:, None] * s.width / 2
    rings[:, :, 2] = bottoms[:, None] + half[:, 1] * (tops - bottoms)[:, None]
    colour = np.broadcast_to(paint, (last, 18, 3)).copy()
    gloss, glow = np.full((last, 18), 0.55), np.zeros((last, 18), np.int8)
    segment = np.minimum(np.arange(18), 17 - np.arange(18))
    colour[:, segment <= 1] = DARK
    gloss[:, segment <= 1] = 0.1
    if s.clad:
        colour[:, segment == 2], gloss[:, segment == 2] = (0.02, 0.02, 0.02), 0.15
    front_light = np.ix_(np.arange(0, 4), np.flatnonzero(segment == 4))
    colour[front_light], gloss[front_light], glow[front_light] = (0.62, 0.62, 0.6), 1.0, HEAD
    rear_light = np.ix_(np.arange(last - 3, last), np.flatnonzero((segment == 4) | (segment == 5)))
    colour[rear_light], gloss[rear_light], glow[rear_light] = (0.015, 0.012, 0.30), 0.8, TAIL
    pile.add(loft(rings), colour.reshape(-1, 3), gloss.ravel(), glow.ravel())
    pile.add(cap(rings[0]), paint, 0.5, outward=(1, 0, 0))
    pile.add(cap(rings[-1]), paint, 0.5, outward=(-1, 0, 0))


def _car_cabin(pile: Pile, s: CarShape, paint: Floats, rng: Rng) -> None:
    outline = np.array([(x, y) for x, y, _ in CABIN])
    kinds = np.array([kind for _, _, kind in CABIN])
    x_of = lambda u: s.length * (0.5 - u)  # noqa: E731
    base_z, roof_z = s.belt_z - 0.04, s.height
    levels = (  # share of the height, cabin front and rear as share of the way from base to roof, half width
        (0.0, 0.0, 0.915), (0.12, 0.10, 0.90), (0.5, 0.47, 0.83), (0.86, 0.82, 0.735), (0.95, 0.95, 0.685),
    )  # fmt: skip
    rings = []
    for up, run, half_width in levels:
        rear = x_of(s.rear_glass + (s.roof_rear - s.rear_glass) * run)
        front = x_of(s.cowl + (s.roof_front - s.cowl) * run)
        x = rear + outline[:, 0] * (front - rear)
        rings.append(
            np.column_stack((x, outline[:, 1] * half_width * s.width / 2, np.full(20, base_z + up * (roof_z - base_z))))
        )
    glass_rows = (False, True, True, False)
    colours, gloss = np.empty((4, 20, 3), np.float32), np.empty((4, 20), np.float32)
    for row, glassy in enumerate(glass_rows):
        for i, kind in enumerate(kinds):
            glass = (glassy and kind == "g") or (row == 0 and kind == "g" and (i < 3 or 10 <= i < 13))
            colours[row, i] = GLASS if glass else DARK if kind == "b" and glassy else paint
            gloss[row, i] = 1.0 if glass else 0.5
    pile.add(loft(np.stack(rings)), colours.reshape(-1, 3), gloss.ravel(), layer=3)
    top = rings[-1]
    middle = top.mean(0)
    roof = [top, middle + (top - middle) * (0.85, 0.8, 1), middle + (top - middle) * (0.45, 0.4, 1)]
    roof[1][:, 2], roof[2][:, 2] = roof_z - 0.015, roof_z
    glass_roof = rng.random() < 0.12
    pile.add(loft(np.stack(roof)), paint, 0.55, layer=4, outward=(0, 0, 1))
    pile.add(cap(roof[2]), GLASS if glass_roof else paint, 0.9 if glass_roof else 0.55, layer=4, outward=(0, 0, 1))
    if rng.random() < 0.3:  # rails
        for side in (-1, 1):
            y = side * s.width * 0.32
            ends = x_of(s.roof_front + 0.03), x_of(s.roof_rear - 0.03)
            rail = rod((ends[0], y, roof_z + 0.03), (ends[1], y, roof_z + 0.03), 0.022, 0.022, 4)
            pile.add(rail, DARK if rng.random() < 0.5 else STEEL, 0.4, layer=5)


def _car_wheels(pile: Pile, s: CarShape, rng: Rng) -> None:
    rim = np.float32(rng.choice([0.40, 0.28, 0.12])) * np.ones(3, np.float32)
    for x in (s.length * (0.5 - 0.185), -s.length * (0.5 - 0.20)):
        for side in (-1, 1):
            y, out = side * (s.width / 2 + 0.004), (0, side, 0)
            pile.add(disc((x, y, s.wheel + 0.02), s.wheel + 0.055), DARK, 0.0, layer=2, outward=out)
            pile.add(disc((x, y, s.wheel), s.wheel), TYRE, 0.05, layer=3, outward=out)
            pile.add(disc((x, y, s.wheel), s.wheel * 0.66, 10), rim, 0.5, layer=4, outward=out)
            for k in range(5):  # dark gaps between the spokes
                a = k * 2 * np.pi / 5 + 0.3
                spots = [(a - 0.33, 0.56), (a + 0.33, 0.56), (a + 0.15, 0.22), (a - 0.15, 0.22)]
                gap = [(x + np.cos(p) * r * s.wheel, y, s.wheel + np.sin(p) * r * s.wheel) for p, r in spots]
                pile.add(np.array(gap), (0.03, 0.03, 0.03), 0.1, layer=FINE, outward=out)


def _car_details(pile: Pile, s: CarShape, paint: Floats, rng: Rng) -> None:
    front, rear = s.length / 2 + 0.006, -s.length / 2 - 0.006
    low, high = s.clearance + 0.08, s.nose_z * 0.84

    def patch(x: float, y: float, z0: float, z1: float, colour: Sequence[float], layer: int = 2) -> None:
        face = np.array(((x, -y, z0), (x, y, z0), (x, y, z1), (x, -y, z1)))
        pile.add(face, colour, 0.3, layer=layer, outward=(np.sign(x), 0, 0))

    patch(front, s.width * 0.30, low + 0.14, high, DARK)
    patch(front, s.width * 0.29, low - 0.02, low + 0.07, DARK)
    patch(front + 0.004, 0.26, low + 0.1, low + 0.21, (0.62, 0.64, 0.64), 3)
    plate = (0.60, 0.62, 0.62) if rng.random() < 0.8 else (0.1, 0.5, 0.62)
    patch(rear - 0.004, 0.26, s.deck_z - 0.42, s.deck_z - 0.31, plate, 3)
    patch(rear, s.width * 0.33, s.clearance + 0.13, s.clearance + 0.24, (0.02, 0.02, 0.02))
    seam = paint * 0.25
    for side in (-1, 1):
        y = side * (s.width / 2 + 0.004)
        for u in (s.cowl + 0.02, 0.49, 0.72):
            x = s.length * (0.5 - u)
            line = [(x, y, 0.34), (x - 0.02, y, 0.34), (x - 0.02, y, s.belt_z * 0.85), (x, y, s.belt_z * 0.85)]
            pile.add(np.array(line), seam, 0.2, layer=FINE, outward=(0, side, 0))
        for u in (0.45, 0.68):
            x, z = s.length * (0.5 - u), s.belt_z * 0.76
            grip = [(x, y, z), (x - 0.17, y, z), (x - 0.17, y, z + 0.035), (x, y, z + 0.035)]
            pile.add(np.array(grip), seam * 1.5, 0.5, layer=FINE, outward=(0, side, 0))
        x = s.length * (0.5 - s.cowl) - 0.28
        mirror = ball((x, side * (s.width / 2 + 0.09), s.belt_z + 0.06), (0.07, 0.11, 0.075), 5, 8)
        pile.add(mirror, paint if rng.random() < 0.7 else np.float32(DARK), 0.5, layer=5)


def _wall_box(
    pile: Pile, x0: float, x1: float, width: float, levels: Sequence[tuple[float, float, str]], paint: Floats, bays: int
) -> None:
    """A rounded upright body: `levels` are (z, share of the width, what is above: p(aint), g(lass), d(ark))."""
    sides = np.linspace(x0 + 0.18, x1 - 0.18, bays * 2)
    half = width / 2
    right = [(x, -half) for x in sides]
    ring = [*right, (x1, -half * 0.82), (x1 + 0.04, 0.0), (x1, half * 0.82), *[(x, half) for x in sides[::-1]]]
    ring += [(x0, half * 0.82), (x0 - 0.02, 0.0), (x0, -half * 0.82)]
    outline, n = np.array(ring), len(ring)
    rings = np.stack([np.column_stack((outline[:, 0], outline[:, 1] * k, np.full(n, z))) for z, k, _ in levels])
    colour = np.broadcast_to(paint, (len(levels) - 1, n, 3)).copy()
    gloss = np.full((len(levels) - 1, n), 0.4)
    for row, (_, _, what) in enumerate(levels[:-1]):
        for i in range(n):
            pillar = (i < bays * 2 and i % 2 == 1) or (bays * 2 + 3 <= i < n - 3 and (i - bays * 2 - 3) % 2 == 1)
            if what == "d":
                colour[row, i], gloss[row, i] = DARK, 0.1
            elif what == "g" and not pillar:
                colour[row, i], gloss[row, i] = GLASS, 1.0
    pile.add(loft(rings), colour.reshape(-1, 3), gloss.ravel())
    pile.add(cap(rings[-1]), paint, 0.3, layer=2, outward=(0, 0, 1))


def _big_wheels(pile: Pile, places: Sequence[float], width: float, radius: float) -> None:
    for x in places:
        for side in (-1, 1):
            y, out = side * (width / 2 + 0.006), (0, side, 0)
            pile.add(disc((x, y, radius + 0.02), radius + 0.07), DARK, 0.0, layer=2, outward=out)
            pile.add(disc((x, y, radius), radius), TYRE, 0.05, layer=3, outward=out)
            pile.add(disc((x, y, radius), radius * 0.55, 10), (0.3, 0.3, 0.3), 0.3, layer=4, outward=out)


def _end_lights(pile: Pile, x: float, width: float, z: float, glow: int) -> None:
    colour = (0.6, 0.6, 0.58) if glow == HEAD else (0.02, 0.015, 0.32)
    for side in (-1, 1):
        y0, y1 = side * width * 0.30, side * width * 0.44
        face = np.array(((x, y0, z), (x, y1, z), (x, y1, z + 0.16), (x, y0, z + 0.16)))
        pile.add(face, colour, 0.8, glow, layer=3, outward=(np.sign(x), 0, 0))


def bus(rng: Rng, paint: Floats) -> Mesh:
    """A city bus of 11 m."""
    pile = Pile()
    levels = (
        (0.30, 0.97, "d"), (0.48, 1.0, "p"), (1.15, 1.0, "g"), (2.3, 0.985, "p"), (2.75, 0.96, "p"), (2.95, 0.86, "p")
    )  # fmt: skip
    _wall_box(pile, -5.5, 5.5, 2.5, levels, paint, 7)
    _big_wheels(pile, (3.0, -2.9), 2.5, 0.48)
    _end_lights(pile, 5.56, 2.5, 0.6, HEAD)
    _end_lights(pile, -5.54, 2.5, 0.9, TAIL)
    for x in (-2.5, 1.5):
        pile.add(box((x, -0.7, 2.93), (x + 1.6, 0.7, 3.1)), (0.5, 0.5, 0.5), 0.1, layer=4)
    return pile.mesh()


def truck(rng: Rng, paint: Floats) -> tuple[Mesh, Mesh]:
    """A lorry with a box body: the load and the cab, so that they can be sorted apart."""
    cab, load = Pile(), Pile()
    long = rng.uniform(3.6, 5.6)
    levels = (
        (0.35, 0.96, "d"), (0.6, 1.0, "p"), (1.25, 1.0, "g"), (1.95, 0.94, "p"), (2.25, 0.86, "p"), (2.33, 0.7, "p")
    )  # fmt: skip
    _wall_box(cab, long / 2, long / 2 + 1.7, 2.05, levels, paint, 2)
    _big_wheels(cab, (long / 2 + 0.75,), 2.05, 0.4)
    _end_lights(cab, long / 2 + 1.76, 2.05, 0.62, HEAD)
    tone = rng.choice([0.75, 0.6, 0.5, 0.2]) * rng.uniform(0.85, 1.1, 3)
    load.add(box((-long / 2 - 0.4, -1.12, 0.85), (long / 2 - 0.12, 1.12, rng.uniform(2.7, 3.2))), tone, 0.12)
    load.add(box((-long / 2 - 0.3, -0.95, 0.45), (long / 2 - 0.15, 0.95, 0.85)), DARK, 0.0, layer=0)
    _big_wheels(load, (-long / 2 + 0.9,), 2.05, 0.42)
    _end_lights(load, -long / 2 - 0.41, 2.05, 0.6, TAIL)
    return load.mesh(), cab.mesh()
