"""A scene of the parking lot, and what a camera sees of it: a picture and its exact truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from parking_ground import Ground, Layout, add_head_light, add_lamp_light, shade_grids
from parking_mesh import HEAD, LAMP, TAIL, Floats, Mesh, Rng
from parking_raster import Bytes, Camera, Light, Part, Visible, glow_spots, paint, paint_order, part_of, shade, visible

CATEGORIES = ("person", "bicycle", "car", "motorcycle", "bus", "truck")
PERSON, BICYCLE, CAR, MOTORCYCLE, BUS, TRUCK = range(1, 7)
SCENERY = 255
SCALE = 2
"""Enlargement of the canvas on which things are painted."""
MIN_VISIBLE, MIN_SIDE_PX = 0.25, 8.0

Pose = tuple[float, float, float]
"""x, y in metres, heading in radians."""


@dataclass(frozen=True)
class Thing:
    """An object with its own id. `parts` gives its parts at a time in seconds."""

    ident: int
    category: int
    parts: Callable[[float], list[Part]]
    moves: bool = False
    pose: Callable[[float], Pose] | None = None
    """Given for vehicles that throw head light."""


@dataclass(frozen=True)
class Truth:
    """What is truly seen of a thing; box in pixels, (0, 0) the picture's top left corner."""

    ident: int
    category: int
    box_xyxy: tuple[float, float, float, float]
    visible: float
    """Visible share of what the thing alone would show, its part outside the picture counted too."""

    @property
    def ignored(self) -> bool:
        """Too hidden or too small to be asked for."""
        x0, y0, x1, y1 = self.box_xyxy
        return self.visible < MIN_VISIBLE or min(x1 - x0, y1 - y0) < MIN_SIDE_PX


@dataclass
class Scene:
    """Everything of one place; filled by the builders below."""

    layout: Layout
    albedo: Floats
    ground_px: int
    rng: Rng
    things: list[Thing] = field(default_factory=list)
    lamps: list[tuple[float, float, float]] = field(default_factory=list)
    scenery: list[Part] = field(default_factory=list)

    def add(self, category: int, meshes: tuple[Mesh, ...], pose: Pose, lit: bool = False) -> None:
        """A thing that stands still."""
        ident = len(self.things) + 1
        if ident < SCENERY:
            parts = [part_of(mesh, ident, *pose, lit=lit) for mesh in meshes]
            self.things.append(Thing(ident, category, lambda _t: parts, pose=(lambda _t: pose) if lit else None))

    def add_moving(
        self,
        category: int,
        shape: Callable[[float], tuple[Mesh, ...]],
        pose: Callable[[float], Pose],
        lit: bool = False,
    ) -> None:
        """A thing whose shape and pose change with time."""
        ident = len(self.things) + 1

        def parts(t: float) -> list[Part]:
            return [part_of(mesh, ident, *pose(t), lit=lit) for mesh in shape(t)]

        self.things.append(Thing(ident, category, parts, moves=True, pose=pose if lit else None))


