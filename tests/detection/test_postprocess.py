from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou

from streamdet.detection.anchors import AnchorRule, anchors_per_level
from streamdet.detection.postprocess import SCAN_BLOCK, ImageDetections, PostprocessRule, places_above, postprocess
from streamdet.detection.retinanet import HeadOutputs

HEIGHT, WIDTH, CLASSES = 60, 90, 3
ANCHORS = anchors_per_level(AnchorRule(base_sides=(16, 32, 64, 128, 256)), 64, 96, torch.device("cpu"))


def random_heads(seed: int, *, images: int = 1, mean: float = -2.0, dtype: torch.dtype = torch.float32) -> HeadOutputs:
    generator = torch.Generator().manual_seed(seed)
    logits = [(mean + torch.randn(images, len(a), CLASSES, generator=generator)).to(dtype) for a in ANCHORS]
    deltas = [(0.3 * torch.randn(images, len(a), 4, generator=generator)).to(dtype) for a in ANCHORS]
    return HeadOutputs(logits, deltas)


def naive(heads: HeadOutputs, image: int, rule: PostprocessRule) -> list[tuple[float, int, list[float]]]:
    """The paper's inference, one candidate after another: (score, class, box), best first."""
    found: list[tuple[float, int, list[float]]] = []
    for logits, deltas, anchors in zip(heads.logits, heads.deltas, ANCHORS, strict=True):
        scores = logits[image].float().sigmoid()
        candidates = sorted(
            ((float(scores[row, k]), k, row) for row, k in (scores > rule.score_threshold).nonzero().tolist()),
            reverse=True,
        )
        for score, k, row in candidates[: rule.top_k]:
            x1, y1, x2, y2 = anchors[row].tolist()
            dx, dy, dw, dh = deltas[image, row].float().tolist()
            width, height = x2 - x1, y2 - y1
            x, y = x1 + width / 2 + dx * width, y1 + height / 2 + dy * height
            half_width, half_height = width * torch.tensor(dw).exp() / 2, height * torch.tensor(dh).exp() / 2
            box = [x - half_width, y - half_height, x + half_width, y + half_height]
            limits = (WIDTH, HEIGHT, WIDTH, HEIGHT)
            found.append((score, k, [float(min(max(v, 0), m)) for v, m in zip(box, limits, strict=True)]))
    found.sort(key=lambda entry: -entry[0])
    kept: list[tuple[float, int, list[float]]] = []
    for score, k, box in found:
        rivals = [other for _, other_class, other in kept if other_class == k]
        if not rivals or box_iou(torch.tensor([box]), torch.tensor(rivals)).nan_to_num(0).max() <= rule.nms_iou:
            kept.append((score, k, box))
    return kept[: rule.max_detections]


