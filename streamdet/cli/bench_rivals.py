"""What `streamdet bench` measures beside our own work: the loop that everybody writes first, and raw networks."""

from __future__ import annotations

import importlib.util
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch import Tensor

from streamdet.detection.anchors import anchors_per_level
from streamdet.detection.checkpoint import Model
from streamdet.detection.engines.making import folded
from streamdet.detection.engines.openvino import OpenVinoEngine, has_openvino
from streamdet.detection.engines.translation import has_int8, openvino_core, quantized, silence_telemetry
from streamdet.detection.postprocess import PostprocessRule, postprocess
from streamdet.detection.resize import InputRule

if TYPE_CHECKING:
    from streamdet.detection.detector import Detector

Network = Callable[[Tensor], Any]
"""From normalised pictures (N, 3, H, W) float32 to raw outputs."""
SHOWN_FROM = 0.4
BOX_BGR = (0, 255, 0)


class PlainLoop:
    """cv2.VideoCapture, the network in eager float32, cv2.rectangle, cv2.VideoWriter (mp4v): a frame at a time.

    For models of torchvision's own form the network is torchvision's, with its transform and post-processing; for
    others it is the same network as ours, as it was loaded.
    """

    def __init__(self, model: Model, rule: InputRule) -> None:
        theirs = torchvision_model(model, rule)
        self.name = "torchvision's loop" if theirs is not None else "plain loop"
        self._detect = _by_torchvision(theirs) if theirs is not None else _by_eager_network(model, rule)

    def run(self, clip: Path, out: Path, frames: int) -> float:
        """Frames per second on the first frames of the clip."""
        capture = cv2.VideoCapture(str(clip))
        size = (int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
        writer = cv2.VideoWriter(str(out), cv2.VideoWriter.fourcc(*"mp4v"), capture.get(cv2.CAP_PROP_FPS) or 25, size)
        started = time.perf_counter()
        done = 0
        while done < frames:
            is_there, image_bgr = capture.read()
            if not is_there:
                break
            tensor = torch.from_numpy(image_bgr[:, :, ::-1].copy()).permute(2, 0, 1).float() / 255
            boxes, scores = self._detect(tensor)
            for box in boxes[scores > SHOWN_FROM].int().tolist():
                cv2.rectangle(image_bgr, tuple(box[:2]), tuple(box[2:]), BOX_BGR, 2)
            writer.write(image_bgr)
            done += 1
        writer.release()
        capture.release()
        return done / (time.perf_counter() - started)


def _by_torchvision(network: Any) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    def detect(image: Tensor) -> tuple[Tensor, Tensor]:
        with torch.inference_mode():
            found = network([image])[0]
        return found["boxes"], found["scores"]

    return detect


def _by_eager_network(model: Model, rule: InputRule) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    network = model.network.eval()
    mean, std = torch.tensor(rule.mean)[:, None, None], torch.tensor(rule.std)[:, None, None]

    def detect(image: Tensor) -> tuple[Tensor, Tensor]:
        fitting = rule.fit(image.shape[2], image.shape[1])
        size = (fitting.height, fitting.width)
        with torch.inference_mode():
            scaled = torch.nn.functional.interpolate((image - mean)[None] / std, size=size, mode="bilinear")
            padding = (0, fitting.padded_width - fitting.width, 0, fitting.padded_height - fitting.height)
            heads = network(torch.nn.functional.pad(scaled, padding))
            anchors = anchors_per_level(
                model.card.config.anchors, fitting.padded_height, fitting.padded_width, torch.device("cpu")
            )
            [found] = postprocess(heads, anchors, fitting.height, fitting.width, PostprocessRule())
        return torch.from_numpy(fitting.boxes_to_source(found.boxes.numpy())), found.scores

    return detect


def torchvision_model(model: Model, rule: InputRule) -> Any | None:
    """Torchvision's own detector with the model's weights; None for networks that it doesn't build."""
    from torchvision.models.detection import retinanet_resnet50_fpn, retinanet_resnet50_fpn_v2

    config = model.card.config
    if config.backbone != "resnet50" or not config.anchors.torchvision:
        return None
    build = retinanet_resnet50_fpn_v2 if config.head_norm == "group" else retinanet_resnet50_fpn
    network = build(
        weights=None,
        weights_backbone=None,
        num_classes=config.num_classes,
        min_size=rule.short_side,
        max_size=rule.long_side,
    )
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = config.batch_norm_eps
    try:
        lacking = network.load_state_dict(model.network.state_dict(), strict=False)
    except RuntimeError:
        return None
    if lacking.unexpected_keys or any(not key.endswith("num_batches_tracked") for key in lacking.missing_keys):
        return None
    return network.eval()


def raw_networks(model: Model, detector: Detector, example: Tensor, cache_dir: Path) -> dict[str, Network]:
    """Raw networks, without post-processing, by a name for the table; those whose packages are installed."""
    found: dict[str, Network] = {}
    config = model.card.config
    if has_openvino() and detector.placement.device.type == "cpu":
        found |= _openvino_networks(model, example)
        if has_int8(model.sha256, cache_dir):
            parts = quantized(model.sha256, cache_dir)
            found["OpenVINO INT8"] = OpenVinoEngine(parts, config.num_classes, detector.placement.dtype, int8=True)
    if all(importlib.util.find_spec(name) for name in ("onnxruntime", "onnx", "onnxscript")):
        found["ONNX Runtime float32"] = _onnx_network(model, example)
    eager = model.network.eval()
    found["torch eager float32"] = lambda images: eager(images)
    return found


class _Flat(torch.nn.Module):
    """Outputs as a tuple, as OpenVINO takes them."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        outputs = self.network(images)
        return (*outputs.logits, *outputs.deltas)


def _openvino_networks(model: Model, example: Tensor) -> dict[str, Network]:
    """The whole network for one size, as its guide tells to convert it."""
    silence_telemetry()
    import openvino

    core = openvino_core()
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the export, about torch's own code
        network = openvino.convert_model(torch.export.export(_Flat(folded(model)), (example.clone(),)))
    network.reshape(list(example.shape))
    found: dict[str, Network] = {}
    for name, hint in (("OpenVINO float32", "f32"), ("OpenVINO bfloat16", "bf16")):
        options = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        request = core.compile_model(network, "CPU", {"PERFORMANCE_HINT": "LATENCY", **options}).create_infer_request()
        found[name] = _inferring(request)
    return found


def _inferring(request: Any) -> Network:
    return lambda images: request.infer([images.numpy()], share_inputs=True)


def _onnx_network(model: Model, example: Tensor) -> Network:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the export, about torch's own code
        program = torch.onnx.export(folded(model), (example.clone(),), dynamo=True, verbose=False)
        assert program is not None
        program.save(Path(folder) / "network.onnx")
        session = onnxruntime.InferenceSession(
            Path(folder) / "network.onnx", options, providers=["CPUExecutionProvider"]
        )
    name = session.get_inputs()[0].name

    def run(images: Tensor) -> Any:
        return session.run(None, {name: np.ascontiguousarray(images.numpy())})

    return run
