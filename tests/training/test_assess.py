from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from streamdet.detection.precision import Placement
from streamdet.training.assess import FALSE, NOT_COUNTED, ClassCurve, assess, assess_found, match
from streamdet.training.calibration import reliability
from streamdet.training.dataset import Dataset
from streamdet.training.evaluate import evaluate, evaluation_detector
from streamdet.training.formats.coco import read_coco
from streamdet.types import Detections
from tests.findings import NAMES, pycocotools_says, random_findings
from tests.networks import CLASS_NAMES, tiny_model
from tests.rectangles import labelled, write_set

SIZE = (200, 150)
A, B, C = [10.0, 10.0, 50.0, 60.0], [100.0, 20.0, 140.0, 90.0], [20.0, 100.0, 90.0, 140.0]


def detections(*entries: tuple[list[float], float, int]) -> Detections:
    return Detections(
        np.array([box for box, _, _ in entries], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in entries], np.float32),
        np.array([class_id for _, _, class_id in entries], np.int64),
        CLASS_NAMES,
    )


def right(box: list[float], pixels: float) -> list[float]:
    return [box[0] + pixels, box[1], box[2] + pixels, box[3]]


def test_the_best_score_takes_the_object_that_it_overlaps_most() -> None:
    image = labelled("1", SIZE, [right(A, 12), A, B], [0, 0, 1])
    found = detections((A, 0.9, 0), (right(A, 1), 0.8, 0), (A, 0.7, 0), (A, 0.6, 1), (B, 0.5, 1), (B, 0.4, 2))
    assert match(image, found, CLASS_NAMES).tolist() == [1, 0, FALSE, FALSE, 2, FALSE]


def test_ignored_regions_and_unlabelled_classes_count_for_nothing() -> None:
    image = labelled("1", SIZE, [A], [0], ignored=[[0, 0, 200, 70]], ignored_classes=[0], known=(True, False, True))
    half = [100.0, 40.0, 120.0, 100.0]  # exactly half of it inside
    found = detections(
        (A, 0.9, 0),  # an object is preferred to the region around it
        (right(A, 2), 0.8, 0),
        (half, 0.7, 0),
        ([100.0, 41.0, 120.0, 101.0], 0.6, 0),
        (B, 0.5, 1),
        (A, 0.4, 2),  # the region is ignored for cars only
    )
    assert match(image, found, CLASS_NAMES).tolist() == [0, NOT_COUNTED, NOT_COUNTED, FALSE, NOT_COUNTED, FALSE]


@pytest.mark.parametrize(("seed", "unlabelled"), [(5, False), (6, True)])
def test_objects_are_matched_as_pycocotools_matches_them(seed: int, unlabelled: bool) -> None:
    dataset, found = random_findings(seed, unlabelled=unlabelled)
    reference = pycocotools_says(dataset, found)
    numbers = {image: [a["id"] for a in reference.cocoGt.imgToAnns[image]] for image in reference.cocoGt.imgs}
    compared = 0
    for record in reference.evalImgs:
        if record is None or record["aRng"] != reference.params.areaRng[0]:
            continue
        place, class_id = record["image_id"] - 1, record["category_id"] - 1
        image, ours = dataset.images[place], found[place]
        # Numbers of the image's annotations: the objects of labelled classes come first, in their order.
        objects = np.flatnonzero(image.labelled[image.class_ids])
        expected = [
            NOT_COUNTED if ignored else FALSE if not number else objects[numbers[place + 1].index(number)]
            for number, ignored in zip(record["dtMatches"][0], record["dtIgnore"][0], strict=True)
        ]
        matched = match(image, ours, NAMES)[ours.class_ids == class_id]
        assert matched[:100].tolist() == expected
        assert (matched[100:] == NOT_COUNTED).all()
        compared += len(expected)
    assert compared > 300


def interpolated(curve: ClassCurve) -> float:
    """COCO's average precision: the mean over 101 points of recall of the best precision from there on."""
    points = np.linspace(0, 1, 101)
    return float(np.mean([curve.precision[curve.recall >= point].max(initial=0.0) for point in points]))


@pytest.mark.parametrize(("seed", "unlabelled"), [(7, False), (8, True)])
def test_the_curves_give_the_average_precision_of_the_scores(seed: int, unlabelled: bool) -> None:
    assessment = assess_found(*random_findings(seed, unlabelled=unlabelled))
    assert tuple(assessment.curves) == NAMES
    for name, curve in assessment.curves.items():
        assert (np.diff(curve.scores) <= 0).all()
        if name == "bus":
            assert curve.objects == 0
            assert len(curve.scores) > 0
            assert np.isnan(curve.recall).all()
            assert (curve.precision == 0).all()
        else:
            assert curve.objects > 0
            assert interpolated(curve) == pytest.approx(assessment.scores.ap50_per_class[name], abs=1e-6)
    assert interpolated(assessment.curves["car"]) > 0.1


def test_through_the_detector(tmp_path: Path) -> None:
    dataset = read_coco(write_set(tmp_path / "val.json", 5))
    detector = evaluation_detector(tiny_model(), Placement(torch.device("cpu"), torch.float32))
    done: list[int] = []
    assessment = assess(detector, dataset, batch=3, progress=done.append)
    assert done == [3, 2]
    assert assessment.scores.to_json() == evaluate(detector, dataset).to_json()
    assert [result.image for result in assessment.images] == list(dataset.images)
    assert all(len(result.matched) == len(result.detections) for result in assessment.images)


def test_reliability() -> None:
    objects = [[20.0 * k, 10.0, 20.0 * k + 16, 26.0] for k in range(8)]
    image = labelled("1", SIZE, objects[:5], [0] * 5, known=(True, False, True))
    found = detections(
        (objects[0], 1.0, 0),
        (objects[1], 0.75, 0),
        (objects[2], 0.75, 0),
        (objects[3], 0.75, 0),
        (objects[6], 0.75, 0),  # nothing is there
        (objects[7], 0.5, 1),  # of a class that says nothing here
        (objects[4], 0.25, 0),
    )
    found_out = reliability(assess_found(Dataset("drawn", CLASS_NAMES, (image,)), [found]), bins=4)
    assert found_out.counts.tolist() == [0, 1, 0, 5]
    np.testing.assert_allclose(found_out.mean_scores, [np.nan, 0.25, np.nan, 0.8])
    np.testing.assert_allclose(found_out.shares_right, [np.nan, 1.0, np.nan, 0.8])
    assert found_out.error == pytest.approx(0.75 / 6)
    nothing = reliability(assess_found(Dataset("drawn", CLASS_NAMES, (image,)), [Detections.empty(CLASS_NAMES)]))
    assert math.isnan(nothing.error)
    assert nothing.counts.tolist() == [0] * 10
