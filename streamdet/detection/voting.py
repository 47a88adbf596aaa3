"""Box voting: where a kept box lies is the mean of all boxes that were found for its object.

NMS keeps the box with the best score, which is seldom the one that fits best, and half precision changes which one it
is. Voting (Gidaris and Komodakis, arXiv 1505.01749, section 5) asks the boxes that NMS throws away, too. A vote counts
the more the closer its box is, as in variance voting (He et al., arXiv 1809.08545, section 3.3), and the better its
score. It changes no score, no class and no number of boxes.

Shape legend: C candidates, D kept ones.
"""

from __future__ import annotations

import torch
from torch import Tensor

from streamdet.detection.boxes import iou

LEAST_IOU = 0.5
"""Boxes that overlap the kept one by less than this may be another object's."""
LEAST_SHARE = 1 / 3
"""Candidates with less than this share of the kept one's score have no vote, so that a result doesn't depend on how
doubtful the objects are that somebody wants to see."""
CLOSENESS = 0.05
"""Variance of (1 - IoU) that makes a vote fade."""


def voted_boxes(candidates: Tensor, scores: Tensor, class_ids: Tensor, keep: Tensor) -> Tensor:
    """(D, 4) float32: for each of `keep` (D,) the mean of the `candidates` (C, 4) of its class that vote for it.

    `scores` and `class_ids` are those of the candidates, (C,).
    """
    overlaps = iou(candidates[keep], candidates)  # (D, C)
    shares = scores / scores[keep, None]
    voting = (class_ids == class_ids[keep, None]) & (overlaps > LEAST_IOU) & (shares >= LEAST_SHARE)
    weights = (shares.square() * torch.exp(-(1 - overlaps).square() / CLOSENESS)).where(voting, 0.0).double()
    means = weights @ candidates.double().nan_to_num() / weights.sum(1, keepdim=True)
    # a box without area overlaps nothing, not even itself; nor does one that is no number
    return means.float().where(weights.any(1, keepdim=True), candidates[keep])
