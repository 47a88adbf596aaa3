"""Average precision and recall as COCO measures them, through the same Detector that streams.

Areas are what the labels say (COCO's `area`, of outlines), else the boxes'; in pixels, small below 32², large from 96².
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from faster_coco_eval import COCO, COCOeval_faster

from streamdet.detection.checkpoint import Model
from streamdet.detection.detector import Detector
from streamdet.detection.postprocess import PostprocessRule
from streamdet.detection.precision import Placement
from streamdet.detection.resize import InputRule
from streamdet.training.dataset import Dataset, LabelledImage, read_rgb
from streamdet.types import Detections

FloatArray = npt.NDArray[np.float64]
MOST_DETECTIONS = 100
"""Of a class in a picture; COCO doesn't look at more."""
EVALUATION_RULE = PostprocessRule(score_threshold=0.02, max_detections=MOST_DETECTIONS)
"""Average precision needs the doubtful detections too."""


@dataclass(frozen=True)
class Scores:
    """COCO's twelve numbers for one validation set, and AP per class; each in 0-1, nan where there is no such object.

    Average recall (AR) is the mean over IoU 0.50 to 0.95, with at most 1, 10 or 100 detections per picture and class.
    """

    ap: float
    """Mean over IoU 0.50 to 0.95."""
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar_1: float
    ar_10: float
    ar_100: float
    ar_small: float
    """With 100 detections, as for the next two."""
    ar_medium: float
    ar_large: float
    ap_per_class: dict[str, float]
    ap50_per_class: dict[str, float]
    images: int

    def to_json(self) -> dict[str, Any]:
        """Plain values, rounded; None for nan, classes without objects left out."""
        means = {
            "AP": self.ap,
            "AP50": self.ap50,
            "AP75": self.ap75,
            "AP_small": self.ap_small,
            "AP_medium": self.ap_medium,
            "AP_large": self.ap_large,
            "AR_1": self.ar_1,
            "AR_10": self.ar_10,
            "AR_100": self.ar_100,
            "AR_small": self.ar_small,
            "AR_medium": self.ar_medium,
            "AR_large": self.ar_large,
        }
        return {
            **{name: round(value, 4) if np.isfinite(value) else None for name, value in means.items()},
            "AP_per_class": {n: round(v, 4) for n, v in self.ap_per_class.items() if np.isfinite(v)},
            "AP50_per_class": {n: round(v, 4) for n, v in self.ap50_per_class.items() if np.isfinite(v)},
            "images": self.images,
        }


@dataclass(frozen=True)
class Found:
    """What a detector found in some pictures, and how long it took."""

    detections: list[Detections]
    """One per picture, in the order of the pictures."""
    milliseconds: FloatArray
    """Per picture: network and post-processing, without reading and scaling it. The first batch, which warms up, is
    left out if there are others."""


def evaluation_detector(
    model: Model, placement: Placement, *, input_rule: InputRule | None = None, engine: str = "torch"
) -> Detector:
    """A detector that reports doubtful objects too, as average precision needs them.

    Of a calibrated model those that it reported before: calibration must not change average precision.
    """
    slope, offset = model.card.logit_scaling
    usual = EVALUATION_RULE.score_threshold
    least = 1 / (1 + math.exp(-slope * math.log(usual / (1 - usual)) - offset))
    rule = replace(EVALUATION_RULE, score_threshold=least, voting=model.card.voting)
    thresholds = (least,) * len(model.card.class_names)
    return Detector(model, placement, input_rule=input_rule, rule=rule, thresholds=thresholds, engine=engine)


def find_objects(
    detector: Detector,
    images: Sequence[LabelledImage],
    *,
    batch: int = 8,
    progress: Callable[[int], None] | None = None,
) -> Found:
    """Detections of each picture; `progress` is told the number of pictures done since the last time.

    Pictures of one shape share batches, whatever their order. Raises DataError when a picture can't be read.
    """
    detections: list[Detections | None] = [None] * len(images)
    batches: list[tuple[int, float]] = []  # pictures, milliseconds per picture

    def shape(place: int) -> tuple[int, int]:
        return images[place].width, images[place].height

    for _, group in itertools.groupby(sorted(range(len(images)), key=shape), shape):
        same = list(group)
        for first in range(0, len(same), batch):
            places = same[first : first + batch]
            found = detector([read_rgb(images[place]) for place in places])
            for place, result in zip(places, found, strict=True):
                detections[place] = result
            seconds = detector.seconds["network"] + detector.seconds["postprocess"]
            batches.append((len(places), seconds * 1000 / len(places)))
            if progress is not None:
                progress(len(places))
    timed = batches[1:] or batches
    milliseconds = np.array([each for count, each in timed for _ in range(count)], np.float64)
    return Found([result for result in detections if result is not None], milliseconds)


