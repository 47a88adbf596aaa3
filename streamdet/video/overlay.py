"""Draws boxes and labels on pictures: straight on the Y, U and V planes, without a trip through RGB.

Coordinates are pixels of the picture, x right, y down, (0, 0) the outer corner of the top left pixel. A plane's array is
indexed [y, x]. Boxes are drawn to half a pixel. What an edge or a label does to a plane is always
`new = old * keep + add`; `keep` and `add` are made once for each kind of edge or label and then reused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Colorspace

from streamdet.types import Detections
from streamdet.video.chips import Chip, ChipArt, draw_chip
from streamdet.video.palette import class_colours

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Rgb = tuple[int, int, int]
T = TypeVar("T")

_OUTLINE_OPACITY = 0.5
_OUTLINE_RGB: Rgb = (0, 0, 0)
_BADGE_RGB: Rgb = (220, 38, 38)
_CACHE_ENTRIES = 4096
"""Limit of each cache; a full one is emptied. A label takes about 20 kB at 1080p, an edge about 8 kB."""
_CHROMA_SHIFT_PX = 0.25
"""Chroma samples of H.264 lie over the left luma pixel of a pair, half a luma pixel left of the pair's middle."""


class Sizes(NamedTuple):
    """Lengths in pixels that follow from the picture's size."""

    line: float
    outline: float
    """Width of the dark rim on each side of the line."""
    radius: float
    """Of the line's middle at a box's corners."""
    font: int
    small_font: int

    @classmethod
    def of(cls, width: int, height: int) -> Sizes:
        """The sizes for a picture: legible at 240 lines, not heavy at 2160."""
        side = min(width, height)
        line = max(1.0, 0.95 + 0.0019 * side)
        font = max(10, round(7.0 + 0.0142 * side))
        return cls(line, max(0.75, 0.3 * line), 1.4 * line, font, max(9, round(font * 0.74)))


class Coder(NamedTuple):
    """How RGB becomes Y, U and V in a picture: red's and blue's share of luma, and whether values span 0..255."""

    red: float
    blue: float
    full_range: bool

    @classmethod
    def of(cls, picture: av.VideoFrame, full_range: bool) -> Coder:
        """As the picture's tags say; without tags, as players guess it: BT.709 from 720 lines on."""
        space = int(picture.colorspace)
        if space in (9, 10):
            return cls(0.2627, 0.0593, full_range)
        if space == 1 or (space in (0, 2) and picture.height >= 720):
            return cls(0.2126, 0.0722, full_range)
        return cls(0.299, 0.114, full_range)

    def yuv(self, rgb: npt.ArrayLike) -> Floats:
        """RGB (..., 3) of 0..255 to YUV (..., 3) of 0..255."""
        r, g, b = np.moveaxis(np.asarray(rgb, np.float32) / 255, -1, 0)
        y = self.red * r + (1 - self.red - self.blue) * g + self.blue * b
        u, v = (b - y) / (2 - 2 * self.blue), (r - y) / (2 - 2 * self.red)
        if self.full_range:
            return np.stack((y * 255, u * 255 + 128, v * 255 + 128), -1).astype(np.float32)
        return np.stack((16 + y * 219, 128 + u * 224, 128 + v * 224), -1).astype(np.float32)


class Blend(NamedTuple):
    """`new = old * keep + add`; `add` holds the half that rounds."""

    keep: Floats
    add: Floats

    def onto(self, view: Bytes) -> None:
        """Change the pixels of `view`."""
        mixed = view * self.keep
        mixed += self.add
        view[...] = mixed


class Planes:
    """The Y, U and V plane of a new yuv420p frame, as writable arrays [y, x]."""

    def __init__(self, frame: av.VideoFrame) -> None:
        self.frame = frame
        self.arrays = [_pixels(frame, index) for index in range(3)]

    def view(self, plane: int, shape: tuple[int, ...], y: int, x: int, step_y: int, step_x: int) -> Bytes:
        """Equal windows of a plane, (2, 2, h, w): at (y, x), and `step_y` below, and `step_x` right of them."""
        array = self.arrays[plane]
        pitch = array.strides[0]
        strides = (step_y * pitch, step_x, pitch, 1)
        return np.ndarray(shape, np.uint8, array.base, y * pitch + x, strides)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class _Edges:
    """The blends of a box in one plane, apart from its position: corners, upright and level edges."""

    corners: Blend  # (2, 2, m, m): top and bottom, left and right
    upright: Blend  # (1, 2, 1, n): left and right
    level: Blend  # (2, 1, n, 1): top and bottom
    offset: tuple[int, int, int, int]
    """From a whole pixel of the box's edge to the first pixel drawn: left, top, right, bottom."""


