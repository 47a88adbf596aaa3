"""The things that stand in the rendered parking lot, as meshes of four-cornered faces.

Local axes of every thing: x forward, y left, z up, metres, origin on the ground below its middle.
Colours are linear light, order BGR. A mesh face with three corners repeats its last one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Rng = np.random.Generator

DARK, GLASS, TYRE, STEEL, SKIN_TONES = (
    (0.012, 0.012, 0.012), (0.022, 0.02, 0.018), (0.018, 0.017, 0.017), (0.42, 0.41, 0.40),
    ((0.36, 0.45, 0.62), (0.20, 0.29, 0.47), (0.09, 0.14, 0.26), (0.045, 0.07, 0.13)),
)  # fmt: skip
PAINTS = {  # BGR -> share on the road
    (0.78, 0.78, 0.77): 22, (0.40, 0.39, 0.38): 15, (0.16, 0.155, 0.15): 15, (0.022, 0.02, 0.02): 18,
    (0.25, 0.09, 0.03): 9, (0.05, 0.02, 0.016): 5, (0.03, 0.022, 0.36): 9, (0.04, 0.05, 0.015): 3,
    (0.30, 0.40, 0.46): 4, (0.02, 0.03, 0.10): 3, (0.03, 0.36, 0.58): 2, (0.32, 0.22, 0.08): 3,
}  # fmt: skip
NO_GLOW, HEAD, TAIL, LAMP, ROOM = range(5)
"""What a face emits when lights are on."""
FINE = 9
"""Layer of details that only near things show."""


@dataclass(frozen=True)
class Mesh:
    """F faces; faces of a higher layer are painted over those of a lower one, whatever their depth."""

    quads: Floats  # (F, 4, 3)
    normals: Floats  # (F, 3), outward, length 1
    albedo: Floats  # (F, 3) linear BGR
    gloss: Floats  # (F,) 0 = chalk, 1 = glass
    glow: npt.NDArray[np.int8]  # (F,)
    layer: npt.NDArray[np.int8]  # (F,)

    def placed(self, x: float, y: float, heading: float, z: float = 0.0) -> Mesh:
        """The same mesh turned by `heading` (radians, from +x to +y) and moved, in metres."""
        c, s = np.cos(heading), np.sin(heading)
        turn = np.array(((c, s, 0), (-s, c, 0), (0, 0, 1)), np.float32)  # row vectors
        return replace(self, quads=self.quads @ turn + np.float32((x, y, z)), normals=self.normals @ turn)


class Pile:
    """Collects pieces and makes one mesh of them."""

    def __init__(self) -> None:
        self.pieces: list[tuple[Floats, Floats, Floats]] = []  # faces, where their outside is, numbers

    def add(
        self,
        quads: Floats,
        colour: Sequence[float] | Floats,
        gloss: float | Floats = 0.0,
        glow: int | npt.NDArray[np.int8] = NO_GLOW,
        layer: int | npt.NDArray[np.int8] = 1,
        outward: Sequence[float] | None = None,
        two_sided: bool = False,
    ) -> None:
        """Add faces (..., 4, 3). Normals point away from the piece's middle, or along `outward` for a flat one."""
        quads = np.asarray(quads, np.float32).reshape(-1, 4, 3)
        n = len(quads)
        away = np.empty((n, 3), np.float32)
        away[:] = quads[:, 0] + quads[:, 2] - (quads[:, 0] + quads[:, 2]).sum(0) / n if outward is None else outward
        numbers = np.empty((n, 6), np.float32)  # colour, gloss, glow, layer
        numbers[:, :3], numbers[:, 3], numbers[:, 4], numbers[:, 5] = colour, gloss, glow, layer
        self.pieces.append((quads, away, numbers))
        if two_sided:
            self.pieces.append((quads, -away, numbers))

    def mesh(self) -> Mesh:
        """All pieces as one."""
        quads, away, numbers = (np.concatenate(column) for column in zip(*self.pieces, strict=True))
        normals = np.cross(quads[:, 2] - quads[:, 0], quads[:, 3] - quads[:, 1])
        normals /= np.sqrt((normals**2).sum(1, keepdims=True)) + 1e-9
        normals *= np.where((normals * away).sum(1, keepdims=True) < 0, np.float32(-1), np.float32(1))
        kinds = numbers[:, 4:].astype(np.int8)
        return Mesh(quads, normals, numbers[:, :3], numbers[:, 3], kinds[:, 0], kinds[:, 1])


