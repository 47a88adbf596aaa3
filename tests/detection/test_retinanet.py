from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn
from torchvision.models.detection import retinanet_resnet50_fpn_v2

from streamdet.detection.anchors import AnchorRule, level_shapes
from streamdet.detection.backbones import BACKBONES, RESNETS
from streamdet.detection.folding import fold_batch_norm
from streamdet.detection.models import _read_backbone, _read_config
from streamdet.detection.retinanet import (
    FeaturePyramid,
    RetinaNetConfig,
    build_retinanet,
    count_parameters,
    to_channels_last,
)
from tests.networks import enliven, noise_picture, normalised, tiny_config

V1 = RetinaNetConfig(91, p6_from="p5", batch_norm="frozen", anchors=AnchorRule(torchvision=True))
V2 = RetinaNetConfig(91, head_norm="group", anchors=AnchorRule(torchvision=True))


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("p6_from", ["c5", "p5"])
def test_every_backbone_gives_five_levels(backbone: str, p6_from: str) -> None:
    with torch.device("meta"):  # shapes without arithmetic
        network = build_retinanet(tiny_config(backbone=backbone, p6_from=p6_from, channels=64)).eval()
        heads = network(torch.empty(2, 3, 96, 160))
    rows = [height * width * 9 for height, width in level_shapes(96, 160)]
    assert [tuple(logits.shape) for logits in heads.logits] == [(2, row, 3) for row in rows]
    assert [tuple(deltas.shape) for deltas in heads.deltas] == [(2, row, 4) for row in rows]


def test_parameter_totals_are_torchvisions() -> None:
    with torch.device("meta"):
        assert count_parameters(build_retinanet(V1)) == 34_014_999
        assert count_parameters(build_retinanet(V2)) == 38_198_935
        three = RetinaNetConfig(3, p6_from="p5", batch_norm="frozen")
        assert count_parameters(build_retinanet(three)) == 34_014_999 - 88 * 20_745


def test_initialised_like_torchvisions_v2() -> None:
    torch.manual_seed(0)
    ours = dict(build_retinanet(V2).named_parameters())
    theirs = dict(retinanet_resnet50_fpn_v2(weights=None, weights_backbone=None).named_parameters())
    assert ours.keys() == theirs.keys()
    for name, parameter in theirs.items():
        assert ours[name].shape == parameter.shape
        if parameter.numel() > 1000:
            own, spread = ours[name].detach(), float(parameter.detach().std())
            assert float(own.std()) == pytest.approx(spread, rel=0.1, abs=1e-6), name
            assert float(own.mean() - parameter.detach().mean()) == pytest.approx(0, abs=0.1 * spread + 1e-6), name
    prior = ours["head.classification_head.cls_logits.bias"].detach()
    assert torch.all(prior == prior[0])
    assert float(prior[0]) == pytest.approx(-4.59511985013459)


def test_backbones_are_told_apart_by_their_tensors() -> None:
    for backbone in RESNETS:
        for p6_from in ("c5", "p5"):
            config = RetinaNetConfig(5, backbone, AnchorRule(torchvision=True), p6_from=p6_from)
            with torch.device("meta"):
                tensors = build_retinanet(config).state_dict()
            assert _read_backbone(tensors) == backbone
            assert _read_config(tensors, "0") == config


@pytest.mark.parametrize("p6_from", ["c5", "p5"])
def test_p6_comes_from_the_level_that_the_configuration_names(p6_from: str) -> None:
    torch.manual_seed(0)
    pyramid = FeaturePyramid([8, 8, 16], 16, p6_from_c5=p6_from == "c5")  # C5 and P5 of one width: no telling by it
    stages = [torch.rand(1, c, 32 // 2**k, 32 // 2**k) for k, c in enumerate((8, 8, 16))]
    p3, p4, p5, p6, p7 = pyramid(stages)
    assert [p.shape[-1] for p in (p3, p4, p5, p6, p7)] == [32, 16, 8, 4, 2]
    source = stages[-1] if p6_from == "c5" else p5
    assert torch.equal(p6, pyramid.extra_blocks["p6"](source))
    assert torch.equal(p7, pyramid.extra_blocks["p7"](p6.relu()))


@pytest.mark.parametrize("norm", ["live", "frozen"])
@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v2", "efficientnet_lite0"])
def test_folding_batch_norm_changes_no_output(backbone: str, norm: str) -> None:
    torch.manual_seed(0)
    live = build_retinanet(tiny_config(backbone=backbone))
    enliven(live)
    network = build_retinanet(tiny_config(backbone=backbone, batch_norm=norm)).eval()
    network.load_state_dict(live.state_dict(), strict=norm == "live")
    folded = copy.deepcopy(network)
    fold_batch_norm(folded)
    assert not any(
        isinstance(module, nn.BatchNorm2d) or "Frozen" in type(module).__name__ for module in folded.modules()
    )
    empty = build_retinanet(tiny_config(backbone=backbone, batch_norm="folded"))
    assert empty.state_dict().keys() == folded.state_dict().keys()
    assert all(parameter.requires_grad for parameter in [*folded.parameters(), *empty.parameters()])
    picture = normalised(noise_picture(96, 64))
    with torch.inference_mode():
        for before, after in zip(network(picture), to_channels_last(folded)(picture), strict=True):
            for level_before, level_after in zip(before, after, strict=True):
                torch.testing.assert_close(level_after, level_before, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("head_norm", ["none", "group"])
def test_a_neighbour_in_the_batch_changes_nothing(head_norm: str) -> None:
    torch.manual_seed(0)
    network = build_retinanet(tiny_config(head_norm=head_norm, channels=64))
    enliven(network)
    pictures = torch.cat([normalised(noise_picture(96, 64, seed)) for seed in range(3)])
    with torch.inference_mode():
        together, alone = network(pictures), network(pictures[1:2])
    for batch, single in zip(together.logits + together.deltas, alone.logits + alone.deltas, strict=True):
        torch.testing.assert_close(batch[1:2], single, atol=1e-4, rtol=1e-4)


def test_prior_can_be_set() -> None:
    network = build_retinanet(tiny_config(prior=0.1))
    bias = network.head.classification_head.cls_logits.bias.detach()
    assert float(bias[0]) == pytest.approx(math.log(0.1 / 0.9))


@pytest.mark.parametrize(
    "wrong",
    [{"backbone": "vgg16"}, {"head_norm": "batch"}, {"p6_from": "c6"}, {"batch_norm": "no"}, {"num_classes": 0}],
)
def test_wrong_configurations_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is"):
        tiny_config(**wrong)


def test_configuration_survives_json() -> None:
    config = tiny_config(anchors=AnchorRule(scales=(1.0, 1.5), ratios=(0.3, 1.0)), prior=0.02)
    assert RetinaNetConfig.from_json(config.to_json()) == config
