"""Anti-aliased boxes with round corners, drawn on the planes of a yuv420p picture.

The parts of a box (corners, upright and level edges) depend only on how its edges lie between the pixels, so they are
drawn once and then put together for each box. Boxes are drawn to half a pixel of the picture, in large pictures, whose
lines are wide, to a whole one: of 256 ways in which edges lie 16 are left, and so few are soon all drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from streamdet.video.planes import Blend, Coder, Floats, Planes, Rgb, Yuv

_RIM_RGB: Rgb = (0, 0, 0)
_RIM_OPACITY = 0.5
_DASH = 3.2
"""Length of a dash, and of a gap, in widths of the line."""
_CHROMA_SHIFT_PX = 0.25
"""Chroma samples lie over the left luma pixel of a pair, a quarter of a chroma pixel left of the pair's middle."""
_WIDE_PX = 3.0
"""From this width of the line on boxes are drawn to a whole pixel: from 1080 lines."""
_MAX_BLENDS = 8192
"""Entries kept; one takes 2 to 20 kB, by the picture's size. There are up to 256 per colour."""

HalfPixels = tuple[int, int, int, int]
"""Left, top, right and bottom of the middle of a box's line, in half pixels of the picture."""


@dataclass(frozen=True, slots=True)
class Line:
    """Lengths in pixels of the picture."""

    width: float
    rim: float
    """Width of the dark rim on each side, which parts the line from a background of its colour."""
    radius: float
    """Of the line's middle at a corner."""

    @classmethod
    def of(cls, width: int, height: int) -> Line:
        """For a picture of this size: clear at 240 lines, not heavy at 2160."""
        line = 0.95 + 0.0019 * min(width, height)
        return cls(line, max(0.75, 0.3 * line), 1.4 * line)

    @property
    def inset(self) -> float:
        """How far from the picture's edge the line's middle must stay for all of it to be seen."""
        return self.width / 2 + self.rim + 2.0


@dataclass(frozen=True, slots=True)
class _Cover:
    """Share of each pixel under the line and under the rim."""

    line: Floats
    rim: Floats

    def blend(self, colour: Yuv, dark: Yuv) -> Blend:
        """For a sheet of C planes: C values of the line's colour and of the rim's."""
        values = zip(colour, dark, strict=True)
        add = [self.line * np.float32(of_line) + self.rim * np.float32(of_rim) for of_line, of_rim in values]
        return Blend(1 - self.line - self.rim, np.stack(add) + np.float32(0.5))

    def cut(self, rows: tuple[slice, ...], columns: tuple[slice, ...]) -> _Cover:
        """Windows (len(rows), len(columns), h, w)."""
        cuts = [np.stack([np.stack([a[r, c] for c in columns]) for r in rows]) for a in (self.line, self.rim)]
        return _Cover(*cuts)

    def uprights(self, row: int, columns: tuple[slice, ...]) -> _Cover:
        """Pieces of a row, stood up: (len(columns), w, 1)."""
        line, rim = (np.stack([a[row, c, None] for c in columns]) for a in (self.line, self.rim))
        return _Cover(line, rim)


@dataclass(frozen=True, slots=True)
class _Parts:
    """The covers of a box in one sheet, apart from where it is."""

    corners: _Cover  # (2, 2, m, m)
    level: _Cover  # (2, 1, n, 1): top and bottom edge
    uprights: _Cover  # (2, n, 1): left and right edge
    starts: tuple[int, int, int, int]
    """From the last whole chroma pixel before an edge to its corner's first pixel: left, top, right, bottom."""
    reach: int
    """m, the side of a corner, in pixels of the plane."""
    thickness: int
    """n, of an edge."""

    def blends(self, colour: Yuv, dark: Yuv) -> _Blends:
        return _Blends(*(part.blend(colour, dark) for part in (self.corners, self.level, self.uprights)))


class _Blends(NamedTuple):
    """The parts of a box in one sheet and one colour."""

    corners: Blend
    level: Blend
    uprights: Blend


