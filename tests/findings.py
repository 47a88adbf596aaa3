"""Random truth and detections, and what pycocotools says about them."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from streamdet.training.dataset import Dataset, LabelledImage
from streamdet.types import Detections

NAMES = ("car", "person", "bicycle", "bus", "sign")
SIDE = 640


def random_findings(seed: int, *, images: int = 24, unlabelled: bool = False) -> tuple[Dataset, list[Detections]]:
    """Crowds, empty pictures, ties in score, over 100 detections of a class; no "bus" exists, no "sign" is found."""
    rng = np.random.default_rng(seed)
    pictures, found = [], []
    for number in range(images):
        count = 0 if number % 6 == 5 else int(rng.integers(1, 14))
        classes = rng.choice([0, 1, 2, 4], count)
        boxes = random_boxes(rng, count)
        crowds = random_boxes(rng, int(rng.integers(0, 3)))
        labelled = rng.random(len(NAMES)) < 0.7 if unlabelled else np.ones(len(NAMES), np.bool_)
        pictures.append(
            LabelledImage(
                Path(f"{number}.png"),
                SIDE,
                SIDE,
                boxes,
                classes.astype(np.int64),
                crowds,
                rng.choice([0, 1, 2], len(crowds)).astype(np.int64),
                labelled,
                "random",
            )
        )
        found.append(random_detections(rng, boxes, classes, crowds, many=number % 8 == 1))
    return Dataset("random", NAMES, tuple(pictures)), found


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 4) float32, of all sizes."""
    sides = np.exp(rng.uniform(np.log(8), np.log(300), (count, 2)))
    corners = rng.uniform(0, 1, (count, 2)) * (SIDE - sides)
    return np.hstack([corners, corners + sides]).astype(np.float32)


def random_detections(
    rng: np.random.Generator, boxes: np.ndarray, classes: np.ndarray, crowds: np.ndarray, *, many: bool
) -> Detections:
    """Some near the objects and several near one, some inside the crowds, some anywhere; scores in steps of 0.02."""
    near = rng.permutation(np.repeat(np.arange(len(boxes)), 3))[: 2 * len(boxes)]
    sides = (boxes[near, 2:] - boxes[near, :2]).repeat(2, axis=0).reshape(-1, 4)
    parts = [boxes[near] + rng.normal(0, 0.08, sides.shape) * sides, crowds.repeat(2, axis=0)]
    parts.append(random_boxes(rng, 300 if many else 6))
    of_parts = [classes[near], rng.choice([0, 1], 2 * len(crowds)), rng.choice([0] if many else 4, len(parts[2]))]
    every, class_ids = np.vstack(parts).astype(np.float32), np.concatenate(of_parts).astype(np.int64)
    good = len(near)
    scores = np.concatenate([rng.beta(4, 3, good), rng.beta(2, 4, len(every) - good)])
    scores = (np.round(scores * 50) / 50).astype(np.float32)
    keep = np.flatnonzero((every[:, 2:] > every[:, :2]).all(axis=1) & (class_ids != NAMES.index("sign")))
    order = keep[np.argsort(-scores[keep], kind="stable")]
    return Detections(every[order], scores[order], class_ids[order], NAMES)


def pycocotools_says(dataset: Dataset, found: list[Detections]) -> COCOeval:
    """Its evaluation, summarised. Labels and detections of classes that a picture isn't labelled for are left out."""
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image_id, (image, detections) in enumerate(zip(dataset.images, found, strict=True), 1):
        areas = [None] * len(image.boxes_xyxy) if image.areas is None else image.areas.tolist()
        objects = [(box, k, 0, a) for box, k, a in zip(image.boxes_xyxy, image.class_ids, areas, strict=True)]
        objects += [(box, k, 1, None) for box, k in zip(image.ignored_xyxy, image.ignored_class_ids, strict=True)]
        for box, class_id, crowd, outlined in objects:
            if image.labelled[class_id]:
                entry = coco_entry(image_id, int(class_id), box)
                area = entry["bbox"][2] * entry["bbox"][3] if outlined is None else outlined
                annotations.append({"id": len(annotations) + 1, "iscrowd": crowd, "area": area, **entry})
        for box, score, name in detections:
            if image.labelled[dataset.class_names.index(name)]:
                results.append({"score": score, **coco_entry(image_id, dataset.class_names.index(name), box)})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": number} for number in range(1, len(dataset.images) + 1)],
            "annotations": annotations,
            "categories": [{"id": number, "name": name} for number, name in enumerate(dataset.class_names, 1)],
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def coco_entry(image_id: int, class_id: int, box_xyxy: np.ndarray) -> dict[str, Any]:
    x1, y1, x2, y2 = map(float, box_xyxy)
    return {"image_id": image_id, "category_id": class_id + 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}
