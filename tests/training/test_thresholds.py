from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from streamdet.detection.checkpoint import HEADER_KEY, load_model, save_model
from streamdet.detection.detector import Detector
from streamdet.errors import DataError, ModelError, OutputError
from streamdet.training.assess import Assessment, assess_found
from streamdet.training.dataset import Dataset
from streamdet.training.thresholds import Choice, choose_thresholds, operating_point, save_thresholds
from streamdet.types import Detections
from tests.networks import CLASS_NAMES, noise_picture, tiny_model
from tests.rectangles import labelled

SIZE = (64, 48)


def thresholds_of(assessments: Sequence[Assessment], precision: float | None = None) -> dict[str, float]:
    return choose_thresholds(assessments, precision=precision).thresholds


def assessment(*classes: tuple[list[float], list[float], int], name: str = "drawn") -> Assessment:
    """Per class: scores of right detections, scores of false ones, and how many objects nothing found."""
    images, found = [], []
    for class_id, (right, false, missed) in enumerate(classes):
        box = [0.0, 0.0, 16.0, 16.0]
        for score in (*right, *[None] * missed):  # one picture each, as COCO looks at 100 detections in a picture
            images.append(labelled(str(len(images)), SIZE, [box], [class_id]))
            found.append(detections(class_id, box, score))
        for score in false:
            images.append(labelled(str(len(images)), SIZE))
            found.append(detections(class_id, box, score))
    return assess_found(Dataset(name, CLASS_NAMES, tuple(images)), found)


def detections(class_id: int, box: list[float], score: float | None) -> Detections:
    if score is None:
        return Detections.empty(CLASS_NAMES)
    return Detections(np.float32([box]), np.float32([score]), np.int64([class_id]), CLASS_NAMES)


def spread(low: float, high: float, count: int) -> list[float]:
    return np.linspace(low, high, count).tolist()


def brute_f1(scores: list[float], right: list[bool], objects: int) -> dict[float, float]:
    """F1 by threshold, counted one by one."""
    curve = {}
    for hundredth in range(2, 99):
        kept = [
            hit for score, hit in zip(scores, right, strict=True) if np.float32(score) > np.float32(hundredth / 100)
        ]
        curve[hundredth / 100] = 2 * sum(kept) / (len(kept) + objects)
    return curve


def test_the_middle_of_the_range_with_the_best_f1() -> None:
    found = assessment((spread(0.6, 0.9, 30), spread(0.1, 0.3, 30), 5))
    assert thresholds_of([found]) == {"*": 0.44, "car": 0.44}  # nothing changes from 0.30 to 0.59


def test_random_scores_are_cut_within_a_percent_of_the_best_f1() -> None:
    rng = np.random.default_rng(0)
    right, false = rng.beta(5, 3, 80).tolist(), rng.beta(2, 5, 120).tolist()
    chosen = thresholds_of([assessment((right, false, 20))])["car"]
    curve = brute_f1(right + false, [True] * 80 + [False] * 120, 100)
    best = max(curve, key=lambda threshold: curve[threshold])
    assert curve[chosen] >= 0.99 * curve[best]
    low, high = sorted((chosen, best))
    assert all(f1 >= 0.99 * curve[best] for threshold, f1 in curve.items() if low <= threshold <= high)
    (point,) = [operating_point(assessment((right, false, 20)).curves["car"], chosen)]
    assert point.f1 == pytest.approx(curve[chosen])
    assert point.f1 == pytest.approx(2 / (1 / point.precision + 1 / point.recall))


def test_a_class_with_few_objects_is_left_to_all_others() -> None:
    many = (spread(0.6, 0.9, 30), spread(0.1, 0.3, 30), 0)
    few = (spread(0.2, 0.3, 19), [], 0)
    chosen = thresholds_of([assessment(many, few)])
    assert set(chosen) == {"*", "car"}
    enough = (spread(0.2, 0.3, 19), [], 1)
    chosen = thresholds_of([assessment(many, enough)])
    assert set(chosen) == {"*", "car", "person"}
    assert chosen["person"] < 0.2 < chosen["car"]


def test_a_class_that_is_never_detected_does_not_pull_at_the_others() -> None:
    alone = assessment((spread(0.3, 0.9, 30), spread(0.1, 0.7, 30), 0))
    with_unknown = assessment((spread(0.3, 0.9, 30), spread(0.1, 0.7, 30), 0), ([], [], 300))
    assert thresholds_of([with_unknown]) == thresholds_of([alone])


def test_sets_are_pooled() -> None:
    first = assessment((spread(0.6, 0.9, 30), spread(0.1, 0.3, 30), 0), name="first")
    second = assessment((spread(0.4, 0.9, 15), spread(0.1, 0.59, 100), 2), name="second")
    together = assessment(
        (spread(0.6, 0.9, 30) + spread(0.4, 0.9, 15), spread(0.1, 0.3, 30) + spread(0.1, 0.59, 100), 2)
    )
    chosen = thresholds_of([first, second])
    assert chosen == thresholds_of([together])
    assert chosen["car"] > thresholds_of([first])["car"]


def test_a_precision_is_reached_at_the_lowest_score_from_which_it_stays() -> None:
    # 90% right above 0.5, half below; one false detection at the very top.
    right = spread(0.505, 0.9, 90) + spread(0.1, 0.495, 50)
    false = [0.95, *spread(0.51, 0.85, 8), *spread(0.105, 0.49, 50)]
    found = assessment((right, false, 10))
    curve = found.curves["car"]
    at_90 = thresholds_of([found], precision=0.9)["car"]
    assert 0.4 < at_90 < 0.55
    assert operating_point(curve, at_90).precision >= 0.9 > operating_point(curve, at_90 - 0.01).precision
    at_70 = thresholds_of([found], precision=0.7)["car"]
    assert at_70 < at_90
    assert operating_point(curve, at_70).precision >= 0.7
    assert operating_point(curve, at_70).recall > operating_point(curve, at_90).recall


