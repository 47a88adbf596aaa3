"""RetinaNet's losses: a classification loss over all anchors (paper, eq. 5), a box loss over the positive ones.

Shape legend: N images, A anchors of all levels, K classes, P positive anchors of the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import generalized_box_iou_loss

from streamdet.detection import boxes
from streamdet.detection.retinanet import HeadOutputs
from streamdet.training.focal import NO_WEIGHTS, focal_loss, focal_star_loss
from streamdet.training.matcher import Targets
from streamdet.training.mining import hardest

__all__ = ["LossRule", "Losses", "PositiveCount", "compute_losses", "focal_loss", "focal_star_loss"]

PAPER_NUMBERS: dict[str, dict[str, float]] = {
    "focal": {"alpha": 0.25, "gamma": 2.0},
    "ce": {},
    "balanced-ce": {"alpha": 0.75},
    "ohem": {},
    "focal-star": {"alpha": 0.25, "gamma": 2.0, "beta": 1.0},
}
"""The numbers that each kind of loss has, at the paper's values (Tables 1a, 1b and 3)."""
LOSS_KINDS = tuple(PAPER_NUMBERS)
BOX_LOSSES = ("giou", "l1", "smooth-l1")
SMOOTH_L1_BETA = 0.11
"""Where smooth L1 turns from a parabola into a line (Detectron's, the paper's code)."""


@dataclass(frozen=True)
class LossRule:
    """The knobs of the losses.

    Where `alpha`, `gamma` or `beta` isn't given, the rule holds the paper's value for its kind, or None if that kind
    has no such number. Raises ValueError for what can't be.
    """

    kind: str = "focal"
    """"focal", "ce" (cross entropy), "balanced-ce" (with alpha), "ohem" (cross entropy of the hardest anchors only) or
    "focal-star" (the paper's appendix A)."""
    alpha: float | None = None
    """Weight of positives; negatives weigh 1 - alpha. -1: no weighting."""
    gamma: float | None = None
    """Focusing: how strongly easy examples are played down. 0: cross entropy. Of FL*: the steepness."""
    beta: float | None = None
    """Of FL*: the shift."""
    box: str = "giou"
    """"giou" on boxes; "l1" or "smooth-l1" (the paper) on deltas."""
    box_weight: float = 1.0
    """Factor on the box loss."""
    ohem_examples: int = 128
    """Anchors per image that OHEM learns from."""
    ohem_nms: float = 0.5
    """Of two anchors that overlap by more than this IoU, OHEM takes the harder one only."""
    ohem_negatives: int | None = None
    """Negatives to each positive in OHEM, SSD's variant (3); None: the hardest, whichever they are."""

    def __post_init__(self) -> None:
        for name, value, allowed in (("kind", self.kind, LOSS_KINDS), ("box", self.box, BOX_LOSSES)):
            if value not in allowed:
                raise ValueError(f"{name} is {value!r}, expected one of {', '.join(allowed)}")
        numbers = PAPER_NUMBERS[self.kind]
        for name in ("alpha", "gamma", "beta"):
            value = getattr(self, name)
            if value is None:
                object.__setattr__(self, name, numbers.get(name))
            elif name not in numbers:
                others = " or ".join(kind for kind in LOSS_KINDS if name in PAPER_NUMBERS[kind])
                raise ValueError(
                    f"{name} is {value}, but the loss {self.kind} has no {name}; leave it out or take {others}"
                )
        if self.alpha is not None and self.alpha != NO_WEIGHTS and not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha is {self.alpha}, expected 0 to 1, or -1 for no weighting")
        steepness = 0 if self.gamma is None else self.gamma
        if not 0 <= steepness < math.inf or (self.kind == "focal-star" and steepness == 0):
            raise ValueError(f"gamma is {self.gamma}, expected {'more than' if steepness == 0 else 'at least'} 0")
        if self.beta is not None and not math.isfinite(self.beta):
            raise ValueError(f"beta is {self.beta}, expected a finite number")
        if not 0 <= self.box_weight < math.inf:
            raise ValueError(f"box_weight is {self.box_weight}, expected at least 0")
        if self.ohem_examples < 1:
            raise ValueError(f"ohem_examples is {self.ohem_examples}, expected at least 1")
        if not 0 < self.ohem_nms <= 1:
            raise ValueError(f"ohem_nms is {self.ohem_nms}, expected an IoU above 0, and at most 1")
        if self.ohem_negatives is not None and self.ohem_negatives < 1:
            raise ValueError(f"ohem_negatives is {self.ohem_negatives}, expected at least 1, or None for any number")