def loft(rings: Floats) -> Floats:
    """The skin (R-1, N, 4, 3) over R closed rings of N points each, (R, N, 3)."""
    following = np.roll(rings, -1, axis=1)
    return np.stack((rings[:-1], following[:-1], following[1:], rings[1:]), axis=2)


def cap(ring: Floats) -> Floats:
    """Triangles (N, 4, 3) that close a ring (N, 3)."""
    following = np.roll(ring, -1, axis=0)
    middle = np.broadcast_to(ring.mean(0), ring.shape)
    return np.stack((middle, ring, following, following), axis=1)


def rod(a: Sequence[float], b: Sequence[float], radius_a: float, radius_b: float, sides: int = 6) -> Floats:
    """A limb, tube or pole from a to b with rounded ends, (F, 4, 3)."""
    start, end = np.asarray(a, np.float64), np.asarray(b, np.float64)
    axis = (end - start) / (np.linalg.norm(end - start) + 1e-9)
    side = np.cross(axis, (0.0, 1.0, 0.0) if abs(axis[1]) < 0.9 else (1.0, 0.0, 0.0))
    side /= np.linalg.norm(side)
    angles = np.arange(sides) * 2 * np.pi / sides
    circle = np.cos(angles)[:, None] * side + np.sin(angles)[:, None] * np.cross(axis, side)
    rings = [
        start - axis * radius_a * 0.8 + circle * radius_a * 0.45, start + circle * radius_a,
        end + circle * radius_b, end + axis * radius_b * 0.8 + circle * radius_b * 0.45,
    ]  # fmt: skip
    return np.concatenate((loft(np.stack(rings)).reshape(-1, 4, 3), cap(rings[0]), cap(rings[-1])))


def ball(centre: Sequence[float], radii: Sequence[float], rings: int = 6, sides: int = 9) -> Floats:
    """An ellipsoid, (F, 4, 3)."""
    up = np.linspace(-np.pi / 2, np.pi / 2, rings)[:, None]
    around = np.arange(sides)[None] * 2 * np.pi / sides
    shape = np.stack((np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up) + 0 * around), -1)
    return loft(shape * np.asarray(radii) + np.asarray(centre)).reshape(-1, 4, 3)


def box(low: Sequence[float], high: Sequence[float]) -> Floats:
    """A cuboid between two corners, its sides cut in small faces so that they shade and sort well, (F, 4, 3)."""
    (x0, y0, z0), (x1, y1, z1) = low, high
    ring = np.array(((x0, y0), (x1, y0), (x1, y1), (x0, y1)))
    rings = np.stack([np.column_stack((ring, np.full(4, z))) for z in (z0, z1)])
    return np.concatenate((loft(rings).reshape(-1, 4, 3), rings[1][None], rings[0][None]))


def disc(centre: Sequence[float], radius: float, outward_y: float, sides: int = 14) -> Floats:
    """A wheel-like disc facing +y or -y, cut off at the ground, (F, 4, 3)."""
    angles = np.arange(sides) * 2 * np.pi / sides
    ring = np.column_stack((np.cos(angles) * radius, np.zeros(sides), np.sin(angles) * radius)) + np.asarray(centre)
    ring[:, 2] = np.maximum(ring[:, 2], 0.0)
    return cap(ring)


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


def car(rng: Rng, kind: str, paint: Floats, steer: float = 0.0) -> Mesh:
    """A car: rounded hull of 15 cross-sections, cabin with windows and pillars, wheels, lights, plates."""
    shape = CAR_SHAPES[kind]
    stretch = rng.uniform(0.95, 1.06)
    shape = replace(shape, length=shape.length * stretch, height=shape.height * rng.uniform(0.97, 1.03))
    pile = Pile()
    _car_hull(pile, shape, paint)
    _car_cabin(pile, shape, paint, rng)
    _car_wheels(pile, shape, rng, steer)
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


