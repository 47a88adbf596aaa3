"""Labelled pictures in one internal form, whatever the format of their labels (`formats/` reads and writes those).

Boxes are xyxy in pixels of the picture. K is the number of classes of the whole data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

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
    group: str = ""
    """The camera, the clip or the cluster of near-duplicates that it belongs to; "" when unknown."""
    areas: Float32Array | None = None
    """(M,) pixels that the objects cover where the labels say so (COCO's `area`); None: as many as their boxes."""


@dataclass(frozen=True)
class Dataset:
    """Labelled pictures with one list of classes."""

    name: str
    class_names: tuple[str, ...]
    images: tuple[LabelledImage, ...]


def read_rgb(image: LabelledImage) -> UInt8Array:
    """The picture's pixels, (H, W, 3) uint8 RGB, turned as its EXIF says.

    Raises DataError when it is missing, damaged, cut off, or of another size than its labels say.
    """
    try:
        content = np.fromfile(image.path, np.uint8)
        pixels = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
    except FileNotFoundError as error:
        raise DataError(f"{image.path} is missing") from error
    except OSError as error:
        raise DataError(f"{image.path} can't be read: {error.strerror}") from error
    except cv2.error:  # a header that promises too much
        pixels = None
    if pixels is None:
        raise DataError(f"{image.path} can't be decoded: it is damaged, cut off or no picture; export it again")
    height, width = pixels.shape[:2]
    if (width, height) != (image.width, image.height):
        from streamdet.training.formats.pictures import size_fault  # imports this module

        fault = size_fault(image)
        says = fault.clause if fault else f"has {width}x{height} pixels, its labels say {image.width}x{image.height}"
        raise DataError(f"{image.path} {says}")
    return np.ascontiguousarray(pixels[:, :, ::-1]).astype(np.uint8, copy=False)


def read_sets(folders: Sequence[Path]) -> tuple[list[Dataset], list[Dataset]]:
    """The training sets and the validation sets of folders (or label files), with one list of classes.

    Validation sets of the same name are told apart by their folders' names.

    Raises:
        DataError: labels are missing or wrong, or the training sets have different classes.
    """
    from streamdet.training.formats.find import find_sets, in_order_of  # imports this module

    found = [(folder, find_sets(folder)) for folder in folders]
    training = [(folder, dataset) for folder, sets in found for dataset in sets.training]
    validation = [(folder, dataset) for folder, sets in found for dataset in sets.validation]
    class_names = (training or validation)[0][1].class_names if found else ()
    for folder, dataset in training:
        if set(dataset.class_names) != set(class_names):
            raise DataError(
                f"{folder} has the classes {', '.join(dataset.class_names)}, {training[0][0]} has "
                f"{', '.join(class_names)}; give the same classes, in any order"
            )
    names = [dataset.name for _, dataset in validation]
    return [in_order_of(dataset, class_names) for _, dataset in training], [
        replace(
            in_order_of(dataset, class_names),
            name=f"{folder.name}/{dataset.name}" if names.count(dataset.name) > 1 else dataset.name,
        )
        for folder, dataset in validation
    ]


def read_for_training(folders: Sequence[Path]) -> tuple[list[Dataset], list[Dataset]]:
    """The sets of `read_sets`, if a model can be trained on the ones and measured on the others.

    Raises DataError where there is no training set or no object in any, and where a validation set has other classes.
    """
    training, validation = read_sets(folders)
    where = ", ".join(map(str, folders))
    if not training:
        raise DataError(
            f"no training set in {where}, only {', '.join(each.name for each in validation)} for validation; "
            "`streamdet data split` makes both of one, and a label file given by itself is one for training"
        )
    if not any(len(image.boxes_xyxy) for dataset in training for image in dataset.images):
        raise DataError(f"the training sets in {where} hold no object, so there is nothing to learn; label some")
    names = training[0].class_names
    for dataset in validation:
        if not set(dataset.class_names) & set(names):
            raise DataError(
                f"{dataset.name} has the classes {', '.join(dataset.class_names)}, training has {', '.join(names)}, so "
                "nothing could be measured on it; give them the same names, or leave it out"
            )
    return training, validation