class PositiveCount:
    """Moving average of the number of positive anchors per image, the losses' normaliser.

    Dividing by each image's own count would let an empty frame, divided by 1, outweigh a full one about ten times.
    """

    def __init__(
        self,
        start: float = 20.0,
        momentum: float = 0.98,
        sum_over_processes: Callable[[int, int], tuple[int, int]] | None = None,
    ) -> None:
        """`sum_over_processes` adds up (positives, images) of a step's batches in distributed training."""
        self.average = start
        self.momentum = momentum
        self.sum_over_processes = sum_over_processes

    def update(self, positives: int, images: int) -> float:
        """The normaliser of this process's batch: average positives per image, over all processes, times its images."""
        own_images = images
        if self.sum_over_processes is not None:
            positives, images = self.sum_over_processes(positives, images)
        self.average = self.momentum * self.average + (1 - self.momentum) * max(positives / images, 1.0)
        return self.average * own_images


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
    """Losses of a batch; `anchors` (A, 4) of all levels, one entry of each list per image.

    Both are sums divided by `positive_count`'s normaliser; but OHEM's classification loss is its examples' mean.
    """
    logits = torch.cat(heads.logits, dim=1)  # (N, A, K)
    deltas = torch.cat(heads.deltas, dim=1)  # (N, A, 4)
    matches = torch.stack([target.matches for target in targets])  # (N, A)
    counted = torch.stack([target.counted for target in targets])  # (N, A, K)
    images, rows = (matches >= 0).nonzero(as_tuple=True)  # (P,) each
    first_object = torch.tensor([0, *(len(image_boxes) for image_boxes in boxes_xyxy[:-1])]).cumsum(0)
    objects = matches[images, rows] + first_object.to(images.device)[images]
    truth = torch.zeros_like(logits, dtype=torch.float32)
    truth[images, rows, torch.cat(class_ids)[objects]] = 1.0
    normaliser = positive_count.update(len(rows), len(targets))
    losses = _classification_losses(logits, truth, rule) * counted
    if rule.kind == "ohem":
        classification = _mean_of_hardest(losses, anchors, matches >= 0, counted, rule)
    else:
        classification = losses.sum() / normaliser
    box = _box_loss(deltas[images, rows], anchors[rows], torch.cat(boxes_xyxy)[objects], rule.box) / normaliser
    return Losses(classification, rule.box_weight * box, len(rows))


def _classification_losses(logits: Tensor, truth: Tensor, rule: LossRule) -> Tensor:
    """(N, A, K) float32."""
    alpha = NO_WEIGHTS if rule.alpha is None else rule.alpha
    if rule.kind == "focal-star":
        assert rule.gamma is not None
        assert rule.beta is not None
        return focal_star_loss(logits, truth, alpha, rule.gamma, rule.beta)
    return focal_loss(logits, truth, alpha, rule.gamma or 0.0)


def _mean_of_hardest(losses: Tensor, anchors: Tensor, positive: Tensor, counted: Tensor, rule: LossRule) -> Tensor:
    """Mean loss of the anchors that OHEM picks, as in Fast R-CNN's; `positive` (N, A)."""
    per_anchor = losses.sum(dim=2)
    picked = [
        image_losses[
            hardest(
                image_losses.detach(),
                anchors,
                image_positive,
                image_counted.any(dim=1),
                examples=rule.ohem_examples,
                nms_iou=rule.ohem_nms,
                negatives_per_positive=rule.ohem_negatives,
            )
        ]
        for image_losses, image_positive, image_counted in zip(per_anchor, positive, counted, strict=True)
    ]
    examples = torch.cat(picked)
    return examples.sum() / max(len(examples), 1)


def _box_loss(deltas: Tensor, anchors: Tensor, truth: Tensor, kind: str) -> Tensor:
    """Sum over the positive anchors: `deltas`, `anchors` and `truth` (boxes) are (P, 4)."""
    if kind == "giou":
        loss: Tensor = generalized_box_iou_loss(boxes.decode(deltas, anchors), truth, reduction="sum")
        return loss
    beta = SMOOTH_L1_BETA if kind == "smooth-l1" else 0.0
    return F.smooth_l1_loss(deltas.float(), boxes.encode(truth, anchors), reduction="sum", beta=beta)
