from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from streamdet.detection.anchors import AnchorRule, anchors_per_level
from streamdet.detection.resize import InputRule
from streamdet.training.checking.coverage import anchor_coverage
from streamdet.training.checking.suggestion import suggest, with_base
from tests.networks import CLASS_NAMES
from tests.rectangles import labelled


@pytest.mark.parametrize("torchvision", [False, True])
@pytest.mark.parametrize("size", [(640, 360), (333, 500), (97, 61)])
def test_best_iou_is_that_of_all_anchors_of_the_grid(size: tuple[int, int], torchvision: bool) -> None:
    rng = np.random.default_rng(0)
    low = rng.uniform(-0.05, 0.95, (300, 2)) * size
    sides = np.exp(rng.uniform(np.log(2), np.log(max(size)), (300, 2)))  # edges, corners and far beyond the picture too
    image = labelled("a.png", size, np.concatenate((low, low + sides), axis=1), rng.integers(3, size=300))
    rule = AnchorRule(base_sides=(20.0, 40.0, 80.0, 160.0, 320.0), torchvision=torchvision)
    input_rule = InputRule(320, 544)
    coverage = anchor_coverage([image], CLASS_NAMES, rule, input_rule)

    fitting = input_rule.fit(*size)
    anchors = torch.cat(anchors_per_level(rule, fitting.padded_height, fitting.padded_width, torch.device("cpu")))
    boxes = torch.from_numpy(fitting.boxes_from_source(image.boxes_xyxy))
    np.testing.assert_allclose(coverage.best_iou, box_iou(boxes, anchors).amax(dim=1).numpy(), atol=1e-4)


def test_shares_by_size_and_class() -> None:
    rule, input_rule = AnchorRule(), InputRule(256, 256)  # the smallest anchor has 32 px
    images = [
        labelled("a.png", (256, 256), [[100, 100, 122, 122], [4, 4, 36, 36]], [0, 1]),  # 22 px: IoU 0.47 at most
        labelled("b.png", (512, 512), [[64, 64, 84, 84]], [0], ignored=[[0, 0, 400, 400]]),  # 10 px at the input
        labelled("c.png", (256, 256)),
    ]
    coverage = anchor_coverage(images, CLASS_NAMES, rule, input_rule)
    assert (coverage.total.objects, coverage.total.good) == (3, pytest.approx(1 / 3))
    small, medium, large = coverage.by_size
    assert (small.objects, small.good, small.poor) == (2, 0, pytest.approx(0.5))
    assert small.between == pytest.approx(0.5)  # 22 px on the centre of a cell: 22^2 / 32^2 = 0.473
    assert (medium.objects, medium.good) == (1, 1)
    assert (large.objects, np.isnan(large.good)) == (0, True)
    assert [row.objects for row in coverage.by_class] == [2, 1, 0]
    assert [row.name for row in coverage.by_class] == list(CLASS_NAMES)


def test_no_objects() -> None:
    coverage = anchor_coverage([labelled("a.png", (64, 64))], CLASS_NAMES, AnchorRule(), InputRule())
    assert coverage.total.objects == 0
    assert suggest([labelled("a.png", (64, 64))], coverage) == ()


def of_side(side: float, ratio: float = 1.0) -> list[list[float]]:
    """Boxes all over a picture of 640x640, each with this side and height over width."""
    rng = np.random.default_rng(1)
    width, height = side / ratio**0.5, side * ratio**0.5
    return [[x, y, x + width, y + height] for x, y in rng.uniform(0, 640 - max(width, height), (200, 2))]


def test_suggestions_keep_their_promise() -> None:
    """What they say is what a check with the suggested input and anchors then finds."""
    boxes = of_side(14) + of_side(30)
    image = labelled("a.png", (640, 640), boxes, [0] * len(boxes))
    rule = AnchorRule()
    now = anchor_coverage([image], CLASS_NAMES, rule, InputRule(640, 640))
    assert now.total.good < 0.6
    found = suggest([image], now)
    assert any(s.anchor_rule != rule and s.input_rule == now.input_rule and s.work == 1 for s in found)
    assert any(s.anchor_rule == rule and s.input_rule.short_side > 640 and s.work > 1 for s in found)
    for suggestion in found:
        then = anchor_coverage([image], CLASS_NAMES, suggestion.anchor_rule, suggestion.input_rule)
        assert then.total.good == pytest.approx(suggestion.good)
        assert then.total.poor == pytest.approx(suggestion.poor)
        assert suggestion.good >= now.total.good + 0.01
        assert f"{suggestion.good:.1%}" in str(suggestion)


def test_long_objects_call_for_other_ratios() -> None:
    boxes = of_side(100, 6.5)
    image = labelled("a.png", (640, 640), boxes, [0] * len(boxes))
    now = anchor_coverage([image], CLASS_NAMES, AnchorRule(), InputRule(640, 640))
    anchors = suggest([image], now)[0]
    assert anchors.anchor_rule.ratios[-1] == 3
    assert "ratios 0.33, 0.5, 1, 2, 3" in anchors.what


def test_good_anchors_call_for_nothing() -> None:
    boxes = of_side(64)
    image = labelled("a.png", (640, 640), boxes, [0] * len(boxes))
    now = anchor_coverage([image], CLASS_NAMES, AnchorRule(), InputRule(640, 640))
    assert now.total.good > 0.95
    assert suggest([image], now) == ()


def test_base_side_doubles_from_level_to_level() -> None:
    assert with_base(AnchorRule(), 12).base_sides == (12, 24, 48, 96, 192)
