from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from streamdet.detection.checkpoint import load_model, save_model
from streamdet.detection.precision import Placement
from streamdet.errors import DataError, ModelError
from streamdet.training.assess import FALSE, NOT_COUNTED, Assessment, ImageResult
from streamdet.training.calibration import Scaling, fit_scaling, reliability, save_scaling
from streamdet.training.dataset import Dataset
from streamdet.training.evaluate import evaluation_detector
from streamdet.training.start import continue_network
from streamdet.types import Detections
from tests.networks import CLASS_NAMES, noise_picture, tiny_model
from tests.rectangles import labelled

TRUTH = Scaling(1.7, -0.6)


def assessment_of(count: int, seed: int = 0) -> Assessment:
    """Detections whose scores are right as often as `TRUTH` says; every fifth doesn't count."""
    rng = np.random.default_rng(seed)
    scores = np.sort(rng.uniform(0.05, 0.95, count))[::-1].astype(np.float32)
    boxes = np.tile(np.array([[0, 0, 9, 9]], np.float32), (count, 1))
    found = Detections(boxes, scores, np.zeros(count, np.int64), CLASS_NAMES)
    matched = np.where(rng.random(count) < TRUTH.apply(found).scores, 0, FALSE)
    matched[::5] = NOT_COUNTED
    image = labelled("1", (100, 100), [[0.0, 0.0, 9.0, 9.0]], [0])
    result = ImageResult(image, found, matched)
    return Assessment(Dataset("drawn", CLASS_NAMES, (image,)), None, {}, (result,))  # type: ignore[arg-type]


def test_the_scaling_that_made_the_scores_wrong_is_found() -> None:
    assessments = [assessment_of(20_000, 0), assessment_of(20_000, 1)]
    fitted = fit_scaling(assessments)
    assert fitted.slope == pytest.approx(TRUTH.slope, abs=0.08)
    assert fitted.offset == pytest.approx(TRUTH.offset, abs=0.08)
    before = assessments[0]
    [result] = before.images
    after = Assessment(
        before.dataset, before.scores, {}, (ImageResult(result.image, fitted.apply(result.detections), result.matched),)
    )
    assert reliability(before).error > 0.08
    assert reliability(after).error < 0.02
    assert (np.diff(after.images[0].detections.scores) <= 0).all()


def test_too_few_detections_to_fit_to() -> None:
    with pytest.raises(DataError, match=r"are right and \d+ wrong, too few to calibrate"):
        fit_scaling([assessment_of(60)])


def test_scores_that_rank_the_wrong_way_round_are_refused() -> None:
    right_way = assessment_of(2000)
    [result] = right_way.images
    matched = np.where(result.matched == NOT_COUNTED, NOT_COUNTED, np.where(result.matched == FALSE, 0, FALSE))
    turned = Assessment(
        right_way.dataset, right_way.scores, {}, (ImageResult(result.image, result.detections, matched),)
    )
    with pytest.raises(DataError, match="higher scores are not more often right"):
        fit_scaling([turned])


def test_a_saved_scaling_changes_the_logits_and_nothing_else(tmp_path: Path) -> None:
    model, path = tiny_model(), tmp_path / "scaled.safetensors"
    save_model(path, model.network, model.card)
    original = load_model(path)
    picture = torch.rand(1, 3, 96, 160, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = original.network(picture)
        save_scaling(path, Scaling(1.5, -0.25))
        after = load_model(path).network(picture)
    for old, new in zip(before.logits, after.logits, strict=True):
        torch.testing.assert_close(new, 1.5 * old - 0.25, atol=0.02, rtol=0.002)  # the file holds float16
    for old, new in zip(before.deltas, after.deltas, strict=True):
        assert torch.equal(old, new)
    assert load_model(path).card == replace(original.card, logit_scaling=(1.5, -0.25))
    save_scaling(path, Scaling(2, 1))
    again = load_model(path)
    assert again.card.logit_scaling == (3, 0.5)
    network, _, _ = continue_network(again, again.card.class_names, 0, batch_norm="live")
    with torch.inference_mode():
        for old, new in zip(before.logits, network.eval()(picture).logits, strict=True):
            torch.testing.assert_close(new, old, atol=0.02, rtol=0.002)
    with pytest.raises(ModelError, match=r"can't be changed"):
        save_scaling(tmp_path / "absent.safetensors", Scaling(1, 0))


def test_an_evaluation_sees_the_same_objects_after_calibration(tmp_path: Path) -> None:
    model, path = tiny_model(), tmp_path / "scaled.safetensors"
    save_model(path, model.network, model.card)
    placement, picture = Placement(torch.device("cpu"), torch.float32), noise_picture(320, 180)
    (before,) = evaluation_detector(load_model(path), placement)([picture])
    save_scaling(path, Scaling(1.0, -8.0))
    (after,) = evaluation_detector(load_model(path), placement)([picture])
    assert len(after) == len(before) > 50
    assert after.scores.max() < 0.02 < before.scores.min()