def _car_wheels(pile: Pile, s: CarShape, rng: Rng, steer: float) -> None:
    rim = np.float32(rng.choice([0.40, 0.28, 0.12])) * np.ones(3, np.float32)
    for x in (s.length * (0.5 - 0.185), -s.length * (0.5 - 0.20)):
        for side in (-1, 1):
            y, out = side * (s.width / 2 + 0.004), (0, side, 0)
            pile.add(disc((x, y, s.wheel + 0.02), s.wheel + 0.055, side), DARK, 0.0, layer=2, outward=out)
            pile.add(disc((x, y, s.wheel), s.wheel, side), TYRE, 0.05, layer=3, outward=out)
            pile.add(disc((x, y, s.wheel), s.wheel * 0.66, side, 10), rim, 0.5, layer=4, outward=out)
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
    rings = np.stack(
        [np.column_stack((outline[:, 0] + (0.98 - k) * 0.0, outline[:, 1] * k, np.full(n, z))) for z, k, _ in levels]
    )
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
            pile.add(disc((x, y, radius + 0.02), radius + 0.07, side), DARK, 0.0, layer=2, outward=out)
            pile.add(disc((x, y, radius), radius, side), TYRE, 0.05, layer=3, outward=out)
            pile.add(disc((x, y, radius), radius * 0.55, side, 10), (0.3, 0.3, 0.3), 0.3, layer=4, outward=out)


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


@dataclass(frozen=True)
class Look:
    """How a person looks; colours linear BGR, height in metres."""

    height: float
    skin: Sequence[float]
    hair: Sequence[float]
    top: Floats
    legs: Floats
    shoes: Sequence[float]
    long_coat: bool
    bag: Floats | None
    girth: float


def look_of(rng: Rng) -> Look:
    """A person as one meets in the street."""
    cloth = lambda: (rng.choice([0.02, 0.05, 0.15, 0.45]) * rng.uniform(0.5, 1.5, 3)).clip(0.01, 0.7)  # noqa: E731
    bright = (rng.uniform(0.02, 0.6, 3) ** 1.6).clip(0.01, 0.7)
    jeans = np.array((0.13, 0.06, 0.03)) * rng.uniform(0.5, 2.0)
    dark = np.full(3, rng.uniform(0.012, 0.05))
    return Look(
        height=float(rng.choice([rng.normal(1.72, 0.08), rng.normal(1.2, 0.12)], p=[0.92, 0.08]).clip(0.95, 1.95)),
        skin=SKIN_TONES[rng.integers(4)],
        hair=[(0.01, 0.012, 0.016), (0.02, 0.04, 0.08), (0.12, 0.25, 0.4), (0.35, 0.35, 0.35)][rng.integers(4)],
        top=bright.astype(np.float32) if rng.random() < 0.5 else cloth().astype(np.float32),
        legs=(jeans if rng.random() < 0.5 else dark if rng.random() < 0.7 else cloth()).astype(np.float32),
        shoes=(0.03, 0.03, 0.03) if rng.random() < 0.6 else (0.6, 0.6, 0.6),
        long_coat=bool(rng.random() < 0.25),
        bag=cloth().astype(np.float32) if rng.random() < 0.3 else None,
        girth=float(rng.uniform(0.9, 1.2)),
    )


