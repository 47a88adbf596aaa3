"""Camera, light and painter: puts meshes into a picture and says which pixel shows which thing.

World axes: x right, y away from the camera's side of the lot, z up, metres. Pictures are BGR uint8; colours before the
tone curve are linear BGR.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt
from parking_mesh import FINE, HEAD, LAMP, NO_GLOW, ROOM, TAIL, Floats, Mesh

Bytes = npt.NDArray[np.uint8]
SUBPIXEL_BITS = 4
TONE_END = 8.0
LAMP_POWER = 11.0


def _tone_curve() -> Floats:
    bright = (np.arange(4097) / 4095) ** 2 * TONE_END
    screen = (1 - np.exp(-1.25 * bright)) ** (1 / 2.2)
    return (255 * (0.6 * screen + 0.4 * screen**2 * (3 - 2 * screen))).astype(np.float32)


TONE = _tone_curve()
"""Screen value 0..255 of the square root of exposed light, 0..sqrt(TONE_END) in 4095 steps."""


class Camera:
    """A pinhole at `position` (m); yaw and pitch in radians: yaw 0 looks along +y, a positive pitch looks down."""

    def __init__(
        self, size: tuple[int, int], focal_px: float, position: Floats, yaw: float, pitch: float, roll: float = 0
    ):
        self.width, self.height = size
        self.focal_px = focal_px
        self.position = np.asarray(position, np.float64)
        forward = np.array((np.sin(yaw) * np.cos(pitch), np.cos(yaw) * np.cos(pitch), -np.sin(pitch)))
        right = np.array((np.cos(yaw), -np.sin(yaw), 0.0))
        down = np.cross(forward, right)
        right, down = right * np.cos(roll) + down * np.sin(roll), down * np.cos(roll) - right * np.sin(roll)
        self.axes = np.stack((right, down, forward))  # rows

    def project(self, points: Floats) -> tuple[Floats, Floats]:
        """World points (..., 3) to pixels (..., 2) and depths (...) in metres."""
        local = (points - self.position) @ self.axes.T
        depth = local[..., 2]
        safe = np.maximum(depth, 0.05)
        u = local[..., 0] / safe * self.focal_px + self.width / 2
        v = local[..., 1] / safe * self.focal_px + self.height / 2
        return np.stack((u, v), -1), depth

    def rays(self, scale: int) -> Floats:
        """Direction of each pixel of the picture enlarged `scale` times, (H, W, 3), not normalised."""
        u = ((np.arange(self.width * scale) + 0.5) / scale - self.width / 2) / self.focal_px
        v = ((np.arange(self.height * scale) + 0.5) / scale - self.height / 2) / self.focal_px
        across = (u[:, None] * self.axes[0]).astype(np.float32)
        return across[None] + (v[:, None] * self.axes[1] + self.axes[2]).astype(np.float32)[:, None]

    def ground_under(self, scale: int) -> tuple[Floats, Floats]:
        """Ground point (H, W, 2) in metres of each pixel, and its distance (H, W); infinite above the horizon."""
        rays = self.rays(scale)
        below = rays[..., 2] < -1e-4
        far = np.float32(self.position[2]) / np.where(below, -rays[..., 2], np.float32(1e-4))
        ground = rays[..., :2] * far[..., None] + self.position[:2].astype(np.float32)
        length = np.sqrt(np.einsum("hwc,hwc->hw", rays, rays))
        return ground, np.where(below, far * length, np.float32(np.inf))


@dataclass(frozen=True)
class Light:
    """The light of one moment. `lamps` and `heads` run from 0 (off) to 1."""

    sun_way: Floats  # (3,) towards the sun, length 1
    sun: Floats  # (3,) BGR irradiance of a face turned to the sun
    zenith: Floats  # (3,) sky above
    horizon: Floats  # (3,) sky at the horizon
    lamps: float
    heads: float
    lamp_colour: Floats = field(default_factory=lambda: np.float32((0.45, 0.72, 1.0)))

    @property
    def sky(self) -> Floats:
        """Irradiance (3,) of a face turned up, without sun."""
        return self.zenith * 0.65 + self.horizon * 0.35

    @property
    def exposure(self) -> float:
        """What the camera's automatic gain makes of it: most of the change of light, but not all."""
        level = float((self.sky + self.sun * max(self.sun_way[2], 0.0) * 0.8).mean()) + 0.07 * self.lamps
        return float(1.75 * level**-0.60)

    def tone(self, linear: Floats) -> Floats:
        """Linear light to 0..255 on the screen, with a shoulder, as a camera's curve."""
        steps = np.sqrt(np.clip(linear, 0, TONE_END / self.exposure) * np.float32(self.exposure * 4095**2 / TONE_END))
        return TONE[steps.astype(np.uint16)]


