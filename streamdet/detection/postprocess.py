"""From raw heads to boxes: threshold, top-k per level, decode, NMS per class (paper, section 4.1, "Inference").

Shape legend: N images, R = H * W * A rows of a level, K classes, C candidates of an image.
Scores, boxes and NMS are float32 or better, whatever the network computes in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torchvision.ops import nms

from streamdet.detection import boxes
from streamdet.detection.retinanet import HeadOutputs
from streamdet.detection.voting import LEAST_SHARE, voted_boxes

SCAN_BLOCK = 256
"""Logits that are looked at together: where the largest of them is too small, none of them is looked at again."""
NMS_AT_FIRST = 1000
"""Candidates that NMS sees at first: in most pictures the best `max_detections` are among them."""


@dataclass(frozen=True)
class PostprocessRule:
    """What survives."""

    score_threshold: float = 0.05
    """Objects need a score above this."""
    top_k: int = 1000
    """Best candidates kept per level, before NMS."""
    nms_iou: float = 0.5
    """Of two boxes of a class that overlap by more than this IoU, the better one stays."""
    max_detections: int = 300
    """Best objects kept per picture, after NMS."""
    voting: bool = False
    """Whether boxes that NMS throws away have a vote in where the kept one lies: see voting.py. The paper's don't."""


@dataclass(frozen=True)
class ImageDetections:
    """Detections of one image in pixels of the network's input, best first, on the device."""

    boxes: Tensor
    """(D, 4) float32 xyxy."""
    scores: Tensor
    """(D,) float32."""
    class_ids: Tensor
    """(D,) int64."""


def postprocess(
    heads: HeadOutputs,
    anchors: tuple[Tensor, ...],
    height: int,
    width: int,
    rule: PostprocessRule,
    least: Tensor | None = None,
) -> list[ImageDetections]:
    """Detections of each image; boxes are cut at `height` x `width`, the size of the picture without its padding.

    `least`: (K,) float32, what each class must score more than, where that is more than the rule's threshold; inf for
    classes that are not wanted, which then take no other class's place among the best candidates.
    """
    count = heads.logits[0].shape[0]
    return [_one_image(heads, image, anchors, height, width, rule, least) for image in range(count)]


def _one_image(
    heads: HeadOutputs,
    image: int,
    anchors: tuple[Tensor, ...],
    height: int,
    width: int,
    rule: PostprocessRule,
    least: Tensor | None,
) -> ImageDetections:
    letting_in, least_in = with_voters(rule, least)
    found_scores, found_deltas, found_anchors, found_classes = [], [], [], []
    for level_logits, level_deltas, level_anchors in zip(heads.logits, heads.deltas, anchors, strict=True):
        scores, indices = _best(level_logits[image], letting_in, least_in)
        num_classes = level_logits.shape[-1]
        rows = indices.div(num_classes, rounding_mode="floor")
        found_scores.append(scores)
        found_classes.append(indices - rows * num_classes)
        found_deltas.append(level_deltas[image][rows])
        found_anchors.append(level_anchors[rows])
    scores, order = torch.cat(found_scores).sort(descending=True, stable=True)
    class_ids = torch.cat(found_classes)[order]
    candidates = boxes.decode(torch.cat(found_deltas), torch.cat(found_anchors))[order]
    candidates = boxes.clip(candidates, height, width)
    return kept(candidates, scores, class_ids, max(height, width), rule, least)


def with_voters(rule: PostprocessRule, least: Tensor | None) -> tuple[PostprocessRule, Tensor | None]:
    """Thresholds that let in whatever has a vote, besides what may be reported."""
    if not rule.voting:
        return rule, least
    lower = replace(rule, score_threshold=rule.score_threshold * LEAST_SHARE)
    return lower, None if least is None else least * LEAST_SHARE


def kept(
    candidates: Tensor, scores: Tensor, class_ids: Tensor, longest: int, rule: PostprocessRule, least: Tensor | None
) -> ImageDetections:
    """What is reported of the candidates of one image, best first, their boxes (C, 4) within `longest` pixels."""
    if not rule.voting:
        keep = nms_per_class(candidates, scores, class_ids, longest, rule)
        return ImageDetections(candidates[keep], scores[keep], class_ids[keep])
    good = scores > rule.score_threshold
    if least is not None:
        good &= scores > least[class_ids]
    # the others come after these in their class, so that they could cover none of them
    wanted = good.nonzero().squeeze(1)
    keep = wanted[nms_per_class(candidates[wanted], scores[wanted], class_ids[wanted], longest, rule)]
    return ImageDetections(voted_boxes(candidates, scores, class_ids, keep), scores[keep], class_ids[keep])


