"""Model files: safetensors whose header says everything that is needed to use them. Nothing is ever unpickled."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from streamdet.detection.resize import InputRule
from streamdet.detection.retinanet import RetinaNet, RetinaNetConfig, build_retinanet
from streamdet.errors import ModelError, OutputError

HEADER_KEY = "streamdet"
SCHEMA = 1


@dataclass(frozen=True)
class ModelCard:
    """What a checkpoint says about itself."""

    name: str
    class_names: tuple[str, ...]
    """Name of each class logit, in order."""
    config: RetinaNetConfig
    input_rule: InputRule
    thresholds: dict[str, float] = field(default_factory=dict)
    """Operating score per class name; "*" for all others."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """Measured average precision, per validation set."""
    hidden_class_ids: tuple[int, ...] = ()
    """Logits that stand for no object (torchvision's background and unused COCO ids): never reported."""
    logit_scaling: tuple[float, float] = (1.0, 0.0)
    """Slope and offset that calibration has put into the class logits; training that goes on takes them out again."""
    voting: bool = False
    """Whether its boxes are means of what was found for an object (voting.py), as they are wherever we trained."""

    def __post_init__(self) -> None:
        if len(self.class_names) != self.config.num_classes:
            raise ValueError(f"{len(self.class_names)} class names for {self.config.num_classes} class logits")
        if any(not 0 <= class_id < len(self.class_names) for class_id in self.hidden_class_ids):
            raise ValueError(f"hidden_class_ids {self.hidden_class_ids} for {self.config.num_classes} class logits")

    def threshold(self, class_name: str) -> float:
        """Score from which an object of this class is worth showing."""
        return self.thresholds.get(class_name, self.thresholds.get("*", 0.4))

    def to_json(self) -> dict[str, Any]:
        """Plain values for the file's header."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "class_names": list(self.class_names),
            "config": self.config.to_json(),
            "input": self.input_rule.to_json(),
            "thresholds": self.thresholds,
            "metrics": self.metrics,
            "hidden_class_ids": list(self.hidden_class_ids),
            "logit_scaling": list(self.logit_scaling),
            "voting": self.voting,
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> ModelCard:
        """The card that `to_json` wrote."""
        if fields["schema"] > SCHEMA:
            raise ValueError(f"its schema is {fields['schema']}, newer than {SCHEMA}")
        return cls(
            fields["name"],
            tuple(fields["class_names"]),
            RetinaNetConfig.from_json(fields["config"]),
            InputRule.from_json(fields["input"]),
            dict(fields["thresholds"]),
            dict(fields["metrics"]),
            tuple(fields["hidden_class_ids"]),
            _pair(fields.get("logit_scaling", (1.0, 0.0))),
            bool(fields.get("voting", False)),
        )


def _pair(values: Sequence[float]) -> tuple[float, float]:
    slope, offset = (float(value) for value in values)
    return slope, offset


@dataclass(frozen=True)
class Model:
    """A network in float32 on the host, in evaluation mode, with its card and the file's hash."""

    network: RetinaNet
    card: ModelCard
    sha256: str


def save_model(path: Path, network: nn.Module, card: ModelCard, *, dtype: torch.dtype = torch.float16) -> None:
    """Write `network` to `path`, aside first and then renamed. float16 halves the file and costs no accuracy."""
    tensors = {
        name: tensor.detach().to("cpu", dtype if tensor.is_floating_point() else tensor.dtype).contiguous()
        for name, tensor in network.state_dict().items()
    }
    aside = path.with_name(path.name + ".part")
    save_file(tensors, aside, metadata={HEADER_KEY: json.dumps(card.to_json())})
    aside.chmod(0o644)  # safetensors makes it readable for its owner only
    aside.replace(path)


def rewrite_model(
    path: Path,
    *,
    header: Callable[[dict[str, Any]], None] = lambda fields: None,
    tensors: Callable[[dict[str, Tensor]], None] = lambda named: None,
) -> None:
    """Change the header's fields, or the tensors, of a `.safetensors` of ours in place; all else stays bit for bit.

    Written aside first and then renamed. Raises ModelError for a file of another kind, OutputError when the disk
    refuses.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            named = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        fields = json.loads(metadata[HEADER_KEY])
        header(fields)
        tensors(named)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} can't be changed ({error}); give a file that `streamdet train` wrote") from error
    aside = path.with_name(path.name + ".part")
    try:
        save_file(named, aside, metadata={**metadata, HEADER_KEY: json.dumps(fields)})
        shutil.copymode(path, aside)
        aside.replace(path)
    except (OSError, SafetensorError) as error:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise OutputError(f"{path} can't be rewritten ({error}); it stands as it was") from error


def load_model(path: Path) -> Model:
    """The model in a `.safetensors` file of ours.

    Raises ModelError when the file can't be read, is cut, or was not written by streamdet.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} can't be read as safetensors ({error}); fetch or copy the file again") from error
    if HEADER_KEY not in metadata:
        raise ModelError(
            f"{path} is a safetensors file without streamdet's header, so its classes and anchors are unknown; "
            "give a file that `streamdet train` wrote"
        )
    try:
        card = ModelCard.from_json(json.loads(metadata[HEADER_KEY]))
        network = build_retinanet(card.config)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"the header of {path} can't be used ({error}); update streamdet or train again") from error
    load_tensors(network, tensors, path)
    return Model(network.eval(), card, file_sha256(path))


def load_tensors(network: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Put `tensors` into `network`, all of them. Raises ModelError naming what doesn't fit."""
    own = network.state_dict()
    missing = [name for name in own if name not in tensors and not name.endswith("num_batches_tracked")]
    surplus = [name for name in tensors if name not in own and not name.endswith("num_batches_tracked")]
    shapes = [name for name in own if name in tensors and own[name].shape != tensors[name].shape]
    for problem, names in (("lacks", missing), ("has the unknown", surplus), ("has another shape for", shapes)):
        if names:
            raise ModelError(f"{path} {problem} {names[0]} ({len(names)} such tensors); it is another kind of network")
    network.load_state_dict({**own, **{name: tensor.float() for name, tensor in tensors.items() if name in own}})


def renamed(model: Model, name: str) -> Model:
    """The same model under another name."""
    return replace(model, card=replace(model.card, name=name))


def file_sha256(path: Path) -> str:
    """Hash of a file, as hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