def assert_same(found: ImageDetections, expected: list[tuple[float, int, list[float]]]) -> None:
    assert found.class_ids.tolist() == [k for _, k, _ in expected]
    torch.testing.assert_close(found.scores, torch.tensor([score for score, _, _ in expected]))
    boxes = torch.tensor([box for _, _, box in expected]).reshape(-1, 4)
    torch.testing.assert_close(found.boxes, boxes, atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize(
    "rule",
    [
        PostprocessRule(score_threshold=0.3),
        PostprocessRule(score_threshold=0.2, top_k=40),
        PostprocessRule(score_threshold=0.2, top_k=100, nms_iou=0.2, max_detections=17),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_equal_to_a_naive_inference(rule: PostprocessRule, dtype: torch.dtype) -> None:
    heads = random_heads(5, images=2)
    heads = HeadOutputs([x.to(dtype) for x in heads.logits], [x.to(dtype) for x in heads.deltas])
    found = postprocess(heads, ANCHORS, HEIGHT, WIDTH, rule)
    assert len(found) == 2
    for image, detections in enumerate(found):
        assert detections.boxes.dtype == detections.scores.dtype == torch.float32
        expected = naive(heads, image, rule)
        assert len(expected) > 10
        if dtype == torch.float32:
            assert_same(detections, expected)
        else:  # equal scores are frequent, and their order is free: which of two equals NMS keeps may differ
            assert abs(len(detections.scores) - len(expected)) <= 0.1 * len(expected)
            best = torch.tensor([score for score, _, _ in expected])[:5]
            torch.testing.assert_close(detections.scores[:5], best)


def one_candidate(*rows: int, logit: float = 2.0, dtype: torch.dtype = torch.float32) -> HeadOutputs:
    heads = random_heads(0, mean=-50.0, dtype=dtype)
    for row in rows:
        heads.logits[0][0, row, 1] = logit
        heads.deltas[0][0, row] = 0
    return heads


def test_of_two_equals_one_stays() -> None:
    heads = one_candidate(9 * 40 + 4, 9 * 40 + 4, 9 * 40 + 4)
    heads.logits[0][0, 9 * 40 + 4, 2] = 2.0  # another class keeps its box
    heads.logits[0][0, 9 * 40 + 5, 1] = 2.0  # a larger box about it: IoU 0.63
    heads.deltas[0][0, 9 * 40 + 5] = 0
    (found,) = postprocess(heads, ANCHORS, HEIGHT, WIDTH, PostprocessRule())
    assert sorted(found.class_ids.tolist()) == [1, 2]


def test_nothing_found() -> None:
    heads = random_heads(1, images=2, mean=-50.0)
    for found in postprocess(heads, ANCHORS, HEIGHT, WIDTH, PostprocessRule()):
        assert found.boxes.shape == (0, 4)
        assert found.scores.shape == found.class_ids.shape == (0,)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("threshold", [0.02, 0.05, 0.1, 0.3, 0.37, 0.4, 0.55, 0.9, 0.999])
def test_the_threshold_is_exact_in_every_number_format(dtype: torch.dtype, threshold: float) -> None:
    limit = torch.tensor(threshold).logit().to(dtype)
    neighbours = [limit]
    for direction in (-100.0, 100.0):
        neighbours.append(torch.nextafter(limit, torch.tensor(direction, dtype=dtype)))
    for logit in neighbours:
        heads = one_candidate(9 * 40, logit=float(logit), dtype=dtype)
        (found,) = postprocess(heads, ANCHORS, HEIGHT, WIDTH, PostprocessRule(threshold))
        assert len(found.scores) == int(logit.double().sigmoid().float() > threshold)


def test_logits_that_are_no_numbers_are_no_objects() -> None:
    heads = one_candidate(9 * 40)
    heads.logits[1][0, :, 0] = float("nan")
    (found,) = postprocess(heads, ANCHORS, HEIGHT, WIDTH, PostprocessRule())
    assert len(found.scores) == 1


def test_boxes_are_cut_at_the_picture_not_at_its_padding() -> None:
    heads = random_heads(2, mean=0.0)
    (found,) = postprocess(heads, ANCHORS, HEIGHT, WIDTH, PostprocessRule(0.3))
    limits: Tensor = found.boxes.amax(dim=0)
    assert limits[2:].tolist() == [WIDTH, HEIGHT]
    assert float(found.boxes.min()) == 0


@pytest.mark.parametrize("top_k", [1000, 300, 211])
def test_a_lower_threshold_changes_nothing_above_the_higher_one(top_k: int) -> None:
    heads = random_heads(5, dtype=torch.bfloat16)  # with many equal scores
    high, low = (
        postprocess(
            heads, ANCHORS, HEIGHT, WIDTH, PostprocessRule(score_threshold=least, top_k=top_k, max_detections=10_000)
        )[0]
        for least in (0.3, 0.05)
    )
    count = len(high.scores)
    assert 10 < count < len(low.scores)
    assert len(high.scores.unique()) < count
    assert torch.equal(low.scores[:count], high.scores)
    assert torch.equal(low.boxes[:count], high.boxes)
    assert torch.equal(low.class_ids[:count], high.class_ids)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("limit", [-4.6, -0.0078, -0.0, 0.0, 0.41, 3.0])
def test_numbers_above_a_limit_are_found_by_their_bits(limit: float, dtype: torch.dtype) -> None:
    """Numbers around the limit, of both signs, zeros and infinities, each alone among smaller ones."""
    edge = torch.tensor(limit, dtype=dtype)
    steps = [edge, *(edge * (1 + sign / 128) for sign in (1, -1))]
    special = (0.0, 1e-3, -1e-3, 9.0, -9.0, math.inf)
    numbers = torch.stack([*steps, *(torch.tensor(x, dtype=dtype) for x in special)])
    for others in (-math.inf, -20.0):
        for places in (torch.arange(len(numbers)) * SCAN_BLOCK + 7, torch.arange(len(numbers))):
            logits = torch.full((len(numbers) * SCAN_BLOCK + 40,), others, dtype=dtype)
            logits[places] = numbers
            logits[-1] = 10.0  # behind the last whole block
            expected = (logits > edge).nonzero().squeeze(1)
            assert places_above(logits, float(edge)).tolist() == expected.tolist()
            assert places_above(logits[-40:], float(edge)).tolist() == [39]


def test_the_best_of_each_level_are_kept_and_levels_without_any_are_no_trouble() -> None:
    """More than k on one level, none on the next, few on the others."""
    heads = random_heads(3, mean=0.0)
    heads.logits[1].fill_(-50.0)
    rule = PostprocessRule(score_threshold=0.5, top_k=60, max_detections=10_000)
    (found,) = postprocess(heads, ANCHORS, HEIGHT, WIDTH, rule)
    counts = [int((logits > 0).sum()) for logits in heads.logits]
    assert counts[0] > 60 > counts[-1] > 0 == counts[1]
    assert_same(found, naive(heads, 0, rule))
