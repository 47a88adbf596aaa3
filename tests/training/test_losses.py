from __future__ import annotations

import math
from dataclasses import asdict

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection.retinanet import RetinaNetClassificationHead
from torchvision.ops import generalized_box_iou

from streamdet.detection.anchors import AnchorRule, anchors_per_level
from streamdet.detection.boxes import encode
from streamdet.detection.retinanet import HeadOutputs, build_retinanet
from streamdet.training.losses import LossRule, PositiveCount, compute_losses
from streamdet.training.matcher import Targets, make_targets
from tests.networks import tiny_config

PRIOR_LOGIT = -4.59511985013459


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [
        ("focal", (0.25, 2.0, None)),
        ("ce", (None, None, None)),
        ("balanced-ce", (0.75, None, None)),
        ("ohem", (None, None, None)),
        ("focal-star", (0.25, 2.0, 1.0)),
    ],
)
def test_each_kind_has_the_papers_numbers(kind: str, numbers: tuple[float | None, ...]) -> None:
    rule = LossRule(kind=kind)
    assert (rule.alpha, rule.gamma, rule.beta) == numbers
    assert LossRule(**asdict(rule)) == rule  # as written to args.json and read back


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"kind": "hinge"}, "kind is 'hinge', expected one of focal, ce, balanced-ce, ohem, focal-star"),
        ({"box": "ciou"}, "box is 'ciou', expected one of giou, l1, smooth-l1"),
        ({"alpha": 1.5}, "alpha is 1.5, expected 0 to 1, or -1"),
        ({"alpha": -0.5}, "alpha is -0.5"),
        ({"alpha": math.nan}, "alpha is nan"),
        ({"gamma": -1.0}, "gamma is -1.0, expected at least 0"),
        ({"gamma": math.inf}, "gamma is inf"),
        ({"kind": "focal-star", "gamma": 0.0}, "gamma is 0.0, expected more than 0"),
        ({"kind": "focal-star", "beta": math.nan}, "beta is nan"),
        ({"kind": "ce", "gamma": 2.0}, "gamma is 2.0, but the loss ce has no gamma; leave it out or take focal or foc"),
        ({"kind": "ohem", "alpha": 0.5}, "alpha is 0.5, but the loss ohem has no alpha"),
        ({"beta": 1.0}, "beta is 1.0, but the loss focal has no beta; leave it out or take focal-star"),
        ({"box_weight": -1.0}, "box_weight is -1.0"),
        ({"ohem_examples": 0}, "ohem_examples is 0"),
        ({"ohem_nms": 0.0}, "ohem_nms is 0.0"),
        ({"ohem_negatives": 0}, "ohem_negatives is 0"),
    ],
)
def test_wrong_rules_are_refused(wrong: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        LossRule(**wrong)  # type: ignore[arg-type]


def losses_at(
    logit: float,
    anchor_count: int,
    classes: int,
    positives: list[int],
    rule: LossRule | None = None,
    *,
    average: float | None = None,
) -> tuple[float, Tensor]:
    """Class loss of a batch whose logits are all the same, and the size of its gradient per image."""
    images = len(positives)
    logits = torch.full((images, anchor_count, classes), logit, requires_grad=True)
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
        rule or LossRule(),
        PositiveCount(start=sum(positives) / images if average is None else average, momentum=1.0),
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
    assert losses_at(PRIOR_LOGIT, anchor_count, classes, [positives])[0] == pytest.approx(expected, rel=1e-3)


def test_without_the_prior_the_negatives_drown_everything() -> None:
    """The paper's first finding: cross entropy diverges from such a start."""
    # as many anchors to a positive as 80 classes at 800x1344 have
    primed, primed_slope = losses_at(PRIOR_LOGIT, 20_160, 80, [5], LossRule(kind="ce"))
    unprimed, unprimed_slope = losses_at(0.0, 20_160, 80, [5], LossRule(kind="ce"))
    assert unprimed == pytest.approx(math.log(2) * 20_160 * 80 / 5)
    assert unprimed == pytest.approx(223_560, rel=1e-4)
    assert primed < 0.02 * unprimed
    assert float(primed_slope) < 0.025 * float(unprimed_slope)
    assert losses_at(0.0, 20_160, 80, [5])[0] == pytest.approx(41_921.5, rel=1e-4)  # focal loss needs it, too


def initial_loss(positives: int, average: float) -> float:
    """Class loss of one image of 800x1344 at the start, with COCO's 91 logits."""
    matches = torch.full((201_600,), -1)
    matches[:positives] = 0
    box = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    with torch.no_grad():
        losses = compute_losses(
            HeadOutputs([torch.full((1, 201_600, 91), PRIOR_LOGIT)], [torch.zeros(1, 201_600, 4)]),
            box.expand(201_600, 4),
            [Targets(matches, torch.ones(1, 1, dtype=torch.bool).expand(201_600, 91))],
            [box],
            [torch.zeros(1, dtype=torch.int64)],
            LossRule(),
            PositiveCount(start=average, momentum=1.0),
        )
    return float(losses.classification)


def test_the_initial_loss_of_an_empty_frame_next_to_a_normal_one() -> None:
    # Torchvision divides by each image's own positives: the normal one's loss by 50 (1.4), the empty one's by 1.
    theirs = RetinaNetClassificationHead(1, 1, 1).compute_loss(
        [{"labels": torch.zeros(0, dtype=torch.int64)}],
        {"cls_logits": torch.full((1, 201_600, 91), PRIOR_LOGIT)},
        [torch.full((201_600,), -1)],
    )
    assert float(theirs) == pytest.approx(13.83, abs=0.01)
    # Ours by what both hold together: the empty frame weighs a fifth of the normal one, not ten times as much.
    assert initial_loss(50, average=25) == pytest.approx(2 * 1.405, abs=0.002)
    assert initial_loss(0, average=25) == pytest.approx(0.553, abs=1e-3)


def test_an_empty_frame_does_not_dominate_its_batch() -> None:
    _, per_image = losses_at(PRIOR_LOGIT, 20_160, 91, [20, 0, 20, 0])
    full, empty = float(per_image[0]), float(per_image[1])
    assert empty < full  # with each image's own count, the empty one's would be about 8 times the full one's
    assert empty > 0


def test_the_average_of_positives() -> None:
    count = PositiveCount(start=100, momentum=0.9)
    assert [round(count.update(20, 1), 4) for _ in range(5)] == [92, 84.8, 78.32, 72.488, 67.2392]
    assert PositiveCount(start=1, momentum=0.5).update(0, 4) == 4  # never below one per image
    assert PositiveCount(start=10, momentum=1).update(99, 4) == 40


def test_processes_share_the_average() -> None:
    def add_the_other(positives: int, images: int) -> tuple[int, int]:
        return positives + 30, images + 2

    both = PositiveCount(start=10, momentum=0.5, sum_over_processes=add_the_other)
    alone = PositiveCount(start=10, momentum=0.5)
    assert both.update(6, 2) == alone.update(36, 4) / 2  # its half of the images: gradients are averaged later
    assert both.average == alone.average == 9.5


@pytest.mark.parametrize("kind", ["focal", "ce", "balanced-ce", "ohem", "focal-star"])
@pytest.mark.parametrize("box", ["giou", "l1", "smooth-l1"])
def test_perfect_heads_lose_nothing_and_only_positives_have_a_box_loss(kind: str, box: str) -> None:
    levels = anchors_per_level(AnchorRule(base_sides=(16, 32, 64, 128, 256)), 64, 96, torch.device("cpu"))
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
        HeadOutputs([logits], [deltas]), anchors, [target], [boxes], [classes], LossRule(kind, box=box), PositiveCount()
    )
    assert float(losses.total.detach()) == pytest.approx(0, abs=1e-4)
    worse = deltas.detach() + 0.1
    worse.requires_grad_()
    rule = LossRule(kind, box=box, box_weight=2)
    losses = compute_losses(
        HeadOutputs([logits], [worse]), anchors, [target], [boxes], [classes], rule, PositiveCount()
    )
    losses.total.backward()
    assert worse.grad is not None
    assert not worse.grad[0, ~positive].any()
    assert worse.grad[0, positive].abs().sum() > 0
    count = int(positive.sum())
    if box == "giou":
        sizes = anchors[:, 2:] - anchors[:, :2]
        moved = boxes[target.matches[positive]]
        shift = sizes[positive] * 0.1
        centres, half = (moved[:, :2] + moved[:, 2:]) / 2 + shift, (moved[:, 2:] - moved[:, :2]) / 2 * math.exp(0.1)
        giou = generalized_box_iou(torch.cat((centres - half, centres + half), 1), moved).diagonal()
        expected = float((1 - giou).sum())
    elif box == "l1":
        expected = 4 * count * 0.1
    else:
        expected = 4 * count * 0.5 * 0.1**2 / 0.11  # within beta, 0.11: a parabola
    average = 0.98 * 20 + 0.02 * count
    assert float(losses.box.detach()) == pytest.approx(2 * expected / average, rel=1e-4)


