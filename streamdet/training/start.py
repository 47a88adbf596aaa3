"""What a run starts from: a network with an ImageNet backbone, ready to train."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import torchvision

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


def _imagenet_file(backbone: str, progress: Callable[[int, int | None], None] | None) -> Path:
    url = torchvision.models.get_model_weights(backbone).IMAGENET1K_V1.url
    sha256_prefix = url.removesuffix(".pth").rsplit("-", 1)[1]
    return fetch(url, sha256_prefix=sha256_prefix, cache_dir=default_cache_dir(), progress=progress)
