"""Average precision as COCO measures it, through the same Detector that streams."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from streamdet.detection.detector import Detector
from streamdet.training.dataset import Dataset, LabelledImage, read_rgb
from streamdet.types import Detections


@dataclass(frozen=True)
class Scores:
    """Average precision of one validation set, each in 0-1; nan where there is no such object."""

    ap: float
    """Mean over IoU 0.50 to 0.95."""
    ap50: float
    ap75: float
    ap_per_class: dict[str, float]
    ap50_per_class: dict[str, float]
    images: int

    def to_json(self) -> dict[str, Any]:
        """Plain values, rounded; None for nan, classes without objects left out."""
        means = {"AP": self.ap, "AP50": self.ap50, "AP75": self.ap75}
        return {
            **{name: round(value, 4) if np.isfinite(value) else None for name, value in means.items()},
            "AP50_per_class": {n: round(v, 4) for n, v in self.ap50_per_class.items() if np.isfinite(v)},
            "images": self.images,
        }


def evaluate(
    detector: Detector, dataset: Dataset, *, batch: int = 8, progress: Callable[[int], None] | None = None
) -> Scores:
    """Scores of `detector` on `dataset`. Detections of classes that an image isn't labelled for don't count."""
    found: list[Detections] = []
    for first in range(0, len(dataset.images), batch):
        images = dataset.images[first : first + batch]
        found += detector([read_rgb(image) for image in images])
        if progress is not None:
            progress(len(images))
    return score(dataset, found)


def score(dataset: Dataset, found: list[Detections]) -> Scores:
    """Scores of detections, one entry per image of `dataset`, whose classes are matched by name."""
    truth = COCO()
    truth.dataset = _coco_truth(dataset)
    results = [
        result
        for image_id, (image, detections) in enumerate(zip(dataset.images, found, strict=True), 1)
        for result in _coco_results(image_id, image, detections, dataset.class_names)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        if not results:
            return _nothing_found(dataset)
        evaluation = COCOeval_faster(truth, truth.loadRes(results), "bbox")
        evaluation.params.maxDets = [1, 10, 100]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # (IoU, recall, K) over all areas, 100 detections
    return Scores(
        _mean(precision),
        _mean(precision[0]),
        _mean(precision[5]),
        {name: _mean(precision[:, :, place]) for place, name in enumerate(dataset.class_names)},
        {name: _mean(precision[0, :, place]) for place, name in enumerate(dataset.class_names)},
        len(dataset.images),
    )


def _nothing_found(dataset: Dataset) -> Scores:
    """0 for each class that has objects, nan for the others."""
    sought = {int(c) for image in dataset.images for c in image.class_ids if image.labelled[c]}
    per_class = {name: 0.0 if place in sought else float("nan") for place, name in enumerate(dataset.class_names)}
    mean = 0.0 if sought else float("nan")
    return Scores(mean, mean, mean, per_class, dict(per_class), len(dataset.images))


def _mean(precision: Any) -> float:
    valid = precision[precision > -1]
    return float(valid.mean()) if valid.size else float("nan")


def _coco_truth(dataset: Dataset) -> dict[str, Any]:
    annotations: list[dict[str, Any]] = []
    for image_id, image in enumerate(dataset.images, 1):
        for boxes, class_ids, crowd in (
            (image.boxes_xyxy, image.class_ids, 0),
            (image.ignored_xyxy, image.ignored_class_ids, 1),
        ):
            for box, class_id in zip(boxes, class_ids, strict=True):
                if image.labelled[class_id]:
                    annotations.append(_coco_box(len(annotations) + 1, image_id, box, int(class_id), crowd))
    return {
        "images": [
            {"id": image_id, "width": image.width, "height": image.height}
            for image_id, image in enumerate(dataset.images, 1)
        ],
        "annotations": annotations,
        "categories": [{"id": place, "name": name} for place, name in enumerate(dataset.class_names, 1)],
    }


def _coco_box(annotation_id: int, image_id: int, box_xyxy: Any, class_id: int, crowd: int) -> dict[str, Any]:
    x1, y1, x2, y2 = (float(value) for value in box_xyxy)
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": class_id + 1,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": (x2 - x1) * (y2 - y1),
        "iscrowd": crowd,
    }


def _coco_results(
    image_id: int, image: LabelledImage, detections: Detections, class_names: tuple[str, ...]
) -> list[dict[str, Any]]:
    results = []
    for box, confidence, name in detections:
        if name not in class_names:
            continue
        class_id = class_names.index(name)
        if not image.labelled[class_id]:
            continue
        x1, y1, x2, y2 = (float(value) for value in box)
        results.append(
            {
                "image_id": image_id,
                "category_id": class_id + 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "score": confidence,
            }
        )
    return results