class Overlay:
    """Draws the detections of one stream. It keeps what it has drawn before, so one object per stream is quick."""

    def __init__(self, class_names: tuple[str, ...]) -> None:
        """Prepare a colour for each class; the same class at the same place has the same colour in every run."""
        self._names = class_names
        self._colours = class_colours(max(1, len(class_names)))
        self._edges: dict[Hashable, tuple[_Edges, ...]] = {}
        self._chips: dict[Hashable, tuple[Blend, ...]] = {}
        self._art: dict[Hashable, ChipArt] = {}

    def colour(self, class_id: int) -> Rgb:
        """RGB of a class."""
        return self._colours[class_id % len(self._colours)]

    def draw(self, picture: av.VideoFrame, detections: Detections, badge: str | None = None) -> av.VideoFrame:
        """A new yuv420p frame of the same size, time and colour tags, with boxes and labels.

        A full-range picture (yuvj420p) stays full-range, and the new frame's `color_range` says so. `badge` is a short
        word for the corner, such as DAMAGED.
        """
        frame = _copied(picture)
        planes = Planes(frame)
        coder = Coder.of(frame, frame.color_range == ColorRange.JPEG)
        sizes = Sizes.of(frame.width, frame.height)
        # Best first in `detections`; drawn last to first, so that the best ones lie on top.
        boxes = [self._placed(box, sizes, frame) for box in detections.boxes_xyxy.tolist()]
        ids = detections.class_ids.tolist()
        for box, class_id in zip(reversed(boxes), reversed(ids), strict=True):
            if box is not None:
                self._draw_box(planes, box, class_id, coder, sizes)
        scores = detections.scores.tolist()
        for box, class_id, score in zip(reversed(boxes), reversed(ids), reversed(scores), strict=True):
            if box is not None:
                self._draw_label(planes, box, class_id, score, coder, sizes)
        if badge:
            self._draw_badge(planes, badge, coder, sizes)
        return frame

    @staticmethod
    def _placed(box_xyxy: list[float], sizes: Sizes, frame: av.VideoFrame) -> tuple[int, int, int, int] | None:
        """Middle of the box's line in half pixels, so far inside that the whole line is seen; None = nothing to see."""
        x0, y0, x1, y1 = box_xyxy
        width, height = frame.width, frame.height
        if not (x1 > 0 and y1 > 0 and x0 < width and y0 < height and x1 > x0 and y1 > y0):  # false for NaN, too
            return None
        inset = sizes.line / 2 + sizes.outline + 1.5
        left, top = max(x0, min(inset, width / 2)), max(y0, min(inset, height / 2))
        right, bottom = min(x1, max(width - inset, width / 2)), min(y1, max(height - inset, height / 2))
        left, right = min(left, width - inset), max(right, left)
        top, bottom = min(top, height - inset), max(bottom, top)
        return round(left * 2), round(top * 2), round(right * 2), round(bottom * 2)

    def _draw_box(
        self, planes: Planes, box: tuple[int, int, int, int], class_id: int, coder: Coder, sizes: Sizes
    ) -> None:
        left, top, right, bottom = box
        phases = (left % 4, top % 4, right % 4, bottom % 4)
        rgb = self.colour(class_id)
        edges = _kept(self._edges, (rgb, phases, coder, sizes), lambda: _box_edges(rgb, phases, coder, sizes))
        corner, corner_chroma = edges[0].corners.keep.shape[-1], edges[1].corners.keep.shape[-1]
        if min(right - left, bottom - top) / 2 < max(2 * corner, 4 * corner_chroma) + 2:
            _draw_small_box(planes, box, rgb, coder, sizes)
            return
        for plane in range(3):
            halves = 4 if plane else 2
            parts = edges[plane]
            x0, y0, x1, y1 = (
                edge // 4 * 4 // halves + offset for edge, offset in zip(box, parts.offset, strict=True)
            )  # whole pixels of this plane; both planes start at a whole chroma pixel
            m, n = parts.corners.keep.shape[-1], parts.level.keep.shape[-2]
            rows, columns = planes.arrays[plane].shape
            if x0 < 0 or y0 < 0 or x1 + m > columns or y1 + m > rows:
                _draw_small_box(planes, box, rgb, coder, sizes, only=plane)
                continue
            parts.corners.onto(planes.view(plane, (2, 2, m, m), y0, x0, y1 - y0, x1 - x0))
            to_far = m - n  # the far edges' strips end where the far corners end
            height, width = y1 - y0 - m, x1 - x0 - m
            parts.upright.onto(planes.view(plane, (1, 2, height, n), y0 + m, x0, 0, x1 + to_far - x0))
            parts.level.onto(planes.view(plane, (2, 1, n, width), y0, x0 + m, y1 + to_far - y0, 0))

    def _draw_label(
        self, planes: Planes, box: tuple[int, int, int, int], class_id: int, score: float, coder: Coder, sizes: Sizes
    ) -> None:
        """Above the box, or inside it when there is no room; the place depends on the box and the class only."""
        x0, y0, x1, y1 = (edge / 2 for edge in box)
        name = self._names[class_id] if 0 <= class_id < len(self._names) else str(class_id)
        percent = min(100, max(0, int(score * 100 + 1e-4)))
        for font in (sizes.font, sizes.small_font):
            key = (name, percent, font, self.colour(class_id))
            art = _kept(self._art, key, lambda: draw_chip(Chip(*key)))  # noqa: B023 - used at once
            rows, columns = art.cover.shape
            last = font == sizes.small_font
            enough = 0.30 if last else 0.62  # how much of the label's width and height the box must have
            if x1 - x0 >= enough * columns and y1 - y0 >= (0.8 if last else 1.35) * rows:
                break
        else:
            return
        frame = planes.frame
        if columns > frame.width or rows > frame.height:
            return
        rim = sizes.line / 2
        x = math.floor(x0 - rim)
        y = math.floor(y0 + rim + 0.5) - rows
        if y < 0:
            y = math.floor(y0 - rim)
        self._draw_art(planes, key, art, x, y, coder)

    def _draw_badge(self, planes: Planes, text: str, coder: Coder, sizes: Sizes) -> None:
        """In the top right corner, where cameras seldom print their clock."""
        frame = planes.frame
        key = (text, -1, sizes.font, _BADGE_RGB)
        art = _kept(self._art, key, lambda: draw_chip(Chip(*key)))
        rows, columns = art.cover.shape
        if columns <= frame.width and rows <= frame.height:
            margin = round(sizes.font * 0.6)
            self._draw_art(planes, key, art, frame.width - columns - margin, margin, coder)

    def _draw_art(self, planes: Planes, key: Hashable, art: ChipArt, x: int, y: int, coder: Coder) -> None:
        """Put a label's pixels at (x, y), moved so that they lie inside the picture."""
        frame = planes.frame
        rows, columns = art.cover.shape
        x = max(0, min(x, frame.width - columns))
        y = max(0, min(y, frame.height - rows))
        odd = (y % 2, x % 2)
        blends = _kept(self._chips, (key, coder, odd), lambda: _chip_blends(art, coder, odd))
        for plane, blend in enumerate(blends):
            py, px = (y // 2, x // 2) if plane else (y, x)
            target = planes.arrays[plane][py : py + blend.keep.shape[0], px : px + blend.keep.shape[1]]
            h, w = target.shape  # of an odd picture, the padded chroma of a label may reach over the edge
            Blend(blend.keep[:h, :w], blend.add[:h, :w]).onto(target)


def _kept(cache: dict[Hashable, T], key: Hashable, make: Callable[[], T]) -> T:
    found = cache.get(key)
    if found is None:
        if len(cache) >= _CACHE_ENTRIES:
            cache.clear()
        found = cache[key] = make()
    return found


def _pixels(frame: av.VideoFrame, index: int) -> Bytes:
    """A view of one plane [y, x] without the padding at the end of its lines."""
    plane = frame.planes[index]
    flat: Bytes = np.frombuffer(memoryview(plane), np.uint8)
    # Not reshape: its result's base must be the flat buffer, which `Planes.view` cuts its windows from.
    return np.ndarray((plane.height, plane.width), np.uint8, flat, 0, (plane.line_size, 1))  # type: ignore[arg-type]


def _copied(picture: av.VideoFrame) -> av.VideoFrame:
    """The picture as a new yuv420p frame with all its tags."""
    name = picture.format.name
    flipped = any(plane.line_size < 0 for plane in picture.planes)
    frame = None
    if name in ("yuv420p", "yuvj420p", "nv12") and not flipped:
        frame = av.VideoFrame(picture.width, picture.height, "yuv420p")
        np.copyto(_pixels(frame, 0), _pixels(picture, 0))
        if name == "nv12":
            _split_chroma(picture, frame)
        else:
            for index in (1, 2):
                np.copyto(_pixels(frame, index), _pixels(picture, index))
        frame.colorspace = picture.colorspace
        frame.color_range = ColorRange.JPEG if name == "yuvj420p" else picture.color_range
    elif picture.format.is_rgb:
        space = Colorspace.ITU709 if picture.height >= 720 else Colorspace.ITU601
        frame = picture.reformat(format="yuv420p", dst_colorspace=space)
        frame.colorspace = space
        frame.color_range = ColorRange.JPEG if picture.color_range == ColorRange.JPEG else ColorRange.MPEG
    else:
        frame = picture.reformat(format="yuv420p")
        if frame is picture:  # only a flipped yuv420p comes here untouched
            frame = av.VideoFrame.from_ndarray(picture.to_ndarray(), format="yuv420p")
        frame.colorspace, frame.color_range = picture.colorspace, picture.color_range
    frame.color_primaries, frame.color_trc = picture.color_primaries, picture.color_trc
    frame.pts, frame.duration = picture.pts, picture.duration
    if picture.time_base:
        frame.time_base = picture.time_base
    return frame


def _split_chroma(picture: av.VideoFrame, frame: av.VideoFrame) -> None:
    plane = picture.planes[1]
    flat: Bytes = np.frombuffer(memoryview(plane), np.uint8)
    for index in (1, 2):
        target = _pixels(frame, index)
        rows, columns = target.shape
        pairs = np.ndarray((rows, columns), np.uint8, flat, index - 1, (plane.line_size, 2))  # type: ignore[arg-type]
        np.copyto(target, pairs)


def _line_cover(
    xs: Floats, ys: Floats, edges: tuple[float, float, float, float], sizes: Sizes, zoom: float
) -> tuple[Floats, Floats]:
    """Share of each pixel under the line, and under the rim beside it: (len(ys), len(xs)) each.

    `xs`, `ys` and `edges` (left, top, right, bottom of the line's middle) are in pixels of the plane, which is `zoom`
    times as large as the picture.
    """
    left, top, right, bottom = edges
    half_width, half_height = (right - left) / 2, (bottom - top) / 2
    radius = min(sizes.radius * zoom, half_width, half_height)
    dx = np.abs(xs - (left + right) / 2) - half_width + radius
    dy = np.abs(ys - (top + bottom) / 2)[:, None] - half_height + radius
    outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0)) + np.minimum(np.maximum(dx, dy), 0)
    distance = np.abs(outside - radius)
    line = np.clip(sizes.line * zoom / 2 + 0.5 - distance, 0, 1)
    rim = np.clip((sizes.line / 2 + sizes.outline) * zoom + 0.5 - distance, 0, 1)
    return line.astype(np.float32), (np.maximum(rim - line, 0) * _OUTLINE_OPACITY).astype(np.float32)


