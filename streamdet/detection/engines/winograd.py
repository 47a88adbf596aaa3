"""Wide 3x3 convolutions by Winograd's minimal filtering, F(4x4, 3x3), in bfloat16: a quarter of the multiplications.

After Lavin and Gray (arXiv 1509.09308): 4x4 outputs of a tile come from 6x6 inputs d and a filter g by
A'[(G g G') * (B' d B)]A, the product in the middle being one number per place of the tile, summed over channels. So a
convolution is 36 products of matrices (tiles x channels) by (channels x outputs), between two small transforms.

The points are 0, +-sqrt(1/2), +-sqrt(2) and infinity. With the usual 0, +-1, +-2 bfloat16's error is twice as large.
It is five times that of a direct convolution; in a whole network (docs/decisions.md) hardly more, as the body, whose
convolutions stay direct, has the larger part in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamdet.detection.engines.seam import TorchEngine
from streamdet.detection.retinanet import RetinaNet

OUTPUTS, INPUTS = 4, 6
"""Sides of a tile's outputs and inputs."""
POINTS = (0.0, math.sqrt(0.5), -math.sqrt(0.5), math.sqrt(2), -math.sqrt(2))
LEAST_CHANNELS = 192
"""Of narrower convolutions the transforms cost what the multiplications save."""
LEAST_CELLS = 320
"""Maps with fewer cells are left to the direct convolution."""


class WinogradEngine(TorchEngine):
    """`TorchEngine` in bfloat16, the wide 3x3 convolutions of pyramid and heads by Winograd's filtering."""

    name = "winograd"

    def __init__(self, network: RetinaNet) -> None:
        """`network`: in float32, batch norm folded, with convolutions that gain (`gains`); it is changed."""
        for part in (network.backbone.fpn, network.head):
            _replace(part)
        super().__init__(network, torch.device("cpu"), torch.bfloat16)


def gains(network: RetinaNet) -> bool:
    """True where a network has convolutions that are wide enough."""
    parts = (network.backbone.fpn, network.head)
    return any(_is_wide(module) for part in parts for module in part.modules())


class WinogradConv2d(nn.Module):
    """A 3x3 convolution with padding 1 and stride 1: (N, C, H, W) to (N, O, H, W), channels last in memory."""

    filters: Tensor
    to_tile: Tensor
    from_tile: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        """The same function as `conv`, whose weights are in float32."""
        super().__init__()
        self.direct = conv
        a, b, g = (torch.from_numpy(matrix) for matrix in transforms())
        filters = torch.einsum("ix,ocxy,jy->ijco", g, conv.weight.detach().double(), g)
        self.register_buffer("filters", filters.flatten(0, 1).float().contiguous())  # (36, C, O)
        self.register_buffer("to_tile", torch.kron(b, b).float())  # (36, 36)
        self.register_buffer("from_tile", torch.kron(a, a).float())  # (16, 36)

    def forward(self, x: Tensor) -> Tensor:
        """The convolution of `x`."""
        count, channels, height, width = x.shape
        if height * width < LEAST_CELLS:
            y: Tensor = self.direct(x)
            return y
        rows, columns = -(-height // OUTPUTS), -(-width // OUTPUTS)
        padding = (0, 0, 1, OUTPUTS * columns + 1 - width, 1, OUTPUTS * rows + 1 - height)
        padded = F.pad(x.permute(0, 2, 3, 1), padding)  # (N, 4 rows + 2, 4 columns + 2, C)
        of_picture, of_row, of_column, of_channel = padded.stride()
        tiles = padded.as_strided(
            (INPUTS, INPUTS, count, rows, columns, channels),
            (of_row, of_column, of_picture, OUTPUTS * of_row, OUTPUTS * of_column, of_channel),
        )
        transformed = (self.to_tile @ tiles.reshape(INPUTS**2, -1)).view(INPUTS**2, -1, channels)
        products = torch.bmm(transformed, self.filters)  # (36, tiles, O)
        outputs = (self.from_tile @ products.view(INPUTS**2, -1)).view(OUTPUTS, OUTPUTS, count, rows, columns, -1)
        map_ = outputs.permute(2, 3, 0, 4, 1, 5).reshape(count, OUTPUTS * rows, OUTPUTS * columns, -1)
        if self.direct.bias is not None:
            map_ += self.direct.bias
        return map_[:, :height, :width].permute(0, 3, 1, 2)


@cache
def transforms(points: Sequence[float] = POINTS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A' (4, 6), B' (6, 6) and G (6, 3), in float64, for `points` and infinity.

    Polynomials are evaluated at the points (A, G), and interpolated by Lagrange's formula, of which B holds the
    numerators; the denominators stand in G.
    """
    a, b, g = np.zeros((INPUTS, OUTPUTS)), np.zeros((INPUTS, INPUTS)), np.zeros((INPUTS, 3))
    for row, point in enumerate(points):
        others = [other for other in points if other != point]
        a[row] = [point**power for power in range(OUTPUTS)]
        g[row] = [point**power / np.prod([point - other for other in others]) for power in range(3)]
        b[row, : INPUTS - 1] = np.poly(others)[::-1]
    a[-1, -1] = g[-1, -1] = 1
    b[-1] = np.poly(points)[::-1]
    return np.ascontiguousarray(a.T), b, g


def _is_wide(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.Conv2d)
        and (module.kernel_size, module.stride, module.padding) == ((3, 3), (1, 1), (1, 1))
        and module.groups == 1
        and module.in_channels >= LEAST_CHANNELS
    )


def _replace(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Conv2d) and _is_wide(child):
            setattr(module, name, WinogradConv2d(child))
        else:
            _replace(child)
