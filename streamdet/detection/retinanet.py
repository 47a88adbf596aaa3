"""RetinaNet (arXiv 1708.02002): a backbone, a feature pyramid P3-P7, and two heads shared by all levels.

Shape legend: N images, H and W cells of a level, A anchors per cell, K classes. Pictures are RGB, normalised, NCHW,
their sides multiples of 32. Parameter names follow torchvision's RetinaNet, so that its weights load unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from streamdet.detection.anchors import AnchorRule
from streamdet.detection.backbones import BACKBONES, Body, build_body
from streamdet.detection.folding import fold_batch_norm


@dataclass(frozen=True)
class RetinaNetConfig:
    """All numbers of a network. Where a field is silent in a checkpoint, nothing else decides."""

    num_classes: int
    """K, the number of class logits per anchor."""
    backbone: str = "resnet50"
    """One of `BACKBONES`."""
    anchors: AnchorRule = field(default_factory=AnchorRule)
    channels: int = 256
    """Width of the pyramid and of the heads."""
    head_depth: int = 4
    """3x3 convolutions of each head before its output convolution."""
    head_norm: str = "none"
    """"none" (the paper) or "group": GroupNorm(32) after each of the heads' convolutions (torchvision's v2)."""
    p6_from: str = "c5"
    """"c5" (the paper) or "p5" (torchvision's v1)."""
    batch_norm: str = "live"
    """"live", "frozen" (fixed statistics and affine), or "folded" into the convolutions."""
    batch_norm_eps: float = 1e-5
    prior: float = 0.01
    """Probability of an object that the class head starts from (paper, section 4.1)."""

    def __post_init__(self) -> None:
        allowed = {
            "backbone": BACKBONES,
            "head_norm": ("none", "group"),
            "p6_from": ("c5", "p5"),
            "batch_norm": ("live", "frozen", "folded"),
        }
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(values)}")
        if self.num_classes < 1:
            raise ValueError(f"num_classes is {self.num_classes}, expected at least 1")

    def to_json(self) -> dict[str, Any]:
        """Plain values for a checkpoint's header."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**fields, "anchors": self.anchors.to_json()}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> RetinaNetConfig:
        """The configuration that `to_json` wrote."""
        return cls(**{**fields, "anchors": AnchorRule.from_json(fields["anchors"])})


class HeadOutputs(NamedTuple):
    """Raw outputs of the heads, one tensor per level P3 to P7."""

    logits: list[Tensor]
    """Each (N, H * W * A, K)."""
    deltas: list[Tensor]
    """Each (N, H * W * A, 4)."""


class RetinaNet(nn.Module):
    """The network: pictures in, raw heads out. Losses and boxes are functions of its outputs, elsewhere."""

    def __init__(self, backbone: PyramidBackbone, head: Heads) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor) -> HeadOutputs:
        """`images` (N, 3, height, width) to the raw outputs of all levels."""
        return self.after_stem(self.backbone.body.stem(images))

    def after_stem(self, x: Tensor) -> HeadOutputs:
        """What `backbone.body.stem` made of the pictures to the raw outputs of all levels."""
        features = self.backbone.after_stem(x)
        logits = [self.head.classification_head(feature) for feature in features]
        deltas = [self.head.regression_head(feature) for feature in features]
        return HeadOutputs(logits, deltas)


def build_retinanet(config: RetinaNetConfig) -> RetinaNet:
    """A network with random weights: ours to train, or to load weights into."""
    body = build_body(config.backbone, lambda channels: _batch_norm(channels, config))
    pyramid = FeaturePyramid(body.channels, config.channels, p6_from_c5=config.p6_from == "c5")
    per_cell = config.anchors.per_cell
    heads = Heads(
        ClassificationHead(config, config.channels, per_cell * config.num_classes),
        RegressionHead(config, config.channels, per_cell * 4),
    )
    network = RetinaNet(PyramidBackbone(body, pyramid), heads)
    if config.batch_norm == "folded":
        fold_batch_norm(network)
    return network


def _batch_norm(channels: int, config: RetinaNetConfig) -> nn.Module:
    if config.batch_norm == "frozen":
        frozen: nn.Module = FrozenBatchNorm2d(channels, eps=config.batch_norm_eps)
        return frozen
    return nn.BatchNorm2d(channels, eps=config.batch_norm_eps)


class FeaturePyramid(nn.Module):
    """P3-P5 from C3-C5 top-down with lateral connections; P6 and P7 by strided convolutions (paper, footnote 2)."""

    def __init__(self, stage_channels: Sequence[int], channels: int, *, p6_from_c5: bool) -> None:
        super().__init__()
        self.p6_from_c5 = p6_from_c5
        p6_channels = stage_channels[-1] if p6_from_c5 else channels
        self.inner_blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(c, channels, 1)) for c in stage_channels)
        self.layer_blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1)) for _ in stage_channels
        )
        self.extra_blocks = nn.ModuleDict(
            {
                "p6": nn.Conv2d(p6_channels, channels, 3, stride=2, padding=1),
                "p7": nn.Conv2d(channels, channels, 3, stride=2, padding=1),
            }
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.kaiming_uniform_(module.weight, a=1)
                nn.init.zeros_(module.bias)

    def forward(self, stages: list[Tensor]) -> list[Tensor]:
        """P3 to P7, each (N, channels, H, W)."""
        merged = self.inner_blocks[-1](stages[-1])
        outputs = [self.layer_blocks[-1](merged)]
        for level in (1, 0):
            lateral = self.inner_blocks[level](stages[level])
            merged = lateral + F.interpolate(merged, scale_factor=2.0, mode="nearest")  # sides are multiples of 32
            outputs.insert(0, self.layer_blocks[level](merged))
        p6 = self.extra_blocks["p6"](stages[-1] if self.p6_from_c5 else outputs[-1])
        p7 = self.extra_blocks["p7"](F.relu(p6))
        return [*outputs, p6, p7]


class PyramidBackbone(nn.Module):
    """Body and pyramid."""

    def __init__(self, body: Body, fpn: FeaturePyramid) -> None:
        super().__init__()
        self.body = body
        self.fpn = fpn

    def after_stem(self, x: Tensor) -> list[Tensor]:
        """P3 to P7 from what the body's stem made."""
        features: list[Tensor] = self.fpn(self.body.after_stem(x))
        return features

    def forward(self, images: Tensor) -> list[Tensor]:
        """P3 to P7."""
        return self.after_stem(self.body.stem(images))


