"""Meshes of four-cornered faces, and the simple bodies that things of the parking lot are made of.

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

DARK = (0.012, 0.012, 0.012)
GLASS = (0.022, 0.020, 0.018)
TYRE = (0.018, 0.017, 0.017)
STEEL = (0.42, 0.41, 0.40)
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


def disc(centre: Sequence[float], radius: float, sides: int = 14) -> Floats:
    """An upright disc along x, as a wheel, cut off at the ground, (F, 4, 3)."""
    angles = np.arange(sides) * 2 * np.pi / sides
    ring = np.column_stack((np.cos(angles) * radius, np.zeros(sides), np.sin(angles) * radius)) + np.asarray(centre)
    ring[:, 2] = np.maximum(ring[:, 2], 0.0)
    return cap(ring)