class BoxPen:
    """Draws boxes in pictures of one size and one colour coding."""

    def __init__(self, coder: Coder, line: Line) -> None:
        self._coder, self._line = coder, line
        self._grid = 2 if line.width >= _WIDE_PX else 1
        self._dark = coder.yuv(_RIM_RGB)
        self._parts: dict[HalfPixels, tuple[_Parts, _Parts]] = {}
        self._blends: dict[tuple[Rgb, HalfPixels], tuple[_Blends, _Blends]] = {}

    def place(self, box_xyxy: list[float], width: int, height: int) -> HalfPixels | None:
        """Where the line of a box runs: on its border, but so far inside that all of it is seen; None = nowhere."""
        x0, y0, x1, y1 = box_xyxy
        if not (0 < x1 > x0 < width and 0 < y1 > y0 < height):  # false for NaN, too
            return None
        inset = self._line.inset
        across, along = width - inset, height - inset
        if across <= inset or along <= inset:
            return None
        grid = self._grid
        per_pixel = 2 / grid
        return (
            round(min(max(x0, inset), across) * per_pixel) * grid,
            round(min(max(y0, inset), along) * per_pixel) * grid,
            round(min(max(x1, inset), across) * per_pixel) * grid,
            round(min(max(y1, inset), along) * per_pixel) * grid,
        )

    def draw(self, planes: Planes, box: HalfPixels, rgb: Rgb, *, dashed: bool = False) -> None:
        """Draw one box."""
        left, top, right, bottom = box
        phases = (left % 4, top % 4, right % 4, bottom % 4)
        light, tint = self._parts_for(phases)
        if min(right - left, bottom - top) / 2 < max(2 * light.reach, 4 * tint.reach) + 2:
            self._draw_small(planes, box, rgb, dashed=dashed)
            return
        blends = self._blends.get((rgb, phases))
        if blends is None:
            blends = self._make_blends(rgb, phases)
        for sheet, blend in enumerate(blends):
            parts, per_pixel, zoom = (tint, 1, 0.5) if sheet else (light, 2, 1.0)
            m, n = parts.reach, parts.thickness
            first, second, third, fourth = parts.starts
            x0, y0 = left // 4 * per_pixel + first, top // 4 * per_pixel + second
            x1, y1 = right // 4 * per_pixel + third, bottom // 4 * per_pixel + fourth
            blend.corners.onto(planes.windows(sheet, (2, 2, m, m), y0, x0, y1 - y0, x1 - x0))
            far = m - n  # the far edges end where the far corners end
            uprights, level = blend.uprights, blend.level
            if dashed:
                uprights = uprights.faded(self._dashes(y0 + m, y1, top, bottom, zoom))
                level = level.faded(self._dashes(x0 + m, x1, left, right, zoom))
            uprights.onto_uprights(planes.windows(sheet, (1, 2, y1 - y0 - m, n), y0 + m, x0, 0, x1 + far - x0)[:, 0])
            level.onto(planes.windows(sheet, (2, 1, n, x1 - x0 - m), y0, x0 + m, y1 + far - y0, 0))

    def _parts_for(self, phases: HalfPixels) -> tuple[_Parts, _Parts]:
        parts = self._parts.get(phases)
        if parts is None:
            parts = self._parts[phases] = (self._cut_parts(phases, 1.0), self._cut_parts(phases, 0.5))
        return parts

    def _make_blends(self, rgb: Rgb, phases: HalfPixels) -> tuple[_Blends, _Blends]:
        light, tint = self._parts_for(phases)
        colour, dark = self._coder.yuv(rgb), self._dark
        blends = light.blends(colour[:1], dark[:1]), tint.blends(colour[1:], dark[1:])
        if len(self._blends) >= _MAX_BLENDS:
            self._blends.clear()
        self._blends[rgb, phases] = blends
        return blends

    def _cut_parts(self, phases: HalfPixels, zoom: float) -> _Parts:
        """Draw a small box whose edges lie between the pixels as `phases` says, and cut it in parts."""
        pad = self._pad(zoom)
        n = math.ceil(2 * pad) + 1
        m = math.ceil(pad + max(pad, self._line.radius * zoom)) + 1
        step = math.ceil(4 * m / zoom / 2) * 4  # half pixels, whole chroma pixels
        sample = (step + phases[0], step + phases[1], 2 * step + phases[2], 2 * step + phases[3])
        edges = _edges(sample, zoom)
        starts = [math.floor(edge - pad) for edge in edges[:2]] + [math.ceil(edge + pad) - m for edge in edges[2:]]
        x1, y1 = starts[2] - starts[0], starts[3] - starts[1]
        cover = self._cover(starts[0], starts[1], x1 + m, y1 + m, edges, zoom)
        columns, rows = (slice(0, m), slice(x1, x1 + m)), (slice(0, m), slice(y1, y1 + m))
        left, right = slice(0, n), slice(x1 + m - n, x1 + m)
        thin_rows, middle = (slice(0, n), slice(y1 + m - n, y1 + m)), y1 // 2
        whole = [(edge - phase) * zoom / 2 for edge, phase in zip(sample, phases, strict=True)]
        return _Parts(
            corners=cover.cut(rows, columns),
            uprights=cover.uprights(middle, (left, right)),
            level=cover.cut(thin_rows, (slice(x1 // 2, x1 // 2 + 1),)),
            starts=tuple(start - int(at) for start, at in zip(starts, whole, strict=True)),  # type: ignore[arg-type]
            reach=m,
            thickness=n,
        )

    def _dashes(self, first: int, end: int, near: int, far: int, zoom: float) -> Floats:
        """How far each pixel from `first` to `end` of an edge between `near` and `far` (half pixels) is in a dash.

        The same on both sides of the edge's middle, where a dash is.
        """
        dash = _DASH * self._line.width
        from_middle = np.abs((np.arange(first, end, dtype=np.float32) + 0.5) / zoom - (near + far) / 4)
        from_dash = np.abs((from_middle + dash) % (2 * dash) - dash)
        shares: Floats = np.clip((dash / 2 - from_dash) * zoom + 0.5, 0, 1).astype(np.float32)
        return shares

    def _pad(self, zoom: float) -> float:
        """How far from its middle the line with its rim and soft edge reaches, in pixels of the plane."""
        return (self._line.width / 2 + self._line.rim) * zoom + 0.5

    def _cover(
        self, x: int, y: int, columns: int, rows: int, edges: tuple[float, float, float, float], zoom: float
    ) -> _Cover:
        """Covers (rows, columns) of the window at (x, y) of a plane `zoom` times as large as the picture."""
        line = self._line
        left, top, right, bottom = edges
        half_width, half_height = (right - left) / 2, (bottom - top) / 2
        radius = min(line.radius * zoom, half_width, half_height)
        dx = np.abs(np.arange(columns, dtype=np.float32) + (x + 0.5 - (left + right) / 2)) - (half_width - radius)
        dy = np.abs(np.arange(rows, dtype=np.float32) + (y + 0.5 - (top + bottom) / 2)) - (half_height - radius)
        dy = dy[:, None]
        outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0)) + np.minimum(np.maximum(dx, dy), 0)
        distance = np.abs(outside - radius)
        under_line = np.clip(line.width * zoom / 2 + 0.5 - distance, 0, 1)
        under_both = np.clip(self._pad(zoom) - distance, 0, 1)
        rim = np.maximum(under_both - under_line, 0) * _RIM_OPACITY
        return _Cover(under_line.astype(np.float32), rim.astype(np.float32))

    def _draw_small(self, planes: Planes, box: HalfPixels, rgb: Rgb, *, dashed: bool) -> None:
        """A box too small to be put together from parts. There is no room for dashes: each edge has one gap."""
        colour, dark = self._coder.yuv(rgb), self._dark
        for sheet, (first, end, zoom) in zip(planes.sheets, ((0, 1, 1.0), (1, 3, 0.5)), strict=True):
            edges = _edges(box, zoom)
            pad = self._pad(zoom)
            _, rows, columns = sheet.shape
            x0, y0 = (max(0, math.floor(edge - pad)) for edge in edges[:2])
            x1, y1 = min(columns, math.ceil(edges[2] + pad)), min(rows, math.ceil(edges[3] + pad))
            blend = self._cover(x0, y0, x1 - x0, y1 - y0, edges, zoom).blend(colour[first:end], dark[first:end])
            if dashed:
                blend = blend.faded(_corners_only(x0, y0, x1 - x0, y1 - y0, edges))
            blend.onto(sheet[:, y0:y1, x0:x1])


def _edges(box: HalfPixels, zoom: float) -> tuple[float, float, float, float]:
    """Half pixels of the picture to pixels of a plane `zoom` times as large."""
    shift = _CHROMA_SHIFT_PX if zoom < 1 else 0.0
    left, top, right, bottom = (edge / 2 * zoom for edge in box)
    return left + shift, top, right + shift, bottom


def _corners_only(x: int, y: int, columns: int, rows: int, edges: tuple[float, float, float, float]) -> Floats:
    """(rows, columns) 0 in the middle third of each edge of a box, 1 near its corners."""
    left, top, right, bottom = edges
    beside = np.abs(np.arange(columns) + (x + 0.5 - (left + right) / 2)) > (right - left) / 6
    below = np.abs(np.arange(rows) + (y + 0.5 - (top + bottom) / 2)) > (bottom - top) / 6
    near: Floats = (beside & below[:, None]).astype(np.float32)
    return near
