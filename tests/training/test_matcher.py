from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.models.detection._utils import Matcher
from torchvision.ops import box_iou

from streamdet.training.matcher import BELOW, BETWEEN, MatchRule, assign, make_targets, match, overlap_of_anchor

WHOLE = torch.tensor([[0.0, 0.0, 200.0, 200.0]])


def random_boxes(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, generator=generator) * 150
    return torch.cat((corners, corners + 5 + torch.rand(count, 2, generator=generator) * 60), dim=1)


@pytest.mark.parametrize(("rescue", "matches"), [(True, [-1, 0, -2, 0, 0, 0]), (False, [-1, -1, -2, -2, 0, 0])])
def test_vectors_of_the_reference(rescue: bool, matches: list[int]) -> None:
    iou = torch.tensor([[0.1, 0.39, 0.40, 0.49, 0.50, 0.9], [0.2, 0.3, 0.05, 0.30, 0.10, 0.0]])
    assert assign(iou, MatchRule(rescue=rescue)).tolist() == matches


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("high", "low", "rescue"), [(0.5, 0.4, True), (0.5, 0.4, False), (0.6, 0.3, True)])
def test_equal_to_torchvisions_matcher(seed: int, high: float, low: float, rescue: bool) -> None:
    anchors, boxes = random_boxes(400, seed), random_boxes(1 + seed % 7, 100 + seed)
    anchors[7], anchors[11] = boxes[0], boxes[0]  # a tie
    theirs = Matcher(high, low, allow_low_quality_matches=rescue)
    assert torch.equal(match(boxes, anchors, MatchRule(high, low, rescue)), theirs(box_iou(boxes, anchors)))


def test_wrong_rules_are_refused() -> None:
    with pytest.raises(ValueError, match=r"negative_iou is 0\.6 and positive_iou is 0\.5; give"):
        MatchRule(negative_iou=0.6)


def test_an_object_that_meets_no_anchor_claims_none() -> None:
    anchors = random_boxes(50, 0)
    far_away = torch.tensor([[900.0, 900.0, 910.0, 910.0]])
    assert match(far_away, anchors).tolist() == [BELOW] * 50  # torchvision would make all 50 positive
    assert match(torch.zeros(0, 4), anchors).tolist() == [BELOW] * 50


def test_small_objects_get_their_best_anchor() -> None:
    anchors = torch.tensor([[0.0, 0.0, 32.0, 32.0], [32.0, 0.0, 64.0, 32.0]])
    small = torch.tensor([[6.0, 6.0, 26.0, 26.0]])
    assert match(small, anchors).tolist() == [0, BELOW]  # IoU 0.391
    assert match(small, anchors, MatchRule(rescue=False)).tolist() == [BELOW, BELOW]


def test_overlap() -> None:
    anchors = torch.tensor([[0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 20.0], [50.0, 50.0, 60.0, 60.0]])
    regions = torch.tensor([[5.0, 0.0, 25.0, 10.0], [0.0, 0.0, 2.0, 100.0]])
    torch.testing.assert_close(overlap_of_anchor(anchors, regions), torch.tensor([0.5, 0.25, 0.0]))


def targets_of(
    anchors: list[list[float]],
    boxes: list[list[float]] = [],  # noqa: B006 (never changed)
    class_ids: list[int] = [],  # noqa: B006
    *,
    ignored: list[list[float]] = [],  # noqa: B006
    regions: Tensor = WHOLE,
    known: list[list[bool]] = [[True, True, True]],  # noqa: B006
) -> tuple[list[int], list[list[int]]]:
    targets = make_targets(
        torch.tensor(anchors),
        torch.tensor(boxes).reshape(-1, 4),
        torch.tensor(class_ids, dtype=torch.int64),
        torch.tensor(ignored).reshape(-1, 4),
        regions,
        torch.tensor(known),
    )
    return targets.matches.tolist(), targets.counted.int().tolist()


SQUARE = [10.0, 10.0, 50.0, 50.0]
HALF_OFF = [10.0, 27.0, 50.0, 67.0]  # IoU 0.404 with SQUARE
ELSEWHERE = [100.0, 100.0, 140.0, 140.0]


def test_positives_and_negatives_count_and_those_between_do_not() -> None:
    matches, counted = targets_of([SQUARE, HALF_OFF, ELSEWHERE], [SQUARE], [1])
    assert matches == [0, BETWEEN, BELOW]
    assert counted == [[1, 1, 1], [0, 0, 0], [1, 1, 1]]


def test_classes_that_were_not_labelled_say_nothing() -> None:
    matches, counted = targets_of([SQUARE, ELSEWHERE], [SQUARE], [1], known=[[True, False, False]])
    assert matches == [0, BELOW]
    assert counted == [[1, 1, 0], [1, 0, 0]]  # the object itself counts though its class is not exhaustive


def test_ignored_regions_silence_negatives_only() -> None:
    inside, half, touching = [102.0, 102.0, 130.0, 130.0], [80.0, 100.0, 120.0, 140.0], [70.0, 100.0, 110.0, 140.0]
    matches, counted = targets_of([SQUARE, inside, half, touching], [SQUARE], [2], ignored=[SQUARE, ELSEWHERE])
    assert matches == [0, BELOW, BELOW, BELOW]
    assert counted == [[1, 1, 1], [0, 0, 0], [0, 0, 0], [1, 1, 1]]


def test_an_ignored_object_smaller_than_the_anchors_silences_those_that_it_would_have() -> None:
    """Half of none of them lies in it; as an object it would take the one that fits best."""
    tiny = [20.0, 20.0, 30.0, 30.0]
    around, beside = [15.0, 15.0, 35.0, 35.0], [24.0, 15.0, 44.0, 35.0]
    matches, counted = targets_of([around, beside], ignored=[tiny])
    assert matches == [BELOW, BELOW]
    assert counted == [[0, 0, 0], [1, 1, 1]]


def test_each_part_of_a_mosaic_knows_its_own_classes() -> None:
    regions = torch.tensor([[0.0, 0.0, 60.0, 60.0], [60.0, 0.0, 120.0, 60.0]])
    known = [[True, True, False], [False, True, True]]
    left, right, beneath = [5.0, 5.0, 25.0, 25.0], [70.0, 5.0, 90.0, 25.0], [30.0, 90.0, 50.0, 110.0]
    border = [50.0, 20.0, 70.0, 40.0]  # its centre lies on the border: the right part's
    _, counted = targets_of([left, right, beneath, border], regions=regions, known=known)
    assert counted == [[1, 1, 0], [0, 1, 1], [1, 1, 1], [0, 1, 1]]
