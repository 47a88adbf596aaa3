"""Labelled pictures that tests draw themselves: coloured rectangles on grey noise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from streamdet.training.dataset import LabelledImage
from tests.networks import CLASS_NAMES

COLOURS_RGB = ((220, 30, 30), (30, 200, 40), (40, 60, 230))
"""Of the rectangles of each class."""


def draw(
    size: tuple[int, int], boxes: Sequence[tuple[int, int, int, int]], classes: Sequence[int], seed: int = 0
) -> npt.NDArray[np.uint8]:
    """(height, width, 3) RGB"""
    rng = np.random.default_rng(seed)
    picture = np.clip(rng.normal(110, 12, (size[1], size[0], 1)), 0, 255).astype(np.uint8).repeat(3, axis=2)
    for (x1, y1, x2, y2), class_id in zip(boxes, classes, strict=True):
        picture[y1:y2, x1:x2] = COLOURS_RGB[class_id]
    return picture


def random_objects(
    rng: np.random.Generator, size: tuple[int, int], count: int
) -> tuple[list[tuple[int, int, int, int]], list[int]]:
    """Boxes that do not overlap, at least 2 pixels apart, and their classes."""
    boxes: list[tuple[int, int, int, int]] = []
    while len(boxes) < count:
        width, height = rng.integers(14, 36, 2)
        x, y = int(rng.integers(1, size[0] - width)), int(rng.integers(1, size[1] - height))
        box = (x, y, int(x + width), int(y + height))
        if all(box[0] > b[2] + 2 or b[0] > box[2] + 2 or box[1] > b[3] + 2 or b[1] > box[3] + 2 for b in boxes):
            boxes.append(box)
    return boxes, rng.integers(len(COLOURS_RGB), size=count).tolist()


def coco(images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> dict[str, Any]:
    categories = [{"id": 10 * place + 1, "name": name} for place, name in enumerate(CLASS_NAMES)]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_set(path: Path, count: int, *, seed: int = 0, size: tuple[int, int] = (96, 64)) -> Path:
    """A COCO file at `path` with its pictures in images/ beside it; every fourth picture is empty."""
    rng = np.random.default_rng(seed)
    folder = path.parent / "images"
    folder.mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(count):
        boxes, classes = random_objects(rng, size, 0 if number % 4 == 3 else 1 + number % 2)
        name = f"{path.stem}_{number}.png"
        cv2.imwrite(str(folder / name), draw(size, boxes, classes, seed + number)[:, :, ::-1])
        images.append({"id": number, "file_name": name, "width": size[0], "height": size[1]})
        for (x1, y1, x2, y2), class_id in zip(boxes, classes, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 10 * class_id + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                }
            )
    path.write_text(json.dumps(coco(images, annotations)))
    return path


def labelled(
    name: str,
    size: tuple[int, int],
    boxes: Sequence[Sequence[float]] = (),
    classes: Sequence[int] = (),
    *,
    ignored: Sequence[Sequence[float]] = (),
    ignored_classes: Sequence[int] | None = None,
    known: Sequence[bool] = (True, True, True),
) -> LabelledImage:
    return LabelledImage(
        Path(name),
        *size,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(classes, np.int64),
        np.array(ignored, np.float32).reshape(-1, 4),
        np.array(ignored_classes if ignored_classes is not None else [0] * len(ignored), np.int64),
        np.array(known),
        "drawn",
    )
