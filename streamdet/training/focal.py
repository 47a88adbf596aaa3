"""Classification losses of single logits: focal loss, which is cross entropy at gamma 0, and FL*.

Any shape; targets are 0 or 1, of the logits' shape. Everything is computed in float32, whatever the logits come in: the
sum over an untrained network's logits exceeds float16's range.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

NO_WEIGHTS = -1.0
"""As alpha: positives and negatives weigh 1."""


def focal_loss(logits: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Focal loss of each logit, float32: -alpha_t (1 - p_t)^gamma log(p_t) (paper, eq. 5); alpha -1: unweighted."""
    loss: Tensor = _FocalLoss.apply(logits.float(), targets, alpha, gamma)
    return loss


def focal_star_loss(
    logits: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0, beta: float = 1.0
) -> Tensor:
    """FL* of each logit, float32: -alpha_t log(sigmoid(gamma x_t + beta)) / gamma (paper, appendix A)."""
    wrongness = logits.float() * (1 - 2 * targets)  # -x_t, the logit of 1 - p_t
    loss = F.softplus(gamma * wrongness - beta) / gamma
    return loss if alpha == NO_WEIGHTS else loss * _alpha_t(targets, alpha)


def _alpha_t(targets: Tensor, alpha: float) -> Tensor:
    """`alpha` where targets are 1, 1 - alpha where they are 0."""
    return targets * (2 * alpha - 1) + (1 - alpha)


class _FocalLoss(torch.autograd.Function):
    """With its slope written out (paper, eq. 10): finite for all logits and gammas, and faster than autograd's."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, alpha: float, gamma: float) -> Tensor:
        sign = 1 - 2 * targets
        wrongness = logits * sign  # the logit of 1 - p_t
        wrong = wrongness.sigmoid()  # 1 - p_t
        weight = wrong.pow(gamma) if gamma else torch.ones_like(wrong)
        if alpha != NO_WEIGHTS:
            weight *= _alpha_t(targets, alpha)
        loss = weight * F.softplus(wrongness)
        if ctx.needs_input_grad[0]:
            slope = weight.mul_(wrong).addcmul_(loss, wrong.neg_().add_(1), value=gamma)
            ctx.save_for_backward(slope.mul_(sign))
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None]:
        (slope,) = ctx.saved_tensors
        return upstream * slope, None, None, None