def _line_blend(cover: tuple[Floats, Floats], colour: float, dark: float) -> Blend:
    line, rim = cover
    return Blend(1 - line - rim, line * np.float32(colour) + rim * np.float32(dark) + np.float32(0.5))


def _plane_edges(box: tuple[int, ...], zoom: float) -> tuple[float, float, float, float]:
    """Half pixels of the picture to pixels of a plane."""
    shift = 0.0 if zoom == 1 else _CHROMA_SHIFT_PX
    left, top, right, bottom = (edge / 2 * zoom for edge in box)
    return left + shift, top, right + shift, bottom


def _box_edges(rgb: Rgb, phases: tuple[int, ...], coder: Coder, sizes: Sizes) -> tuple[_Edges, ...]:
    """Cut the parts of a box out of a drawn sample whose edges lie alike between the pixels."""
    colours, darks = coder.yuv(rgb), coder.yuv(_OUTLINE_RGB)
    result = []
    for plane in range(3):
        zoom = 0.5 if plane else 1.0
        pad = (sizes.line / 2 + sizes.outline) * zoom + 0.5
        n = math.ceil(2 * pad) + 2
        m = math.ceil(pad + max(pad, sizes.radius * zoom)) + 2
        base = 4 * (math.ceil(3 * m / zoom / 2) + 2)
        sample = (base + phases[0], base + phases[1], 3 * base + phases[2], 3 * base + phases[3])
        edges = _plane_edges(sample, zoom)
        starts = [math.floor(edges[i] - pad) for i in (0, 1)] + [math.ceil(edges[i] + pad) - m for i in (2, 3)]
        spans = [np.arange(start, start + m, dtype=np.float32) + 0.5 for start in starts]
        rows = [[_line_cover(x, y, edges, sizes, zoom) for x in (spans[0], spans[2])] for y in (spans[1], spans[3])]
        corner_cover = tuple(np.stack([np.stack([c[k] for c in row]) for row in rows]) for k in (0, 1))
        middle = np.float32([(edges[0] + edges[2]) / 2]), np.float32([(edges[1] + edges[3]) / 2])
        upright = [_line_cover(x, middle[1], edges, sizes, zoom) for x in (spans[0][:n], spans[2][m - n :])]
        level = [_line_cover(middle[0], y, edges, sizes, zoom) for y in (spans[1][:n], spans[3][m - n :])]
        upright_cover = tuple(np.stack([c[k] for c in upright])[None] for k in (0, 1))
        level_cover = tuple(np.stack([c[k] for c in level])[:, None] for k in (0, 1))
        colour, dark = float(colours[plane]), float(darks[plane])
        whole = [(edge - phase) * zoom / 2 for edge, phase in zip(sample, phases, strict=True)]
        result.append(
            _Edges(
                _line_blend(corner_cover, colour, dark),  # type: ignore[arg-type]
                _line_blend(upright_cover, colour, dark),  # type: ignore[arg-type]
                _line_blend(level_cover, colour, dark),  # type: ignore[arg-type]
                tuple(start - int(at) for start, at in zip(starts, whole, strict=True)),  # type: ignore[arg-type]
            )
        )
    return tuple(result)


