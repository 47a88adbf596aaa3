"""Backbones: what makes feature maps C3, C4 and C5 (strides 8, 16 and 32) of pictures.

The paper's are ResNets and ResNeXts. MobileNetV2 (arXiv 1801.04381) and EfficientNet-Lite (arXiv 1905.11946, without
squeeze-and-excitation and with ReLU6) are those that a CPU has time for. Each has five stages, numbered by what their
output's stride is: 1 (stem, stride 2 or 4), 2 (C2, stride 4), 3 (C3), 4 (C4) and 5 (C5).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torchvision
from torch import Tensor, nn

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnext50_32x4d", "resnext101_32x8d")
EFFICIENTNETS = {"efficientnet_lite0": (1.0, 1.0), "efficientnet_lite1": (1.0, 1.1), "efficientnet_lite2": (1.1, 1.2)}
"""Factors of width and depth (the paper's table of scaling coefficients)."""
BACKBONES = (*RESNETS, "mobilenet_v2", *EFFICIENTNETS)
STEM_BLOCKS = 2
"""Blocks of a body of inverted residuals that are its stem."""
LITE_STAGES = (
    (3, 1, 16, 1),
    (3, 2, 24, 2),
    (5, 2, 40, 2),
    (3, 2, 80, 3),
    (5, 1, 112, 3),
    (5, 2, 192, 4),
    (3, 1, 320, 1),
)
"""Kernel, stride, channels and blocks of EfficientNet-B0's groups of blocks (arXiv 1905.11946, table 1)."""

Norm = Callable[[int], nn.Module]
"""Makes a batch norm for so many channels."""


def batch_norm_eps(backbone: str) -> float:
    """The epsilon that the published ImageNet weights of a backbone were trained with."""
    return 1e-3 if backbone in EFFICIENTNETS else 1e-5


def build_body(backbone: str, norm: Norm) -> Body:
    """A backbone of `BACKBONES` with random weights."""
    if backbone == "mobilenet_v2":
        features: nn.Module = torchvision.models.mobilenet_v2(weights=None, norm_layer=norm).features
        # The 1280-channel convolution at its end serves classification only.
        return ResidualsBody(list(features.children())[:18], (2, 4, 7, 14, 18), (32, 96, 320))
    if backbone in EFFICIENTNETS:
        return _efficientnet_lite(*EFFICIENTNETS[backbone], norm)
    resnet: nn.Module = torchvision.models.get_model(backbone, weights=None, norm_layer=norm)
    return ResNetBody(resnet, deep=backbone not in ("resnet18", "resnet34"))


class Body(nn.Module, ABC):
    """A backbone without its classifier."""

    channels: tuple[int, int, int]
    """Of C3, C4 and C5."""

    @abstractmethod
    def stem_modules(self) -> list[nn.Module]:
        """The layers that see single grey levels, in their order."""

    @abstractmethod
    def stages(self) -> list[list[nn.Module]]:
        """The modules of the five stages."""

    @abstractmethod
    def after_stem(self, x: Tensor) -> list[Tensor]:
        """C3, C4, C5 from what the stem made."""

    def stem(self, images: Tensor) -> Tensor:
        """What the modules of the stem make of pictures."""
        x = images
        for module in self.stem_modules():
            x = module(x)
        return x

    def forward(self, images: Tensor) -> list[Tensor]:
        """C3, C4, C5."""
        return self.after_stem(self.stem(images))


class ResNetBody(Body):
    """A torchvision ResNet or ResNeXt without its classifier."""

    conv1: nn.Module
    bn1: nn.Module
    relu: nn.Module
    maxpool: nn.Module
    layer1: nn.Module
    layer2: nn.Module
    layer3: nn.Module
    layer4: nn.Module

    def __init__(self, resnet: nn.Module, *, deep: bool) -> None:
        super().__init__()
        for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"):
            self.add_module(name, getattr(resnet, name))
        self.channels = (512, 1024, 2048) if deep else (128, 256, 512)

    def stem_modules(self) -> list[nn.Module]:
        """The layers that see single grey levels, in their order; the last gives (N, 64, H / 4, W / 4)."""
        return [self.conv1, self.bn1, self.relu, self.maxpool]

    def stages(self) -> list[list[nn.Module]]:
        """The modules of the five stages."""
        return [self.stem_modules(), [self.layer1], [self.layer2], [self.layer3], [self.layer4]]

    def after_stem(self, x: Tensor) -> list[Tensor]:
        """C3, C4, C5, of `channels`."""
        c3 = self.layer2(self.layer1(x))
        c4 = self.layer3(c3)
        return [c3, c4, self.layer4(c4)]


class ResidualsBody(Body):
    """A chain of inverted residuals behind a first convolution: MobileNetV2 or EfficientNet-Lite up to C5."""

    def __init__(self, blocks: Sequence[nn.Module], stage_ends: Sequence[int], channels: tuple[int, int, int]) -> None:
        """`stage_ends`: number of blocks up to the end of each of the five stages; `channels`: of C3, C4, C5."""
        super().__init__()
        self.features = nn.ModuleList(blocks)
        self.channels = channels
        self._stage_ends = tuple(stage_ends)

    def stem_modules(self) -> list[nn.Module]:
        """The layers that see single grey levels, in their order; the last gives (N, 16, H / 2, W / 2)."""
        return list(self.features[:STEM_BLOCKS])

    def stages(self) -> list[list[nn.Module]]:
        """The modules of the five stages."""
        blocks, starts = list(self.features), (0, *self._stage_ends[:-1])
        return [blocks[start:end] for start, end in zip(starts, self._stage_ends, strict=True)]

    def after_stem(self, x: Tensor) -> list[Tensor]:
        """C3, C4, C5, of `channels`."""
        outputs, ends = [], self._stage_ends[2:]
        for number, block in enumerate(list(self.features)[STEM_BLOCKS:], STEM_BLOCKS + 1):
            x = block(x)
            if number in ends:
                outputs.append(x)
        return outputs


def _efficientnet_lite(width: float, depth: float, norm: Norm) -> ResidualsBody:
    """EfficientNet-Lite: its stem, first and last group of blocks have the same depth at every scale.

    Strided convolutions are padded on both sides, as PyTorch does; the published weights come from TensorFlow, which
    pads at the end only. That moves the maps by a pixel of their own and nothing else.
    """
    blocks: list[nn.Module] = [_convolution(3, 32, 3, 2, norm)]
    channels, ends, outputs = 32, [], []
    for place, (kernel, stride, wide, repeats) in enumerate(LITE_STAGES):
        is_outer = place in (0, len(LITE_STAGES) - 1)
        scaled = max(8, int(wide * width + 4) // 8 * 8)
        if scaled < 0.9 * wide * width:
            scaled += 8
        for number in range(repeats if is_outer else math.ceil(repeats * depth)):
            expansion = 1 if place == 0 else 6
            blocks.append(InvertedResidual(channels, scaled, kernel, stride if number == 0 else 1, expansion, norm))
            channels = scaled
        if place in (0, 1, 2, 4, 6):  # the last before the stride grows
            ends.append(len(blocks))
            outputs.append(channels)
    return ResidualsBody(blocks, ends, (outputs[2], outputs[3], outputs[4]))


class InvertedResidual(nn.Module):
    """Widen, filter each channel, narrow; names as in torchvision's, whose kernels are 3x3 only."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int, norm: Norm) -> None:
        super().__init__()
        self.adds = stride == 1 and inputs == outputs
        wide = inputs * expansion
        layers = [_convolution(inputs, wide, 1, 1, norm)] if expansion > 1 else []
        layers.append(_convolution(wide, wide, kernel, stride, norm, groups=wide))
        self.conv = nn.Sequential(*layers, nn.Conv2d(wide, outputs, 1, bias=False), norm(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        y: Tensor = self.conv(x)
        return x + y if self.adds else y


def _convolution(inputs: int, outputs: int, kernel: int, stride: int, norm: Norm, *, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, norm(outputs), nn.ReLU6(inplace=True))
