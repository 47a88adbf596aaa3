"""From an engine's name to the engine: made with the first pictures, as only they tell what is fastest."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from streamdet.detection.checkpoint import Model
from streamdet.detection.engines.choosing import choose
from streamdet.detection.engines.graphs import GraphEngine
from streamdet.detection.engines.openvino import HINTS, OpenVinoEngine, check_openvino, has_openvino
from streamdet.detection.engines.seam import Engine, TorchEngine, check_engine_name
from streamdet.detection.engines.translation import has_int8, quantized, translated
from streamdet.detection.engines.winograd import LEAST_CHANNELS, WinogradEngine, gains
from streamdet.detection.folding import fold_batch_norm
from streamdet.detection.precision import Placement
from streamdet.detection.retinanet import RetinaNet
from streamdet.errors import UsageError


class EngineMaker:
    """Makes the engine for one model on one placement."""

    def __init__(self, model: Model, placement: Placement, name: str, cache_dir: Path) -> None:
        """`name`: one of EngineName. Raises UsageError where that engine can't be had; `model` stays as it is."""
        check_engine_name(name)
        self.notes: list[str] = []
        """What the user should know of the engine, a sentence each."""
        if name.startswith("openvino"):
            check_openvino(placement.device, placement.dtype)
        if name == "winograd":
            _check_winograd(model, placement)
        if name == "openvino-int8" and not has_int8(model.sha256, cache_dir):
            raise UsageError(
                f"there is no INT8 network of {model.card.name} here yet: make it from frames like those to come, "
                f"with streamdet quantize CLIP --model {model.card.name}"
            )
        self._model, self._placement, self._cache_dir = model, placement, cache_dir
        self._others = self._choosable() if name == "auto" else {}
        self._name = "torch" if name == "auto" and not self._others else name
        self.ready: Engine | None = None
        """What needs no pictures to be chosen."""
        if self._name == "torch":
            self.ready = self._torch()
        elif self._name == "winograd":
            self.ready = self._winograd()

    def make(self, images: Tensor) -> Engine:
        """The engine for pictures such as these, (N, 3, H, W)."""
        if self.ready is not None:
            return self.ready
        if self._name == "auto":
            return choose(self._torch(), self._others, images, self._model.sha256, self._cache_dir)
        return self._openvino()

    def _choosable(self) -> dict[str, Callable[[], Engine]]:
        """What may be faster than torch here, by name."""
        makers: dict[str, Callable[[], Engine]] = {}
        if self._placement.device.type == "cpu":
            if self._placement.dtype == torch.bfloat16 and gains(self._model.network):
                makers["winograd"] = self._winograd
            if self._placement.dtype in HINTS and has_openvino():
                makers["openvino"] = self._openvino
        return makers

    def _torch(self) -> Engine:
        engine = TorchEngine(folded(self._model), self._placement.device, self._placement.dtype)
        return GraphEngine(engine, self.notes.append) if self._placement.device.type == "cuda" else engine

    def _winograd(self) -> WinogradEngine:
        return WinogradEngine(folded(self._model))

    def _openvino(self) -> OpenVinoEngine:
        classes, dtype = self._model.card.config.num_classes, self._placement.dtype
        if self._name == "openvino-int8":
            return OpenVinoEngine(quantized(self._model.sha256, self._cache_dir), classes, dtype, int8=True)
        return OpenVinoEngine(translated(folded(self._model), self._model.sha256, self._cache_dir), classes, dtype)


def _check_winograd(model: Model, placement: Placement) -> None:
    if placement.device.type != "cpu" or placement.dtype != torch.bfloat16:
        raise UsageError(
            f"--engine winograd computes in bfloat16 on a CPU, and this is {placement.precision} on "
            f"{placement.device}; add --device cpu --precision bfloat16, or leave it out"
        )
    if not gains(model.network):
        raise UsageError(
            f"--engine winograd is for pyramids and heads of at least {LEAST_CHANNELS} channels, and those of "
            f"{model.card.name} have {model.card.config.channels}; leave it out"
        )


def folded(model: Model) -> RetinaNet:
    """A copy of the model's network in float32, without batch norm and gradients."""
    network = copy.deepcopy(model.network)
    if model.card.config.batch_norm != "folded":
        fold_batch_norm(network)
    network.requires_grad_(False)
    return network.eval()