def person(look: Look, phase: float, stride: float = 1.0) -> Mesh:
    """A walking person; `phase` in radians of the double step, `stride` 0 = standing."""
    h, g, pile = look.height, look.girth, Pile()
    for side, turn in ((-1, phase), (1, phase + np.pi)):
        swing = 0.48 * stride * np.sin(turn)
        knee_bend = 0.12 + stride * 0.75 * max(0.0, float(np.cos(turn))) * 0.9
        hip = np.array((0.0, side * 0.055 * h * g, 0.52 * h))
        knee = hip + 0.245 * h * np.array((np.sin(swing), 0, -np.cos(swing)))
        ankle = knee + 0.235 * h * np.array((np.sin(swing - knee_bend), 0, -np.cos(swing - knee_bend)))
        pile.add(rod(hip, knee, 0.050 * h * g, 0.036 * h * g), look.legs)
        pile.add(rod(knee, ankle, 0.036 * h * g, 0.025 * h), look.legs)
        pile.add(rod(ankle + (-0.02, 0, -0.015 * h), ankle + (0.085 * h, 0, -0.022 * h), 0.025 * h, 0.02 * h), look.shoes)
        arm = -0.8 * swing
        shoulder = np.array((0.0, side * 0.112 * h * g, 0.795 * h))
        elbow = shoulder + 0.165 * h * np.array((np.sin(arm), side * 0.12, -np.cos(arm)))
        hand = elbow + 0.15 * h * np.array((np.sin(arm + 0.35), 0, -np.cos(arm + 0.35)))
        pile.add(rod(shoulder, elbow, 0.032 * h * g, 0.026 * h), look.top)
        pile.add(rod(elbow, hand, 0.025 * h, 0.019 * h), look.top)
        pile.add(ball(hand, (0.02 * h, 0.016 * h, 0.026 * h), 4, 6), look.skin)
    _torso(pile, look, np.array((0.0, 0.0, 0.0)), 0.03 * stride)
    mesh = pile.mesh()
    return mesh.placed(0, 0, 0, -float(mesh.quads[..., 2].min()))


def _torso(pile: Pile, look: Look, at: Floats, lean: float) -> None:
    """Trunk, neck, head and bag; `lean` is how far the shoulders are before the hips, as share of the height."""
    h, g = look.height, look.girth
    bottom = 0.36 if look.long_coat else 0.47
    heights = np.array((bottom, 0.53, 0.62, 0.73, 0.80, 0.835, 0.86))
    wide = np.array((0.105, 0.100, 0.092, 0.112, 0.118, 0.06, 0.032)) * h * g
    deep = np.array((0.075, 0.072, 0.062, 0.072, 0.062, 0.045, 0.032)) * h * g
    forward = (heights - 0.5).clip(0) / 0.36 * lean * h
    angles = np.arange(9) * 2 * np.pi / 9
    rings = np.stack(
        [
            np.column_stack((f + d * np.cos(angles), w * np.sin(angles), np.full(9, z * h)))
            for z, w, d, f in zip(heights, wide, deep, forward, strict=True)
        ]
    )
    pile.add(loft(rings) + at, look.top)
    x = lean * h * 1.25
    pile.add(ball(at + (x + 0.01, 0, 0.925 * h), (0.055 * h, 0.046 * h, 0.068 * h)), look.skin)
    pile.add(ball(at + (x - 0.012 * h, 0, 0.945 * h), (0.055 * h, 0.050 * h, 0.060 * h)), look.hair)
    if look.bag is not None:
        pile.add(ball(at + (-0.10 * h + x * 0.5, 0, 0.70 * h), (0.055 * h, 0.085 * h, 0.11 * h)), look.bag)


def bicycle(paint: Floats) -> Mesh:
    """A bicycle that stands or rolls along x."""
    pile = Pile()
    for x in (-0.52, 0.52):
        _hoop(pile, x, 0.34, 0.04)
    joints = {"rear": (-0.52, 0, 0.34), "front": (0.52, 0, 0.34), "crank": (-0.08, 0, 0.30)}
    seat, head = (-0.24, 0, 0.82), (0.36, 0, 0.84)
    for a, b in (
        (joints["crank"], seat), (joints["crank"], head), (seat, head), (seat, joints["rear"]),
        (joints["crank"], joints["rear"]), (head, joints["front"]),
    ):  # fmt: skip
        pile.add(rod(a, b, 0.024, 0.024, 4), paint, 0.3)
    pile.add(rod((0.34, -0.28, 1.0), (0.34, 0.28, 1.0), 0.018, 0.018, 4), DARK)
    pile.add(rod(head, (0.34, 0, 1.0), 0.018, 0.018, 4), DARK)
    pile.add(ball((-0.27, 0, 0.92), (0.14, 0.07, 0.04), 4, 7), DARK)
    pile.add(rod((-0.08, -0.12, 0.22), (-0.08, 0.12, 0.38), 0.02, 0.02, 4), DARK)
    return pile.mesh()


