from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from streamdet.detection import models
from streamdet.detection.checkpoint import (
    HEADER_KEY,
    Model,
    ModelCard,
    file_sha256,
    load_model,
    rewrite_model,
    save_model,
)
from streamdet.detection.models import find_model
from streamdet.detection.retinanet import build_retinanet
from streamdet.errors import ModelError
from tests.networks import tiny_config, tiny_model


@pytest.fixture(scope="module")
def model() -> Model:
    tiny = tiny_model(batch_norm="live")
    card = replace(
        tiny.card, thresholds={"*": 0.35, "car": 0.5}, metrics={"val": {"AP50": 0.5, "AP": None}}, hidden_class_ids=(2,)
    )
    return replace(tiny, card=card)


@pytest.fixture
def path(model: Model, tmp_path: Path) -> Path:
    save_model(tmp_path / "a.safetensors", model.network, model.card)
    return tmp_path / "a.safetensors"


def with_header(path: Path, change: dict[str, Any], drop: str = "") -> None:
    with safe_open(path, framework="pt") as file:
        card = json.loads(file.metadata()[HEADER_KEY])
    card = {name: value for name, value in {**card, **change}.items() if name != drop}
    save_file(load_file(path), path, metadata={HEADER_KEY: json.dumps(card)})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_round_trip(model: Model, tmp_path: Path, dtype: torch.dtype) -> None:
    path = tmp_path / "a.safetensors"
    save_model(path, model.network.to(memory_format=torch.channels_last), model.card, dtype=dtype)
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]
    loaded = load_model(path)
    assert loaded.card == model.card
    assert loaded.sha256 == file_sha256(path)
    assert not loaded.network.training
    expected = model.network.state_dict()
    assert loaded.network.state_dict().keys() == expected.keys()
    for name, tensor in loaded.network.state_dict().items():
        assert tensor.dtype == expected[name].dtype
        assert torch.equal(tensor, expected[name].to(dtype).to(tensor.dtype) if tensor.is_floating_point() else tensor)


def test_a_folded_network_round_trip(tmp_path: Path) -> None:
    config = tiny_config(batch_norm="folded", head_norm="group")
    network = build_retinanet(config)
    card = ModelCard("folded", ("a", "b", "c"), config, tiny_model().card.input_rule)
    save_model(tmp_path / "a.safetensors", network, card, dtype=torch.float32)
    loaded = load_model(tmp_path / "a.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(loaded.network.parameters(), network.parameters(), strict=True))
    assert loaded.card.threshold("a") == 0.4


def test_older_files_have_no_voting(path: Path) -> None:
    def forget(fields: dict[str, Any]) -> None:
        del fields["voting"]

    voting = replace(load_model(path).card, voting=True)
    assert ModelCard.from_json(voting.to_json()) == voting
    rewrite_model(path, header=forget)
    assert not load_model(path).card.voting


@pytest.mark.parametrize("kept", [0, 5, 1000, 100_000])
def test_cut_files(path: Path, kept: int) -> None:
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ModelError, match=r"a\.safetensors can't be read as safetensors .*again"):
        load_model(path)


def test_foreign_safetensors(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, tmp_path / "b.safetensors")
    with pytest.raises(ModelError, match="without streamdet's header"):
        load_model(tmp_path / "b.safetensors")


def test_missing_surplus_and_misshapen_tensors(path: Path) -> None:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    name = "head.classification_head.cls_logits.bias"
    for changed, message in (
        ({k: v for k, v in tensors.items() if k != name}, rf"lacks {name} \(1 such"),
        ({**tensors, "extra": torch.zeros(1)}, r"has the unknown extra \(1 such"),
        ({**tensors, name: torch.zeros(5)}, f"has another shape for {name}"),
    ):
        save_file(changed, path, metadata=metadata)
        with pytest.raises(ModelError, match=message):
            load_model(path)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"schema": None},
        {"class_names": ["one"]},
        {"config": {"num_classes": 3, "colour": "red"}},
        {"config": None},
        {"input": {}},
        {"thresholds": 3},
        {"hidden_class_ids": [99]},
        {"config": tiny_config(channels=33, head_norm="group").to_json()},
        {"config": {**tiny_config().to_json(), "channels": -1}},
        {"config": {**tiny_config().to_json(), "anchors": None}},
    ],
)
def test_headers_that_can_not_be_used(path: Path, change: dict[str, Any]) -> None:
    with_header(path, change)
    with pytest.raises(ModelError, match=r"the header of .*a\.safetensors can't be used"):
        load_model(path)


def test_header_without_a_field(path: Path) -> None:
    with_header(path, {}, drop="schema")
    with pytest.raises(ModelError, match="can't be used"):
        load_model(path)


def test_a_folder_is_its_best_model(path: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(ModelError, match=r"the folder .*run holds no best\.safetensors"):
        find_model(run)
    path.replace(run / "best.safetensors")
    assert find_model(str(run)).card.name == "tiny"


def test_unknown_names_and_endings(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model 'yolo'; give one of street, coco-r50, coco-r50-v2, or the path"):
        find_model("yolo")
    (tmp_path / "model.onnx").touch()
    with pytest.raises(ModelError, match=r"model\.onnx is no model file: its name must end in"):
        find_model(tmp_path / "model.onnx")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match=r"other\.pth is no torchvision RetinaNet on a ResNet: it has no backbone"):
        find_model(tmp_path / "other.pth")


def test_the_shipped_model(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "shipped_model_path", lambda name: path if name == "street" else None)
    assert find_model("street").card.name == "street"
    monkeypatch.setattr(models, "shipped_model_path", lambda name: None)
    with pytest.raises(ModelError, match="the model 'street' is missing from this installation"):
        find_model("street")
