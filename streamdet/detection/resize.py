"""From a source picture to the network's input and back: who resizes the picture puts the boxes back.

The rule is torchvision's: scale so that the short side reaches `short_side` unless the long side would exceed
`long_side`, keep the aspect, then pad right and bottom to a multiple of 32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from av.video.reformatter import Interpolation, VideoReformatter
from torch import Tensor

from streamdet.types import Float32Array

PAD_MULTIPLE = 32
BILINEAR = Interpolation.BILINEAR
SWS_ACCURATE_RND = 0x40000
"""A flag of FFmpeg's that PyAV doesn't name."""
UInt8Array = npt.NDArray[np.uint8]
Picture = av.VideoFrame | UInt8Array
"""A decoded frame in any pixel format, or (H, W, 3) uint8 RGB."""


@dataclass(frozen=True)
class InputRule:
    """How a model wants its pictures."""

    short_side: int = 800
    """Pixels that the short side is scaled to ..."""
    long_side: int = 1333
    """... unless the long side would get longer than this."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Per channel, RGB, pictures in 0-1."""
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    exact: bool = False
    """True: torchvision's own float bilinear resize of RGB, for equal boxes to 0.01 px. False: one swscale pass from
    the decoder's YUV straight to the network's size, many times faster."""

    def fit(self, width: int, height: int) -> Fitting:
        """The fitting of a picture of `width` x `height` pixels."""
        scale = min(self.short_side / min(width, height), self.long_side / max(width, height))
        new_width, new_height = max(1, math.floor(width * scale)), max(1, math.floor(height * scale))
        return Fitting(width, height, new_width, new_height)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a checkpoint's header."""
        return {
            "short_side": self.short_side,
            "long_side": self.long_side,
            "mean": list(self.mean),
            "std": list(self.std),
            "exact": self.exact,
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> InputRule:
        """The rule that `to_json` wrote."""
        return cls(
            int(fields["short_side"]),
            int(fields["long_side"]),
            _triple(fields["mean"]),
            _triple(fields["std"]),
            bool(fields["exact"]),
        )


def _triple(values: list[float]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


@dataclass(frozen=True)
class Fitting:
    """A source size, the size it is scaled to, and the padded size that the network sees. All in pixels."""

    source_width: int
    source_height: int
    width: int
    height: int

    @property
    def padded_width(self) -> int:
        """`width` rounded up to a multiple of 32."""
        return -(-self.width // PAD_MULTIPLE) * PAD_MULTIPLE

    @property
    def padded_height(self) -> int:
        """`height` rounded up to a multiple of 32."""
        return -(-self.height // PAD_MULTIPLE) * PAD_MULTIPLE

    @property
    def averages(self) -> bool:
        """True where a new pixel is the average of those that it covers: where they are four or more."""
        return self.width * 2 <= self.source_width

    def resize(self, picture: Picture, *, exact: bool, reformatter: VideoReformatter | None = None) -> Tensor:
        """`picture` scaled: (3, height, width) RGB, uint8, or float32 in 0-255 when `exact`.

        A `reformatter` kept for all pictures of this fitting spares swscale's tables: 3 ms per picture.
        """
        reformatter = reformatter or VideoReformatter()
        if exact:
            if isinstance(picture, av.VideoFrame):
                planes = torch.from_numpy(_to_planes(reformatter, picture))
            else:
                planes = torch.tensor(picture).permute(2, 0, 1)
            size = (self.height, self.width)
            return F.interpolate(planes[None].float(), size=size, mode="bilinear", align_corners=False)[0]
        if not isinstance(picture, av.VideoFrame):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        interpolation = Interpolation.AREA if self.averages else BILINEAR
        return torch.from_numpy(_to_planes(reformatter, picture, self.width, self.height, interpolation))

    def boxes_to_source(self, boxes_xyxy: Float32Array) -> Float32Array:
        """Boxes (N, 4) in the scaled picture, in pixels of the source."""
        scale_x, scale_y = self.source_width / self.width, self.source_height / self.height
        return boxes_xyxy * np.array([scale_x, scale_y, scale_x, scale_y], np.float32)

    def boxes_from_source(self, boxes_xyxy: Float32Array) -> Float32Array:
        """Boxes (N, 4) in pixels of the source, in the scaled picture."""
        scale_x, scale_y = self.width / self.source_width, self.height / self.source_height
        return boxes_xyxy * np.array([scale_x, scale_y, scale_x, scale_y], np.float32)


def _to_planes(
    reformatter: VideoReformatter,
    frame: av.VideoFrame,
    width: int | None = None,
    height: int | None = None,
    interpolation: Interpolation = BILINEAR,
) -> UInt8Array:
    """The frame's pixels, (3, height, width) RGB, scaled if a size is given.

    Asked for packed RGB, swscale halves the colour resolution of the result (where its width is even) and takes longer.
    Without SWS_ACCURATE_RND it would darken unscaled pictures by a level.
    """
    scaled = reformatter.reformat(frame, width, height, format="gbrp", interpolation=interpolation | SWS_ACCURATE_RND)
    rgb = np.empty((3, scaled.height, scaled.width), np.uint8)
    for plane, place in zip(scaled.planes, (1, 2, 0), strict=True):
        lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        np.copyto(rgb[place], lines[: scaled.height, : scaled.width])
    return rgb


def normalise(pictures_rgb: Tensor, rule: InputRule) -> Tensor:
    """Pictures (N, H, W, 3) in 0-255 as (N, 3, H, W) float32 in units of the rule's deviation from its mean."""
    mean = torch.tensor(rule.mean, device=pictures_rgb.device).mul(255)[None, :, None, None]
    std = torch.tensor(rule.std, device=pictures_rgb.device).mul(255)[None, :, None, None]
    return pictures_rgb.permute(0, 3, 1, 2).to(torch.float32, copy=True).sub_(mean).div_(std)


def to_batch(scaled: list[Tensor], fitting: Fitting, rule: InputRule, device: torch.device) -> Tensor:
    """Scaled pictures (3, height, width) of one fitting as the network's input: (N, 3, padded_height, padded_width).

    The padding holds the mean colour, that is 0 after normalisation. Bytes travel to the device, not floats. Plane by
    plane this takes a tenth of the time that it takes pixel by pixel.
    """
    batch = torch.zeros(len(scaled), 3, fitting.padded_height, fitting.padded_width, device=device)
    inside = batch[:, :, : fitting.height, : fitting.width]
    scale = 1 / (torch.tensor(rule.std, dtype=torch.float64) * 255)
    shift = -torch.tensor(rule.mean, dtype=torch.float64) * 255 * scale
    for place, picture in enumerate(scaled):
        inside[place].copy_(picture.to(device, non_blocking=True))
    columns = [each.to(device, torch.float32)[:, None, None] for each in (scale, shift)]
    inside.mul_(columns[0]).add_(columns[1])
    return batch