def _tower(config: RetinaNetConfig) -> nn.Sequential:
    """The 3x3 convolutions that a head begins with; weights N(0, 0.01) (paper, section 4.1)."""
    layers = []
    for _ in range(config.head_depth):
        conv = nn.Conv2d(config.channels, config.channels, 3, padding=1, bias=config.head_norm == "none")
        norm = [nn.GroupNorm(32, config.channels)] if config.head_norm == "group" else []
        layers.append(nn.Sequential(conv, *norm, nn.ReLU(inplace=True)))
    return nn.Sequential(*layers)


def _cells_to_rows(x: Tensor, values: int) -> Tensor:
    """(N, A * values, H, W) to (N, H * W * A, values); no copy when `x` is channels-last."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, values)


class ClassificationHead(nn.Module):
    """Class logits of each anchor."""

    def __init__(self, config: RetinaNetConfig, channels: int, outputs: int) -> None:
        super().__init__()
        self.conv = _tower(config)
        self.cls_logits = nn.Conv2d(channels, outputs, 3, padding=1)
        self.num_classes = config.num_classes
        _init_head(self)
        nn.init.constant_(self.cls_logits.bias, -math.log((1 - config.prior) / config.prior))  # type: ignore[arg-type]

    def maps(self, feature: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, A * K, H, W)."""
        logits: Tensor = self.cls_logits(self.conv(feature))
        return logits

    def forward(self, feature: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, H * W * A, K)."""
        return _cells_to_rows(self.maps(feature), self.num_classes)


class RegressionHead(nn.Module):
    """Box deltas of each anchor."""

    def __init__(self, config: RetinaNetConfig, channels: int, outputs: int) -> None:
        super().__init__()
        self.conv = _tower(config)
        self.bbox_reg = nn.Conv2d(channels, outputs, 3, padding=1)
        _init_head(self)

    def maps(self, feature: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, A * 4, H, W)."""
        deltas: Tensor = self.bbox_reg(self.conv(feature))
        return deltas

    def forward(self, feature: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, H * W * A, 4)."""
        return _cells_to_rows(self.maps(feature), 4)


class Heads(nn.Module):
    """Both heads, under torchvision's names."""

    def __init__(self, classification_head: ClassificationHead, regression_head: RegressionHead) -> None:
        super().__init__()
        self.classification_head = classification_head
        self.regression_head = regression_head


def _init_head(head: nn.Module) -> None:
    for module in head.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.01)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def count_parameters(network: nn.Module) -> int:
    """Number of weights."""
    return sum(parameter.numel() for parameter in network.parameters())


def to_channels_last(network: nn.Module) -> nn.Module:
    """The same network with weights laid out for channels-last pictures, the faster layout on CPUs and GPUs."""
    return network.to(memory_format=torch.channels_last)
