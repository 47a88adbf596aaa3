"""Online hard example mining (arXiv 1604.03540), as the RetinaNet paper sets it against focal loss (Table 1d).

The examples are the anchors of one image. They are ranked by their loss, non-maximum suppression over their boxes
drops near-copies of harder ones, and the hardest of the rest are all that is learned from.

Shape legend: A anchors of all levels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import nms

CANDIDATES = 2048
"""Suppression looks at this many of the hardest anchors, and at all positive ones: of 100,000 it would take seconds."""


def hardest(
    losses: Tensor,
    anchors: Tensor,
    positive: Tensor,
    eligible: Tensor,
    *,
    examples: int,
    nms_iou: float,
    negatives_per_positive: int | None,
) -> Tensor:
    """Indices of the anchors to learn from, at most `examples`.

    `losses` (A,), `anchors` (A, 4), `positive` (A,) bool, `eligible` (A,) bool: anchors that count at all.
    `negatives_per_positive` is SSD's variant: 3 takes 3 negatives to each positive, and as many to none as to one.
    """
    places = eligible.nonzero().squeeze(1)
    hard = losses[places].topk(min(CANDIDATES, len(places))).indices
    chosen = positive & eligible
    chosen[places[hard]] = True
    places = chosen.nonzero().squeeze(1)
    kept = places[nms(anchors[places], losses[places].float(), nms_iou)]  # hardest first
    if negatives_per_positive is None:
        return kept[:examples]
    is_positive = positive[kept]
    positives = kept[is_positive][: examples // (1 + negatives_per_positive)]
    negatives = kept[~is_positive][: max(len(positives), 1) * negatives_per_positive]
    return torch.cat((positives, negatives))
