from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou

from streamdet.detection.postprocess import ImageDetections, PostprocessRule, postprocess
from streamdet.detection.voting import CLOSENESS, LEAST_IOU, LEAST_SHARE, voted_boxes
from tests.detection.test_postprocess import ANCHORS, HEIGHT, WIDTH, random_heads

NMS_ONLY = PostprocessRule(score_threshold=0.3)
VOTING = replace(NMS_ONLY, voting=True)
NO_TOP = 10_000


def crowd(seed: int, count: int = 200) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes, scores and classes, best first."""
    generator = torch.Generator().manual_seed(seed)
    corners = 40 * torch.rand(count, 2, generator=generator)
    boxes = torch.cat((corners, corners + 20 + 20 * torch.rand(count, 2, generator=generator)), 1)
    scores = torch.rand(count, generator=generator).sort(descending=True).values
    return boxes, scores, torch.randint(3, (count,), generator=generator)


def naive(boxes: Tensor, scores: Tensor, class_ids: Tensor, place: int) -> list[float]:
    """One kept box, one vote after another."""
    sums, weights = [0.0] * 4, 0.0
    for box, score, class_id in zip(boxes.tolist(), scores.tolist(), class_ids.tolist(), strict=True):
        iou = float(box_iou(boxes[place : place + 1], torch.tensor([box])))
        share = score / float(scores[place])
        if class_id == class_ids[place] and iou > LEAST_IOU and share >= LEAST_SHARE:
            weight = share**2 * math.exp(-((1 - iou) ** 2) / CLOSENESS)
            sums = [total + weight * side for total, side in zip(sums, box, strict=True)]
            weights += weight
    return [total / weights for total in sums]


def test_equal_to_counting_one_vote_after_another() -> None:
    boxes, scores, class_ids = crowd(0)
    keep = torch.tensor([0, 3, 20, 90])
    expected = torch.tensor([naive(boxes, scores, class_ids, place) for place in keep.tolist()])
    voted = voted_boxes(boxes, scores, class_ids, keep)
    assert voted.dtype == torch.float32
    torch.testing.assert_close(voted, expected, atol=1e-4, rtol=1e-5)
    assert (voted - boxes[keep]).abs().max() > 0.5  # it does something here


def test_it_changes_where_objects_are_and_nothing_else() -> None:
    heads = random_heads(5, images=2)
    for by_nms, by_vote in zip(
        postprocess(heads, ANCHORS, HEIGHT, WIDTH, NMS_ONLY),
        postprocess(heads, ANCHORS, HEIGHT, WIDTH, VOTING),
        strict=True,
    ):
        assert torch.equal(by_vote.scores, by_nms.scores)
        assert torch.equal(by_vote.class_ids, by_nms.class_ids)
        assert not torch.equal(by_vote.boxes, by_nms.boxes)
        assert box_iou(by_vote.boxes, by_nms.boxes).diagonal().nan_to_num(1).min() > LEAST_IOU  # nan: no area


@pytest.mark.parametrize("least", [None, torch.tensor([0.3, 0.6, float("inf")])])
def test_boxes_do_not_depend_on_what_else_is_reported(least: Tensor | None) -> None:
    heads = random_heads(5)
    rule = replace(VOTING, top_k=NO_TOP)
    (some,) = postprocess(heads, ANCHORS, HEIGHT, WIDTH, rule, least)
    (more,) = postprocess(heads, ANCHORS, HEIGHT, WIDTH, replace(rule, score_threshold=0.11))
    limits = torch.full((3,), VOTING.score_threshold) if least is None else least
    expected = more.scores > limits[more.class_ids]
    assert 3 < len(some.scores) < len(more.scores)
    assert torch.equal(some.scores, more.scores[expected])
    torch.testing.assert_close(some.boxes, more.boxes[expected], atol=1e-5, rtol=0)


def test_those_who_only_vote_take_no_place_from_those_that_are_reported() -> None:
    heads = random_heads(5)
    least = torch.tensor([0.3, 0.9, 0.3])
    (found,) = postprocess(heads, ANCHORS, HEIGHT, WIDTH, replace(VOTING, max_detections=12), least)
    (expected,) = postprocess(heads, ANCHORS, HEIGHT, WIDTH, replace(NMS_ONLY, max_detections=12), least)
    assert len(found.scores) == 12
    assert torch.equal(found.scores, expected.scores)


@pytest.mark.parametrize("broken", [[7.0, 7.0, 7.0, 7.0], [float("nan")] * 4])
def test_boxes_without_area_or_number_stay_alone(broken: list[float]) -> None:
    boxes, scores, class_ids = crowd(1)
    keep = torch.tensor([0, 2, 50])
    intact = voted_boxes(boxes, scores, class_ids, keep)
    boxes[2] = torch.tensor(broken)
    voted = voted_boxes(boxes, scores, class_ids, keep)
    assert torch.equal(voted[1].nan_to_num(-1), boxes[2].nan_to_num(-1))
    boxes[2] = boxes[0] + 1000
    torch.testing.assert_close(voted[[0, 2]], voted_boxes(boxes, scores, class_ids, keep)[[0, 2]])
    assert intact.isfinite().all()


def test_nothing_found() -> None:
    (found,) = postprocess(random_heads(1, mean=-50.0), ANCHORS, HEIGHT, WIDTH, VOTING)
    assert isinstance(found, ImageDetections)
    assert found.boxes.shape == (0, 4)
