"""What a run starts from: a trained model, or an ImageNet backbone; batch norm folded, ready to train."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import torchvision

from streamdet.detection.checkpoint import Model
from streamdet.detection.retinanet import RetinaNet, RetinaNetConfig, build_retinanet, fold_batch_norm
from streamdet.detection.weights import default_cache_dir, fetch, load_torch_file
from streamdet.errors import ModelError

IMAGENET, NONE = "imagenet", "none"


def start_network(
    config: RetinaNetConfig,
    backbone_weights: str,
    seed: int,
    *,
    progress: Callable[[int, int | None], None] | None = None,
) -> tuple[RetinaNet, RetinaNetConfig]:
    """A network whose backbone holds `backbone_weights`, with its batch norm folded, and its configuration.

    `backbone_weights`: "imagenet" (torchvision's, fetched on first use), a state dict file of torchvision's classifier,
    or "none" for random ones. Folded batch norm trains twice as fast and suits small batches.

    Raises ModelError when the weights can't be had or belong to another backbone.
    """
    torch.manual_seed(seed)
    network = build_retinanet(replace(config, batch_norm="live"))
    if backbone_weights != NONE:
        path = _imagenet_file(config.backbone, progress) if backbone_weights == IMAGENET else Path(backbone_weights)
        if not path.exists():
            raise ModelError(f"there are no backbone weights at {path}; give a .pth file, imagenet or none")
        tensors = load_torch_file(path)
        own = network.backbone.body.state_dict()
        missing = [name for name, tensor in own.items() if name not in tensors or tensors[name].shape != tensor.shape]
        if missing:
            raise ModelError(
                f"{path} does not fit the backbone {config.backbone}: it has no fitting {missing[0]} "
                f"({len(missing)} such tensors); choose the --backbone that it was made for"
            )
        network.backbone.body.load_state_dict({name: tensors[name] for name in own})
    fold_batch_norm(network)
    return network.train(), replace(config, batch_norm="folded")


def continue_network(model: Model, class_names: tuple[str, ...], seed: int) -> tuple[RetinaNet, RetinaNetConfig, str]:
    """The network of `model` to train on, its configuration, and a sentence that says what was kept.

    Everything is kept when the classes are the same in the same order. Otherwise the last class convolution is made
    anew, from the prior, as its outputs stand for other classes; all the rest is kept.
    """
    torch.manual_seed(seed)
    network = model.network
    fold_batch_norm(network)
    config = replace(model.card.config, num_classes=len(class_names), batch_norm="folded")
    if class_names == model.card.class_names:
        return network.train(), config, f"all weights of {model.card.name} kept"
    fresh = build_retinanet(config)
    own = fresh.state_dict()
    kept = {name: tensor for name, tensor in network.state_dict().items() if own[name].shape == tensor.shape}
    kept = {name: tensor for name, tensor in kept.items() if "cls_logits" not in name}
    fresh.load_state_dict({**own, **kept})
    sentence = f"{len(kept)} of {len(own)} tensors of {model.card.name} kept; the last class convolution is new"
    return fresh.train(), config, sentence


def _imagenet_file(backbone: str, progress: Callable[[int, int | None], None] | None) -> Path:
    url = torchvision.models.get_model_weights(backbone).IMAGENET1K_V1.url
    sha256_prefix = url.removesuffix(".pth").rsplit("-", 1)[1]
    return fetch(url, sha256_prefix=sha256_prefix, cache_dir=default_cache_dir(), progress=progress)
