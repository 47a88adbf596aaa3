from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torchvision.ops import generalized_box_iou, sigmoid_focal_loss

from streamdet.detection.anchors import AnchorRule, anchors_per_level
from streamdet.detection.boxes import encode
from streamdet.detection.retinanet import HeadOutputs, build_retinanet
from streamdet.training.losses import LossRule, PositiveCount, compute_losses, focal_loss
from streamdet.training.matcher import Targets, make_targets
from tests.networks import tiny_config

PRIOR_LOGIT = -4.59511985013459
LOGITS = [PRIOR_LOGIT, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0]
POSITIVE = [1.128381825, 0.412519545, 0.175467076, 0.043321699, 0.005664514, 0.000450891, 1.468e-06]
NEGATIVE = [7.54e-07, 0.001352672, 0.016993543, 0.129965096, 0.526401228, 1.237558635, 2.906180428]
POSITIVE_SLOPE = [-0.265142386, -0.269178433, -0.192058681, -0.074571699, -0.013145282, -0.001217735, -4.338e-06]
NEGATIVE_SLOPE = [2.242e-06, 0.003653205, 0.039435847, 0.223715096, 0.576176042, 0.807535298, 0.81479689]


@pytest.mark.parametrize(
    ("target", "values", "slopes"), [(1.0, POSITIVE, POSITIVE_SLOPE), (0.0, NEGATIVE, NEGATIVE_SLOPE)]
)
def test_vectors_of_the_reference(target: float, values: list[float], slopes: list[float]) -> None:
    logits = torch.tensor(LOGITS, requires_grad=True)
    loss = focal_loss(logits, torch.full((7,), target))
    loss.sum().backward()
    torch.testing.assert_close(loss.detach(), torch.tensor(values), atol=1e-8, rtol=1e-4)
    torch.testing.assert_close(logits.grad, torch.tensor(slopes), atol=1e-8, rtol=1e-4)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("alpha", [-1.0, 0.0, 0.25, 0.75])
def test_equal_to_torchvisions(alpha: float, gamma: float) -> None:
    generator = torch.Generator().manual_seed(0)
    ours = (torch.randn(300, generator=generator) * 4).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    targets = (torch.rand(300, generator=generator) < 0.3).float()
    loss, expected = focal_loss(ours, targets, alpha, gamma), sigmoid_focal_loss(theirs, targets, alpha, gamma)
    torch.testing.assert_close(loss, expected, atol=1e-6, rtol=1e-4)
    loss.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-6, rtol=1e-4)


def test_the_papers_ratios() -> None:
    for p, gamma, expected in ((0.9, 2, 0.00105361), (0.5, 2, 0.173287), (0.1, 2, 1.86509), (0.6, 0.5, 0.323074)):
        value = float(focal_loss(torch.tensor([math.log(p / (1 - p))]), torch.ones(1), -1, gamma))
        assert value == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.1, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_far_logits_stay_finite(gamma: float, dtype: torch.dtype) -> None:
    logits = torch.tensor([-200.0, -30.0, 30.0, 200.0], dtype=dtype, requires_grad=True)
    for target in (0.0, 1.0):
        logits.grad = None
        loss = focal_loss(logits, torch.full((4,), target), gamma=gamma)
        assert loss.dtype == torch.float32
        loss.sum().backward()
        assert torch.isfinite(loss).all()
        assert torch.isfinite(logits.grad).all()  # type: ignore[arg-type]
    wrong = focal_loss(torch.tensor([-30.0, 30.0]), torch.tensor([1.0, 1.0]))
    assert wrong.tolist() == pytest.approx([7.5, 0.0])


@pytest.mark.parametrize("wrong", [{"alpha": 1.5}, {"alpha": -0.5}, {"gamma": -1.0}])
def test_wrong_rules_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is"):
        LossRule(**wrong)


def initial_loss(anchor_count: int, classes: int, positives: list[int]) -> tuple[float, Tensor]:
    """Class loss of a batch whose logits are all the prior's, and its gradient's size per image."""
    images = len(positives)
    logits = torch.full((images, anchor_count, classes), PRIOR_LOGIT, requires_grad=True)
    anchors = torch.tensor([[0.0, 0.0, 10.0, 10.0]]).expand(anchor_count, 4)
    matches = torch.full((images, anchor_count), -1)
    for image, count in enumerate(positives):
        matches[image, :count] = 0
    counted = torch.ones(anchor_count, classes, dtype=torch.bool)
    losses = compute_losses(
        HeadOutputs([logits], [torch.zeros(images, anchor_count, 4)]),
        anchors,
        [Targets(row, counted) for row in matches],
        [torch.tensor([[0.0, 0.0, 10.0, 10.0]])] * images,
        [torch.zeros(1, dtype=torch.int64)] * images,
        LossRule(),
        PositiveCount(start=sum(positives) / images, momentum=1.0),
    )
    losses.classification.backward()
    assert losses.positives == sum(positives)
    return float(losses.classification.detach()), logits.grad.abs().sum(dim=(1, 2))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("anchor_count", "classes", "positives", "expected"), [(20_160, 80, 5, 1.3715), (20_160, 2, 1, 1.1588)]
)
def test_the_initial_loss_is_that_of_the_prior(
    anchor_count: int, classes: int, positives: int, expected: float
) -> None:
    assert initial_loss(anchor_count, classes, [positives])[0] == pytest.approx(expected, rel=1e-3)


