from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from streamdet.detection.detector import Detector
from streamdet.detection.precision import Placement
from streamdet.training.dataset import Dataset, LabelledImage, read_coco
from streamdet.training.evaluate import evaluate, score
from streamdet.types import Detections
from tests.networks import CLASS_NAMES, tiny_model
from tests.rectangles import labelled, write_set

SIZE = (200, 150)


def dataset_of(*images: LabelledImage) -> Dataset:
    return Dataset("drawn", CLASS_NAMES, images)


def found(*entries: tuple[list[float], float, int], names: tuple[str, ...] = CLASS_NAMES) -> Detections:
    entries = tuple(sorted(entries, key=lambda entry: -entry[1]))
    return Detections(
        np.array([box for box, _, _ in entries], np.float32).reshape(-1, 4),
        np.array([confidence for _, confidence, _ in entries], np.float32),
        np.array([class_id for _, _, class_id in entries], np.int64),
        names,
    )


A, B, C = [10.0, 10.0, 50.0, 60.0], [100.0, 20.0, 140.0, 90.0], [20.0, 100.0, 90.0, 140.0]


def test_perfect_detections() -> None:
    dataset = dataset_of(labelled("1", SIZE, [A, B], [0, 1]), labelled("2", SIZE, [C], [0]), labelled("3", SIZE))
    scores = score(dataset, [found((A, 0.9, 0), (B, 0.3, 1)), found((C, 0.8, 0)), found()])
    assert scores.ap == scores.ap50 == scores.ap75 == pytest.approx(1)
    assert scores.ap_per_class["car"] == scores.ap50_per_class["person"] == pytest.approx(1)
    assert math.isnan(scores.ap50_per_class["bicycle"])
    assert scores.to_json() == {
        "AP": 1.0,
        "AP50": 1.0,
        "AP75": 1.0,
        "AP50_per_class": {"car": 1.0, "person": 1.0},
        "images": 3,
    }


def test_false_and_inexact_detections_cost() -> None:
    dataset = dataset_of(labelled("1", SIZE, [A], [0]))
    false_first = score(dataset, [found((B, 0.9, 0), (A, 0.5, 0))])
    assert false_first.ap50 == pytest.approx(0.5)
    assert score(dataset, [found((B, 0.3, 0), (A, 0.5, 0))]).ap50 == pytest.approx(1)
    assert score(dataset, [found((A, 0.9, 1))]).ap50 == 0  # another class
    shifted = [A[0], A[1], A[2], A[1] + 50 * 0.72]  # IoU 0.72: right at 0.50 to 0.70
    scores = score(dataset, [found((shifted, 0.9, 0))])
    assert (scores.ap50, scores.ap75, scores.ap) == (pytest.approx(1), 0, pytest.approx(0.5))


def test_crowds_and_unlabelled_classes_do_not_count_against() -> None:
    dataset = dataset_of(
        labelled("1", SIZE, [A], [0], ignored=[B], ignored_classes=[0]),
        labelled("2", SIZE, [C], [1], known=(False, True, True)),
    )
    scores = score(dataset, [found((A, 0.5, 0), (B, 0.9, 0)), found((A, 0.9, 0), (C, 0.5, 1))])
    assert scores.ap50_per_class["car"] == scores.ap50_per_class["person"] == pytest.approx(1)
    # The same where the class is labelled, and beside the crowd, does.
    scores = score(dataset, [found((A, 0.5, 0), (C, 0.9, 0)), found((C, 0.5, 1), (A, 0.9, 1))])
    assert scores.ap50_per_class["car"] == scores.ap50_per_class["person"] == pytest.approx(0.5)


def test_classes_are_matched_by_name() -> None:
    dataset = dataset_of(labelled("1", SIZE, [A, B], [0, 2]))
    other = ("bicycle", "dog", "car")
    scores = score(dataset, [found((A, 0.5, 2), (B, 0.6, 0), (C, 0.9, 1), names=other)])
    assert scores.ap50 == pytest.approx(1)


def test_nothing_found_and_nothing_to_find() -> None:
    scores = score(dataset_of(labelled("1", SIZE, [A], [1])), [found()])
    assert scores.ap == scores.ap50 == scores.ap50_per_class["person"] == 0
    assert math.isnan(scores.ap50_per_class["car"])
    for detections in (found(), found((A, 0.9, 0))):
        empty = score(dataset_of(labelled("1", SIZE)), [detections])
        assert math.isnan(empty.ap)
        assert empty.to_json()["AP"] is None


def iou(a: list[float], b: list[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def naive_ap(images: list[LabelledImage], detections: list[Detections], class_id: int, threshold: float) -> float:
    """COCO's average precision, written down once more: greedy matching by score, 101 recall points."""
    marks: list[tuple[float, bool]] = []
    total = 0
    for image, objects in zip(images, detections, strict=True):
        truth = [box.tolist() for box, k in zip(image.boxes_xyxy, image.class_ids, strict=True) if k == class_id]
        total += len(truth)
        for box, confidence, name in objects:
            if CLASS_NAMES.index(name) != class_id:
                continue
            overlaps = [iou(box.tolist(), other) for other in truth]
            hit = bool(overlaps) and max(overlaps) >= threshold
            if hit:
                truth.pop(int(np.argmax(overlaps)))
            marks.append((confidence, hit))
    marks.sort(key=lambda mark: -mark[0])
    hits = np.cumsum([hit for _, hit in marks])
    precision, recall = hits / np.arange(1, len(marks) + 1), hits / total
    return float(np.mean([max(precision[recall >= point], default=0.0) for point in np.linspace(0, 1, 101)]))


def test_equal_to_a_naive_average_precision() -> None:
    rng = np.random.default_rng(3)
    images, detections = [], []
    for number in range(12):
        corners = rng.uniform(0, 150, (5, 2))
        boxes = np.hstack([corners, corners + rng.uniform(15, 60, (5, 2))])
        classes = rng.integers(0, 3, 5)
        images.append(labelled(str(number), (220, 220), boxes.tolist(), classes.tolist()))
        guesses = [
            (box + rng.normal(0, 4, 4), float(rng.uniform()), int(k)) for box, k in zip(boxes, classes, strict=True)
        ]
        guesses += [
            (box + 30, float(rng.uniform(0, 0.7)), int(k)) for box, k in zip(boxes, rng.integers(0, 3, 5), strict=True)
        ]
        detections.append(found(*((np.float32(box).tolist(), s, k) for box, s, k in guesses)))
    scores = score(dataset_of(*images), detections)
    per_class = {
        name: [naive_ap(images, detections, k, t) for t in np.linspace(0.5, 0.95, 10)]
        for k, name in enumerate(CLASS_NAMES)
    }
    for name, values in per_class.items():
        assert scores.ap50_per_class[name] == pytest.approx(values[0], abs=1e-3)
        assert scores.ap_per_class[name] == pytest.approx(np.mean(values), abs=1e-3)
    assert 0.2 < scores.ap50 < 0.95
    assert scores.ap75 == pytest.approx(np.mean([values[5] for values in per_class.values()]), abs=1e-3)


def test_through_the_detector(tmp_path: Path) -> None:
    dataset = read_coco(write_set(tmp_path / "val.json", 5))
    done: list[int] = []
    detector = Detector(tiny_model(), Placement(torch.device("cpu"), torch.float32))
    scores = evaluate(detector, dataset, batch=2, progress=done.append)
    assert done == [2, 2, 1]
    assert scores.images == 5
    assert 0 <= scores.ap50 < 0.5