def dusk(progress: float, azimuth: float) -> Light:
    """Low sun (0) to late dusk (1)."""
    p = float(np.clip(progress, 0, 1))
    height = np.radians(27 - 24 * p)
    way = np.array((np.cos(height) * np.cos(azimuth), np.cos(height) * np.sin(azimuth), np.sin(height)))
    sun = np.array((0.50, 0.86, 1.25)) * (1 - p) ** 1.5 * 2.5
    zenith = np.array((0.56, 0.42, 0.34)) * (1 - p) ** 1.2 + np.array((0.055, 0.032, 0.024)) * p
    horizon = np.array((0.62, 0.66, 0.76)) * (1 - p) ** 1.2 + np.array((0.10, 0.075, 0.085)) * p
    return _light(
        way, sun, zenith, horizon, lamps=np.clip((p - 0.5) / 0.2, 0, 1), heads=np.clip((p - 0.35) / 0.1, 0, 1)
    )


def day(elevation: float, azimuth: float, cloud: float) -> Light:
    """Daylight; `elevation` and `azimuth` of the sun in radians, `cloud` 0 = clear, 1 = overcast."""
    way = np.array((np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)))
    warm = np.array((0.82, 0.95, 1.0)) if elevation > 0.5 else np.array((0.6, 0.86, 1.0))
    zenith = np.array((0.85, 0.55, 0.36)) * (1 - cloud) + np.array((0.78, 0.76, 0.74)) * cloud
    horizon = np.array((0.95, 0.90, 0.82)) * (1 - cloud) + np.array((0.85, 0.84, 0.83)) * cloud
    return _light(way, warm * 2.3 * (1 - cloud) ** 1.5, zenith, horizon, 0.0, 0.0)


def night(glow: float) -> Light:
    """Lamps only, with `glow` of the sky (0..1)."""
    zenith, horizon = np.array((0.022, 0.015, 0.012)), np.array((0.03, 0.03, 0.04))
    return _light(np.array((0.0, 0.5, 0.866)), np.zeros(3), zenith * (0.5 + glow), horizon * (0.5 + glow), 1.0, 1.0)


def _light(way: Floats, sun: Floats, zenith: Floats, horizon: Floats, lamps: float, heads: float) -> Light:
    way = way / np.linalg.norm(way)
    return Light(*(np.asarray(a, np.float32) for a in (way, sun, zenith, horizon)), float(lamps), float(heads))


@dataclass(frozen=True)
class Part:
    """A mesh in world coordinates that belongs to a thing; `ident` 1..254, 255 = scenery."""

    mesh: Mesh
    ident: int
    footprint: Floats  # (4, 2) rectangle on the ground, metres
    low: float
    """Height of its lowest point, m."""
    lit: bool = False
    """Its head and tail lights are on (as far as the light's `heads`)."""


def part_of(mesh: Mesh, ident: int, x: float, y: float, heading: float, lit: bool = False) -> Part:
    """A local mesh set into the world."""
    low, high = mesh.quads.min((0, 1)), mesh.quads.max((0, 1))
    corners = np.array(((low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1])))
    c, s = np.cos(heading), np.sin(heading)
    footprint = corners @ np.array(((c, s), (-s, c))) + (x, y)
    return Part(mesh.placed(x, y, heading), ident, footprint.astype(np.float32), float(low[2]), lit)


@dataclass(frozen=True)
class Visible:
    """The faces of a part that look at the camera, in painting order; polygons in 1/16 of an enlarged pixel."""

    polygons: npt.NDArray[np.int32]  # (F, 4, 2)
    normals: Floats
    centres: Floats
    albedo: Floats
    gloss: Floats
    glow: npt.NDArray[np.int8]
    bounds: tuple[int, int, int, int]
    """x0, y0, x1, y1 within the enlarged canvas; x1 and y1 are outside."""
    inside: float
    """Share of the part's outline (convex hull) that lies within the picture."""


