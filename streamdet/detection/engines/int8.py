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
from streamdet.detection.engines.openvino import has_openvino, quantized_path, save, silence_telemetry, translated
from streamdet.errors import UsageError

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
    import nncf
    import openvino

    network = openvino.Core().read_model(translated(folded(model), model.sha256, cache_dir))
    logging.getLogger("nncf").setLevel(logging.ERROR)

    def given(picture: Tensor) -> Any:
        if progress is not None:
            progress(1)
        return picture.numpy()

    shapes = {tuple(picture.shape) for picture in pictures}
    if len(shapes) == 1:
        network.reshape(list(shapes.pop()))  # calibrating is faster where the size is known
    with redirect_stdout(io.StringIO()):  # bars of its own would stand amid what we print
        made = nncf.quantize(
            network,
            nncf.Dataset(list(pictures), given),
            subset_size=len(pictures),
            preset=nncf.QuantizationPreset.MIXED,
            target_device=nncf.TargetDevice.CPU,
        )
    made.reshape([1, 3, -1, -1])
    path = quantized_path(model.sha256, cache_dir)
    save(made, path)
    return path
