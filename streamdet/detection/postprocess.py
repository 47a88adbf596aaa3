"""From raw heads to boxes: threshold, top-k per level, decode, NMS per class (paper, section 4.1, "Inference").

Shape legend: N images, R = H * W * A rows of a level, K classes, C candidates of an image.
Scores, boxes and NMS are float32 whatever the network computes in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from streamdet.detection import boxes
from streamdet.detection.retinanet import HeadOutputs


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
    heads: HeadOutputs, anchors: tuple[Tensor, ...], height: int, width: int, rule: PostprocessRule
) -> list[ImageDetections]:
    """Detections of each image; boxes are cut at `height` x `width`, the size of the picture without its padding."""
    count = heads.logits[0].shape[0]
    return [_one_image(heads, image, anchors, height, width, rule) for image in range(count)]


def _one_image(
    heads: HeadOutputs, image: int, anchors: tuple[Tensor, ...], height: int, width: int, rule: PostprocessRule
) -> ImageDetections:
    found_logits, found_boxes, found_classes = [], [], []
    for level_logits, level_deltas, level_anchors in zip(heads.logits, heads.deltas, anchors, strict=True):
        logits, indices = _best(level_logits[image], rule)
        num_classes = level_logits.shape[-1]
        rows = indices.div(num_classes, rounding_mode="floor")
        found_logits.append(logits)
        found_classes.append(indices % num_classes)
        found_boxes.append(boxes.decode(level_deltas[image][rows], level_anchors[rows]))
    scores = torch.cat(found_logits).sigmoid()
    class_ids = torch.cat(found_classes)
    candidates = boxes.clip(torch.cat(found_boxes), height, width)
    keep = batched_nms(candidates, scores, class_ids, rule.nms_iou)[: rule.max_detections]
    return ImageDetections(candidates[keep], scores[keep], class_ids[keep])


def _best(logits: Tensor, rule: PostprocessRule) -> tuple[Tensor, Tensor]:
    """The best logits above the threshold of a level's (R, K), as float32, and their places in the flat level.

    Comparing logits spares a sigmoid over all R * K of them.
    """
    flat = logits.flatten()
    threshold = min(max(rule.score_threshold, 1e-6), 1 - 1e-6)
    limit = math.log(threshold / (1 - threshold))
    # The comparison rounds its limit to the logits' format: take a little more, then compare scores in float32.
    places = (flat > limit - abs(limit) * torch.finfo(flat.dtype).eps).nonzero().squeeze(1)
    places = places[flat[places].float().sigmoid() > rule.score_threshold]
    values = flat[places].float()
    best, order = values.topk(min(rule.top_k, len(values)))
    return best, places[order]
