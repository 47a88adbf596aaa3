"""The ground of the parking lot: where bays, aisles and street lie, its colours, and the light on it.

A square of 96 m: x from -48, y from -12 (metres). Grids are indexed [row = y, column = x].
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from parking_mesh import Floats, Rng
from parking_raster import LAMP_POWER, Camera, Light, Part

LOW_X, LOW_Y, SIDE = -48.0, -12.0, 96.0
LIGHT_PX = 10
"""Pixels per metre of the light grid."""
HEAD_REACH = 26.0
"""Metres that head light is followed."""


@dataclass(frozen=True)
class Layout:
    """Where things are; metres."""

    half_width: float
    rows: tuple[tuple[float, int], ...]
    """(y of the row's middle, +1 when its aisle lies beyond it, else -1)."""
    aisles: tuple[float, ...]
    """y of each aisle's middle."""
    greens: tuple[tuple[float, float, float, float], ...]
    """x0, y0, x1, y1 of planted strips."""
    bay_width: float
    bay_depth: float
    slant: float
    """How far a bay's lines lean, metres in x over its depth."""
    street: float
    """y of the street's middle; 7 m wide, with pavements of 2 m."""
    end: float
    """y where the lot ends."""

    def bays(self) -> list[tuple[float, float, float]]:
        """(x, y, heading of a car that stands nose in) of all bays."""
        places = []
        count = int((2 * self.half_width - abs(self.slant)) / self.bay_width)
        for y, side in self.rows:
            for i in range(count):
                x = -self.half_width + (i + 0.5) * self.bay_width + abs(self.slant) / 2
                places.append((x, y, float(np.arctan2(-side * self.bay_depth, -side * self.slant))))
        return places


def lay_out(rng: Rng, slanted: bool, modules: int) -> Layout:
    """A lot of `modules` aisles with a row of bays on each side."""
    depth, aisle, y = rng.uniform(4.9, 5.3), rng.uniform(5.6, 6.6), 6.0
    half = float(rng.choice([22.5, 25.0, 27.5]))
    rows, aisles, greens = [], [], []
    for module in range(modules):
        rows.append((y + depth / 2, 1))
        aisles.append(y + depth + aisle / 2)
        rows.append((y + 1.5 * depth + aisle, -1))
        y += 2 * depth + aisle
        strip = 3.0 if module == modules - 1 else float(rng.choice([0.0, 2.2]))
        if strip:
            greens.append((-half, y, half, y + strip))
        y += strip
    slant = float(rng.choice([-2.0, 2.0])) if slanted else 0.0
    return Layout(
        half,
        tuple(rows),
        tuple(aisles),
        tuple(greens),
        float(rng.choice([2.5, 2.6, 2.75])),
        float(depth),
        slant,
        y + 5.5,
        y,
    )


def _cells(rng: Rng, size: int, cell: int) -> Floats:
    """Smooth noise (size, size), about -1..1, that changes over `cell` pixels."""
    n = max(2, size // cell + 2)
    return cv2.resize(rng.normal(0, 0.6, (n, n)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)


def draw_ground(rng: Rng, layout: Layout, px: int) -> Floats:
    """Albedo (SIDE*px, SIDE*px, 3) linear BGR: asphalt, markings, kerbs, grass, pavement, stains."""
    size = int(SIDE * px)

    def rect(image: Floats, x0: float, y0: float, x1: float, y1: float, value: float | tuple[float, ...]) -> None:
        a, b = (
            (int((x0 - LOW_X) * px), int((y0 - LOW_Y) * px)),
            (int((x1 - LOW_X) * px) - 1, int((y1 - LOW_Y) * px) - 1),
        )
        cv2.rectangle(image, a, b, value, -1)

    fine = rng.standard_normal((size, size), np.float32) * np.float32(0.14)
    wide = _cells(rng, size, 6 * px) * 0.10 + _cells(rng, size, px) * 0.06
    green = np.float32((0.03, 0.085, 0.055)) * rng.uniform(0.7, 1.4) * np.float32((1, 1, rng.uniform(0.8, 1.5)))
    image = np.empty((size, size, 3), np.float32)
    image[:] = green
    image *= (1 + fine * 2.2 + wide * 3 + _cells(rng, size, max(2, px // 4)) * 0.3)[..., None]
    tarmac = rng.uniform(0.075, 0.17)
    hue = np.float32((1.0, 1.0, 1.0)) + rng.normal(0, 0.02, 3).astype(np.float32)
    hard = np.zeros((size, size), np.float32)
    half, street = layout.half_width + 6.5, layout.street
    rect(hard, -half, 3.0, half, layout.end, 1.0)
    rect(hard, LOW_X, street - 3.5, -LOW_X, street + 3.5, 0.85)
    rect(hard, half - 6, layout.end - 1, half, street, 1.0)
    for x0, y0, x1, y1 in layout.greens:
        rect(hard, x0, y0, x1, y1, 0.0)
    stains = _stains(rng, layout, px, size)
    rough = tarmac * (1 + fine + wide + stains)
    image = np.where(hard[..., None] > 0, (rough * hard.clip(0.8, 1))[..., None] * hue, image)
    slabs = np.float32((0.30, 0.31, 0.32)) * (1 + 0.5 * fine + wide)[..., None]
    for y in (street - 4.5, street + 4.5):
        spot = np.zeros((size, size), np.uint8)
        rect(spot, LOW_X, y - 1.0, -LOW_X, y + 1.0, 1)
        rect(spot, half - 6, y - 1.0, half, y + 1.0, 0 if y < street else 1)
        for x in np.arange(LOW_X, -LOW_X, 1.0):
            rect(spot, x, y - 1.0, x + 1.5 / px, y + 1.0, 0)
        image[spot > 0] = slabs[spot > 0]
    _kerbs(image, layout, px, half)
    wear = (1 - 0.35 * np.abs(_cells(rng, size, px)) + 2.0 * fine).clip(0.25, 1) * rng.uniform(0.6, 1.0)
    ink = _markings(rng, layout, px, size)[..., None] * wear[..., None]
    colour = np.float32((0.62, 0.64, 0.64)) if rng.random() < 0.8 else np.float32((0.06, 0.45, 0.62))
    return (image * (1 - ink) + colour * ink).clip(0.008, 0.8).astype(np.float32)


def _stains(rng: Rng, layout: Layout, px: int, size: int) -> Floats:
    """Oil in bays, dark wheel tracks in aisles, mended patches, cracks, manholes; share added to the albedo."""
    stains = np.zeros((size, size), np.float32)
    to = lambda x, y: (int((x - LOW_X) * px), int((y - LOW_Y) * px))  # noqa: E731
    for x, y, heading in layout.bays():
        spot = x + rng.normal(0, 0.2), y - 1.2 * np.sin(heading) * -1 + rng.normal(0, 0.4)
        cv2.circle(stains, to(*spot), int(rng.uniform(0.2, 0.6) * px), -rng.uniform(0.05, 0.4), -1)
    for y in layout.aisles:
        for off in (-1.9, -0.5, 0.6, 2.0):
            cv2.line(stains, to(-layout.half_width, y + off), to(layout.half_width, y + off), -0.12, int(0.5 * px))
    stains = cv2.GaussianBlur(stains, (0, 0), 0.16 * px)
    for _ in range(rng.integers(2, 9)):
        x, y = rng.uniform(-25, 25), rng.uniform(4, layout.end)
        wide, long = rng.uniform(0.6, 4, 2)
        cv2.rectangle(stains, to(x, y), to(x + wide, y + long), rng.uniform(-0.3, 0.15), -1)
    for _ in range(rng.integers(5, 16)):
        at = np.cumsum(
            np.vstack(
                (
                    [rng.uniform(-28, 28), rng.uniform(4, layout.end)],
                    rng.normal(0, 0.35, (25, 2)) + rng.normal(0, 0.25, 2),
                )
            ),
            0,
        )
        points = np.array([to(x, y) for x, y in at], np.int32)
        cv2.polylines(stains, [points], False, -0.45, max(1, px // 24), cv2.LINE_AA)
    for _ in range(3):
        cv2.circle(
            stains, to(rng.uniform(-20, 20), float(rng.choice(layout.aisles)) + rng.normal()), int(0.33 * px), -0.5, -1
        )
    return stains


def _kerbs(image: Floats, layout: Layout, px: int, half: float) -> None:
    stone = (0.33, 0.34, 0.35)
    to = lambda x, y: (int((x - LOW_X) * px), int((y - LOW_Y) * px))  # noqa: E731
    wide = max(1, int(0.16 * px))
    for x0, y0, x1, y1 in layout.greens:
        cv2.rectangle(image, to(x0, y0), to(x1, y1), stone, wide)
    cv2.line(image, to(-half, 3.0), to(half, 3.0), stone, wide)
    cv2.line(image, to(-half, 3.0), to(-half, layout.end), stone, wide)
    cv2.line(image, to(half, 3.0), to(half, layout.end), stone, wide)
    for y in (layout.street - 3.5, layout.street + 3.5):
        cv2.line(image, to(LOW_X, y), to(half - 6, y), stone, wide)
        cv2.line(image, to(half, y), to(-LOW_X, y), stone, wide)


def _markings(rng: Rng, layout: Layout, px: int, size: int) -> Floats:
    """Share of paint 0..1."""
    ink = np.zeros((size, size), np.float32)
    fix = lambda x, y: (int((x - LOW_X) * px * 16), int((y - LOW_Y) * px * 16))  # noqa: E731

    def line(a: tuple[float, float], b: tuple[float, float], width: float = 0.11) -> None:
        way = np.array(b, float) - a
        side = np.array((-way[1], way[0])) / (np.linalg.norm(way) + 1e-9) * width / 2
        corners = np.array([fix(*(np.array(p) + s)) for p, s in ((a, side), (b, side), (b, -side), (a, -side))])
        cv2.fillConvexPoly(ink, corners.astype(np.int32), 1.0, cv2.LINE_8, 4)

    depth = layout.bay_depth / 2
    count = int((2 * layout.half_width - abs(layout.slant)) / layout.bay_width)
    for y, side in layout.rows:
        for i in range(count + 1):
            x = -layout.half_width + i * layout.bay_width + abs(layout.slant) / 2
            line((x - layout.slant / 2, y - side * depth), (x + layout.slant / 2, y + side * depth))
    if layout.rows and rng.random() < 0.6:
        for y, _ in layout.rows[1:-1:2]:
            line((-layout.half_width, y + depth), (layout.half_width, y + depth))
    for k, y in enumerate(layout.aisles):
        for x in np.arange(-layout.half_width + 4, layout.half_width - 4, 15.0):
            way = 1 if k % 2 == 0 else -1
            line((x, y), (x + way * 1.7, y), 0.16)
            for side in (-1, 1):
                line((x + way * 2.3, y), (x + way * 1.5, y + side * 0.45), 0.2)
    for x in np.arange(LOW_X, -LOW_X, 6.0):
        line((x, layout.street), (x + 3.0, layout.street), 0.14)
    return ink


class Ground:
    """The ground as one camera sees it, and the light grids on it."""

    def __init__(self, albedo: Floats, px: int, camera: Camera) -> None:
        plane, distance = camera.ground_under(2)
        seen = _sample_far_and_near(albedo, px, plane, distance, camera)
        size = camera.width, camera.height
        self.albedo = cv2.resize(seen, size, interpolation=cv2.INTER_AREA)
        far = distance[::2, ::2, None]
        self.below = np.isfinite(far)
        self.haze = 1 - np.exp(-np.minimum(far, np.float32(1e5)) / np.float32(420.0))
        self.sky_rows = int(np.flatnonzero(~self.below.all((1, 2))).max(initial=-1)) + 1
        self.sky_height = np.sqrt(np.clip(camera.rays(1)[..., 2:], 0, 1))
        plane = plane[::2, ::2]
        self.map_x = ((plane[..., 0] - LOW_X) * LIGHT_PX).astype(np.float32)
        self.map_y = ((plane[..., 1] - LOW_Y) * LIGHT_PX).astype(np.float32)

    def colours(self, light: Light, grids: Floats) -> Floats:
        """Picture (H, W, 3) in screen values 0..255 of ground and sky under `light` and the `grids` on the ground."""
        local = cv2.remap(grids, self.map_x, self.map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        shadow, closed, lamps, heads = (local[..., i : i + 1] for i in range(4))
        energy = (1 - shadow) * (light.sun * np.float32(max(light.sun_way[2], 0.0))) + light.sky
        energy += lamps * np.float32(light.lamps * light.lamp_colour)
        energy *= 1 - np.float32(0.9) * closed
        energy += heads * np.float32(light.heads * np.array((0.75, 0.92, 1.0)))
        energy *= self.albedo
        energy += (light.horizon * np.float32(0.8) - energy) * self.haze
        if self.sky_rows:
            top = slice(0, self.sky_rows)
            sky = light.horizon + (light.zenith - light.horizon) * self.sky_height[top]
            energy[top] = np.where(self.below[top], energy[top], sky)
        return light.tone(energy)


def _sample_far_and_near(albedo: Floats, px: int, plane: Floats, distance: Floats, camera: Camera) -> Floats:
    """Albedo under each pixel, from a blurred copy where a pixel covers many texels."""
    texels = np.minimum(distance, 1e4) ** 2 / (camera.focal_px * 2 * camera.position[2]) * px
    level = np.clip(np.log2(np.maximum(texels, 1.0)) / 1.5, 0, 2)
    result = np.zeros((*distance.shape, 3), np.float32)
    copy = albedo
    for k in range(3):
        scale = px / (3**k)
        map_x = ((plane[..., 0] - LOW_X) * scale - 0.5).astype(np.float32)
        map_y = ((plane[..., 1] - LOW_Y) * scale - 0.5).astype(np.float32)
        picture = cv2.remap(copy, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        result += picture * np.maximum(0, 1 - np.abs(level - k))[..., None].astype(np.float32)
        copy = cv2.resize(copy, None, fx=1 / 3, fy=1 / 3, interpolation=cv2.INTER_AREA)
    return result


def shade_grids(parts: Iterable[Part], light: Light, start: Floats | None = None) -> Floats:
    """Grids (N, N, 4): cast shadow, closeness to things (both 0..1), lamp light, headlight; from `start` on."""
    size = int(SIDE * LIGHT_PX)
    grids = np.zeros((size, size, 4), np.float32) if start is None else start.copy()
    shadow, closed = np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)
    way = light.sun_way
    stretch = way[:2] / max(float(way[2]), 0.16)
    touched = False
    for part in parts:
        points = part.mesh.quads[:, ::2].reshape(-1, 3)
        touched = True
        if light.sun.max() > 0.02:
            _fill_hull(shadow, points[:, :2] - points[:, 2:3] * stretch, 1.0)
        if part.low < 0.6:
            middle = part.footprint.mean(0)
            for grow, depth in ((1.12, 0.5), (0.99, 1.0)):
                _fill_hull(closed, middle + (part.footprint - middle) * grow, depth)
    if touched:
        grids[..., 0] = np.maximum(grids[..., 0], cv2.GaussianBlur(shadow, (0, 0), 0.7))
        grids[..., 1] = np.maximum(grids[..., 1], cv2.GaussianBlur(closed, (0, 0), 1.9))
    return grids


def _fill_hull(grid: Floats, points: Floats, value: float) -> None:
    hull = cv2.convexHull(((points - (LOW_X, LOW_Y)) * LIGHT_PX).astype(np.float32))
    cv2.fillConvexPoly(grid, np.round(hull * 16).astype(np.int32), value, cv2.LINE_8, 4)


def add_lamp_light(grids: Floats, lamps: Floats) -> None:
    """Light of lamps (L, 3 places) on the ground, into the third grid."""
    axis = (np.arange(grids.shape[0]) + 0.5) / LIGHT_PX
    for x, y, z in lamps:
        square = (axis[None] + LOW_X - x) ** 2 + (axis[:, None] + LOW_Y - y) ** 2 + z * z
        grids[..., 2] += (LAMP_POWER * z / np.sqrt(square) / (square + 4.0)).astype(np.float32)


def add_head_light(grids: Floats, x: float, y: float, heading: float, power: float = 0.5) -> None:
    """Light in front of a car, into the fourth grid."""
    x0, y0 = (max(0, int((v - low - HEAD_REACH) * LIGHT_PX)) for v, low in ((x, LOW_X), (y, LOW_Y)))
    wide = int(2 * HEAD_REACH * LIGHT_PX)
    patch = grids[y0 : y0 + wide, x0 : x0 + wide, 3]
    across = (x0 + np.arange(patch.shape[1]) + 0.5) / LIGHT_PX
    along = (y0 + np.arange(patch.shape[0]) + 0.5) / LIGHT_PX
    c, s = np.cos(heading), np.sin(heading)
    dx, dy = across[None] + LOW_X - x, along[:, None] + LOW_Y - y
    ahead, aside = dx * c + dy * s - 2.2, dy * c - dx * s
    reach = np.clip(ahead, 0.01, None)
    beam = np.exp(-((aside / (0.9 + 0.28 * reach)) ** 2)) * np.exp(-reach / 7.0) * (1 - np.exp(-reach / 1.5))
    patch += (np.where(ahead > 0, beam, 0) * power).astype(np.float32)
