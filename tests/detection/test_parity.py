"""The same weights in torchvision's RetinaNet and in ours give the same objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torchvision.models.detection import RetinaNet, retinanet_resnet50_fpn, retinanet_resnet50_fpn_v2
from torchvision.models.detection._utils import overwrite_eps
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.ops import FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from streamdet.detection import models
from streamdet.detection.detector import Detector
from streamdet.detection.models import load_torchvision
from streamdet.detection.postprocess import PostprocessRule
from streamdet.detection.precision import Placement
from streamdet.detection.resize import InputRule
from streamdet.types import Detections
from tests.networks import enliven, noise_picture, saved_torchvision

CPU_FLOAT32 = Placement(torch.device("cpu"), torch.float32)
BUILDERS: dict[str, Callable[..., RetinaNet]] = {"v1": retinanet_resnet50_fpn, "v2": retinanet_resnet50_fpn_v2}
# width, height: 16:9, 9:16, 4:3, square, a strip, tiny in both ways, odd
SIZES = [(640, 360), (360, 640), (400, 300), (256, 256), (700, 190), (40, 31), (17, 33), (333, 251)]


@pytest.fixture(scope="module", params=["v1", "v2"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[RetinaNet, Path]:
    torch.manual_seed(1)
    reference = BUILDERS[request.param](weights=None, weights_backbone=None)
    enliven(reference, bias=-8.5, spread=1.5)
    return reference, saved_torchvision(reference, tmp_path_factory.mktemp(request.param))


def detector_of(path: Path, short_side: int, long_side: int) -> Detector:
    model = load_torchvision(path)
    model = replace(model, card=replace(model.card, hidden_class_ids=()))  # random weights "see" background as well
    rule = InputRule(short_side, long_side, exact=True)
    thresholds = (0.05,) * len(model.card.class_names)
    return Detector(model, CPU_FLOAT32, input_rule=rule, rule=PostprocessRule(), thresholds=thresholds)


def assert_same(found: Detections, reference: RetinaNet, picture: np.ndarray, least: int = 1) -> None:
    with torch.inference_mode():
        (theirs,) = reference([torch.from_numpy(picture).permute(2, 0, 1) / 255])
    boxes, scores, labels = (theirs[name].numpy() for name in ("boxes", "scores", "labels"))
    assert len(scores) == len(found) >= least
    near = np.abs(boxes[:, None] - found.boxes_xyxy[None]).max(axis=2) < 0.01
    near &= np.abs(scores[:, None] - found.scores[None]) < 1e-4
    near &= labels[:, None] == found.class_ids[None]
    assert near.any(axis=0).all()
    assert near.any(axis=1).all()
    assert np.abs(scores - found.scores).max() < 1e-4  # best first, too


def test_same_objects_on_pictures_of_many_shapes(pair: tuple[RetinaNet, Path]) -> None:
    reference, path = pair
    reference.transform.min_size, reference.transform.max_size = (128,), 224
    detector = detector_of(path, 128, 224)
    scores = []
    for seed, (width, height) in enumerate(SIZES):
        picture = noise_picture(width, height, seed)
        (found,) = detector([picture])
        assert_same(found, reference, picture, least=21)
        scores.append(found.scores)
    every = np.concatenate(scores)
    assert any(len(found) < 300 for found in scores)
    assert every.min() < 0.1
    assert 0.2 < every.max() < 0.999  # a threshold was passed, but no score is saturated


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["v1"], indirect=True)
def test_same_objects_at_torchvisions_own_input_size(pair: tuple[RetinaNet, Path]) -> None:
    reference, path = pair
    reference.transform.min_size, reference.transform.max_size = (800,), 1333
    picture = noise_picture(1000, 250)  # scaled to 1333x333; P6's and P7's strides are far from 64 and 128
    (found,) = detector_of(path, 800, 1333)([picture])
    assert_same(found, reference, picture, least=100)


def torchvision_retinanet(backbone: str, *, frozen: bool) -> RetinaNet:
    """Torchvision's RetinaNet on any of its ResNets, from its own parts, for small pictures."""
    norm = FrozenBatchNorm2d if frozen else torch.nn.BatchNorm2d
    resnet = torchvision.models.get_model(backbone, weights=None, norm_layer=norm)
    blocks = LastLevelP6P7(256, 256)
    extractor = _resnet_fpn_extractor(resnet, 5, returned_layers=[2, 3, 4], extra_blocks=blocks)
    return RetinaNet(extractor, 5, min_size=96, max_size=160)


