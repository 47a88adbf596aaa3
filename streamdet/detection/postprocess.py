"""From raw heads to boxes: threshold, top-k per level, decode, NMS per class (paper, section 4.1, "Inference").

Shape legend: N images, R = H * W * A rows of a level, K classes, C candidates of an image.
Scores, boxes and NMS are float32 or better, whatever the network computes in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import nms

from streamdet.detection import boxes
from streamdet.detection.retinanet import HeadOutputs
from streamdet.detection.voting import LEAST_SHARE, voted_boxes

SCAN_BLOCK = 512
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
    scores, places = _candidates([logits[image] for logits in heads.logits], *with_voters(rule, least))
    num_classes = heads.logits[0].shape[-1]
    rows = places.div(num_classes, rounding_mode="floor")
    candidates = boxes.clip(_decoded([deltas[image] for deltas in heads.deltas], anchors, rows), height, width)
    scores, order = scores.sort(descending=True, stable=True)
    class_ids = (places - rows * num_classes)[order]
    return kept(candidates[order], scores, class_ids, max(height, width), rule, least)


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


def _candidates(levels: Sequence[Tensor], rule: PostprocessRule, least: Tensor | None) -> tuple[Tensor, Tensor]:
    """The best float32 scores above the threshold of each level's (R, K), and their places, ascending.

    A place counts all levels' logits, one level after another. Comparing logits spares a sigmoid over all of them.
    """
    limit = least_logit(rule, levels[0].dtype)
    sizes = [logits.numel() for logits in levels]
    found = [places_above(logits.flatten(), limit) for logits in levels]
    scores = scores_of(torch.cat([logits.flatten()[here] for logits, here in zip(levels, found, strict=True)]))
    places = torch.cat([here + begin for here, begin in zip(found, accumulate(sizes, initial=0), strict=False)])
    good = scores > rule.score_threshold
    if least is not None:
        good &= scores > least[places % levels[0].shape[-1]]
    places, scores = places[good], scores[good]
    if len(places) <= rule.top_k:
        return scores, places
    ends = accumulate(_counts(places, sizes), initial=0)
    best = torch.cat([_top(scores[begin:end], rule.top_k) + begin for begin, end in pairwise(ends)])
    return scores[best], places[best]


def _decoded(levels: Sequence[Tensor], anchors: Sequence[Tensor], rows: Tensor) -> Tensor:
    """(C, 4) boxes of the deltas of each level (R, 4) in these `rows` (C,), ascending, that count all levels' rows."""
    deltas_of, anchors_of, begin = [], [], 0
    by_level = torch.split(rows, _counts(rows, [len(sides) for sides in anchors]))
    for deltas, sides, here in zip(levels, anchors, by_level, strict=True):
        if len(here):
            deltas_of.append(deltas[here - begin])
            anchors_of.append(sides[here - begin])
        begin += len(sides)
    return boxes.decode(torch.cat(deltas_of), torch.cat(anchors_of)) if deltas_of else anchors[0].new_zeros(0, 4)


def _counts(places: Tensor, sizes: Sequence[int]) -> list[int]:
    """How many of `places`, ascending, lie in each of the parts of these sizes."""
    bounds = torch.tensor([0, *accumulate(sizes)], device=places.device)
    counts: list[int] = torch.searchsorted(places, bounds).diff().tolist()
    return counts


def places_above(logits: Tensor, limit: float) -> Tensor:
    """Places of the numbers of (M,) that are above the limit, ascending; one that is no number may be among them.

    Few blocks hold any, and what the host compares is the bits, as integers: those of numbers above zero are in the
    order of the numbers; below zero they are, without sign, in the opposite order and above all of those. numpy does
    that in an eighth of the time that torch takes for bfloat16.
    """
    if logits.is_cuda:
        return (logits > limit).nonzero().squeeze(1)
    signed, unsigned = (torch.int16, np.uint16) if logits.element_size() == 2 else (torch.int32, np.uint32)
    least = torch.tensor([limit + 0.0], dtype=logits.dtype)  # never -0.0
    bits, edge = logits.view(signed).numpy(), least.view(signed).numpy()
    most: np.ufunc = np.maximum
    above: np.ufunc = np.greater
    if limit < 0:
        bits, edge, most, above = bits.view(unsigned), edge.view(unsigned), np.minimum, np.less
    whole = bits[: len(bits) // SCAN_BLOCK * SCAN_BLOCK].reshape(-1, SCAN_BLOCK)
    numbers = np.flatnonzero(above(most.reduce(whole, axis=1), edge))
    block, within = np.divmod(np.flatnonzero(above(whole[numbers], edge)), SCAN_BLOCK)
    rest = np.flatnonzero(above(bits[whole.size :], edge)) + whole.size
    return torch.from_numpy(np.concatenate((numbers[block] * SCAN_BLOCK + within, rest)))


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
