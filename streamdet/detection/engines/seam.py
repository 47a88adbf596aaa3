"""What an engine is: it computes a network's raw outputs, whatever it is made of."""

from __future__ import annotations

import copy
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor, nn

from streamdet.detection.retinanet import HeadOutputs, RetinaNet, to_channels_last
from streamdet.errors import UsageError

EngineName = Literal["auto", "torch", "winograd", "openvino", "openvino-int8"]
"""What a user may ask for; "auto" is the fastest of those that compute in the format asked for."""


class Engine(Protocol):
    """Computes raw outputs."""

    name: str
    """As `--engine` calls it."""
    precision: str
    """Number format of the network's work."""

    def __call__(self, images: Tensor) -> list[HeadOutputs]:
        """Raw outputs for normalised pictures (N, 3, H, W), float32, on the device; together they hold N.

        What they hold may change with the next call.
        """


class TorchEngine:
    """The network as PyTorch computes it.

    In bfloat16 its stem stays in float32: rounded to 8 bits the pictures themselves lose grey levels, and one box in
    25 moved by more than 5 % of its size; this way it is one in 100, for no time that can be measured.
    """

    name = "torch"

    def __init__(self, network: RetinaNet, device: torch.device, dtype: torch.dtype) -> None:
        """`network`: in float32, batch norm folded; it is changed."""
        self._dtype = dtype
        self.precision = str(dtype).removeprefix("torch.")
        stem = nn.Sequential(*copy.deepcopy(network.backbone.body.stem_modules()))
        self._stem_dtype = torch.float32 if dtype == torch.bfloat16 else dtype
        self._stem = to_channels_last(stem.to(device, self._stem_dtype).eval())
        self._network = network.to(device, dtype).eval()
        to_channels_last(self._network)

    def __call__(self, images: Tensor) -> list[HeadOutputs]:
        """Raw outputs of all pictures together."""
        x = self._stem(images.to(self._stem_dtype, memory_format=torch.channels_last))
        return [self._network.after_stem(x.to(self._dtype))]


def check_engine_name(name: str) -> None:
    """Raises UsageError for a name that is none."""
    if name not in get_args(EngineName):
        raise UsageError(f"--engine is {name!r}; choose one of {', '.join(get_args(EngineName))}")
