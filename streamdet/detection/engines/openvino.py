"""The network as OpenVINO computes it on a CPU, in bfloat16, float32 or INT8 (package `openvino`, an extra).

A model is translated once, for pictures of any size, and kept in the cache folder; it is compiled for each size.
It comes in two parts: the stem, always in float32 (see `TorchEngine`), and the rest.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import warnings
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from filelock import FileLock
from torch import Tensor, nn

from streamdet.detection.retinanet import HeadOutputs, RetinaNet
from streamdet.errors import UsageError

TRANSLATION = 2
"""Version of the form of a translated network: a new one is made where this differs."""
MOST_SIZES = 8
"""Compiled networks that are kept; a stream needs one, a folder of photographs may need many."""
HINTS = {torch.bfloat16: "bf16", torch.float32: "f32"}
"""Number formats that OpenVINO computes in, by its own name for them."""
LEVELS = 5


def has_openvino() -> bool:
    """True where the package is installed."""
    return importlib.util.find_spec("openvino") is not None


def openvino_version() -> str:
    """Such as "2026.4.1"."""
    try:
        return version("openvino")
    except PackageNotFoundError:
        return "unknown"


def silence_telemetry() -> None:
    """Keep OpenVINO's and NNCF's Python parts from telling their makers of each use, which they do unasked.

    To be called before they are imported: without this package they send nothing.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


@cache
def openvino_core() -> Any:
    """The only one of the process, which is never given up.

    A core gives the thread that it first compiles in a stack for signals, and frees it with itself, whoever's thread
    that is then: the next signal, such as Ctrl-C or the end of a child, would kill the process.
    """
    silence_telemetry()
    import openvino

    return openvino.Core()


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


class Parts(NamedTuple):
    """Files of a translated network."""

    stem: Path
    rest: Path


class OpenVinoEngine:
    """A translated network, ready for pictures of any size."""

    def __init__(self, parts: Parts, num_classes: int, dtype: torch.dtype, *, int8: bool = False) -> None:
        """`parts`: what `translated` gave, or `quantized`. `dtype`: of what is not computed in INT8."""
        self.name = "openvino-int8" if int8 else "openvino"
        self.precision = "int8" if int8 else str(dtype).removeprefix("torch.")
        self._parts = parts
        self._values = (num_classes, 4)
        self._core = openvino_core()
        self._options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            # Pinned to cores, threads would wait for the encoder's, or for those of a second process.
            "ENABLE_CPU_PINNING": False,
        }
        self._hint = HINTS[dtype]
        self._stems: dict[tuple[int, int], Any] = {}
        self._rests: dict[tuple[int, int], list[Any]] = {}

    def __call__(self, images: Tensor) -> list[HeadOutputs]:
        """Raw outputs, float32, of each picture; they are overwritten by the next call."""
        stem, rests = self._requests_for(images.shape[2], images.shape[3], len(images))
        for picture, rest in zip(images.numpy(), rests, strict=True):
            stem.infer([picture[None]], share_inputs=True)
            rest.infer([stem.get_output_tensor(0).data], share_inputs=True)
        return [self._outputs(rest) for rest in rests]

    def _outputs(self, request: Any) -> HeadOutputs:
        maps = [torch.from_numpy(request.get_output_tensor(place).data) for place in range(2 * LEVELS)]
        classes, numbers = self._values
        return HeadOutputs(
            [each.view(1, -1, classes) for each in maps[:LEVELS]], [each.view(1, -1, numbers) for each in maps[LEVELS:]]
        )

    def _requests_for(self, height: int, width: int, count: int) -> tuple[Any, list[Any]]:
        """The stem, and the rest once per picture of a batch: the outputs of one don't overwrite those of another."""
        key = (height, width)
        if key not in self._stems:
            if len(self._stems) >= MOST_SIZES:
                self._stems.clear()
                self._rests.clear()
            stem = self._compile(self._parts.stem, [1, 3, height, width], "f32")
            rest = self._compile(self._parts.rest, list(stem.output(0).shape), self._hint)
            self._stems[key], self._rests[key] = stem.create_infer_request(), [rest.create_infer_request()]
        rests = self._rests[key]
        while len(rests) < count:
            rests.append(rests[0].get_compiled_model().create_infer_request())
        return self._stems[key], rests[:count]

    def _compile(self, path: Path, shape: list[int], hint: str) -> Any:
        network = self._core.read_model(path)
        network.reshape(shape)
        return self._core.compile_model(network, "CPU", {**self._options, "INFERENCE_PRECISION_HINT": hint})


class _Rest(nn.Module):
    """What follows the stem, with outputs whose form no size changes: (N, H, W, A * K), (N, H, W, A * 4)."""

    def __init__(self, network: RetinaNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Class logits of P3 to P7, then their deltas."""
        features = self.network.backbone.after_stem(x)
        heads = (self.network.head.classification_head, self.network.head.regression_head)
        return tuple(head.maps(feature).permute(0, 2, 3, 1) for head in heads for feature in features)


def folder_of(cache_dir: Path) -> Path:
    """Where translated networks and choices lie."""
    return cache_dir / "engines"


def translated(network: RetinaNet, sha256: str, cache_dir: Path) -> Parts:
    """Files of `network` (float32 on the host, batch norm folded) in OpenVINO's form; made where they aren't there.

    Raises UsageError when the cache folder can't be written.
    """
    parts = Parts(_path(sha256, cache_dir, "stem"), _path(sha256, cache_dir, "rest"))
    if parts.stem.exists() and parts.rest.exists():
        return parts
    try:
        parts.stem.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(parts.stem.with_suffix(".lock")):
            if not (parts.stem.exists() and parts.rest.exists()):
                _translate(network, parts)
    except OSError as error:
        raise UsageError(
            f"cannot keep the network for OpenVINO in {parts.stem.parent}: {error.strerror or error}; "
            "set STREAMDET_CACHE to a folder that can be written, or give --engine torch"
        ) from error
    return parts


def quantized(sha256: str, cache_dir: Path) -> Parts:
    """Where `streamdet quantize` keeps a model's INT8 network: its rest; the stem is the usual one."""
    return Parts(_path(sha256, cache_dir, "stem"), _path(sha256, cache_dir, "int8"))


def has_int8(sha256: str, cache_dir: Path) -> bool:
    """True where `streamdet quantize` was run for this model."""
    return all(path.exists() for path in quantized(sha256, cache_dir))


def _path(sha256: str, cache_dir: Path, kind: str) -> Path:
    return folder_of(cache_dir) / f"{sha256[:24]}.{kind}.openvino-{openvino_version()}.v{TRANSLATION}.xml"


def save(translated_network: Any, path: Path) -> None:
    """Write an OpenVINO network: aside first and then renamed, its weights before what names them."""
    import openvino

    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".part-") as name:
        aside = Path(name) / path.name
        openvino.save_model(translated_network, aside, compress_to_fp16=False)
        for suffix in (".bin", ".xml"):
            aside.with_suffix(suffix).replace(path.with_suffix(suffix))


def _translate(network: RetinaNet, parts: Parts) -> None:
    silence_telemetry()
    import openvino

    stem = nn.Sequential(*network.backbone.body.stem_modules())
    example = torch.zeros(1, 3, 256, 384)  # sides that P7 has more than one cell of, and that differ
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own export, about torch's own code
        for part, given, path in ((stem, example, parts.stem), (_Rest(network), stem(example), parts.rest)):
            exported = torch.export.export(part.eval(), (given,))
            save(openvino.convert_model(exported), path)