def _hoop(pile: Pile, x: float, radius: float, thick: float) -> None:
    angles = np.arange(17)[:-1] * 2 * np.pi / 16
    rim = np.column_stack((np.cos(angles), np.zeros(16), np.sin(angles)))
    rings = np.stack([rim * r + (x, 0, radius) for r in (radius, radius - thick)])
    pile.add(loft(rings), TYRE, 0.05, outward=(0, 1, 0), two_sided=True)
    pile.add(rod((x, -thick * 0.8, radius), (x, thick * 0.8, radius), thick * 1.2, thick * 1.2, 6), STEEL, 0.3)


def rider(look: Look, phase: float, seat_z: float = 0.95, bars: tuple[float, float] = (0.33, 1.02)) -> Mesh:
    """A person who sits on a bicycle or motorcycle; `phase` of the pedals in radians."""
    h, pile = look.height, Pile()
    hip = np.array((-0.22, 0.0, seat_z + 0.04))
    for side, turn in ((-1, phase), (1, phase + np.pi)):
        foot = np.array((-0.08 + 0.16 * np.cos(turn), side * 0.11, 0.32 + 0.16 * np.sin(turn)))
        start = hip + (0, side * 0.09, 0)
        knee = (start + foot) / 2 + np.array((0.22, side * 0.03, 0.10))
        pile.add(rod(start, knee, 0.05 * h, 0.038 * h), look.legs)
        pile.add(rod(knee, foot, 0.036 * h, 0.026 * h), look.legs)
        pile.add(rod(foot + (-0.06, 0, -0.03), foot + (0.12, 0, -0.03), 0.045, 0.035), look.shoes)
        shoulder, hand = hip + (0.30, side * 0.18, 0.47), np.array((bars[0], side * 0.25, bars[1]))
        elbow = (shoulder + hand) / 2 + (-0.05, side * 0.06, -0.05)
        pile.add(rod(shoulder, elbow, 0.032 * h, 0.027 * h), look.top)
        pile.add(rod(elbow, hand, 0.025 * h, 0.02 * h), look.top)
    upright = replace(look, long_coat=False)
    _torso(pile, upright, hip - (0, 0, 0.5 * h), 0.19)
    return pile.mesh()


def motorcycle(paint: Floats) -> Mesh:
    """A motorcycle on its stand or rolling."""
    pile = Pile()
    for x in (-0.66, 0.70):
        _hoop(pile, x, 0.31, 0.11)
    pile.add(rod((0.70, 0.06, 0.31), (0.42, 0.06, 0.98), 0.035, 0.035, 5), STEEL, 0.5)
    pile.add(rod((0.70, -0.06, 0.31), (0.42, -0.06, 0.98), 0.035, 0.035, 5), STEEL, 0.5)
    pile.add(rod((0.36, -0.36, 1.04), (0.36, 0.36, 1.04), 0.022, 0.022, 4), DARK)
    pile.add(ball((0.02, 0, 0.48), (0.30, 0.17, 0.22)), (0.05, 0.05, 0.05), 0.4)
    pile.add(ball((0.16, 0, 0.82), (0.30, 0.15, 0.14)), paint, 0.6)
    pile.add(ball((-0.36, 0, 0.80), (0.38, 0.14, 0.08)), DARK, 0.15)
    pile.add(ball((-0.72, 0, 0.78), (0.20, 0.10, 0.09)), paint, 0.5)
    pile.add(rod((-0.1, -0.16, 0.32), (-0.75, -0.19, 0.40), 0.045, 0.06, 6), STEEL, 0.6)
    pile.add(ball((0.52, 0, 0.90), (0.09, 0.10, 0.10), 5, 8), (0.6, 0.6, 0.58), 0.9, HEAD)
    pile.add(ball((-0.92, 0, 0.76), (0.03, 0.06, 0.04), 4, 6), (0.02, 0.015, 0.3), 0.6, TAIL)
    return pile.mesh()