def visible(part: Part, camera: Camera, scale: int) -> Visible | None:
    """Project a part; None when nothing of it can be seen."""
    mesh = part.mesh
    pixels, depth = camera.project(mesh.quads)
    centres = mesh.quads.mean(1)
    facing = ((camera.position - centres) * mesh.normals).sum(1) > 0
    px_per_m = camera.focal_px * scale / max(float(depth.mean()), 0.1)
    keep = facing & (depth.min(1) > 0.4) & ((mesh.layer != FINE) | (px_per_m > 45))
    if not keep.any():
        return None
    pixels = pixels[keep] * scale
    hull = cv2.convexHull(pixels[:, ::2].reshape(-1, 2).astype(np.float32))
    frame = np.float32([[0, 0], [camera.width, 0], [camera.width, camera.height], [0, camera.height]]) * scale
    shared, _ = cv2.intersectConvexConvex(hull, frame)
    if shared <= 0:
        return None
    order = np.lexsort((-depth[keep].mean(1), mesh.layer[keep]))
    low, high = pixels.min((0, 1)), pixels.max((0, 1))
    size = camera.width * scale, camera.height * scale
    bounds = (
        max(0, int(low[0]) - 2), max(0, int(low[1]) - 2), min(size[0], int(high[0]) + 3), min(size[1], int(high[1]) + 3)
    )  # fmt: skip
    # An enlarged pixel's middle lies at +0.5, OpenCV's at the whole number.
    polygons = np.round((pixels[order] - 0.5) * (1 << SUBPIXEL_BITS)).astype(np.int32)
    pick = np.flatnonzero(keep)[order]
    return Visible(
        polygons, mesh.normals[pick], centres[pick], mesh.albedo[pick], mesh.gloss[pick], mesh.glow[pick],
        bounds, shared / max(float(cv2.contourArea(hull)), 1e-6),
    )  # fmt: skip


def shade(seen: Visible, light: Light, camera: Camera, lamps: Floats, lit: bool) -> Bytes:
    """Colour (F, 3) of each face: sun, sky, lamps (L, 3 places), mirrored sky on gloss, own lights."""
    n = seen.normals
    to_eye = camera.position.astype(np.float32) - seen.centres
    to_eye /= np.linalg.norm(to_eye, axis=1, keepdims=True)
    sky_share = (0.5 + 0.5 * n[:, 2:3]) * (0.55 + 0.45 * np.minimum(1, seen.centres[:, 2:3] / 1.2))
    ground = (light.sky + light.sun * max(float(light.sun_way[2]), 0.0)) * 0.11
    energy = np.maximum(0, n @ light.sun_way)[:, None] * light.sun + sky_share * light.sky
    energy = energy + (0.5 - 0.5 * n[:, 2:3]) * ground
    if light.lamps > 0:
        for lamp in lamps:
            way = lamp - seen.centres
            square = (way**2).sum(1, keepdims=True)
            cosine = np.maximum(0.1, (way * n).sum(1, keepdims=True) / np.sqrt(square))
            energy = energy + light.lamps * light.lamp_colour * LAMP_POWER * cosine / (square + 4.0)
    colour = seen.albedo * energy
    cosine = np.maximum(0, (to_eye * n).sum(1, keepdims=True))
    mirror = 2 * cosine * n - to_eye
    up = mirror[:, 2:3]
    above = light.horizon + (light.zenith - light.horizon) * np.sqrt(np.clip(up, 0, 1))
    around = np.where(up > 0, above * np.clip(0.35 + up * 4, 0, 1), ground)
    gloss = seen.gloss[:, None]
    base = np.where(gloss > 0.95, 0.085, 0.045 * gloss)
    fresnel = (base + (1 - base) * (1 - cosine) ** 5) * np.minimum(1, gloss * 1.6)
    colour = colour * (1 - fresnel) + around * fresnel
    if light.sun.max() > 0:
        glint = np.maximum(0, mirror @ light.sun_way)[:, None]
        colour = colour + light.sun * gloss * (0.9 * glint**90 + 0.12 * glint**12)
    colour = colour + _own_light(seen.glow, light, lit)
    return light.tone(colour).astype(np.uint8)


def _own_light(glow: npt.NDArray[np.int8], light: Light, lit: bool) -> Floats:
    emitted = np.zeros((len(glow), 3), np.float32)
    gain = 1.0 / light.exposure
    if lit and light.heads > 0:
        emitted[glow == HEAD] = np.float32((2.2, 2.6, 2.7)) * light.heads * gain
        emitted[glow == TAIL] = np.float32((0.05, 0.05, 0.9)) * light.heads * gain
    emitted[glow == LAMP] = np.float32((2.0, 2.6, 3.0)) * light.lamps * gain
    emitted[glow == ROOM] = np.float32((0.12, 0.32, 0.5)) * light.lamps * gain
    return emitted


