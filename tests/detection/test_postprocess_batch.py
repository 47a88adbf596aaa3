from __future__ import annotations

import pytest
import torch
from torch import Tensor

from streamdet.detection.postprocess import ImageDetections, PostprocessRule, postprocess
from streamdet.detection.postprocess_batch import packed, postprocess_batch, to_host, unpacked
from streamdet.detection.retinanet import HeadOutputs
from tests.detection.test_postprocess import ANCHORS, HEIGHT, WIDTH, random_heads

RULES = [
    PostprocessRule(),
    PostprocessRule(score_threshold=0.3),
    PostprocessRule(score_threshold=0.02, max_detections=10_000),
    PostprocessRule(score_threshold=0.2, top_k=40),
    PostprocessRule(score_threshold=0.2, top_k=100, nms_iou=0.2, max_detections=17),
    PostprocessRule(score_threshold=0.2, voting=True),
    PostprocessRule(score_threshold=0.3, max_detections=17, voting=True),
]
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


def assert_equal(found: list[ImageDetections], expected: list[ImageDetections]) -> None:
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours.scores.cpu(), theirs.scores)
        assert torch.equal(ours.class_ids.cpu(), theirs.class_ids)
        torch.testing.assert_close(ours.boxes.cpu(), theirs.boxes, atol=1e-4, rtol=1e-6)


def on(heads: HeadOutputs, device: torch.device) -> HeadOutputs:
    return HeadOutputs([each.to(device) for each in heads.logits], [each.to(device) for each in heads.deltas])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", DTYPES)  # in half precision many scores are equal
def test_a_batch_has_the_detections_of_its_images(rule: PostprocessRule, dtype: torch.dtype) -> None:
    heads = random_heads(5, images=3, dtype=dtype)
    heads.logits[0][1] -= 50.0  # an image with fewer objects, and a level of it with none
    least = torch.tensor([0.0, 0.25, float("inf")])
    for wanted in (None, least):
        expected = postprocess(heads, ANCHORS, HEIGHT, WIDTH, rule, wanted)
        assert max(len(each.scores) for each in expected) > 10
        assert_equal(postprocess_batch(heads, ANCHORS, HEIGHT, WIDTH, rule, wanted), expected)


def test_nothing_found_in_any_image_and_in_one() -> None:
    heads = random_heads(1, images=3, mean=-50.0)
    for found in postprocess_batch(heads, ANCHORS, HEIGHT, WIDTH, PostprocessRule()):
        assert found.boxes.shape == (0, 4)
        assert found.scores.shape == found.class_ids.shape == (0,)
    heads.logits[0][1, 40, 1] = 2.0
    found = postprocess_batch(heads, ANCHORS, HEIGHT, WIDTH, PostprocessRule())
    assert [len(each.scores) for each in found] == [0, 1, 0]


def test_logits_that_are_no_numbers_are_no_objects() -> None:
    heads = random_heads(3, images=2)
    heads.logits[1][0, :, 0] = float("nan")
    expected = postprocess(heads, ANCHORS, HEIGHT, WIDTH, PostprocessRule())
    assert_equal(postprocess_batch(heads, ANCHORS, HEIGHT, WIDTH, PostprocessRule()), expected)


def test_what_is_packed_for_the_way_to_the_host_arrives() -> None:
    heads = random_heads(7, images=2)
    heads.logits[0][1] -= 50.0
    found = postprocess(heads, ANCHORS, HEIGHT, WIDTH, PostprocessRule(0.3))
    found.insert(1, ImageDetections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64)))
    rows = packed(found)
    arrived = unpacked(rows, [len(each.scores) for each in found])
    rows.fill_(-1)  # the memory has the next batch's
    for ours, theirs in zip(arrived, found, strict=True):
        for name in ("boxes", "scores", "class_ids"):
            a, b = getattr(ours, name), getattr(theirs, name)
            assert a.dtype == b.dtype
            assert torch.equal(a, b)


def test_what_is_on_the_host_stays_as_it_is() -> None:
    found = postprocess(random_heads(7), ANCHORS, HEIGHT, WIDTH, PostprocessRule(0.3))
    assert to_host(found)[0] is found[0]
    assert to_host([]) == []


@pytest.mark.gpu
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gpu_has_the_detections_of_the_cpu(rule: PostprocessRule, dtype: torch.dtype) -> None:
    heads = random_heads(5, images=4, dtype=dtype)
    expected = postprocess(heads, ANCHORS, HEIGHT, WIDTH, rule)
    device = torch.device("cuda")
    anchors: tuple[Tensor, ...] = tuple(each.to(device) for each in ANCHORS)
    found = to_host(postprocess_batch(on(heads, device), anchors, HEIGHT, WIDTH, rule))
    assert not found[0].boxes.is_cuda
    assert [len(each.scores) for each in found] == [len(each.scores) for each in expected]
    for ours, theirs in zip(found, expected, strict=True):  # the last digit of a sigmoid may differ
        torch.testing.assert_close(ours.scores, theirs.scores)