def _draw_small_box(
    planes: Planes, box: tuple[int, int, int, int], rgb: Rgb, coder: Coder, sizes: Sizes, only: int | None = None
) -> None:
    """A box too small to be put together from parts, or cut off by the picture's edge."""
    colours, darks = coder.yuv(rgb), coder.yuv(_OUTLINE_RGB)
    for plane in range(3) if only is None else (only,):
        zoom = 0.5 if plane else 1.0
        edges = _plane_edges(box, zoom)
        pad = (sizes.line / 2 + sizes.outline) * zoom + 0.5
        rows, columns = planes.arrays[plane].shape
        x0, y0 = (max(0, math.floor(edge - pad)) for edge in edges[:2])
        x1, y1 = min(columns, math.ceil(edges[2] + pad)), min(rows, math.ceil(edges[3] + pad))
        if x1 <= x0 or y1 <= y0:
            continue
        xs, ys = (np.arange(a, b, dtype=np.float32) + 0.5 for a, b in ((x0, x1), (y0, y1)))
        cover = _line_cover(xs, ys, edges, sizes, zoom)
        blend = _line_blend(cover, float(colours[plane]), float(darks[plane]))
        blend.onto(planes.arrays[plane][y0:y1, x0:x1])


def _chip_blends(art: ChipArt, coder: Coder, odd: tuple[int, int]) -> tuple[Blend, ...]:
    """A label's blends for Y, U and V; `odd` says whether its first row and column are odd ones of the picture."""
    yuv = coder.yuv(art.rgb)
    light = Blend(1 - art.cover, yuv[..., 0] * art.cover + np.float32(0.5))
    rows, columns = art.cover.shape
    ends = ((odd[0], (rows + odd[0]) % 2), (odd[1], (columns + odd[1]) % 2))
    cover = np.pad(art.cover, ends)
    chroma = []
    for plane in (1, 2):
        tint = np.pad(yuv[..., plane] * art.cover, ends)
        keep = 1 - _halved(cover)
        chroma.append(Blend(keep, _halved(tint) + np.float32(0.5)))
    return (light, *chroma)


def _halved(array: Floats) -> Floats:
    """Means of 2 x 2."""
    rows, columns = array.shape
    return array.reshape(rows // 2, 2, columns // 2, 2).mean((1, 3), dtype=np.float32)
