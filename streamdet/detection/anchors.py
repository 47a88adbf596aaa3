"""Anchors: the boxes that RetinaNet classifies and refines (paper, section 4, "Anchors").

Shape legend: H, W cells of a level; A anchors per cell. Boxes are xyxy in pixels of the padded network input.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

LEVEL_STRIDES = (8, 16, 32, 64, 128)
"""Strides of P3 to P7 in pixels."""


@dataclass(frozen=True)
class AnchorRule:
    """Sizes and shapes of the anchors of each cell."""

    base_sides: tuple[float, ...] = (32.0, 64.0, 128.0, 256.0, 512.0)
    """Side of the smallest square anchor of P3 to P7, in pixels."""
    scales: tuple[float, ...] = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
    """Factors on the side: the octave's steps."""
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    """Height over width."""
    torchvision: bool = False
    """Torchvision's arithmetic, which its weights were trained with: sides cut to integers, corners rounded, centres
    on the cells' top left corners, strides image // feature. Otherwise nothing is rounded, centres lie amid cells."""

    def __post_init__(self) -> None:
        if len(self.base_sides) != len(LEVEL_STRIDES):
            raise ValueError(f"base_sides needs {len(LEVEL_STRIDES)} sides, one per level, got {self.base_sides}")
        if not self.scales or not self.ratios or min(*self.base_sides, *self.scales, *self.ratios) <= 0:
            raise ValueError("base_sides, scales and ratios must be positive and not empty")

    @property
    def per_cell(self) -> int:
        """A, the number of anchors of a cell."""
        return len(self.scales) * len(self.ratios)

    def cell_anchors(self, level: int) -> Tensor:
        """(A, 4) float32 anchors of `level` (0 = P3) around the point (0, 0); ratios outside, scales inside."""
        sides = torch.tensor([self.base_sides[level] * scale for scale in self.scales])
        if self.torchvision:
            sides = sides.add(1e-4).floor()  # as int(x * 2 ** (1/3)); 1e-4 guards a 64.0 stored as 63.999...
        roots = torch.tensor(self.ratios).sqrt()
        widths = (sides[None] / roots[:, None]).reshape(-1)
        heights = (sides[None] * roots[:, None]).reshape(-1)
        anchors = torch.stack((-widths, -heights, widths, heights), dim=1) / 2
        return anchors.round() if self.torchvision else anchors

    def to_json(self) -> dict[str, Any]:
        """Plain values for a checkpoint's header."""
        return {
            "base_sides": list(self.base_sides),
            "scales": list(self.scales),
            "ratios": list(self.ratios),
            "torchvision": self.torchvision,
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> AnchorRule:
        """The rule that `to_json` wrote."""
        return cls(
            tuple(fields["base_sides"]), tuple(fields["scales"]), tuple(fields["ratios"]), bool(fields["torchvision"])
        )


def level_shapes(height: int, width: int) -> list[tuple[int, int]]:
    """(H, W) of P3 to P7 for an input of `height` x `width` pixels, a multiple of 32: P6 and P7 are ceiled halves."""
    shapes = [(height // stride, width // stride) for stride in LEVEL_STRIDES[:3]]
    for _ in range(2):
        shapes.append((-(-shapes[-1][0] // 2), -(-shapes[-1][1] // 2)))
    return shapes


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # whoever asks first: the trainer must be able to use what the detector made
def anchors_per_level(rule: AnchorRule, height: int, width: int, device: torch.device) -> tuple[Tensor, ...]:
    """Anchors of P3 to P7, each (H * W * A, 4) float32, for an input of `height` x `width` pixels.

    A video keeps one input shape, so they are made once.
    """
    levels = []
    for level, (rows, columns) in enumerate(level_shapes(height, width)):
        if rule.torchvision:
            stride_y, stride_x, offset = height // rows, width // columns, 0.0
        else:
            stride_y = stride_x = LEVEL_STRIDES[level]
            offset = 0.5
        y = (torch.arange(rows, dtype=torch.float32) + offset) * stride_y
        x = (torch.arange(columns, dtype=torch.float32) + offset) * stride_x
        grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
        centres = torch.stack((grid_x, grid_y, grid_x, grid_y), dim=-1)  # (H, W, 4)
        anchors = centres[:, :, None] + rule.cell_anchors(level)  # (H, W, A, 4)
        levels.append(anchors.reshape(-1, 4).to(device))
    return tuple(levels)
