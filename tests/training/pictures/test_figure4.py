from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision.ops import sigmoid_focal_loss

from streamdet.detection.anchors import anchors_per_level
from streamdet.detection.resize import normalise
from streamdet.training.dataset import LabelledImage, read_rgb
from streamdet.training.formats.coco import read_coco
from streamdet.training.losses import LossRule, PositiveCount, compute_losses
from streamdet.training.matcher import make_targets
from streamdet.training.pictures.figure4 import GAMMAS, LossSums, draw_figure4, gather_losses
from tests.networks import tiny_model
from tests.rectangles import write_set

LOGITS = torch.randn(4000, generator=torch.Generator().manual_seed(1)) * 4 - 3


def naive(wrongness: torch.Tensor, gamma: float) -> tuple[np.ndarray, np.ndarray]:
    """Fractions and cumulative shares from every single sample, sorted."""
    losses = sigmoid_focal_loss(-wrongness.double(), torch.ones_like(wrongness).double(), -1, gamma).sort().values
    shares = losses.cumsum(0) / losses.sum()
    return np.arange(1, len(losses) + 1) / len(losses), shares.numpy()


def test_gamma_0_is_cross_entropy() -> None:
    sums = LossSums()
    sums.add(LOGITS)
    expected = F.binary_cross_entropy_with_logits(-LOGITS.double(), torch.ones(4000).double(), reduction="sum")
    assert sums.total(0.0) == pytest.approx(float(expected), rel=1e-5)
    assert sums.count == 4000


@pytest.mark.parametrize("gamma", GAMMAS)
def test_bins_give_the_curve_of_all_samples(gamma: float) -> None:
    sums = LossSums()
    for part in LOGITS.split(1100):  # in whatever parts they come
        sums.add(part)
    fractions, shares = sums.cumulative(gamma)
    expected_fractions, expected = naive(LOGITS, gamma)
    assert (fractions[0], shares[0], fractions[-1], shares[-1]) == (0, 0, 1, 1)
    assert (np.diff(fractions) > 0).all()
    assert (np.diff(shares) >= 0).all()
    at = np.linspace(0.01, 1, 100)
    difference = np.interp(at, fractions, shares) - np.interp(at, expected_fractions, expected)
    assert np.abs(difference).max() < 2e-3


def test_two_samples_by_hand() -> None:
    sums = LossSums((0.0, 2.0))
    sums.add(torch.tensor([0.9, 0.5]).logit().neg())  # p_t of 0.9 and 0.5
    easy, hard = 0.105361, 0.693147
    assert sums.share_of_hardest(0.5, 0.0) == pytest.approx(hard / (easy + hard), rel=1e-4)
    assert sums.share_of_hardest(0.5, 2.0) == pytest.approx(0.173287 / (0.173287 + 0.00105361), rel=1e-4)
    assert sums.share_of_hardest(1.0, 2.0) == 1


def test_focusing_moves_the_loss_to_the_hard_ones() -> None:
    sums = LossSums()
    sums.add(LOGITS)
    shares = [sums.share_of_hardest(0.05, gamma) for gamma in GAMMAS]
    assert shares == sorted(shares)


def test_far_logits_and_none_at_all() -> None:
    sums = LossSums()
    assert sums.cumulative(2.0)[1].tolist() == [0, 1]
    sums.add(torch.tensor([-1e4, 1e4, -200.0, 60.0]))
    fractions, shares = sums.cumulative(2.0)
    assert np.isfinite(shares).all()
    assert fractions[-1] == shares[-1] == 1
    assert sums.total(0.0) == pytest.approx(10_060)


@pytest.fixture
def images(tmp_path: Path) -> tuple[LabelledImage, ...]:
    return read_coco(write_set(tmp_path / "train.json", 5)).images


def test_the_sums_are_those_of_the_training_loss(images: tuple[LabelledImage, ...]) -> None:
    partly = replace(
        images[0], labelled=np.array([True, False, True]), ignored_xyxy=np.array([[0, 0, 40, 40]], np.float32)
    )
    model = tiny_model()
    # Exact resizing to the same size is none: the input can be made here with other means.
    rule = replace(model.card.input_rule, short_side=64, long_side=96, exact=True)
    model = replace(model, card=replace(model.card, input_rule=rule))
    shown = [partly, *images[1:]]
    losses = gather_losses(model, shown)

    total = positives = 0.0
    for image in shown:
        batch = normalise(torch.from_numpy(read_rgb(image))[None], rule)
        with torch.no_grad():
            heads = model.network(batch)
        anchors = torch.cat(anchors_per_level(model.card.config.anchors, 64, 96, torch.device("cpu")))
        boxes, class_ids = torch.from_numpy(image.boxes_xyxy), torch.from_numpy(image.class_ids)
        target = make_targets(
            anchors,
            boxes,
            class_ids,
            torch.from_numpy(image.ignored_xyxy),
            torch.tensor([[0.0, 0.0, 96.0, 64.0]]),
            torch.from_numpy(image.labelled)[None],
        )
        of_image = compute_losses(
            heads, anchors, [target], [boxes], [class_ids], LossRule(alpha=-1, gamma=2), PositiveCount(1, 1)
        )
        total += float(of_image.classification)
        positives += of_image.positives
    assert losses.positives.count == positives > 0
    assert losses.positives.total(2.0) + losses.negatives.total(2.0) == pytest.approx(total, rel=1e-4)
    assert losses.images == 5


def test_many_pictures_are_sampled_evenly(images: tuple[LabelledImage, ...]) -> None:
    few = gather_losses(tiny_model(), images, most=2)
    both = gather_losses(tiny_model(), [images[0], images[2]])
    assert few.images == 2
    assert few.negatives.total(2.0) == both.negatives.total(2.0) > 0


def test_the_picture(images: tuple[LabelledImage, ...], tmp_path: Path) -> None:
    losses = gather_losses(tiny_model(), images[3:4], gammas=(0.0, 2.0, 5.0))  # the empty one: no positives
    assert losses.positives.count == 0
    draw_figure4(losses, tmp_path / "figure4.png", trained_gamma=5.0)
    draw_figure4(losses, tmp_path / "another.png", trained_gamma=None)
    with Image.open(tmp_path / "figure4.png") as one, Image.open(tmp_path / "another.png") as other:
        assert one.size == other.size
        assert one.tobytes() != other.tobytes()