def tree(rng: Rng, height: float, radius: float) -> tuple[Mesh, Mesh]:
    """Trunk and crown; the crown is many small leaf-like faces around a few balls."""
    trunk, crown = Pile(), Pile()
    trunk.add(rod((0, 0, 0), (0, 0, height * 0.6), 0.16, 0.10, 7), (0.05, 0.07, 0.09))
    green = np.array((0.025, 0.085, 0.035)) * rng.uniform(0.6, 1.5) * rng.uniform(0.8, 1.25, 3)
    n = int(np.clip(radius * 330, 300, 950))
    way = rng.normal(size=(n, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    knobs = rng.normal(size=(9, 3)) * (radius * 0.42, radius * 0.42, height * 0.13) + (0, 0, height * 0.68)
    centre = knobs[rng.integers(9, size=n)] + way * radius * 0.55 * rng.uniform(0.75, 1.05, (n, 1))
    normal = way + rng.normal(size=(n, 3)) * 0.35
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    side = np.cross(normal, rng.normal(size=(n, 3)))
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    other, size = np.cross(normal, side), radius * rng.uniform(0.07, 0.16, (n, 1))
    leaf = np.stack((centre + side * size, centre + other * size, centre - side * size, centre - other * size), 1)
    deep = ((np.linalg.norm(centre - (0, 0, height * 0.68), axis=1) / radius).clip(0.25, 1.1)) ** 1.3
    tone = green * (deep * rng.uniform(0.6, 1.4, n))[:, None]
    crown.add(leaf, tone.astype(np.float32), 0.02, two_sided=True)
    return trunk.mesh(), crown.mesh()


def lamp_post(height: float) -> Mesh:
    """A lamp on a pole; its arm reaches along +x."""
    pile, grey = Pile(), (0.22, 0.23, 0.23)
    pile.add(rod((0, 0, 0), (0, 0, height), 0.08, 0.05, 6), grey, 0.2)
    pile.add(rod((0, 0, height), (1.3, 0, height + 0.12), 0.045, 0.04, 5), grey, 0.2)
    pile.add(box((0.9, -0.16, height + 0.08), (1.65, 0.16, height + 0.2)), grey, 0.2, layer=2)
    bulb = np.array(((0.95, -0.13, 0), (1.6, -0.13, 0), (1.6, 0.13, 0), (0.95, 0.13, 0))) + (0, 0, height + 0.07)
    pile.add(bulb, (0.7, 0.7, 0.7), 0.3, LAMP, layer=3, outward=(0, 0, -1))
    return pile.mesh()


def building(rng: Rng, length: float, depth: float, floors: int) -> Mesh:
    """A plain house along x with rows of windows; its front looks along -y."""
    pile, storey = Pile(), 3.2
    wall = np.array([(0.42, 0.5, 0.56), (0.30, 0.36, 0.5), (0.45, 0.45, 0.44), (0.14, 0.18, 0.34)][rng.integers(4)])
    pile.add(box((-length / 2, 0, 0), (length / 2, depth, floors * storey + 0.8)), wall * rng.uniform(0.7, 1.1), 0.02)
    step = rng.uniform(2.4, 3.4)
    for floor in range(floors):
        for x in np.arange(-length / 2 + 1.2, length / 2 - 1.6, step):
            z = floor * storey + 1.0
            face = np.array(((x, -0.02, z), (x + 1.3, -0.02, z), (x + 1.3, -0.02, z + 1.5), (x, -0.02, z + 1.5)))
            pile.add(face, GLASS, 1.0, ROOM if rng.random() < 0.35 else NO_GLOW, layer=2, outward=(0, -1, 0))
    return pile.mesh()
