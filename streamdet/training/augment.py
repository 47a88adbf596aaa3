"""Training samples: pictures scaled, moved, mirrored, coloured or joined to mosaics, with their labels.

Everything random is drawn from one generator per sample, seeded by the run's seed and the sample's number, so that a
resumed run sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from streamdet.training.dataset import BoolArray, LabelledImage, UInt8Array
from streamdet.types import Float32Array, Int64Array

LEAST_VISIBLE = 0.3
"""An object of which less than this share stays in the picture is ignored."""
LEAST_SIDE = 3.0
"""Objects with a shorter side, in pixels of the network's input, are ignored: nobody can see them."""


@dataclass(frozen=True)
class AugmentRule:
    """How strongly pictures are changed."""

    mosaic: float = 0.0
    """Share of samples that join four pictures."""
    scale: tuple[float, float] = (0.4, 1.8)
    """Range of the scale jitter, relative to the picture fitted into the input."""
    mirror: float = 0.5
    aimed: float = 0.0
    """Share of samples that hold a whole object, of a class drawn evenly from the picture's: for crops."""
    brightness: float = 0.3
    """Largest relative change."""
    contrast: float = 0.3
    saturation: float = 0.4
    fill_rgb: tuple[int, int, int] = (124, 116, 104)
    """Colour of what no picture covers: the mean, 0 after normalisation."""


@dataclass(frozen=True)
class Sample:
    """A training picture of the network's input size, with its labels in its pixels."""

    image_rgb: UInt8Array
    """(H, W, 3)"""
    boxes_xyxy: Float32Array
    class_ids: Int64Array
    ignored_xyxy: Float32Array
    regions_xyxy: Float32Array
    """(R, 4) the part of the sample that each picture covers."""
    region_labelled: BoolArray
    """(R, K) classes that were labelled there."""
    paths: tuple[str, ...]
    """The pictures that it was made of."""


Reader = Callable[[LabelledImage], UInt8Array]


def make_sample(
    images: list[LabelledImage],
    read: Reader,
    size: tuple[int, int],
    rule: AugmentRule,
    rng: np.random.Generator,
) -> Sample:
    """A sample of `size` (width, height) from one picture, or a mosaic of four when `images` holds four."""
    width, height = size
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[:] = rule.fill_rgb
    if len(images) == 1:
        tiles = [(0, 0, width, height)]
    else:
        cut_x, cut_y = (int(side * rng.uniform(0.3, 0.7)) for side in size)
        columns, rows = ((0, cut_x), (cut_x, width)), ((0, cut_y), (cut_y, height))
        tiles = [(left, top, right, bottom) for top, bottom in rows for left, right in columns]
    parts = [_place(canvas, image, read, tile, size, rule, rng) for image, tile in zip(images, tiles, strict=True)]
    return Sample(
        _change_colours(canvas, rule, rng),
        np.concatenate([part.boxes_xyxy for part in parts]),
        np.concatenate([part.class_ids for part in parts]),
        np.concatenate([part.ignored_xyxy for part in parts]),
        np.array([part.region for part in parts], np.float32),
        np.stack([image.labelled for image in images]),
        tuple(str(image.path) for image in images),
    )


@dataclass(frozen=True)
class _Part:
    """The labels of one picture, placed."""

    boxes_xyxy: Float32Array
    class_ids: Int64Array
    ignored_xyxy: Float32Array
    region: tuple[float, float, float, float]