@pytest.mark.parametrize("backbone", ["resnet18", "resnext50_32x4d"])
def test_same_objects_on_other_backbones(tmp_path: Path, backbone: str) -> None:
    torch.manual_seed(2)
    reference = torchvision_retinanet(backbone, frozen=False)
    enliven(reference)
    path = saved_torchvision(reference, tmp_path)
    detector = detector_of(path, 96, 160)
    assert detector.card.config.backbone == backbone
    assert detector.card.class_names == ("class0", "class1", "class2", "class3", "class4")
    picture = noise_picture(200, 150)
    assert_same(detector([picture])[0], reference, picture, least=10)


@pytest.mark.parametrize("eps", [0.0, 1e-5])
def test_epsilon_of_the_first_coco_weights_is_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eps: float) -> None:
    torch.manual_seed(3)
    live = torchvision_retinanet("resnet18", frozen=False)
    enliven(live)
    for module in live.modules():
        if isinstance(module, torch.nn.BatchNorm2d) and module.num_features == 64:
            module.running_var.copy_(torch.linspace(1e-5, 1e-4, 64))  # so small that an epsilon of 1e-5 is felt
            module.weight.data.mul_(0.005)
    reference = torchvision_retinanet("resnet18", frozen=True).eval()
    reference.load_state_dict(live.state_dict(), strict=False)
    overwrite_eps(reference, eps)
    path = saved_torchvision(reference, tmp_path)
    if eps == 0:
        monkeypatch.setattr(models, "COCO_V1_SHA256", models.file_sha256(path)[:8])
    detector = detector_of(path, 96, 160)
    assert detector.card.config.batch_norm == "frozen"
    assert detector.card.config.batch_norm_eps == eps
    picture = noise_picture(200, 150)
    assert_same(detector([picture])[0], reference, picture, least=10)
    overwrite_eps(reference, 1e-5 - eps)
    with pytest.raises(AssertionError):  # the epsilon matters here
        assert_same(detector([picture])[0], reference, picture)


def test_older_files_with_other_parameter_names(tmp_path: Path) -> None:
    torch.manual_seed(4)
    reference = torchvision_retinanet("resnet18", frozen=False)
    enliven(reference)
    old = {}
    for name, tensor in reference.state_dict().items():
        parts = name.split(".")
        if parts[0] == "head" and parts[2] == "conv":  # conv.1.0.weight was conv.2.weight: 0, 2, 4, 6 and ReLUs between
            parts[3:5] = [str(2 * int(parts[3]))]
        if parts[1] == "fpn" and parts[2] != "extra_blocks":
            parts[4:5] = []
        old[".".join(parts)] = tensor
    torch.save(old, tmp_path / "old.pth")
    assert len(set(old) ^ set(reference.state_dict())) > 20
    picture = noise_picture(120, 150)
    assert_same(detector_of(tmp_path / "old.pth", 96, 160)([picture])[0], reference, picture, least=10)


def test_coco_names_and_unused_logits(pair: tuple[RetinaNet, Path]) -> None:
    card = load_torchvision(pair[1]).card
    assert card.class_names[1] == "person"
    assert card.class_names[90] == "toothbrush"
    assert len(set(card.class_names)) == 91
    assert len(card.hidden_class_ids) == 11
    assert set(card.hidden_class_ids) >= {0, 12, 91 - 8}