class View:
    """A scene through one camera: keeps what doesn't change from frame to frame."""

    def __init__(self, scene: Scene, camera: Camera) -> None:
        self.scene, self.camera = scene, camera
        self.ground = Ground(scene.albedo, scene.ground_px, camera)
        self.lamps = np.array(scene.lamps, np.float32).reshape(-1, 3)
        self.still = [p for t in scene.things if not t.moves for p in t.parts(0.0)] + scene.scenery
        self.seen_still = [visible(p, camera, SCALE) for p in self.still]
        self.noise = np.random.default_rng(scene.rng.integers(1 << 30)).normal(
            size=(camera.height + 64, camera.width + 64, 3)
        )
        self.noise = self.noise.astype(np.float32)
        self._grids_for: tuple[float, ...] = ()
        self._grids = np.zeros(0, np.float32)

    def still_grids(self, light: Light) -> Floats:
        """Light grids of what stands still; cast shadows are redone when the sun has moved by half a degree."""
        key = tuple(np.round(light.sun_way, 2).tolist())
        if key != self._grids_for:
            self._grids_for = key
            self._grids = shade_grids(self.still, light)
            add_lamp_light(self._grids, self.lamps)
        return self._grids

    def frame(
        self, t: float, light: Light, index: int, without: int = 0, softness: float = 0.55
    ) -> tuple[Bytes, list[Truth]]:
        """Picture (H, W, 3) BGR at `t` seconds and its truth; of thing `without` only the shadow is left (0 = none)."""
        moving = [p for thing in self.scene.things if thing.moves for p in thing.parts(t)]
        parts = [*self.still, *moving]
        seen = [*self.seen_still, *(visible(p, self.camera, SCALE) for p in moving)]
        pairs = [(p, s) for p, s in zip(parts, seen, strict=True) if s is not None and p.ident != without]
        grids = shade_grids(moving, light, self.still_grids(light))
        if light.heads > 0.05:
            for thing in self.scene.things:
                if thing.pose is not None and thing.category not in (PERSON, BICYCLE):
                    add_head_light(grids, *thing.pose(t))
        canvas = np.zeros((self.camera.height * SCALE, self.camera.width * SCALE, 4), np.uint8)
        alone = self._paint(canvas, pairs, light)
        spots = [s + (p.ident,) for p, v in pairs for s in glow_spots(v, light, p.lit)]
        picture = self._finish(canvas, self.ground.colours(light, grids), spots, light, index, softness)
        return picture, self._truths(canvas, pairs, alone)

    def _paint(self, canvas: Bytes, pairs: list[tuple[Part, Visible]], light: Light) -> dict[int, float]:
        """Paint all; the number of canvas pixels that each thing would show alone, its part outside estimated."""
        alone: dict[int, float] = {}
        for i in paint_order([p for p, _ in pairs], [s for _, s in pairs], self.camera):
            part, seen = pairs[i]
            colours = shade(seen, light, self.camera, self.lamps[self._near_lamps(part)], part.lit)
            own = paint(canvas, seen, colours, part.ident)
            alone[part.ident] = alone.get(part.ident, 0.0) + own / max(seen.inside, 1e-3)
        return alone

    def _near_lamps(self, part: Part) -> Floats:
        square = ((self.lamps[:, :2] - part.footprint.mean(0)) ** 2).sum(1)
        return np.argsort(square)[:3]

    def _truths(self, canvas: Bytes, pairs: list[tuple[Part, Visible]], alone: dict[int, float]) -> list[Truth]:
        bounds: dict[int, tuple[int, int, int, int]] = {}
        for part, s in pairs:
            a = bounds.get(part.ident, s.bounds)
            b = s.bounds
            bounds[part.ident] = (min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]))
        truths = []
        for thing in self.scene.things:
            if thing.ident not in bounds:
                continue
            x0, y0, x1, y1 = bounds[thing.ident]
            mask = canvas[y0:y1, x0:x1, 3] == thing.ident
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            if not len(rows):
                continue
            box = (x0 + columns[0], y0 + rows[0], x0 + columns[-1] + 1, y0 + rows[-1] + 1)
            share = float(mask.sum()) / max(alone.get(thing.ident, 0.0), 1.0)
            left, top, right, bottom = (float(v) / SCALE for v in box)
            truths.append(Truth(thing.ident, thing.category, (left, top, right, bottom), min(share, 1.0)))
        return truths

    def _finish(
        self,
        canvas: Bytes,
        ground: Floats,
        spots: list[tuple[float, float, float, int, int]],
        light: Light,
        index: int,
        softness: float,
    ) -> Bytes:
        """Put things over the ground, add glare, lens fall-off, blur and noise."""
        size = self.camera.width, self.camera.height
        things = cv2.resize(canvas[..., :3], size, interpolation=cv2.INTER_AREA).astype(np.float32)
        cover = cv2.resize((canvas[..., 3] > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)[..., None]
        picture = things + (1 - cover) * ground
        for x, y, wide, kind, ident in spots:
            px, py = int(x), int(y)
            if 0 <= px < canvas.shape[1] and 0 <= py < canvas.shape[0] and canvas[py, px, 3] == ident:
                _add_glare(picture, x / SCALE, y / SCALE, wide / SCALE, kind, light)
        v, u = np.ogrid[: size[1], : size[0]]
        radius = ((u - size[0] / 2) ** 2 + (v - size[1] / 2) ** 2) / (size[0] ** 2 / 4)
        picture *= (1 - 0.16 * radius)[..., None].astype(np.float32)
        picture = cv2.GaussianBlur(picture, (0, 0), softness)
        dark = min(1.0, light.exposure / 6.0)
        dy, dx = (index * 37) % 64, (index * 23) % 64
        grain = self.noise[dy : dy + size[1], dx : dx + size[0]]
        picture += grain * np.float32(1.3 + 3.2 * dark)
        return np.clip(picture, 0, 255).astype(np.uint8)


def _add_glare(picture: Floats, x: float, y: float, wide: float, kind: int, light: Light) -> None:
    radius = int(np.clip(wide * (2.2 if kind == HEAD else 1.3), 3, 46))
    x0, y0, x1, y1 = int(x) - 2 * radius, int(y) - 2 * radius, int(x) + 2 * radius + 1, int(y) + 2 * radius + 1
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, picture.shape[1]), min(y1, picture.shape[0])
    if x1 <= x0 or y1 <= y0:
        return
    v, u = np.mgrid[y0:y1, x0:x1]
    square = ((u - x) ** 2 + (v - y) ** 2) / radius**2
    shape = 0.55 * np.exp(-square * 4) + 0.45 * np.exp(-square * 40)
    colour = {HEAD: (235, 248, 255), TAIL: (20, 20, 180), LAMP: (150, 215, 255)}[kind]
    level = light.lamps if kind == LAMP else light.heads
    amount = (shape * level * 0.9)[..., None].astype(np.float32)
    patch = picture[y0:y1, x0:x1]
    patch += (255 - patch).clip(0) * amount * np.float32(colour) / 255