def evaluate(
    detector: Detector, dataset: Dataset, *, batch: int = 8, progress: Callable[[int], None] | None = None
) -> Scores:
    """Scores of `detector` on `dataset`. Detections of classes that an image isn't labelled for don't count."""
    return score(dataset, find_objects(detector, dataset.images, batch=batch, progress=progress).detections)


def score(dataset: Dataset, found: list[Detections]) -> Scores:
    """Scores of detections, one entry per image of `dataset`, whose classes are matched by name."""
    truth = _coco_truth(dataset)
    results = [
        result
        for image_id, (image, detections) in enumerate(zip(dataset.images, found, strict=True), 1)
        for result in _coco_results(image_id, image, detections, dataset.class_names)
    ]
    for number, result in enumerate(results, 1):
        result["id"] = number
    evaluation = COCOeval_faster(_indexed(truth), _indexed({**truth, "annotations": results}), "bbox")
    evaluation.params.maxDets = [1, 10, MOST_DETECTIONS]
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval[
        "precision"
    ]  # (IoU, recall, K, area: all, small, medium, large; detections: 1, 10, 100)
    recall = evaluation.eval["recall"]  # (IoU, K, area, detections)
    whole = precision[:, :, :, 0, -1]  # (IoU, recall, K)
    return Scores(
        ap=_mean(whole),
        ap50=_mean(whole[0]),
        ap75=_mean(whole[5]),
        ap_small=_mean(precision[:, :, :, 1, -1]),
        ap_medium=_mean(precision[:, :, :, 2, -1]),
        ap_large=_mean(precision[:, :, :, 3, -1]),
        ar_1=_mean(recall[:, :, 0, 0]),
        ar_10=_mean(recall[:, :, 0, 1]),
        ar_100=_mean(recall[:, :, 0, 2]),
        ar_small=_mean(recall[:, :, 1, 2]),
        ar_medium=_mean(recall[:, :, 2, 2]),
        ar_large=_mean(recall[:, :, 3, 2]),
        ap_per_class={name: _mean(whole[:, :, place]) for place, name in enumerate(dataset.class_names)},
        ap50_per_class={name: _mean(whole[0, :, place]) for place, name in enumerate(dataset.class_names)},
        images=len(dataset.images),
    )


def _indexed(content: dict[str, Any]) -> COCO:
    coco = COCO()
    coco.dataset = content
    coco.createIndex()
    return coco


def _mean(values: Any) -> float:
    """Mean of what COCO could measure: -1 stands where there is no object."""
    valid = values[values > -1]
    return float(valid.mean()) if valid.size else float("nan")


def _coco_truth(dataset: Dataset) -> dict[str, Any]:
    annotations: list[dict[str, Any]] = []
    for image_id, image in enumerate(dataset.images, 1):
        for boxes, class_ids, areas, crowd in (
            (image.boxes_xyxy, image.class_ids, image.areas, 0),
            (image.ignored_xyxy, image.ignored_class_ids, None, 1),
        ):
            for place, (box, class_id) in enumerate(zip(boxes, class_ids, strict=True)):
                if image.labelled[class_id]:
                    annotation = {
                        "id": len(annotations) + 1,
                        "iscrowd": crowd,
                        **_coco_box(image_id, box, int(class_id)),
                    }
                    if areas is not None:
                        annotation["area"] = float(areas[place])
                    annotations.append(annotation)
    return {
        "images": [
            {"id": image_id, "width": image.width, "height": image.height}
            for image_id, image in enumerate(dataset.images, 1)
        ],
        "annotations": annotations,
        "categories": [{"id": place, "name": name} for place, name in enumerate(dataset.class_names, 1)],
    }


def _coco_results(
    image_id: int, image: LabelledImage, detections: Detections, class_names: tuple[str, ...]
) -> list[dict[str, Any]]:
    results = []
    for box, confidence, name in detections:
        class_id = class_names.index(name) if name in class_names else -1
        if class_id >= 0 and image.labelled[class_id]:
            results.append({"score": confidence, "iscrowd": 0, **_coco_box(image_id, box, class_id)})
    return results


def _coco_box(image_id: int, box_xyxy: Any, class_id: int) -> dict[str, Any]:
    x1, y1, x2, y2 = (float(value) for value in box_xyxy)
    return {
        "image_id": image_id,
        "category_id": class_id + 1,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": (x2 - x1) * (y2 - y1),
    }
