"""A network in INT8: calibrated on pictures like those to come (package `nncf`, in the extra `openvino`)."""

from __future__ import annotations

import importlib.util
import io
import logging
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from torch import Tensor

from streamdet.detection.checkpoint import Model
from streamdet.detection.engines.making import folded
from streamdet.detection.engines.openvino import has_openvino
from streamdet.detection.engines.translation import (
    openvino_core,
    quantized,
    save,
    silence_telemetry,
    translated,
)
from streamdet.errors import UsageError

EXACT = {"INFERENCE_PRECISION_HINT": "f32"}
FEWEST_PICTURES = 10
"""With fewer the range of the network's values is a guess."""


def check_int8() -> None:
    """Raises UsageError where a package is missing."""
    if not has_openvino() or importlib.util.find_spec("nncf") is None:
        raise UsageError("INT8 needs the packages openvino and nncf: pip install 'streamdet[openvino]'")


def quantize(
    model: Model, pictures: Sequence[Tensor], cache_dir: Path, progress: Callable[[int], None] | None = None
) -> Path:
    """Make the INT8 network of a model and keep it in `cache_dir`, in place of an older one; its file.

    `pictures`: each (1, 3, H, W) float32, normalised, as `to_batch` makes them; `progress` is told of each one used.

    Weights are rounded per channel, values per layer, to the ranges that the pictures show; biases are corrected for
    what rounding does to their mean. Raises UsageError for too few pictures, and where a package is missing.
    """
    check_int8()
    if len(pictures) < FEWEST_PICTURES:
        raise UsageError(f"{len(pictures)} pictures are too few to calibrate INT8 on; give {FEWEST_PICTURES} at least")
    silence_telemetry()
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # NNCF imports it, and it misses a GPU
    import nncf

    core = openvino_core()
    parts = translated(folded(model), model.sha256, cache_dir)
    stem, rest = core.compile_model(core.read_model(parts.stem), "CPU", EXACT), core.read_model(parts.rest)
    logging.getLogger("nncf").setLevel(logging.ERROR)

    def given(picture: Tensor) -> Any:
        if progress is not None:
            progress(1)
        return stem(picture.numpy())[0].copy()

    if len({picture.shape for picture in pictures}) == 1:
        rest.reshape(list(stem(pictures[0].numpy())[0].shape))  # calibrating is faster where the size is known
    with redirect_stdout(io.StringIO()):  # bars of its own would stand amid what we print
        made = nncf.quantize(
            rest,
            nncf.Dataset(list(pictures), given),
            subset_size=len(pictures),
            preset=nncf.QuantizationPreset.MIXED,
            target_device=nncf.TargetDevice.CPU,
            ignored_scope=nncf.IgnoredScope(names=_of_norms(rest)),
        )
    made.reshape([1, -1, -1, made.input(0).partial_shape[3].get_length()])
    path = quantized(model.sha256, cache_dir).rest
    save(made, path)
    return path


def _of_norms(network: Any) -> list[str]:
    """Names of what a network's group norms are made of: means and products, which nothing else in it has.

    NNCF knows a group norm as one operation, and would round the parts of ours.
    """
    names = []
    for node in network.get_ops():
        kind = node.get_type_name()
        given = [value.get_node().get_type_name() for value in node.input_values()]
        if kind in ("ReduceMean", "MatMul", "Multiply", "Subtract") or (kind == "Add" and "Multiply" in given):
            names.append(node.get_friendly_name())
    return names