def _place(
    canvas: UInt8Array,
    image: LabelledImage,
    read: Reader,
    tile: tuple[int, int, int, int],
    size: tuple[int, int],
    rule: AugmentRule,
    rng: np.random.Generator,
) -> _Part:
    """Draw `image` into the `tile` of `canvas`, scaled relative to fitting into `size`, and place its labels."""
    left, top, right, bottom = tile
    fit = min(size[0] / image.width, size[1] / image.height)
    low, high = rule.scale
    scale = fit * float(np.exp(rng.uniform(np.log(low), np.log(high))))
    if (right - left, bottom - top) != size:
        scale *= 0.8  # a mosaic's tile is about half the canvas: most of the picture should be in it
    new_width, new_height = (max(8, round(side * scale)) for side in (image.width, image.height))
    mirrored = bool(rng.random() < rule.mirror)
    scales = (new_width / image.width, new_height / image.height)
    boxes = _move(image.boxes_xyxy, scales, (0, 0), new_width if mirrored else None)
    aim = boxes[_drawn(image.class_ids, rng)] if len(boxes) and rng.random() < rule.aimed else None
    x = left + _offset(right - left, new_width, None if aim is None else (aim[0], aim[2]), rng)
    y = top + _offset(bottom - top, new_height, None if aim is None else (aim[1], aim[3]), rng)
    pixels = read(image)
    interpolation = cv2.INTER_AREA if scale < 0.7 else cv2.INTER_LINEAR
    pixels = cv2.resize(pixels, (new_width, new_height), interpolation=interpolation).astype(np.uint8, copy=False)
    if mirrored:
        pixels = pixels[:, ::-1]
    seen = (max(left, x), max(top, y), min(right, x + new_width), min(bottom, y + new_height))
    canvas[seen[1] : seen[3], seen[0] : seen[2]] = pixels[seen[1] - y : seen[3] - y, seen[0] - x : seen[2] - x]

    boxes = boxes + np.array([x, y, x, y], np.float32)
    ignored = _move(image.ignored_xyxy, scales, (x, y), new_width if mirrored else None)
    clipped = _clip(boxes, seen)
    visible = _area(clipped) / np.maximum(_area(boxes), 1e-6)
    short_side = np.minimum(clipped[:, 2] - clipped[:, 0], clipped[:, 3] - clipped[:, 1])
    kept = (visible >= LEAST_VISIBLE) & (short_side >= LEAST_SIDE)
    clipped_ignored = np.concatenate([_clip(ignored, seen), clipped[~kept]])
    clipped_ignored = clipped_ignored[_area(clipped_ignored) > 0]
    return _Part(clipped[kept], image.class_ids[kept], clipped_ignored, tuple(map(float, seen)))  # type: ignore[arg-type]


def _drawn(class_ids: Int64Array, rng: np.random.Generator) -> int:
    """Place of an object: classes are equally likely, however many objects they have."""
    present = np.unique(class_ids)
    return int(rng.choice(np.flatnonzero(class_ids == present[rng.integers(len(present))])))


def _offset(tile: int, picture: int, aim: tuple[float, float] | None, rng: np.random.Generator) -> int:
    """Where a side of the picture begins in the tile's: anywhere inside if it is smaller, and cut anywhere if larger.

    `aim`: first and last pixel of an object that stays whole; one larger than the tile then fills it.
    """
    slack = tile - picture
    low, high = float(min(0, slack)), float(max(0, slack))
    if aim is not None:
        ends = (-float(aim[0]), tile - float(aim[1]))
        low, high = max(low, min(ends)), min(high, max(ends))
    return round(rng.uniform(low, max(low, high)))


def _move(
    boxes: Float32Array, scales: tuple[float, float], offset: tuple[int, int], mirror_width: int | None
) -> Float32Array:
    moved = boxes * np.array([*scales, *scales], np.float32)
    if mirror_width is not None:
        moved[:, [0, 2]] = mirror_width - moved[:, [2, 0]]
    return moved + np.array([*offset, *offset], np.float32)


def _clip(boxes: Float32Array, window: tuple[int, int, int, int]) -> Float32Array:
    low = np.array([window[0], window[1]] * 2, np.float32)
    high = np.array([window[2], window[3]] * 2, np.float32)
    clipped: Float32Array = np.clip(boxes, low, np.maximum(high, low))
    return clipped


def _area(boxes: Float32Array) -> npt.NDArray[np.float32]:
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    area: npt.NDArray[np.float32] = sides[:, 0] * sides[:, 1]
    return area


def _change_colours(image_rgb: UInt8Array, rule: AugmentRule, rng: np.random.Generator) -> UInt8Array:
    """Contrast, brightness and saturation, as one 3x3 matrix and an offset on RGB."""
    contrast = 1 + rng.uniform(-rule.contrast, rule.contrast)
    brightness = 1 + rng.uniform(-rule.brightness, rule.brightness)
    saturation = 1 + rng.uniform(-rule.saturation, rule.saturation)
    luma = np.array([0.299, 0.587, 0.114])
    matrix = (saturation * np.eye(3) + (1 - saturation) * np.tile(luma, (3, 1))) * contrast * brightness
    offset = np.full((3, 1), 128 * (1 - contrast) * brightness)
    changed: UInt8Array = cv2.transform(image_rgb, np.hstack([matrix, offset])).astype(np.uint8, copy=False)
    return changed
