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

    def resize(self, picture: Picture, *, exact: bool, reformatter: VideoReformatter | None = None) -> Tensor:
        """`picture` scaled: (height, width, 3) RGB, uint8, or float32 in 0-255 when `exact`.

        A `reformatter` kept for all pictures of this fitting spares swscale's tables: 3 ms per picture.
        """
        reformatter = reformatter or VideoReformatter()
        if exact:
            image_rgb = _to_rgb(reformatter, picture) if isinstance(picture, av.VideoFrame) else picture
            planes = torch.tensor(image_rgb).permute(2, 0, 1)[None].float()
            scaled = F.interpolate(planes, size=(self.height, self.width), mode="bilinear", align_corners=False)
            return scaled[0].permute(1, 2, 0)
        if not isinstance(picture, av.VideoFrame):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        shrinks = self.width * 2 <= self.source_width
        interpolation = Interpolation.AREA if shrinks else BILINEAR
        return torch.from_numpy(_to_rgb(reformatter, picture, self.width, self.height, interpolation))

    def boxes_to_source(self, boxes_xyxy: Float32Array) -> Float32Array:
        """Boxes (N, 4) in the scaled picture, in pixels of the source."""
        scale_x, scale_y = self.source_width / self.width, self.source_height / self.height
        return boxes_xyxy * np.array([scale_x, scale_y, scale_x, scale_y], np.float32)

    def boxes_from_source(self, boxes_xyxy: Float32Array) -> Float32Array:
        """Boxes (N, 4) in pixels of the source, in the scaled picture."""
        scale_x, scale_y = self.width / self.source_width, self.height / self.source_height
        return boxes_xyxy * np.array([scale_x, scale_y, scale_x, scale_y], np.float32)


def _to_rgb(
    reformatter: VideoReformatter,
    frame: av.VideoFrame,
    width: int | None = None,
    height: int | None = None,
    interpolation: Interpolation = BILINEAR,
) -> UInt8Array:
    """The frame's pixels, (height, width, 3) RGB, scaled if a size is given.

    By way of planes: asked for packed RGB, swscale halves the colour resolution of the result (where its width is even)
    and takes longer. Without SWS_ACCURATE_RND it would darken unscaled pictures by a level.
    """
    planes = reformatter.reformat(frame, width, height, format="gbrp", interpolation=interpolation | SWS_ACCURATE_RND)
    return planes.to_ndarray().astype(np.uint8, copy=False)


def normalise(pictures_rgb: Tensor, rule: InputRule) -> Tensor:
    """Pictures (N, H, W, 3) in 0-255 as (N, 3, H, W) float32 in units of the rule's deviation from its mean."""
    mean = torch.tensor(rule.mean, device=pictures_rgb.device).mul(255)[None, :, None, None]
    std = torch.tensor(rule.std, device=pictures_rgb.device).mul(255)[None, :, None, None]
    return pictures_rgb.permute(0, 3, 1, 2).to(torch.float32, copy=True).sub_(mean).div_(std)


def to_batch(
    scaled: list[Tensor], fitting: Fitting, rule: InputRule, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Scaled pictures of one fitting as the network's input: (N, 3, padded_height, padded_width), channels-last.

    The padding holds the mean colour, that is 0 after normalisation. Bytes travel to the device, not floats.
    """
    normalised = normalise(torch.stack(scaled).to(device, non_blocking=True), rule)  # (N, 3, H, W), channels-last
    padding = (0, fitting.padded_width - fitting.width, 0, fitting.padded_height - fitting.height)
    padded = F.pad(normalised, padding) if any(padding) else normalised
    return padded.to(dtype).contiguous(memory_format=torch.channels_last)