def random_batch() -> tuple[HeadOutputs, Tensor, list[Targets], list[Tensor], list[Tensor]]:
    """Three images of three classes; the second one is empty, the third's second class isn't labelled."""
    generator = torch.Generator().manual_seed(0)
    anchors = torch.cat(anchors_per_level(AnchorRule(base_sides=(16, 32, 64, 128, 256)), 64, 96, torch.device("cpu")))
    boxes = [
        torch.tensor([[8.0, 8.0, 30.0, 40.0], [50.0, 10.0, 90.0, 60.0]]),
        torch.zeros(0, 4),
        torch.tensor([[20.0, 5.0, 60.0, 50.0]]),
    ]
    classes = [torch.tensor([0, 2]), torch.zeros(0, dtype=torch.int64), torch.tensor([0])]
    none, whole = torch.zeros(0, 4), torch.tensor([[0.0, 0.0, 96.0, 64.0]])
    targets = [
        make_targets(anchors, image_boxes, image_classes, none, whole, torch.tensor([known]))
        for image_boxes, image_classes, known in zip(
            boxes, classes, ([True] * 3, [True] * 3, [True, False, True]), strict=True
        )
    ]
    logits = torch.randn(3, len(anchors), 3, generator=generator, requires_grad=True)
    deltas = torch.randn(3, len(anchors), 4, generator=generator) * 0.1
    return HeadOutputs([logits], [deltas]), anchors, targets, boxes, classes


