"""What turns gradients into weights: the optimizer, its groups of parameters, and the moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from streamdet.detection.retinanet import RetinaNet
from streamdet.training.schedule import TrainOptions


def make_optimizer(network: RetinaNet, options: TrainOptions) -> torch.optim.Optimizer:
    """AdamW or SGD over what learns in `network`; its learning rates are set before each step by `set_rate`."""
    groups = _parameter_groups(network, options)
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=1.0, momentum=0.9)
    return torch.optim.AdamW(groups, lr=1.0)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give each group its part of the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate_factor"]


def _parameter_groups(network: RetinaNet, options: TrainOptions) -> list[dict[str, Any]]:
    """Weights, with decay, and biases and norms, without; the backbone at its own rate."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name.startswith("backbone.body"), parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": options.weight_decay if decays else 0.0,
            "rate_factor": options.body_rate if in_body else 1.0,
        }
        for (in_body, decays), parameters in groups.items()
    ]


def clip(parameters: Iterable[nn.Parameter], most: float | None) -> float:
    """Scale the gradients down to the norm `most` where it is larger; the norm that they had."""
    return float(nn.utils.clip_grad_norm_(parameters, float("inf") if most is None else most))


class WeightAverage:
    """Exponential moving average of a network's weights: it evaluates better than the last weights, and steadily."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after `step` earlier steps; at first the average follows them closely."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                self.tensors[name].lerp_(tensor, 1 - decay)
            else:
                self.tensors[name].copy_(tensor)

    def is_finite(self) -> bool:
        """False when a weight is infinite or no number."""
        return all(bool(torch.isfinite(tensor).all()) for tensor in self.tensors.values())
