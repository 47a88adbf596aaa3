"""Networks and pictures for tests: random, but lively enough that thresholds, top-k and NMS have work to do."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from streamdet.detection.anchors import AnchorRule
from streamdet.detection.checkpoint import Model, ModelCard
from streamdet.detection.resize import InputRule
from streamdet.detection.retinanet import RetinaNetConfig, build_retinanet

CLASS_NAMES = ("car", "person", "bicycle")


def noise_picture(width: int, height: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """(height, width, 3) uint8 RGB: coloured blobs of several sizes, and grain."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3))
    for cells in (3, 9, 27):
        layer = rng.normal(0, 40, (cells, cells, 3))
        picture += cv2.resize(layer, (width, height), interpolation=cv2.INTER_CUBIC)
    picture += rng.normal(0, 20, (height, width, 1))
    return np.clip(picture + 120, 0, 255).astype(np.uint8)


def normalised(picture: npt.NDArray[np.uint8]) -> Tensor:
    return (torch.from_numpy(picture).permute(2, 0, 1)[None] / 255 - 0.45) / 0.225


@torch.no_grad()
def enliven(network: nn.Module, *, bias: float = -3.0, spread: float = 1.0) -> None:
    """Give a network with torchvision's parameter names statistics and outputs of a trained one's size.

    Batch norms take the statistics of a noise picture; class logits `spread` around `bias`, deltas around 0. Residual
    branches are weak: with strong ones, deep random networks are chaotic, and magnify float32's rounding errors.
    """
    for module in network.modules():
        last_norm = getattr(module, "bn3", None) or getattr(module, "bn2", None)
        if last_norm is not None:
            last_norm.weight.fill_(0.2)
    probe = torch.cat([normalised(noise_picture(160, 128, seed)) for seed in (11, 12)])
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    network.backbone(probe)  # type: ignore[operator,union-attr]
    for norm in norms:  # a channel that is dead on the probe must not be magnified on another picture
        norm.running_var.clamp_(min=float(norm.running_var.mean()) / 4)  # type: ignore[union-attr]
    network.eval()
    features = network.backbone(probe)  # type: ignore[operator,union-attr]
    features = list(features.values()) if isinstance(features, dict) else features
    classes, regression = network.head.classification_head, network.head.regression_head  # type: ignore[union-attr]
    for output, tower, deviation in (
        (classes.cls_logits, classes.conv, spread),  # type: ignore[union-attr]
        (regression.bbox_reg, regression.conv, 0.25),  # type: ignore[union-attr]
    ):
        output.bias.zero_()
        values = torch.cat([output(tower(feature)).flatten() for feature in features[:3]])
        output.weight.mul_(deviation / values.std())
    classes.cls_logits.bias.fill_(bias)  # type: ignore[union-attr]


def tiny_config(**changes: object) -> RetinaNetConfig:
    fields: dict[str, object] = {
        "num_classes": len(CLASS_NAMES),
        "backbone": "mobilenet_v2",
        "anchors": AnchorRule(base_sides=(16.0, 32.0, 64.0, 128.0, 256.0)),
        "channels": 32,
        "head_depth": 1,
    }
    return RetinaNetConfig(**{**fields, **changes})  # type: ignore[arg-type]


def tiny_model(seed: int = 0, *, short_side: int = 96, long_side: int = 160, **changes: object) -> Model:
    """A lively model of three classes that takes some milliseconds per picture."""
    torch.manual_seed(seed)
    config = tiny_config(**changes)
    network = build_retinanet(config)
    enliven(network)
    names = CLASS_NAMES if config.num_classes == 3 else tuple(f"class{k}" for k in range(config.num_classes))
    return Model(network, ModelCard("tiny", names, config, InputRule(short_side, long_side), {"*": 0.1}), "0" * 64)


def saved_torchvision(network: nn.Module, folder: Path) -> Path:
    path = folder / "weights.pth"
    torch.save(network.state_dict(), path)
    return path