def paint_order(parts: list[Part], seen: list[Visible], camera: Camera) -> list[int]:
    """Indices from back to front. Of two parts whose footprints a line keeps apart, the one beyond it comes first."""
    n = len(parts)
    if n < 2:
        return list(range(n))
    boxes = np.array([s.bounds for s in seen])
    first, second = np.triu_indices(n, 1)
    near = (
        (boxes[first, 0] < boxes[second, 2]) & (boxes[second, 0] < boxes[first, 2])
        & (boxes[first, 1] < boxes[second, 3]) & (boxes[second, 1] < boxes[first, 3])
    )  # fmt: skip
    first, second = first[near], second[near]
    prints = np.stack([p.footprint for p in parts]).astype(np.float64)
    sides = np.stack((prints[:, 1] - prints[:, 0], prints[:, 2] - prints[:, 1]), 1)
    sides /= np.linalg.norm(sides, axis=-1, keepdims=True) + 1e-9
    axes = np.concatenate((sides[first], sides[second]), 1)  # (P, 4, 2)
    a = np.einsum("pad,pcd->pac", axes, prints[first])
    b = np.einsum("pad,pcd->pac", axes, prints[second])
    eye = axes @ camera.position[:2]
    gap_ab, gap_ba = b.min(-1) - a.max(-1), a.min(-1) - b.max(-1)  # > 0: a lies below b on the axis / above
    gap = np.maximum(gap_ab, gap_ba)
    best = gap.argmax(1)
    row = np.arange(len(first))
    border = np.where(gap_ab > gap_ba, (b.min(-1) + a.max(-1)) / 2, (a.min(-1) + b.max(-1)) / 2)[row, best]
    a_is_low = (gap_ab > gap_ba)[row, best]
    a_in_front = (eye[row, best] < border) == a_is_low
    apart = gap[row, best] > -0.02
    lows = np.array([p.low for p in parts])
    middle = prints.mean(1)
    distance = np.linalg.norm(middle - camera.position[:2], axis=1)
    stacked = np.where(
        np.abs(lows[first] - lows[second]) > 0.25, lows[first] > lows[second], distance[first] < distance[second]
    )
    a_in_front = np.where(apart, a_in_front, stacked)
    return _sorted_back_to_front(n, np.where(a_in_front, second, first), np.where(a_in_front, first, second), distance)


def _sorted_back_to_front(
    n: int, behind: npt.NDArray[np.intp], front: npt.NDArray[np.intp], distance: Floats
) -> list[int]:
    waits, nexts = [0] * n, [[] for _ in range(n)]  # type: tuple[list[int], list[list[int]]]
    for b, f in zip(behind.tolist(), front.tolist(), strict=True):
        waits[f] += 1
        nexts[b].append(f)
    ready = [(-float(distance[i]), i) for i in range(n) if not waits[i]]
    heapq.heapify(ready)
    order: list[int] = []
    left = set(range(n))
    while left:
        if not ready:  # a ring of overlaps: start with the farthest
            ready = [(-float(distance[i]), i) for i in left][:]
            ready = [min(ready)]
        _, i = heapq.heappop(ready)
        if i not in left:
            continue
        left.discard(i)
        order.append(i)
        for f in nexts[i]:
            waits[f] -= 1
            if waits[f] == 0 and f in left:
                heapq.heappush(ready, (-float(distance[f]), f))
    return order


def paint(canvas: Bytes, seen: Visible, colours: Bytes, ident: int) -> int:
    """Paint a part into the canvas (H, W, 4: BGR and ident); the pixels it covers that weren't its own before."""
    x0, y0, x1, y1 = seen.bounds
    view = canvas[y0:y1, x0:x1, 3]
    before = int(cv2.countNonZero((view == ident).view(np.uint8)))
    for polygon, (b, g, r) in zip(seen.polygons, colours.tolist(), strict=True):
        cv2.fillConvexPoly(canvas, polygon, (b, g, r, ident), cv2.LINE_8, SUBPIXEL_BITS)
    return int(cv2.countNonZero((view == ident).view(np.uint8))) - before


def glow_spots(seen: Visible, light: Light, lit: bool) -> list[tuple[float, float, float, int]]:
    """(x, y, width, kind) in enlarged pixels of the lights that shine, one for each cluster of a kind."""
    spots = []
    for kind, on in ((HEAD, lit and light.heads > 0), (TAIL, lit and light.heads > 0), (LAMP, light.lamps > 0)):
        faces = np.flatnonzero(seen.glow == kind) if on else ()
        if kind == NO_GLOW or not len(faces):
            continue
        points = seen.polygons[faces].reshape(-1, 2) / float(1 << SUBPIXEL_BITS)
        middle = points[:, 0].mean()
        for group in (points[points[:, 0] <= middle], points[points[:, 0] > middle]):
            if len(group):
                spots.append((*group.mean(0).tolist(), float(np.ptp(group[:, 0])), kind))
    return spots
