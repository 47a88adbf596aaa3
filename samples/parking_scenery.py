"""Trees, lamps and houses around the parking lot.

Local axes: x forward, y left, z up, metres, origin on the ground below the middle. Colours are linear BGR.
"""

from __future__ import annotations

import numpy as np
from parking_mesh import GLASS, LAMP, NO_GLOW, ROOM, Mesh, Pile, Rng, box, rod


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
