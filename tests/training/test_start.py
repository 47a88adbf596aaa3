from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision

from streamdet.detection.retinanet import build_retinanet, fold_batch_norm
from streamdet.errors import ModelError
from streamdet.training.start import continue_network, start_network
from tests.networks import CLASS_NAMES, noise_picture, normalised, tiny_config, tiny_model


def test_from_a_classifiers_file(tmp_path: Path) -> None:
    torch.manual_seed(5)
    classifier = torchvision.models.mobilenet_v2(weights=None).eval()
    torch.save(classifier.state_dict(), tmp_path / "backbone.pth")
    network, config = start_network(tiny_config(), str(tmp_path / "backbone.pth"), seed=0)
    assert config == replace(tiny_config(), batch_norm="folded")
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    picture = normalised(noise_picture(64, 64))
    with torch.inference_mode():
        expected = classifier.features[:18](picture)
        torch.testing.assert_close(network.backbone.body(picture)[-1], expected, atol=1e-4, rtol=1e-3)
    with pytest.raises(ModelError, match=r"backbone\.pth does not fit the backbone resnet18: it has no fitting conv1"):
        start_network(tiny_config(backbone="resnet18"), str(tmp_path / "backbone.pth"), seed=0)
    with pytest.raises(ModelError, match="there are no backbone weights at nowhere"):
        start_network(tiny_config(), "nowhere", seed=0)


def test_random_weights_are_those_of_the_seed() -> None:
    first, again, other = (start_network(tiny_config(), "none", seed)[0].state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    assert any(not torch.equal(tensor, other[name]) for name, tensor in first.items())


def test_going_on_from_a_model() -> None:
    model = tiny_model()
    folded = tiny_model().network
    fold_batch_norm(folded)
    before = folded.state_dict()
    network, config, sentence = continue_network(model, CLASS_NAMES, seed=0)
    assert config.batch_norm == "folded"
    assert sentence == "all weights of tiny kept"
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())

    network, config, sentence = continue_network(tiny_model(), ("car", "truck"), seed=0)
    assert config.num_classes == 2
    assert sentence.endswith("of tiny kept; the last class convolution is new")
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {name.split(".")[-2] for name in changed} == {"cls_logits"}
    assert network.state_dict().keys() == build_retinanet(config).state_dict().keys()
    assert all(parameter.requires_grad for parameter in network.parameters())
