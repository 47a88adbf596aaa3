"""Box coding: deltas between anchors and boxes (Fast R-CNN's parametrisation, weights 1, as the paper uses).

Boxes are xyxy in pixels. Everything here runs in float32: half precision steps by a whole pixel above 1024.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

MAX_LOG_SCALE = math.log(1000.0 / 16)
"""A delta can't grow an anchor by more than this (62.5 times), so that exp() stays finite."""


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Deltas (dx, dy, dw, dh), shape (M, 4), that turn `anchors` (M, 4) into `boxes` (M, 4)."""
    anchor_sizes = anchors[:, 2:] - anchors[:, :2]
    box_sizes = boxes[:, 2:] - boxes[:, :2]
    anchor_centres = anchors[:, :2] + anchor_sizes / 2
    box_centres = boxes[:, :2] + box_sizes / 2
    return torch.cat(((box_centres - anchor_centres) / anchor_sizes, (box_sizes / anchor_sizes).log()), dim=1)


def decode(deltas: Tensor, anchors: Tensor) -> Tensor:
    """Boxes (..., 4) float32 that `deltas` (..., 4) make of `anchors` (..., 4)."""
    deltas = deltas.float()
    sizes = anchors[..., 2:] - anchors[..., :2]
    centres = anchors[..., :2] + sizes / 2
    box_centres = deltas[..., :2] * sizes + centres
    half_sizes = deltas[..., 2:].clamp(max=MAX_LOG_SCALE).exp() * sizes / 2
    return torch.cat((box_centres - half_sizes, box_centres + half_sizes), dim=-1)


def clip(boxes: Tensor, height: int, width: int) -> Tensor:
    """`boxes` (..., 4) cut at the borders of a picture of `height` x `width` pixels."""
    x = boxes[..., 0::2].clamp(0, width)
    y = boxes[..., 1::2].clamp(0, height)
    return torch.stack((x[..., 0], y[..., 0], x[..., 1], y[..., 1]), dim=-1)


def iou(boxes: Tensor, others: Tensor) -> Tensor:
    """(M, C) IoU of `boxes` (M, 4) and `others` (C, 4); torchvision's to the bit, and for many pairs faster."""
    shared = intersections(boxes, others)
    return shared / (areas(boxes)[:, None] + areas(others) - shared)


def intersections(boxes: Tensor, others: Tensor) -> Tensor:
    """(M, C) pixels that each of `boxes` (M, 4) shares with each of `others` (C, 4)."""
    left, top, right, bottom = boxes.T[:, :, None]  # each (M, 1)
    x1, y1, x2, y2 = others.T.contiguous()  # each (C,): strided columns would be several times slower
    widths = torch.minimum(right, x2).sub_(torch.maximum(left, x1)).clamp_(min=0)
    heights = torch.minimum(bottom, y2).sub_(torch.maximum(top, y1)).clamp_(min=0)
    return widths.mul_(heights)


def areas(boxes: Tensor) -> Tensor:
    """(M,) pixels of `boxes` (M, 4)."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
