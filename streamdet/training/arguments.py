"""What a run was started with, for `args.json`, and whether it goes on with the same."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision

from streamdet import __version__
from streamdet.detection.checkpoint import ModelCard
from streamdet.errors import UsageError
from streamdet.training.dataset import Dataset, LabelledImage
from streamdet.training.schedule import TrainOptions

FLAGS = {
    "options.images_seen": "--images",
    "options.batch_size": "--batch",
    "options.learning_rate": "--lr",
    "options.clip_norm": "--clip",
    "options.loss.kind": "--loss",
    "options.loss.box": "--box-loss",
    "options.repeats": "--repeat",
    "options.multi_scale": "--multi-scale",
    "options.augment.mirror": "--mirror",
    "network.batch_norm": "--batch-norm",
    "network.prior": "--prior",
    "network.anchors.scales": "--anchor-scales",
    "network.anchors.ratios": "--anchor-ratios",
    "network.anchors.base_sides": "--anchor-base",
    "input": "--input",
    "class_names": "the classes",
    "precision": "--precision",
}
"""How the command line calls what `args.json` holds; of others the last part of the name is the option's."""
FREE = ("options.workers", "options.cache", "options.evaluate_every")
"""May change on the way: they don't change what is learned."""


def run_arguments(
    card: ModelCard,
    options: TrainOptions,
    images: Sequence[LabelledImage],
    validation: Sequence[Dataset],
    precision: str,
) -> dict[str, Any]:
    """Everything that decides what a run learns, as plain values, and the versions it ran with."""
    arguments = {
        "class_names": list(card.class_names),
        "pictures": len(images),
        "labels_sha256": labels_sha256(images),
        "validation": {dataset.name: labels_sha256(dataset.images) for dataset in validation},
        "input": card.input_rule.to_json(),
        "network": card.config.to_json(),
        "options": asdict(options),
        "precision": precision,
        "versions": {
            "streamdet": __version__,
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    plain: dict[str, Any] = json.loads(json.dumps(arguments))
    return plain


def labels_sha256(images: Sequence[LabelledImage]) -> str:
    """Fingerprint of the pictures' names and labels, in their order."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{image.path.name} {image.width} {image.height} {image.source}\0".encode())
        for values in (image.boxes_xyxy, image.class_ids, image.ignored_xyxy, image.labelled):
            digest.update(values.tobytes())
    return digest.hexdigest()


def check_same(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise UsageError when a run would go on with something else than it was started with."""
    old, new = _flat(before), _flat(now)
    if before.get("validation", now["validation"]) != now["validation"]:
        was, is_now = (", ".join(each["validation"]) or "none" for each in (before, now))
        raise UsageError(
            f"{folder} was measured on other validation sets ({was} then, {is_now} now, or other labels in them), so "
            "its best model could not be told; give the data it was started with, or another --out with --start to go "
            "on from its model"
        )
    for name in (name for name in new if name in old and name not in FREE and old[name] != new[name]):
        if name == "labels_sha256":
            raise UsageError(
                f"{folder} was started on other labels ({old['pictures']} pictures then, {new['pictures']} now); give "
                "the data it was started with, or another --out with --start to go on from its model"
            )
        if name.startswith(("class_names", "input", "network", "options", "precision")):
            flag = next((flag for key, flag in FLAGS.items() if name == key or name.startswith(f"{key}.")), None)
            flag = flag or f"--{name.rsplit('.', 1)[-1].replace('_', '-')}"
            raise UsageError(
                f"{folder} was started with {flag} {_shown(old[name])}, now it is {_shown(new[name])}; give "
                "the options it was started with, or another --out"
            )


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Values by dotted names; the names in `repeats` are the user's, so it stays whole."""
    if not isinstance(value, Mapping) or name == "options.repeats":
        return {name: value}
    return {
        key: item for part, inner in value.items() for key, item in _flat(inner, f"{name}.{part}".lstrip(".")).items()
    }


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        value = [f"{key}={item}" for key, item in value.items()]
    if isinstance(value, list):
        return ", ".join(_shown(item) for item in value) or "(none)"
    return f"{value:g}" if isinstance(value, float) else str(value)
