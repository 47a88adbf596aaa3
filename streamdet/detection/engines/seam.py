"""What an engine is: it computes a network's raw outputs, whatever it is made of."""

from __future__ import annotations

from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from streamdet.detection.retinanet import HeadOutputs, RetinaNet, to_channels_last
from streamdet.errors import UsageError

EngineName = Literal["auto", "torch", "openvino", "openvino-int8"]
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
    """The network as PyTorch computes it."""

    name = "torch"

    def __init__(self, network: RetinaNet, device: torch.device, dtype: torch.dtype) -> None:
        """`network`: in float32, batch norm folded; it is changed."""
        self._dtype = dtype
        self.precision = str(dtype).removeprefix("torch.")
        self._network = to_channels_last(network.to(device, dtype).eval())

    def __call__(self, images: Tensor) -> list[HeadOutputs]:
        """Raw outputs of all pictures together."""
        outputs: HeadOutputs = self._network(images.to(self._dtype, memory_format=torch.channels_last))
        return [outputs]


def check_engine_name(name: str) -> None:
    """Raises UsageError for a name that is none."""
    if name not in get_args(EngineName):
        raise UsageError(f"--engine is {name!r}; choose one of {', '.join(get_args(EngineName))}")
