from __future__ import annotations

import numpy as np
import pytest

from streamdet.results.places.learning import BayLearner, row_name, rows_of
from tests.results.places.objects import SIZE, Box, seen

NEAR: list[Box] = [(100.0 + 90 * k, 300.0 + 4 * k, 180.0 + 90 * k, 390.0 + 4 * k) for k in range(4)]
FAR: list[Box] = [(150.0 + 60 * k, 180.0, 200.0 + 60 * k, 220.0) for k in range(3)]


def watch(learner: BayLearner, boxes: list[Box], start_s: float, seconds: float, **given: object) -> None:
    rng = np.random.default_rng(0)
    for k in range(int(seconds * 2)):
        trembling = [tuple((np.array(box) + rng.normal(0, 1, 4)).tolist()) for box in boxes]
        learner.update(seen(*trembling, **given), start_s + k / 2)  # type: ignore[arg-type]


def test_bays_are_where_cars_stand_in_rows_from_the_nearest() -> None:
    learner = BayLearner()
    watch(learner, [*FAR, *reversed(NEAR)], 0, 12)
    bays = learner.bays(SIZE)
    assert [bay.name for bay in bays] == ["A1", "A2", "A3", "A4", "B1", "B2", "B3"]
    for bay, box in zip(bays, [*NEAR, *FAR], strict=True):
        assert bay.box_xyxy == pytest.approx(box, abs=1.0)
        (left, bottom), (right, _), (_, top), _ = bay.polygon_xy
        assert (left, right, bottom) == (bay.box_xyxy[0], bay.box_xyxy[2], bay.box_xyxy[3])
        assert bay.box_xyxy[1] < top < bottom


def test_who_passes_or_stops_for_a_moment_has_no_bay() -> None:
    learner = BayLearner(least_s=10)
    for k in range(60):
        moving: Box = (5.0 * k, 400.0, 5.0 * k + 80, 440.0)
        learner.update(seen(NEAR[0], moving), k / 2)
    watch(learner, [NEAR[0], NEAR[1]], 30, 8)
    watch(learner, [NEAR[0]], 38, 4)
    assert [bay.box_xyxy for bay in learner.bays(SIZE)] == [pytest.approx(NEAR[0], abs=1.0)]


def test_one_after_the_other_in_one_bay_is_one_bay() -> None:
    learner = BayLearner(least_s=10)
    longer: Box = (104.0, 290.0, 186.0, 390.0)
    watch(learner, [NEAR[0]], 0, 15)
    watch(learner, [], 15, 10)
    watch(learner, [longer], 25, 30)
    assert [bay.box_xyxy for bay in learner.bays(SIZE)] == [pytest.approx(longer, abs=1.0)]


def test_a_car_that_is_hidden_now_and_then_still_stands() -> None:
    learner = BayLearner(least_s=10)
    for k in range(30):
        learner.update(seen(NEAR[0]) if k % 3 else seen(), k / 2)
    assert len(learner.bays(SIZE)) == 1


def test_people_and_weak_boxes_have_no_bay() -> None:
    learner = BayLearner(least_s=5)
    watch(learner, NEAR[:2], 0, 10, classes=["person", "car"], scores=[0.9, 0.3])
    assert learner.bays(SIZE) == []


def test_rows_may_slant() -> None:
    boxes = [np.array((50.0 * k, 200 - 8 * k, 50.0 * k + 45, 240 - 8 * k)) for k in range(10)]
    assert [len(row) for row in rows_of(boxes)] == [10]


def test_names_of_rows() -> None:
    assert [row_name(row) for row in (0, 25, 26, 27, 52)] == ["A", "Z", "AA", "AB", "BA"]
