"""The network as OpenVINO computes it on a CPU, in bfloat16, float32 or INT8; it is compiled for each size.

In bfloat16 pictures would lose grey levels. So the stem is computed in float32 (see `TorchEngine`), or, where it is a
single convolution, from two numbers for each one: what bfloat16 makes of it, and what is then left. The convolution
adds up both: that is as good, and takes a ResNet a fifth less time.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamdet.detection.engines.translation import Parts, openvino_core
from streamdet.detection.retinanet import HeadOutputs
from streamdet.detection.threads import one_thread
from streamdet.errors import UsageError

MOST_SIZES = 8
"""Compiled networks that are kept; a stream needs one, a folder of photographs may need many."""
HINTS = {torch.bfloat16: "bf16", torch.float32: "f32"}
"""Number formats that OpenVINO computes in, by its own name for them."""
LEVELS = 5


def has_openvino() -> bool:
    """True where the package is installed."""
    return importlib.util.find_spec("openvino") is not None


def check_openvino(device: torch.device, dtype: torch.dtype) -> None:
    """Raises UsageError where OpenVINO is missing, or can't do what is asked for."""
    if not has_openvino():
        raise UsageError(
            "--engine openvino needs the package openvino, which is not installed: pip install 'streamdet[openvino]'"
        )
    if device.type != "cpu":
        raise UsageError(f"--engine openvino computes on the CPU, and --device is {device}; leave one of them out")
    if dtype not in HINTS:
        name = str(dtype).removeprefix("torch.")
        raise UsageError(f"--engine openvino computes in bfloat16 or float32, and --precision is {name}; leave it out")


class OpenVinoEngine:
    """A translated network, ready for pictures of any size."""

    def __init__(self, parts: Parts, num_classes: int, dtype: torch.dtype, *, int8: bool = False) -> None:
        """`parts`: what `translated` gave, or `quantized`. `dtype`: of what is not computed in INT8."""
        self.name = "openvino-int8" if int8 else "openvino"
        self.precision = "int8" if int8 else str(dtype).removeprefix("torch.")
        self._parts = parts
        self._values = (num_classes, 4)
        self._core = openvino_core()
        self._dtype = dtype
        self._options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            # Pinned to cores, threads would wait for the encoder's, or for those of a second process.
            "ENABLE_CPU_PINNING": False,
        }
        self._stems: dict[tuple[int, int], Any] = {}
        self._rests: dict[tuple[int, int], list[Any]] = {}

    def __call__(self, images: Tensor) -> list[HeadOutputs]:
        """Raw outputs of each picture, in `dtype`; they are overwritten by the next call."""
        stem, rests = self._requests_for(images.shape[2], images.shape[3], len(images))
        splits = stem.get_input_tensor().shape[1] != images.shape[1]
        for picture, rest in zip(images, rests, strict=True):
            given = split(picture[None]) if splits else picture[None]
            stem.set_input_tensor(_view(given))
            stem.infer()
            rest.infer()
        return [self._outputs(rest) for rest in rests]

    def _outputs(self, request: Any) -> HeadOutputs:
        maps = [self._map(request.get_output_tensor(place)) for place in range(2 * LEVELS)]
        classes, numbers = self._values
        return HeadOutputs(
            [each.view(1, -1, classes) for each in maps[:LEVELS]], [each.view(1, -1, numbers) for each in maps[LEVELS:]]
        )

    def _map(self, tensor: Any) -> Tensor:
        if self._dtype == torch.float32:
            return torch.from_numpy(tensor.data)
        # NumPy has no bfloat16
        return torch.from_numpy(tensor.data.view(np.int16)).view(torch.bfloat16)

    def _requests_for(self, height: int, width: int, count: int) -> tuple[Any, list[Any]]:
        """The stem, and the rest once per picture of a batch: the outputs of one don't overwrite those of another."""
        key = (height, width)
        if key not in self._stems:
            if len(self._stems) >= MOST_SIZES:
                self._stems.clear()
                self._rests.clear()
            stem = self._compiled_stem(height, width)
            rest = self._compiled_rest(list(stem.output(0).shape))
            self._stems[key], self._rests[key] = stem.create_infer_request(), [rest.create_infer_request()]
        stem, rests = self._stems[key], self._rests[key]
        while len(rests) < count:
            rests.append(rests[0].get_compiled_model().create_infer_request())
        for rest in rests:
            rest.set_input_tensor(stem.get_output_tensor())
        return stem, rests[:count]

    def _compiled_stem(self, height: int, width: int) -> Any:
        network = self._core.read_model(self._parts.stem)
        network.reshape([1, 3, height, width])
        takes = torch.float32
        convolutions = [node for node in network.get_ops() if node.get_type_name() == "Convolution"]
        if self._dtype == torch.bfloat16 and len(convolutions) == 1:
            take_split(network, convolutions[0])
            takes = torch.bfloat16
        return self._compile(_with_formats(network, takes, self._dtype), HINTS[takes])

    def _compiled_rest(self, shape: list[int]) -> Any:
        network = self._core.read_model(self._parts.rest)
        network.reshape(shape)
        return self._compile(_with_formats(network, self._dtype, self._dtype), HINTS[self._dtype])

    def _compile(self, network: Any, hint: str) -> Any:
        return self._core.compile_model(network, "CPU", {**self._options, "INFERENCE_PRECISION_HINT": hint})


def _view(values: Tensor) -> Any:
    """OpenVINO's view of `values`, float32 or bfloat16, which have to be kept as long."""
    import openvino

    if values.dtype == torch.float32:
        return openvino.Tensor(values.numpy(), shared_memory=True)
    return openvino.Tensor(values.view(torch.int16).numpy(), list(values.shape), openvino.Type.bf16)


def _with_formats(network: Any, takes: torch.dtype, gives: torch.dtype) -> Any:
    """The network with inputs and outputs in these formats."""
    from openvino.preprocess import PrePostProcessor

    formats = PrePostProcessor(network)
    formats.input().tensor().set_element_type(_element_type(takes))
    for place in range(len(network.outputs)):
        formats.output(place).tensor().set_element_type(_element_type(gives))
    return formats.build()


def _element_type(dtype: torch.dtype) -> Any:
    import openvino

    return openvino.Type.bf16 if dtype == torch.bfloat16 else openvino.Type.f32


def split(picture: Tensor) -> Tensor:
    """A picture (1, 3, H, W) in float32 as (1, 6, H, W) in bfloat16: its rounded values, and what they lack."""
    with one_thread():
        rounded = picture.bfloat16()
        return torch.cat((rounded, (picture - rounded).bfloat16()), dim=1)


def take_split(network: Any, convolution: Any) -> None:
    """Change a stem of one convolution, for pictures (1, 3, H, W), into one for those that `split` makes of them.

    A convolution is linear: its weights stand there twice.
    """
    from openvino import PartialShape, opset13

    (picture,) = network.get_parameters()
    weights = convolution.input_value(1).get_node().data
    convolution.input(1).replace_source_output(opset13.constant(np.concatenate((weights, weights), axis=1)).output(0))
    count, channels, height, width = picture.shape
    picture.set_partial_shape(PartialShape([count, 2 * channels, height, width]))
    network.validate_nodes_and_infer_types()
