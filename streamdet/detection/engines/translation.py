"""A network in OpenVINO's form (package `openvino`, an extra): made once, for pictures of any size, and kept on disk.

It comes in two parts: the stem, which sees the pictures' grey levels, and the rest. Between them and at the end maps
lie cell by cell (N, H, W, C), as CPUs compute them, so that nothing has to be put in another order.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from filelock import FileLock
from torch import Tensor, nn

from streamdet.detection.retinanet import RetinaNet
from streamdet.errors import UsageError

TRANSLATION = 3
"""Version of the form of a translated network: a new one is made where this differs."""


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


class Parts(NamedTuple):
    """Files of a translated network."""

    stem: Path
    rest: Path


class Stem(nn.Module):
    """Pictures (N, 3, H, W) to what the layers that see grey levels make of them: (N, H, W, C)."""

    def __init__(self, network: RetinaNet) -> None:
        super().__init__()
        self.stem = nn.Sequential(*network.backbone.body.stem_modules())

    def forward(self, images: Tensor) -> Tensor:
        """The stem's output."""
        made: Tensor = self.stem(images)
        return made.permute(0, 2, 3, 1)


class Rest(nn.Module):
    """What follows the stem, with outputs whose form no size changes: (N, H, W, A * K), (N, H, W, A * 4)."""

    def __init__(self, network: RetinaNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Class logits of P3 to P7, then their deltas."""
        features = self.network.backbone.after_stem(x.permute(0, 3, 1, 2))
        heads = (self.network.head.classification_head, self.network.head.regression_head)
        return tuple(head.maps(feature).permute(0, 2, 3, 1) for head in heads for feature in features)


class GroupNormByChannels(nn.Module):
    """Group norm by way of each channel's mean and mean square.

    OpenVINO's own reads a map channel by channel, so that it has to be put in another order before and after: in a
    network of torchvision's 80 times, nearly a tenth of all its work.
    """

    same_group: Tensor

    def __init__(self, norm: nn.GroupNorm) -> None:
        """The same function as `norm`."""
        super().__init__()
        self.norm = norm
        each = norm.num_channels // norm.num_groups
        groups = torch.eye(norm.num_groups) / each
        self.register_buffer("same_group", groups.repeat_interleave(each, 0).repeat_interleave(each, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), normalised."""
        mean = x.mean((2, 3)) @ self.same_group
        variance = F.relu((x * x).mean((2, 3)) @ self.same_group - mean * mean)
        factor = self.norm.weight * torch.rsqrt(variance + self.norm.eps)
        return x * factor[:, :, None, None] + (self.norm.bias - mean * factor)[:, :, None, None]


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
    """Write both parts of `network`, which is changed."""
    silence_telemetry()
    import openvino

    _by_channels(network.head)
    stem = Stem(network).eval()
    example = torch.zeros(1, 3, 256, 384)  # sides that P7 has more than one cell of, and that differ
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own export, about torch's own code
        for part, given, path in ((stem, example, parts.stem), (Rest(network).eval(), stem(example), parts.rest)):
            save(openvino.convert_model(torch.export.export(part, (given,))), path)


def _by_channels(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, nn.GroupNorm):
            setattr(module, name, GroupNormByChannels(child))
        else:
            _by_channels(child)
