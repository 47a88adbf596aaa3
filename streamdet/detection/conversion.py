"""From the decoder's YUV planes to the network's input on the network's own device, in place of swscale on the host.

8-bit 4:2:0, as nearly all video has it; everything else goes the host's way. Filters, colours and the rounding to
whole grey levels at the end are swscale's.

Shape legend: N pictures of one size and layout, H and W their sides, h and w those of the scaled picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import av
import numpy as np
import torch
from av.video.reformatter import ColorRange
from torch import Tensor

from streamdet.detection.resize import Fitting, InputRule, Picture, UInt8Array

_BT601, _BT709, _BT2020 = (0.299, 0.114), (0.2126, 0.0722), (0.2627, 0.0593)
_SHARES = {1: _BT709, 2: _BT601, 5: _BT601, 6: _BT601, 9: _BT2020}
"""By a picture's tag: red's and blue's share of luma. Without a tag swscale takes BT.601."""


class Layout(NamedTuple):
    """What pictures must have in common to be converted together."""

    is_nv12: bool
    """U and V stand in turns in one plane; else each has its own."""
    red: float
    """Share of red in luma."""
    blue: float
    """Share of blue in luma."""
    full_range: bool
    """Values span 0..255; else luma 16..235 and the others 16..240."""


class YuvPictures(NamedTuple):
    """Decoded pictures on a device, uint8."""

    luma: Tensor
    """(N, H, W)."""
    chroma: Tensor
    """(N, 2, ceil(H / 2), ceil(W / 2)): U and V."""
    layout: Layout


def layout_of(picture: Picture) -> Layout | None:
    """How to read a picture; None where only the host's way can."""
    if not isinstance(picture, av.VideoFrame) or picture.format.name not in ("yuv420p", "yuvj420p", "nv12"):
        return None
    shares = _SHARES.get(int(picture.colorspace))
    if shares is None or any(plane.line_size <= 0 for plane in picture.planes):
        return None
    full_range = picture.format.name == "yuvj420p" or picture.color_range == ColorRange.JPEG
    return Layout(picture.format.name == "nv12", *shares, full_range)


def upload(pictures: Sequence[Picture], layout: Layout, device: torch.device) -> YuvPictures:
    """Pictures of one size and of this layout, on the device; for a GPU through pinned memory, in one copy."""
    first = pictures[0]
    assert isinstance(first, av.VideoFrame)
    width, height = first.width, first.height
    half_width, half_height = -(-width // 2), -(-height // 2)
    luma, chroma = width * height, half_width * half_height
    host = torch.empty(len(pictures), luma + 2 * chroma, dtype=torch.uint8, pin_memory=device.type == "cuda")
    shapes = [(half_height, 2 * half_width)] if layout.is_nv12 else [(half_height, half_width)] * 2
    for picture, packed in zip(pictures, host.numpy(), strict=True):
        assert isinstance(picture, av.VideoFrame)
        _pack(picture, [(height, width), *shapes], packed)
    packed_pictures = host.to(device, non_blocking=True)
    flat = packed_pictures[:, luma:]
    if layout.is_nv12:
        pairs = flat.view(-1, half_height, half_width, 2).permute(0, 3, 1, 2)
    else:
        pairs = flat.view(-1, 2, half_height, half_width)
    return YuvPictures(packed_pictures[:, :luma].view(-1, height, width), pairs, layout)


def _pack(picture: av.VideoFrame, shapes: Sequence[tuple[int, int]], packed: UInt8Array) -> None:
    """Copy the planes, of such heights and widths in bytes, behind each other, without what pads their lines."""
    begin = 0
    for plane, (rows, columns) in zip(picture.planes, shapes, strict=True):
        lines = np.frombuffer(memoryview(plane), np.uint8)
        target = packed[begin : begin + rows * columns].reshape(rows, columns)
        np.copyto(target, np.ndarray((rows, columns), np.uint8, lines, 0, (plane.line_size, 1)))
        begin += rows * columns


def planes_to_input(pictures: YuvPictures, fitting: Fitting, rule: InputRule) -> Tensor:
    """The network's input (N, 3, padded height, padded width) float32, as `to_batch` makes it of scaled pictures."""
    y = _scaled(pictures.luma, fitting)
    chroma = _scaled(pictures.chroma, fitting)
    rgb = _to_rgb(y, chroma[:, 0], chroma[:, 1], pictures.layout)
    columns = (torch.tensor(numbers, device=rgb.device)[:, None, None] * 255 for numbers in (rule.mean, rule.std))
    mean, deviation = columns
    batch = rgb.new_zeros(len(rgb), 3, fitting.padded_height, fitting.padded_width)
    batch[:, :, : fitting.height, : fitting.width] = (rgb - mean) / deviation
    return batch


def _scaled(planes: Tensor, fitting: Fitting) -> Tensor:
    """Planes (..., H, W) uint8 scaled to (..., h, w) float32: two products with matrices, rows first."""
    height, width = planes.shape[-2:]
    rows = filter_matrix(height, fitting.height, fitting.averages, planes.device)
    columns = filter_matrix(width, fitting.width, fitting.averages, planes.device)
    return rows @ planes.float() @ columns.T


def _to_rgb(y: Tensor, u: Tensor, v: Tensor, layout: Layout) -> Tensor:
    """Planes (N, h, w) float32 as (N, 3, h, w) RGB, whole numbers in 0..255."""
    if layout.full_range:
        u, v = u - 128, v - 128
    else:
        y, u, v = (y - 16) * (255 / 219), (u - 128) * (255 / 224), (v - 128) * (255 / 224)
    red, blue = layout.red, layout.blue
    r, b = y + (2 - 2 * red) * v, y + (2 - 2 * blue) * u
    g = (y - red * r - blue * b) / (1 - red - blue)
    return torch.stack((r, g, b), dim=1).clamp_(0, 255).round_()


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def filter_matrix(source: int, target: int, averages: bool, device: torch.device) -> Tensor:
    """(target, source) float32: each new sample's weights for the old ones, swscale's filters without its rounding.

    Larger: linear. Smaller: a triangle as wide as two new samples, or the average over one with `averages`.
    What a filter reaches beyond the edge is counted to the outermost sample.
    """
    scale = source / target
    margin = math.ceil(max(scale, 1.0)) + 1
    left = torch.arange(-margin, source + margin, dtype=torch.float64)  # edges of the old samples
    begin = torch.arange(target, dtype=torch.float64)[:, None] * scale  # and of the new ones, in old samples
    if averages and scale > 1:
        weights = (torch.minimum(left + 1, begin + scale) - torch.maximum(left, begin)).clamp(min=0)
    else:
        distance = (left + 0.5 - begin - scale / 2).abs()
        weights = (1 - distance / max(scale, 1.0)).clamp(min=0)
    inside = weights[:, margin:-margin].clone()
    inside[:, 0] += weights[:, :margin].sum(dim=1)
    inside[:, -1] += weights[:, -margin:].sum(dim=1)
    return (inside / inside.sum(dim=1, keepdim=True)).to(device, torch.float32)
