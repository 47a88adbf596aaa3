"""RetinaNet's losses: focal loss over all anchors (paper, eq. 5), a box loss over the positive ones.

Shape legend: N images, A anchors of all levels, K classes, P positive anchors of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import generalized_box_iou_loss

from streamdet.detection import boxes
from streamdet.detection.retinanet import HeadOutputs
from streamdet.training.matcher import Targets


@dataclass(frozen=True)
class LossRule:
    """The knobs of the losses."""

    alpha: float = 0.25
    """Weight of positives; negatives weigh 1 - alpha. -1: no weighting."""
    gamma: float = 2.0
    """Focusing: how strongly easy examples are played down. 0: cross entropy."""
    box_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.alpha != -1 and not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha is {self.alpha}, expected 0 to 1, or -1 for no weighting")
        if self.gamma < 0:
            raise ValueError(f"gamma is {self.gamma}, expected at least 0")


def focal_loss(logits: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Focal loss of each logit (any shape; `targets` alike, 0 or 1), float32: -alpha_t (1 - p_t)^gamma log(p_t)."""
    wrongness = logits.float() * (1 - 2 * targets)  # the logit of 1 - p_t
    # (1 - p_t)^gamma as exp(gamma log(1 - p_t)): pow() has no finite gradient where p_t rounds to 1 and gamma < 1.
    loss = F.softplus(wrongness) * (gamma * F.logsigmoid(wrongness)).exp()
    if alpha >= 0:
        loss = loss * (alpha * targets + (1 - alpha) * (1 - targets))
    return loss


class PositiveCount:
    """Moving average of the number of positive anchors per image, the losses' normaliser.

    Dividing by each image's own count would let an empty frame, divided by 1, outweigh a full one about ten times.
    """

    def __init__(self, start: float = 20.0, momentum: float = 0.98) -> None:
        self.average = start
        self.momentum = momentum

    def update(self, positives: int, images: int) -> float:
        """The normaliser of a batch: average positives per image, times its images."""
        self.average = self.momentum * self.average + (1 - self.momentum) * max(positives / images, 1.0)
        return self.average * images


@dataclass(frozen=True)
class Losses:
    """Losses of a batch, each a scalar in the autograd graph."""

    classification: Tensor
    box: Tensor
    positives: int

    @property
    def total(self) -> Tensor:
        """Their sum."""
        return self.classification + self.box


def compute_losses(
    heads: HeadOutputs,
    anchors: Tensor,
    targets: list[Targets],
    boxes_xyxy: list[Tensor],
    class_ids: list[Tensor],
    rule: LossRule,
    positive_count: PositiveCount,
) -> Losses:
    """Losses of a batch; `anchors` (A, 4) of all levels, one entry of each list per image."""
    logits = torch.cat(heads.logits, dim=1)  # (N, A, K)
    deltas = torch.cat(heads.deltas, dim=1)  # (N, A, 4)
    truth = torch.zeros_like(logits, dtype=torch.float32)
    predicted, expected = [], []
    for image, (target, image_boxes, image_classes) in enumerate(zip(targets, boxes_xyxy, class_ids, strict=True)):
        rows = (target.matches >= 0).nonzero().squeeze(1)
        objects = target.matches[rows]
        truth[image, rows, image_classes[objects]] = 1.0
        predicted.append(boxes.decode(deltas[image, rows], anchors[rows]))
        expected.append(image_boxes[objects])
    counted = torch.stack([target.counted for target in targets])
    positives = sum(len(rows) for rows in expected)
    normaliser = positive_count.update(positives, len(targets))
    classification = (focal_loss(logits, truth, rule.alpha, rule.gamma) * counted).sum() / normaliser
    box = generalized_box_iou_loss(torch.cat(predicted), torch.cat(expected), reduction="sum") / normaliser
    return Losses(classification, rule.box_weight * box, positives)
