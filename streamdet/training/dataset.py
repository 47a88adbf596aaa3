"""Labelled pictures: COCO-format JSON in, one internal form out. A bad label is an error that names file and line.

Boxes are xyxy in pixels of the picture. K is the number of classes of the whole data set.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
        content = json.loads(path.read_text(encoding="utf-8"))
        records, annotations, categories = content["images"], content["annotations"], content["categories"]
        class_of, class_names = _classes(path, categories)
        by_image: dict[int, list[dict[str, Any]]] = {record["id"]: [] for record in records}
        if len(by_image) < len(records):
            raise DataError(f"{path} gives an image id to several images; each needs its own")
        for annotation in annotations:
            _check(path, annotation, by_image, class_of)
            by_image[annotation["image_id"]].append(annotation)
        folder = images_dir or path.parent / "images"
        images = [_labelled_image(path, folder, record, by_image[record["id"]], class_of) for record in records]
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}") from error
    except KeyError as error:
        raise DataError(f"{path} is no COCO file that can be used: an entry has no {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is no COCO file that can be used ({type(error).__name__}: {error})") from error
    return Dataset(path.stem, class_names, tuple(images))


def _classes(path: Path, categories: list[dict[str, Any]]) -> tuple[dict[int, int], tuple[str, ...]]:
    """Class index by category id, and the names by index: in the order of the ids."""
    categories = sorted(categories, key=lambda category: category["id"])
    names = tuple(str(category["name"]) for category in categories)
    if not names or len(set(names)) < len(names):
        raise DataError(f"{path} has the categories {', '.join(names) or '(none)'}; each needs a name of its own")
    return {category["id"]: index for index, category in enumerate(categories)}, names


def _check(
    path: Path, annotation: dict[str, Any], by_image: dict[int, list[dict[str, Any]]], class_of: dict[int, int]
) -> None:
    """Raise DataError for an annotation that belongs to no category or no image of the file."""
    place = f"{path}: annotation {annotation.get('id')}"
    if annotation["category_id"] not in class_of:
        known = ", ".join(str(category_id) for category_id in class_of)
        raise DataError(
            f"{place} has the category_id {annotation['category_id']}, which is not in its categories ({known})"
        )
    if annotation["image_id"] not in by_image:
        raise DataError(f"{place} has the image_id {annotation['image_id']}, which is not among its images")


def _box_xyxy(path: Path, record: dict[str, Any], annotation: dict[str, Any]) -> tuple[float, float, float, float]:
    """The annotation's box. Raises DataError when it can't be one in the picture."""
    place = f"{path}: annotation {annotation.get('id')} of {record['file_name']} has the bbox {annotation.get('bbox')}"
    try:
        x, y, width, height = (float(value) for value in annotation["bbox"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{place}; it must be [x, y, width, height]") from error
    if not (width > 0 and height > 0 and np.isfinite([x, y, width, height]).all()):
        raise DataError(f"{place}; it must be [x, y, width, height] with a positive width and height")
    if x >= record["width"] or y >= record["height"] or x + width <= 0 or y + height <= 0:
        raise DataError(f"{place}; it lies outside the picture of {record['width']}x{record['height']}")
    return x, y, x + width, y + height


def _labelled_image(
    path: Path,
    folder: Path,
    record: dict[str, Any],
    annotations: list[dict[str, Any]],
    class_of: dict[int, int],
) -> LabelledImage:
    objects: list[tuple[float, float, float, float]] = []
    ignored: list[tuple[float, float, float, float]] = []
    class_ids: list[int] = []
    ignored_class_ids: list[int] = []
    for annotation in annotations:
        crowd = bool(annotation.get("iscrowd"))
        (ignored if crowd else objects).append(_box_xyxy(path, record, annotation))
        (ignored_class_ids if crowd else class_ids).append(class_of[annotation["category_id"]])
    return LabelledImage(
        folder / record["file_name"],
        int(record["width"]),
        int(record["height"]),
        np.array(objects, np.float32).reshape(-1, 4),
        np.array(class_ids, np.int64),
        np.array(ignored, np.float32).reshape(-1, 4),
        np.array(ignored_class_ids, np.int64),
        _labelled_classes(path, record, class_of),
        str(record.get("source", path.stem)),
    )


def _labelled_classes(path: Path, record: dict[str, Any], class_of: dict[int, int]) -> BoolArray:
    """(K,) classes that were labelled in the picture: all, unless the record restricts them."""
    listed = record.get("labelled_category_ids", list(class_of))
    doubtful = record.get("not_exhaustive_category_ids", [])
    for category_id in (*listed, *doubtful):
        if category_id not in class_of:
            raise DataError(
                f"{path}: {record['file_name']} names the category {category_id} as labelled or not exhaustive, "
                f"which is not in its categories ({', '.join(str(known) for known in class_of)})"
            )
    labelled = np.zeros(len(class_of), np.bool_)
    labelled[[class_of[category_id] for category_id in listed]] = True
    labelled[[class_of[category_id] for category_id in doubtful]] = False
    return labelled


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
    """Every `val*.json` of each folder; sets of the same name are told apart by their folders' names."""
    paths = [path for folder in folders for path in sorted(folder.glob("val*.json"))]
    stems = [path.stem for path in paths]
    return [
        replace(dataset, name=f"{path.parent.name}/{path.stem}") if stems.count(path.stem) > 1 else dataset
        for path, dataset in ((path, read_coco(path)) for path in paths)
    ]