@pytest.mark.parametrize("kind", ["ce", "balanced-ce"])
def test_cross_entropy_over_what_is_counted(kind: str) -> None:
    heads, anchors, targets, boxes, classes = random_batch()
    rule = LossRule(kind)
    losses = compute_losses(heads, anchors, targets, boxes, classes, rule, PositiveCount(start=4, momentum=1))
    expected = 0.0
    for image, target in enumerate(targets):
        truth = torch.zeros(len(anchors), 3)
        for row, match in enumerate(target.matches.tolist()):
            if match >= 0:
                truth[row, classes[image][match]] = 1
        weights = target.counted.float()
        if kind == "balanced-ce":
            weights = weights * torch.where(truth == 1, 0.75, 0.25)
        logits = heads.logits[0][image].detach()
        expected += float(F.binary_cross_entropy_with_logits(logits, truth, weights, reduction="sum"))
    assert float(losses.classification.detach()) == pytest.approx(expected / (4 * 3), rel=1e-5)


@pytest.mark.parametrize(("negatives", "most"), [(None, 10), (3, 8)])
def test_ohem_learns_from_the_hardest_of_each_image(negatives: int | None, most: int) -> None:
    heads, anchors, targets, boxes, classes = random_batch()
    rule = LossRule("ohem", ohem_examples=most, ohem_negatives=negatives)
    losses = compute_losses(heads, anchors, targets, boxes, classes, rule, PositiveCount())
    losses.classification.backward()
    logits = heads.logits[0]
    assert logits.grad is not None
    taught = logits.grad.abs().sum(dim=2) > 0  # (N, A)
    positive = torch.stack([target.matches for target in targets]) >= 0
    if negatives is None:
        assert taught.sum(dim=1).tolist() == [most] * 3
    else:  # where nothing is to be seen, three negatives
        assert (taught & positive).sum(dim=1).tolist() == [2, 0, 2]
        assert (taught & ~positive).sum(dim=1).tolist() == [6, 3, 6]
    everything = compute_losses(heads, anchors, targets, boxes, classes, LossRule("ce"), PositiveCount(momentum=1))
    mean_of_all = float(everything.classification.detach()) * 20 * 3 / (3 * len(anchors))
    assert float(losses.classification.detach()) > 1.5 * mean_of_all


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


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", ["focal", "ce", "ohem", "focal-star"])
def test_heads_in_half_precision(kind: str, dtype: torch.dtype) -> None:
    heads, *rest = random_batch()
    half = HeadOutputs([heads.logits[0].detach().to(dtype)], [heads.deltas[0].to(dtype)])
    same = HeadOutputs([half.logits[0].float()], [half.deltas[0].float()])
    for box in ("giou", "l1", "smooth-l1"):
        rule = LossRule(kind, box=box)
        found = compute_losses(half, *rest, rule, PositiveCount())
        expected = compute_losses(same, *rest, rule, PositiveCount())
        assert (found.classification.dtype, found.box.dtype) == (torch.float32, torch.float32)
        assert torch.equal(found.total, expected.total)
