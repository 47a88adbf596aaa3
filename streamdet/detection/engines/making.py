"""From an engine's name to the engine: made with the first pictures, as only they tell what is fastest."""

from __future__ import annotations

import copy
from pathlib import Path

from torch import Tensor

from streamdet.detection.checkpoint import Model
from streamdet.detection.engines.choosing import choose
from streamdet.detection.engines.openvino import (
    HINTS,
    OpenVinoEngine,
    check_openvino,
    has_int8,
    has_openvino,
    quantized,
    translated,
)
from streamdet.detection.engines.seam import Engine, TorchEngine, check_engine_name
from streamdet.detection.folding import fold_batch_norm
from streamdet.detection.precision import Placement
from streamdet.detection.retinanet import RetinaNet
from streamdet.errors import UsageError


class EngineMaker:
    """Makes the engine for one model on one placement."""

    def __init__(self, model: Model, placement: Placement, name: str, cache_dir: Path) -> None:
        """`name`: one of EngineName. Raises UsageError where that engine can't be had; `model` stays as it is."""
        check_engine_name(name)
        if name not in ("auto", "torch"):
            check_openvino(placement.device, placement.dtype)
        if name == "openvino-int8" and not has_int8(model.sha256, cache_dir):
            raise UsageError(
                f"there is no INT8 network of {model.card.name} here yet: make it from frames like those to come, "
                f"with streamdet quantize CLIP --model {model.card.name}"
            )
        choosable = has_openvino() and placement.device.type == "cpu" and placement.dtype in HINTS
        self._name = "torch" if name == "auto" and not choosable else name
        self._model, self._placement, self._cache_dir = model, placement, cache_dir
        self.ready: Engine | None = self._torch() if self._name == "torch" else None
        """What needs no pictures to be chosen."""

    def make(self, images: Tensor) -> Engine:
        """The engine for pictures such as these, (N, 3, H, W)."""
        if self.ready is not None:
            return self.ready
        if self._name == "auto":
            return choose(self._torch(), self._openvino, images, self._model.sha256, self._cache_dir)
        return self._openvino()

    def _torch(self) -> TorchEngine:
        return TorchEngine(folded(self._model), self._placement.device, self._placement.dtype)

    def _openvino(self) -> OpenVinoEngine:
        classes, dtype = self._model.card.config.num_classes, self._placement.dtype
        if self._name == "openvino-int8":
            return OpenVinoEngine(quantized(self._model.sha256, self._cache_dir), classes, dtype, int8=True)
        return OpenVinoEngine(translated(folded(self._model), self._model.sha256, self._cache_dir), classes, dtype)


def folded(model: Model) -> RetinaNet:
    """A copy of the model's network in float32, without batch norm and gradients."""
    network = copy.deepcopy(model.network)
    if model.card.config.batch_norm != "folded":
        fold_batch_norm(network)
    network.requires_grad_(False)
    return network.eval()
