"""What a model gets right and wrong on a data set, object by object: the stuff of curves, thresholds and pictures.

Shape legend: D detections, M true objects, I ignored regions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamdet.detection.detector import Detector
from streamdet.training.dataset import Dataset, LabelledImage
from streamdet.training.evaluate import MOST_DETECTIONS, Scores, find_objects, score
from streamdet.types import Detections, Int64Array

FloatArray = npt.NDArray[np.float64]
MATCH_IOU = 0.5
FALSE = -1
"""In `ImageResult.matched`: a false detection."""
NOT_COUNTED = -2
"""In `ImageResult.matched`: neither right nor wrong (in an ignored region, of a class that wasn't labelled, or beyond
the number that COCO looks at)."""


@dataclass(frozen=True)
class ClassCurve:
    """Precision and recall of one class over one data set, at IoU 0.5."""

    name: str
    scores: FloatArray
    """(D,) descending: the detections that count."""
    precision: FloatArray
    """(D,) among the detections up to and with this one."""
    recall: FloatArray
    """(D,) likewise; nan without objects."""
    objects: int
    """True objects that count."""


@dataclass(frozen=True)
class ImageResult:
    """The detections in one picture, and which object each of them found."""

    image: LabelledImage
    detections: Detections
    """Everything above the evaluation threshold."""
    matched: Int64Array
    """(D,) index of the true object (same class, IoU >= 0.5, COCO's greedy rule), FALSE or NOT_COUNTED."""


@dataclass(frozen=True)
class Assessment:
    """One model on one data set."""

    dataset: Dataset
    scores: Scores
    curves: dict[str, ClassCurve]
    """By the data set's class names, all of them."""
    images: tuple[ImageResult, ...]


def assess(
    detector: Detector, dataset: Dataset, *, batch: int = 8, progress: Callable[[int], None] | None = None
) -> Assessment:
    """Run `detector` (of `evaluation_detector`) over `dataset` and tell right from wrong."""
    return assess_found(dataset, find_objects(detector, dataset.images, batch=batch, progress=progress).detections)


def assess_found(dataset: Dataset, found: list[Detections]) -> Assessment:
    """The assessment of detections that are there already, one entry per image of `dataset`."""
    images = tuple(
        ImageResult(image, detections, match(image, detections, dataset.class_names))
        for image, detections in zip(dataset.images, found, strict=True)
    )
    curves = {name: _curve(images, class_id, name) for class_id, name in enumerate(dataset.class_names)}
    return Assessment(dataset, score(dataset, found), curves, images)


def match(image: LabelledImage, detections: Detections, class_names: tuple[str, ...]) -> Int64Array:
    """(D,) index of the object that each detection found, FALSE or NOT_COUNTED; classes are matched by name.

    COCO's greedy rule (pycocotools, `evaluateImg`): the best score first takes the free object of its class that it
    overlaps most, at an IoU of at least 0.5; what finds none but lies at least half in an ignored region doesn't count.
    """
    matched = np.full(len(detections), NOT_COUNTED, np.int64)
    for class_id, name in enumerate(class_names):
        if not image.labelled[class_id] or name not in detections.class_names:
            continue
        of_class = detections.class_ids == detections.class_names.index(name)
        places = np.flatnonzero(of_class)[:MOST_DETECTIONS]
        objects = np.flatnonzero(image.class_ids == class_id)
        boxes_xyxy = detections.boxes_xyxy[places]
        shared, areas, object_areas = _intersections(boxes_xyxy, image.boxes_xyxy[objects])
        ious = shared / np.maximum(areas[:, None] + object_areas[None] - shared, np.finfo(np.float64).tiny)
        regions_xyxy = image.ignored_xyxy[image.ignored_class_ids == class_id]
        covered, _, _ = _intersections(boxes_xyxy, regions_xyxy)
        ignored = (covered >= MATCH_IOU * areas[:, None]).any(axis=1) & (areas > 0)
        for place, row, is_ignored in zip(places, ious, ignored, strict=True):
            best = len(row) - 1 - int(row[::-1].argmax()) if len(row) else -1  # of equals COCO takes the last
            if best >= 0 and row[best] >= MATCH_IOU:
                matched[place] = objects[best]
                ious[:, best] = -1.0  # taken
            else:
                matched[place] = NOT_COUNTED if is_ignored else FALSE
    return matched


def _intersections(
    boxes_xyxy: npt.NDArray[np.float32], others_xyxy: npt.NDArray[np.float32]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Shared areas (D, M), and the areas of both: (D,), (M,). In float64, as pycocotools computes them."""
    boxes, others = boxes_xyxy.astype(np.float64), others_xyxy.astype(np.float64)
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    areas, other_areas = ((each[:, 2:] - each[:, :2]).prod(axis=1) for each in (boxes, others))
    return np.clip(high - low, 0, None).prod(axis=2), areas, other_areas


def _curve(images: tuple[ImageResult, ...], class_id: int, name: str) -> ClassCurve:
    scores, hits = [np.zeros(0)], [np.zeros(0, np.bool_)]
    objects = 0
    for result in images:
        if not result.image.labelled[class_id]:
            continue
        objects += int(np.count_nonzero(result.image.class_ids == class_id))
        if name in result.detections.class_names:
            of_class = result.detections.class_ids == result.detections.class_names.index(name)
            counts = of_class & (result.matched != NOT_COUNTED)
            scores.append(result.detections.scores[counts].astype(np.float64))
            hits.append(result.matched[counts] >= 0)
    all_scores = np.concatenate(scores)
    order = np.argsort(-all_scores, kind="stable")
    found = np.cumsum(np.concatenate(hits)[order])
    precision = found / np.arange(1, len(order) + 1)
    recall = found / objects if objects else np.full(len(order), np.nan)
    return ClassCurve(name, all_scores[order], precision, recall, objects)
