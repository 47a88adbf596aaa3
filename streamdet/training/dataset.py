"""Labelled pictures: COCO-format JSON in, one internal form out. A bad label is an error that names file and line.

Boxes are xyxy in pixels of the picture. K is the number of classes of the whole data set.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from streamdet.errors import DataError
from streamdet.types import Float32Array, Int64Array

UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LabelledImage:
    """One picture and what is known of its objects."""

    path: Path
    width: int
    height: int
    boxes_xyxy: Float32Array
    """(M, 4) objects."""
    class_ids: Int64Array
    """(M,) indices into the data set's class names."""
    ignored_xyxy: Float32Array
    """(I, 4) regions that are neither positive nor negative (COCO's iscrowd)."""
    ignored_class_ids: Int64Array
    """(I,)"""
    labelled: BoolArray
    """(K,) classes that were labelled in this picture. Of the others it says nothing."""
    source: str
    """Where the picture comes from; sources can be repeated in training."""


@dataclass(frozen=True)
class Dataset:
    """Labelled pictures with one list of classes."""

    name: str
    class_names: tuple[str, ...]
    images: tuple[LabelledImage, ...]


def read_coco(path: Path, *, images_dir: Path | None = None) -> Dataset:
    """The data set in a COCO JSON file; pictures lie in `images_dir` (default: `images/` beside the file).

    Raises DataError for files that can't be read and for labels that can't be right.
    """
    try:
        content = json.loads(path.read_text())
        records, annotations, categories = content["images"], content["annotations"], content["categories"]
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no COCO file ({type(error).__name__}: {error})") from error
    categories = sorted(categories, key=lambda category: category["id"])
    class_of = {category["id"]: index for index, category in enumerate(categories)}
    by_image: dict[int, list[dict[str, Any]]] = {}
    for annotation in annotations:
        if annotation["category_id"] not in class_of:
            raise DataError(
                f"{path}: annotation {annotation.get('id')} has the category_id {annotation['category_id']}, which "
                f"is not in its categories ({', '.join(str(category_id) for category_id in class_of)})"
            )
        by_image.setdefault(annotation["image_id"], []).append(annotation)
    folder = images_dir or path.parent / "images"
    images = tuple(_labelled_image(path, folder, record, by_image.get(record["id"], []), class_of) for record in records)
    return Dataset(path.stem, tuple(category["name"] for category in categories), images)


def _labelled_image(
    path: Path,
    folder: Path,
    record: dict[str, Any],
    annotations: list[dict[str, Any]],
    class_of: dict[int, int],
) -> LabelledImage:
    boxes, classes, ignored, ignored_classes = [], [], [], []
    for annotation in annotations:
        x, y, width, height = annotation["bbox"]
        if not (width > 0 and height > 0 and np.isfinite([x, y, width, height]).all()):
            raise DataError(
                f"{path}: annotation {annotation.get('id')} of {record['file_name']} has the bbox {annotation['bbox']}; "
                "it must be [x, y, width, height] with a positive width and height"
            )
        box, class_id = (x, y, x + width, y + height), class_of[annotation["category_id"]]
        if annotation.get("iscrowd"):
            ignored.append(box)
            ignored_classes.append(class_id)
        else:
            boxes.append(box)
            classes.append(class_id)
    labelled = np.ones(len(class_of), np.bool_)
    if "labelled_category_ids" in record:
        labelled[:] = False
        labelled[[class_of[category_id] for category_id in record["labelled_category_ids"]]] = True
    for category_id in record.get("not_exhaustive_category_ids", ()):
        labelled[class_of[category_id]] = False
    return LabelledImage(
        folder / record["file_name"],
        record["width"],
        record["height"],
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(classes, np.int64),
        np.array(ignored, np.float32).reshape(-1, 4),
        np.array(ignored_classes, np.int64),
        labelled,
        str(record.get("source", path.stem)),
    )


def read_rgb(image: LabelledImage) -> UInt8Array:
    """The picture's pixels, (H, W, 3) uint8 RGB, turned as its EXIF says.

    Raises DataError when it is missing, damaged, or of another size than its labels say.
    """
    pixels = cv2.imread(str(image.path), cv2.IMREAD_COLOR)
    if pixels is None:
        problem = "can't be decoded" if image.path.exists() else "is missing"
        raise DataError(f"{image.path} {problem}")
    if pixels.shape[:2] != (image.height, image.width):
        raise DataError(
            f"{image.path} has {pixels.shape[1]}x{pixels.shape[0]} pixels, its labels say {image.width}x{image.height}"
        )
    return np.ascontiguousarray(pixels[:, :, ::-1]).astype(np.uint8, copy=False)


def read_training_sets(folders: Sequence[Path]) -> list[Dataset]:
    """The `train.json` of each folder. Raises DataError when classes differ between them."""
    sets = [read_coco(folder / "train.json") for folder in folders]
    for folder, dataset in zip(folders, sets, strict=True):
        if dataset.class_names != sets[0].class_names:
            raise DataError(
                f"{folder} has the classes {', '.join(dataset.class_names)}, {folders[0]} has "
                f"{', '.join(sets[0].class_names)}; give the same list in the same order"
            )
    return sets


def read_validation_sets(folders: Sequence[Path]) -> list[Dataset]:
    """Every `val*.json` of each folder."""
    return [read_coco(path) for folder in folders for path in sorted(folder.glob("val*.json"))]