def test_an_empty_frame_does_not_dominate_its_batch() -> None:
    _, per_image = initial_loss(20_160, 91, [20, 0, 20, 0])
    full, empty = float(per_image[0]), float(per_image[1])
    assert empty < full  # with each image's own count, the empty one's would be about 8 times the full one's
    assert empty > 0


def test_the_average_of_positives() -> None:
    count = PositiveCount(start=100, momentum=0.9)
    assert [round(count.update(20, 1), 4) for _ in range(5)] == [92, 84.8, 78.32, 72.488, 67.2392]
    assert PositiveCount(start=1, momentum=0.5).update(0, 4) == 4  # never below one per image
    assert PositiveCount(start=10, momentum=1).update(99, 4) == 40


def test_perfect_heads_lose_nothing_and_only_positives_have_a_box_loss() -> None:
    rule = AnchorRule(base_sides=(16, 32, 64, 128, 256))
    levels = anchors_per_level(rule, 64, 96, torch.device("cpu"))
    anchors = torch.cat(levels)
    boxes, classes = torch.tensor([[8.0, 8.0, 30.0, 40.0], [50.0, 10.0, 90.0, 60.0]]), torch.tensor([0, 2])
    none, whole = torch.zeros(0, 4), torch.tensor([[0.0, 0.0, 96.0, 64.0]])
    target = make_targets(anchors, boxes, classes, none, whole, torch.ones(1, 3, dtype=torch.bool))
    positive = target.matches >= 0
    logits = torch.full((1, len(anchors), 3), -20.0)
    logits[0, positive, classes[target.matches[positive]]] = 20.0
    deltas = torch.randn(1, len(anchors), 4)
    deltas[0, positive] = encode(boxes[target.matches[positive]], anchors[positive])
    deltas.requires_grad_()
    losses = compute_losses(
        HeadOutputs([logits], [deltas]), anchors, [target], [boxes], [classes], LossRule(), PositiveCount()
    )
    assert float(losses.total.detach()) == pytest.approx(0, abs=1e-4)
    worse = deltas.detach() + 0.1
    worse.requires_grad_()
    losses = compute_losses(
        HeadOutputs([logits], [worse]), anchors, [target], [boxes], [classes], LossRule(box_weight=2), PositiveCount()
    )
    losses.total.backward()
    assert worse.grad is not None
    assert not worse.grad[0, ~positive].any()
    assert worse.grad[0, positive].abs().sum() > 0
    sizes = anchors[:, 2:] - anchors[:, :2]
    moved = boxes[target.matches[positive]]
    shift = sizes[positive] * 0.1
    centres, half = (moved[:, :2] + moved[:, 2:]) / 2 + shift, (moved[:, 2:] - moved[:, :2]) / 2 * math.exp(0.1)
    giou = generalized_box_iou(torch.cat((centres - half, centres + half), 1), moved).diagonal()
    average = 0.98 * 20 + 0.02 * int(positive.sum())
    assert float(losses.box.detach()) == pytest.approx(2 * float((1 - giou).sum()) / average, rel=1e-4)


def test_what_is_not_counted_has_no_gradient() -> None:
    torch.manual_seed(0)
    network = build_retinanet(tiny_config(num_classes=2)).eval()
    heads = network(torch.rand(1, 3, 32, 32))
    anchors = torch.cat(anchors_per_level(tiny_config().anchors, 32, 32, torch.device("cpu")))
    counted = torch.zeros(len(anchors), 2, dtype=torch.bool)
    empty = [torch.zeros(0, 4)], [torch.zeros(0, dtype=torch.int64)]
    target = Targets(torch.full((len(anchors),), -1), counted)
    losses = compute_losses(heads, anchors, [target], *empty, LossRule(), PositiveCount())
    losses.total.backward()  # an image without objects has a graph, too
    assert float(losses.total.detach()) == 0
    assert all(not p.grad.any() for p in network.parameters() if p.grad is not None)
