"""From what a user calls a model to the loaded model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from streamdet.detection.anchors import AnchorRule
from streamdet.detection.checkpoint import Model, ModelCard, file_sha256, load_model, load_tensors, renamed
from streamdet.detection.resize import InputRule
from streamdet.detection.retinanet import RetinaNetConfig, build_retinanet
from streamdet.detection.shipped import shipped_model_path
from streamdet.detection.weights import PUBLISHED, default_cache_dir, fetch, load_torch_file
from streamdet.errors import ModelError

SHIPPED = ("street",)
TORCHVISION_ANCHOR_SCALES = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
COCO_V1_SHA256 = "eeacb38b"
"""Torchvision's first COCO weights were trained with a batch norm epsilon of 0."""


def find_model(
    model: str | Path,
    *,
    cache_dir: Path | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Model:
    """The model of this name or path. Raises ModelError saying which names and files there are."""
    name = str(model)
    if name in SHIPPED:
        path = shipped_model_path(name)
        if path is None:
            raise ModelError(f"the model {name!r} is missing from this installation; install streamdet again")
        return renamed(load_model(path), name)
    if name in PUBLISHED:
        weights = PUBLISHED[name]
        path = fetch(
            weights.url,
            sha256_prefix=weights.sha256_prefix,
            cache_dir=cache_dir or default_cache_dir(),
            progress=progress,
        )
        return renamed(load_torchvision(path), name)
    path = Path(name).expanduser()
    if path.is_dir():
        path = path / "best.safetensors"
        if not path.exists():
            raise ModelError(f"the folder {name} holds no best.safetensors; give a run's folder or a model file")
    if not path.exists():
        names = ", ".join((*SHIPPED, *PUBLISHED))
        raise ModelError(f"there is no model {name!r}; give one of {names}, or the path of a .safetensors or .pth file")
    if path.suffix == ".safetensors":
        return load_model(path)
    if path.suffix in (".pth", ".pt"):
        return load_torchvision(path)
    raise ModelError(f"{path} is no model file: its name must end in .safetensors (ours) or .pth (torchvision's)")


def load_torchvision(path: Path) -> Model:
    """A RetinaNet that torchvision saved as a state dict: v1 (no head norm, P6 from P5) or v2 (GroupNorm, P6 from C5).

    Raises ModelError when the file holds code, or another kind of network.
    """
    tensors = _current_names(load_torch_file(path))
    sha256 = file_sha256(path)
    try:
        config = _read_config(tensors, sha256)
    except KeyError as error:
        raise ModelError(f"{path} is no torchvision RetinaNet on a ResNet: it has no {error.args[0]}") from error
    network = build_retinanet(config)
    load_tensors(network, tensors, path)
    names, hidden = _class_names(config.num_classes)
    card = ModelCard(path.stem, names, config, InputRule(), {"*": 0.4}, hidden_class_ids=hidden)
    return Model(network.eval(), card, sha256)


def _current_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names of torchvision's older files (`conv.0.weight`, `conv.2.weight`, ...) turned into today's."""
    renames = {}
    for head in ("classification_head", "regression_head"):
        prefix = f"head.{head}.conv."
        if f"{prefix}2.weight" in tensors:
            for layer in range(4):
                for kind in ("weight", "bias"):
                    renames[f"{prefix}{2 * layer}.{kind}"] = f"{prefix}{layer}.0.{kind}"
    for kind in ("inner_blocks", "layer_blocks"):
        for level in range(3):
            for parameter in ("weight", "bias"):
                renames[f"backbone.fpn.{kind}.{level}.{parameter}"] = f"backbone.fpn.{kind}.{level}.0.{parameter}"
    return {renames.get(name, name): tensor for name, tensor in tensors.items()}


def _read_config(tensors: dict[str, Tensor], sha256: str) -> RetinaNetConfig:
    """The configuration that a torchvision state dict was made with, read off its tensors."""
    grouped = "head.classification_head.conv.0.1.weight" in tensors
    live = "backbone.body.bn1.num_batches_tracked" in tensors
    channels = tensors["backbone.fpn.layer_blocks.0.0.weight"].shape[0]
    c5_channels = tensors["backbone.fpn.inner_blocks.2.0.weight"].shape[1]
    p6_channels = tensors["backbone.fpn.extra_blocks.p6.weight"].shape[1]
    per_cell = tensors["head.regression_head.bbox_reg.weight"].shape[0] // 4
    if per_cell != 9:
        raise KeyError(f"anchors of torchvision's default kind (9 per cell; it has {per_cell})")
    depth = sum(f"head.regression_head.conv.{layer}.0.weight" in tensors for layer in range(16))
    return RetinaNetConfig(
        num_classes=tensors["head.classification_head.cls_logits.weight"].shape[0] // per_cell,
        backbone=_read_backbone(tensors),
        anchors=AnchorRule(scales=TORCHVISION_ANCHOR_SCALES, torchvision=True),
        channels=channels,
        head_depth=depth,
        head_norm="group" if grouped else "none",
        p6_from="c5" if p6_channels == c5_channels and p6_channels != channels else "p5",
        batch_norm="live" if live else "frozen",
        batch_norm_eps=0.0 if sha256.startswith(COCO_V1_SHA256) else 1e-5,
    )


def _read_backbone(tensors: dict[str, Tensor]) -> str:
    blocks = sum(f"backbone.body.layer3.{block}.conv1.weight" in tensors for block in range(64))
    if "backbone.body.layer1.0.conv3.weight" not in tensors:
        shallow = tensors["backbone.body.layer1.0.conv2.weight"]  # raises KeyError for other kinds of networks
        return "resnet18" if blocks == 2 and shallow is not None else "resnet34"
    width = tensors["backbone.body.layer1.0.conv2.weight"]
    if width.shape[0] != width.shape[1]:
        return "resnext50_32x4d" if blocks == 6 else "resnext101_32x8d"
    return "resnet50" if blocks == 6 else "resnet101"


def _class_names(num_classes: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names of the logits and those that stand for nothing: COCO's for 91 logits, numbers otherwise."""
    if num_classes != 91:
        return tuple(f"class{class_id}" for class_id in range(num_classes)), ()
    from torchvision.models.detection import RetinaNet_ResNet50_FPN_Weights

    names = list(RetinaNet_ResNet50_FPN_Weights.COCO_V1.meta["categories"])
    hidden = tuple(class_id for class_id, name in enumerate(names) if name in ("__background__", "N/A"))
    unique = [f"{name} {class_id}" if class_id in hidden else name for class_id, name in enumerate(names)]
    return tuple(unique), hidden
