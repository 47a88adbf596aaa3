from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from streamdet.detection.precision import Placement
from streamdet.training.dataset import Dataset, LabelledImage, read_rgb
from streamdet.training.evaluate import evaluate, evaluation_detector, find_objects, score
from streamdet.training.formats.coco import read_coco
from streamdet.training.formats.write import write_coco
from streamdet.types import Detections
from tests.findings import NAMES, pycocotools_says, random_findings
from tests.networks import CLASS_NAMES, tiny_model
from tests.rectangles import labelled, write_set

SIZE = (200, 150)
FLOAT32 = Placement(torch.device("cpu"), torch.float32)


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
    assert scores.ar_100 == scores.ar_10 == scores.ar_1 == scores.ar_medium == pytest.approx(1)
    assert scores.to_json() == {
        **dict.fromkeys(("AP", "AP50", "AP75", "AP_medium", "AR_1", "AR_10", "AR_100", "AR_medium"), 1.0),
        **dict.fromkeys(("AP_small", "AP_large", "AR_small", "AR_large")),
        "AP_per_class": {"car": 1.0, "person": 1.0},
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


@pytest.mark.parametrize(("seed", "unlabelled"), [(1, False), (2, False), (3, True), (4, True)])
def test_equal_to_pycocotools(seed: int, unlabelled: bool) -> None:
    dataset, found = random_findings(seed, unlabelled=unlabelled)
    reference = pycocotools_says(dataset, found)
    scores = score(dataset, found)
    ours = [scores.ap, scores.ap50, scores.ap75, scores.ap_small, scores.ap_medium, scores.ap_large]
    ours += [scores.ar_1, scores.ar_10, scores.ar_100, scores.ar_small, scores.ar_medium, scores.ar_large]
    np.testing.assert_allclose(ours, reference.stats, rtol=0, atol=1e-6)
    assert all(0.02 < value < 0.9 for value in ours)
    assert len({round(value, 6) for value in ours}) >= 11  # none stands in another's place
    precision = reference.eval["precision"][:, :, :, 0, 2]
    for place, name in enumerate(NAMES):
        if name == "bus":
            assert math.isnan(scores.ap_per_class[name])
            assert (precision[:, :, place] == -1).all()
        else:
            assert scores.ap_per_class[name] == pytest.approx(precision[:, :, place].mean(), abs=1e-6)
            assert scores.ap50_per_class[name] == pytest.approx(precision[0, :, place].mean(), abs=1e-6)
    assert scores.ap_per_class["sign"] == 0 < scores.ap_per_class["car"]


def test_equal_to_pycocotools_where_labels_give_the_areas_of_outlines(tmp_path: Path) -> None:
    dataset, found = random_findings(3, unlabelled=False)
    outlined = replace(
        dataset,
        images=tuple(
            replace(image, areas=0.4 * (image.boxes_xyxy[:, 2:] - image.boxes_xyxy[:, :2]).prod(axis=1))
            for image in dataset.images
        ),
    )
    stats = pycocotools_says(outlined, found).stats
    scores = score(outlined, found)
    ours = [scores.ap_small, scores.ap_medium, scores.ap_large, scores.ar_small, scores.ar_medium, scores.ar_large]
    np.testing.assert_allclose(ours, [*stats[3:6], *stats[9:12]], rtol=0, atol=1e-6)
    assert scores.ap_small != pytest.approx(score(dataset, found).ap_small, abs=1e-3)

    path = write_set(tmp_path / "val.json", 2)
    content = json.loads(path.read_text())
    content["annotations"][0]["area"] = 123.5
    path.write_text(json.dumps(content))
    first, second = read_coco(path).images
    (x1, y1, x2, y2), *_ = first.boxes_xyxy.tolist()
    assert first.areas is not None
    assert first.areas[0] == 123.5 != (x2 - x1) * (y2 - y1)
    assert second.areas is None
    folder = tmp_path / "again"
    write_coco({"val": read_coco(path)}, folder)
    again = read_coco(folder / "val.json").images[0].areas
    assert again is not None
    assert again.tolist() == first.areas.tolist()


def test_through_the_detector(tmp_path: Path) -> None:
    dataset = read_coco(write_set(tmp_path / "val.json", 5))
    done: list[int] = []
    detector = evaluation_detector(tiny_model(), FLOAT32)
    scores = evaluate(detector, dataset, batch=2, progress=done.append)
    assert done == [2, 2, 1]
    assert scores.images == 5
    assert 0 <= scores.ap50 < 0.5


def test_pictures_of_one_shape_share_batches_and_come_back_in_order(tmp_path: Path) -> None:
    flat = read_coco(write_set(tmp_path / "flat" / "val.json", 3, size=(96, 64))).images
    high = read_coco(write_set(tmp_path / "high" / "val.json", 2, size=(64, 96))).images
    mixed = [flat[0], high[0], flat[1], high[1], flat[2]]
    done: list[int] = []
    detector = evaluation_detector(tiny_model(), FLOAT32)
    found = find_objects(detector, mixed, batch=8, progress=done.append)
    assert done == [2, 3]
    assert len(found.milliseconds) == 3  # without the first batch
    assert (found.milliseconds > 0).all()
    for image, detections in zip(mixed, found.detections, strict=True):
        (alone,) = detector([read_rgb(image)])
        assert len(detections) == len(alone) > 5
        np.testing.assert_allclose(detections.scores, alone.scores, atol=1e-4)
    assert find_objects(detector, []).detections == []


def test_doubtful_objects_are_found_whatever_the_model_reports_to_users(tmp_path: Path) -> None:
    model = tiny_model()
    model = replace(model, card=replace(model.card, thresholds={"*": 0.9}))
    (image,) = read_coco(write_set(tmp_path / "val.json", 1)).images
    (detections,) = find_objects(evaluation_detector(model, FLOAT32), [image]).detections
    assert len(detections) == 100
    assert detections.scores.min() < 0.5