def _best(logits: Tensor, rule: PostprocessRule, least: Tensor | None) -> tuple[Tensor, Tensor]:
    """The best scores above the threshold of a level's (R, K), as float32, and their places in it when flat, ascending.

    Comparing logits spares a sigmoid over all R * K of them; few blocks of them hold any that is large enough.
    """
    flat = logits.flatten()
    limit = least_logit(rule, flat.dtype)
    blocks = len(flat) // SCAN_BLOCK
    whole = flat[: blocks * SCAN_BLOCK].view(blocks, SCAN_BLOCK)
    promising = has_more(whole, limit).nonzero().squeeze(1)
    inside = (whole[promising] > limit).nonzero()
    rest = (flat[blocks * SCAN_BLOCK :] > limit).nonzero().squeeze(1) + blocks * SCAN_BLOCK
    places = torch.cat((promising[inside[:, 0]] * SCAN_BLOCK + inside[:, 1], rest))
    scores = scores_of(flat[places])
    good = scores > rule.score_threshold
    if least is not None:
        good &= scores > least[places % logits.shape[-1]]
    places, scores = places[good], scores[good]
    best = _top(scores, rule.top_k)
    return scores[best], places[best]


def has_more(blocks: Tensor, limit: float) -> Tensor:
    """(B,) bool of blocks of numbers (B, n): whether any is above the limit; where one is no number it may be true.

    As integers of 16 bits they take less than half of bfloat16's time: bits are in the order of the numbers, those of
    negative ones in the opposite order.
    """
    if blocks.dtype != torch.bfloat16 or blocks.is_cuda:
        return ~(blocks.amax(dim=1) <= limit)
    bits = blocks.view(torch.int16)
    bits_of_limit = torch.tensor(limit, dtype=torch.bfloat16).view(torch.int16)
    if limit >= 0:
        return bits.amax(dim=1) > bits_of_limit
    return (bits.amax(dim=1) >= 0) | (bits.amin(dim=1) < bits_of_limit)


def least_logit(rule: PostprocessRule, dtype: torch.dtype) -> float:
    """No logit at or below this has a score above the rule's threshold.

    Comparing with it rounds it to the logits' format: it is a little less, so that scores are to be compared as well.
    """
    threshold = min(max(rule.score_threshold, 1e-6), 1 - 1e-6)
    limit = math.log(threshold / (1 - threshold))
    return limit - abs(limit) * torch.finfo(dtype).eps


def scores_of(logits: Tensor) -> Tensor:
    """Float32 scores of logits in any format.

    By way of float64: in float32 the last digit depends on a logit's place among the others, and equals would differ.
    """
    return logits.double().sigmoid().float()


def _top(scores: Tensor, k: int) -> Tensor:
    """Places of the best `k` scores, ascending; of equal ones at the limit the first.

    Half precision has many equal scores. In this order the same ones come, and cover each other, whatever a lower
    threshold lets in besides.
    """
    if len(scores) <= k:
        return torch.arange(len(scores), device=scores.device)
    least = scores.topk(k, sorted=False).values.min()
    above = (scores > least).nonzero().squeeze(1)
    equal = (scores == least).nonzero().squeeze(1)[: k - len(above)]
    return torch.cat((above, equal)).sort().values


def nms_per_class(candidates: Tensor, scores: Tensor, class_ids: Tensor, longest: int, rule: PostprocessRule) -> Tensor:
    """Places of the best `max_detections` of `candidates` (C, 4), best first, that no better one of its class covers.

    One NMS for all classes, each in a region of its own: in float64, as float32 steps by more than 0.001 px there.
    """
    apart = candidates.double() + (class_ids * (longest + 1.0))[:, None]
    first: Tensor = nms(apart[:NMS_AT_FIRST], scores[:NMS_AT_FIRST].double(), rule.nms_iou)
    if len(first) < rule.max_detections and len(scores) > NMS_AT_FIRST:
        first = nms(apart, scores.double(), rule.nms_iou)
    return first[: rule.max_detections]
