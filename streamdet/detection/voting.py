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
    kept = candidates[keep]
    overlaps = iou(kept, candidates)  # (D, C)
    for_whom, voters = (overlaps > LEAST_IOU).nonzero().unbind(1)
    shares = scores[voters] / scores[keep][for_whom]
    weights = shares.square() * torch.exp(-(1 - overlaps[for_whom, voters]).square() / CLOSENESS)
    may_vote = (shares >= LEAST_SHARE) & (class_ids[voters] == class_ids[keep][for_whom])
    weights = weights.where(may_vote, 0.0).double()[:, None]
    votes = torch.cat((candidates[voters] * weights, weights), dim=1)
    sums = votes.new_zeros(len(keep), 5).index_add_(0, for_whom, votes)
    # a box without area overlaps nothing, not even itself; nor does one that is no number
    return (sums[:, :4] / sums[:, 4:]).float().where(sums[:, 4:] > 0, kept)