def test_a_lucky_dip_is_not_taken_for_a_precision() -> None:
    # Only from 0.185 to 0.205 are 9 in 10 right: above lie false ones, and below too.
    right = spread(0.405, 0.9, 40) + [0.205] * 50
    false = spread(0.401, 0.404, 3) + spread(0.25, 0.39, 7) + spread(0.15, 0.185, 20)
    found = assessment((right, false, 0))
    curve = found.curves["car"]
    assert operating_point(curve, 0.20).precision == 0.9
    assert operating_point(curve, 0.21).precision < 0.9
    assert thresholds_of([found], precision=0.9)["car"] > 0.3


def test_a_precision_out_of_reach_is_told() -> None:
    good = (spread(0.6, 0.9, 40), spread(0.1, 0.3, 40), 0)
    poor = (spread(0.2, 0.5, 30), spread(0.2, 0.59, 60), 0)
    choice = choose_thresholds([assessment(good, poor)], precision=0.99)
    assert choice.short_of_target == ("person",)  # all together can: by the good ones alone
    assert choice.thresholds["person"] == thresholds_of([assessment(good, poor)])["person"]
    assert choose_thresholds([assessment(good, poor)]).short_of_target == ()


def test_without_objects_there_is_nothing_to_choose_by() -> None:
    for found in (assessment(([], [0.5, 0.6], 0), name="empty"), assessment(([], [], 3), name="empty")):
        with pytest.raises(DataError, match="no class that the model detects has objects in empty, so no threshold"):
            choose_thresholds([found])
    with pytest.raises(DataError, match="in no data set"):
        choose_thresholds([])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    model = tiny_model()
    card = replace(model.card, thresholds={"*": 0.4, "bicycle": 0.7})
    save_model(tmp_path / "a.safetensors", model.network, card)
    return tmp_path / "a.safetensors"


def header(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


def test_saved_thresholds_leave_the_tensors_as_they_are(path: Path) -> None:
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    tensors["odd"] = torch.tensor([float("nan"), -0.0, 6e-8], dtype=torch.float16)
    fields = {**json.loads(header(path)[HEADER_KEY]), "later": "kept"}
    save_file(tensors, path, metadata={HEADER_KEY: json.dumps(fields), "other": "kept too"})
    path.chmod(0o640)
    save_thresholds(path, Choice({"*": 0.35, "car": 0.21}))
    after = load_file(path)
    assert after.keys() == tensors.keys()
    assert torch.float16 in {tensor.dtype for tensor in after.values()}
    for name, tensor in after.items():
        assert tensor.dtype == tensors[name].dtype
        assert tensor.numpy().tobytes() == tensors[name].numpy().tobytes(), name
    assert header(path)["other"] == "kept too"
    assert json.loads(header(path)[HEADER_KEY]) == {**fields, "thresholds": {"*": 0.35, "bicycle": 0.7, "car": 0.21}}
    assert path.stat().st_mode & 0o777 == 0o640
    assert [file.name for file in path.parent.iterdir()] == ["a.safetensors"]


def test_a_class_with_few_objects_loses_the_threshold_that_it_had(path: Path) -> None:
    """What is shown is what is saved: it is left to "*". Of a class without objects nothing is known: its own stays."""
    few, many = (spread(0.5, 0.9, 5), spread(0.1, 0.3, 5), 0), (spread(0.6, 0.9, 40), spread(0.1, 0.3, 40), 0)
    choice = choose_thresholds([assessment(many, few)])
    assert choice.left_to_all_others == ("person",)
    model = load_model(path)
    own = {"*": 0.4, "bicycle": 0.7, "person": 0.9}
    save_model(path, model.network, replace(model.card, thresholds=own))
    save_thresholds(path, choice)
    saved = load_model(path).card
    assert saved.thresholds == {"*": choice.thresholds["*"], "car": choice.thresholds["car"], "bicycle": 0.7}
    assert saved.threshold("person") == choice.thresholds["*"]


def test_the_detector_reports_by_the_saved_thresholds(path: Path) -> None:
    picture = noise_picture(320, 180)
    lowest = {name: score for _, score, name in Detector.load(path, conf=0.1)([picture])[0]}
    assert lowest["car"] < 0.3
    save_thresholds(path, Choice({"*": 0.5, "car": 0.3}))
    assert load_model(path).card.thresholds == {"*": 0.5, "bicycle": 0.7, "car": 0.3}
    lowest = {name: score for _, score, name in Detector.load(path)([picture])[0]}
    assert 0.3 < lowest["car"] < 0.5 < lowest["person"]
    assert lowest.get("bicycle", 1.0) > 0.7
    lowest = {name: score for _, score, name in Detector.load(path, conf=0.1)([picture])[0]}
    assert max(lowest.values()) < 0.3


def test_files_that_can_not_take_thresholds(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(3)}, foreign)
    (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:1000])
    for name in ("foreign.safetensors", "cut.safetensors", "absent.safetensors"):
        with pytest.raises(ModelError, match=rf"{name} can't be changed .*give a file that"):
            save_thresholds(tmp_path / name, Choice({"*": 0.5}))
    before = path.read_bytes()
    (tmp_path / "a.safetensors.part").mkdir()  # as good as a disk that refuses
    with pytest.raises(OutputError, match=r"a\.safetensors can't be rewritten .*it stands as it was"):
        save_thresholds(path, Choice({"*": 0.5}))
    assert path.read_bytes() == before
