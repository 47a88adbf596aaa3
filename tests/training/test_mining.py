from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou

from streamdet.detection.anchors import AnchorRule, anchors_per_level
from streamdet.training import mining
from streamdet.training.mining import hardest

ANCHORS = torch.cat(anchors_per_level(AnchorRule(base_sides=(16, 32, 64, 128, 256)), 96, 96, torch.device("cpu")))


def losses_and_masks(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Losses, positive and eligible anchors."""
    generator = torch.Generator().manual_seed(seed)
    losses = torch.rand(len(ANCHORS), generator=generator)
    positive = torch.rand(len(ANCHORS), generator=generator) < 0.02
    return losses, positive, torch.rand(len(ANCHORS), generator=generator) < 0.9


def one_by_one(losses: Tensor, eligible: Tensor, nms_iou: float) -> list[int]:
    """All anchors that suppression leaves, hardest first, by its definition."""
    overlaps = box_iou(ANCHORS, ANCHORS) > nms_iou
    taken = torch.zeros(len(ANCHORS), dtype=torch.bool)
    kept: list[int] = []
    for place in losses.argsort(descending=True).tolist():
        if eligible[place] and not (overlaps[place] & taken).any():
            kept.append(place)
            taken[place] = True
    return kept


@pytest.mark.parametrize("nms_iou", [0.5, 0.7])
def test_the_hardest_that_do_not_repeat_a_harder_one(nms_iou: float) -> None:
    losses, positive, eligible = losses_and_masks(0)
    found = hardest(losses, ANCHORS, positive, eligible, examples=40, nms_iou=nms_iou, negatives_per_positive=None)
    assert found.tolist() == one_by_one(losses, eligible, nms_iou)[:40]


def test_three_negatives_to_each_positive() -> None:
    losses, positive, eligible = losses_and_masks(1)
    kept = one_by_one(losses, eligible, 0.5)
    for examples in (20, 400):
        found = hardest(
            losses, ANCHORS, positive, eligible, examples=examples, nms_iou=0.5, negatives_per_positive=3
        ).tolist()
        positives = [place for place in kept if positive[place]][: examples // 4]
        negatives = [place for place in kept if not positive[place]][: 3 * len(positives)]
        assert sorted(found) == sorted(positives + negatives)
    nothing = torch.zeros_like(positive)
    found = hardest(losses, ANCHORS, nothing, eligible, examples=20, nms_iou=0.5, negatives_per_positive=3)
    assert found.tolist() == kept[:3]  # an empty picture still teaches something


def test_positives_are_looked_at_however_easy_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mining, "CANDIDATES", 50)
    losses, positive, eligible = losses_and_masks(2)
    losses[positive] = 0.0
    found = hardest(losses, ANCHORS, positive, eligible, examples=40, nms_iou=0.5, negatives_per_positive=3)
    assert positive[found].sum() > 3
    assert eligible[found].all()


def test_nothing_to_learn_from() -> None:
    losses, positive, _ = losses_and_masks(3)
    nobody = torch.zeros_like(positive)
    for ratio in (None, 3):
        found = hardest(losses, ANCHORS, positive, nobody, examples=40, nms_iou=0.5, negatives_per_positive=ratio)
        assert found.tolist() == []
