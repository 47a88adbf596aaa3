from __future__ import annotations

import math

import pytest
import torch
from torchvision.ops import sigmoid_focal_loss

from streamdet.training.focal import focal_loss, focal_star_loss

# Vectors of the project's reference sheet: alpha 0.25, gamma 2, float64; the first logit is the prior's.
LOGITS = [-4.59511985013459, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0]
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


def test_the_papers_gradient() -> None:
    logits = torch.tensor([-2.0, 0.0, 2.0], requires_grad=True)  # eq. 10 without alpha
    focal_loss(logits, torch.ones(3), alpha=-1).sum().backward()
    torch.testing.assert_close(logits.grad, torch.tensor([-1.07671373, -0.298286795, -0.00487094]))


@pytest.mark.parametrize(
    ("p", "losses"),  # gamma 0.5, 1, 2, 5, unweighted
    [
        (0.3, [1.00732, 0.842781, 0.589947, 0.202352]),
        (0.6, [0.323074, 0.20433, 0.0817321, 0.00523085]),
        (0.99, [0.00100503, 1.00503e-4, 1.00503e-6, 1.00503e-12]),
    ],
)
def test_the_papers_ratios(p: float, losses: list[float]) -> None:
    logit = torch.tensor([math.log(p / (1 - p))])
    values = [float(focal_loss(logit, torch.ones(1), -1, gamma)) for gamma in (0.5, 1, 2, 5)]
    assert values == pytest.approx(losses, rel=2e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("alpha", [-1.0, 0.0, 0.25, 0.75])
def test_equal_to_torchvisions(alpha: float, gamma: float) -> None:
    generator = torch.Generator().manual_seed(0)
    ours = (torch.randn(300, generator=generator) * 4).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    targets = (torch.rand(300, generator=generator) < 0.3).float()
    upstream = torch.rand(300, generator=generator)
    loss, expected = focal_loss(ours, targets, alpha, gamma), sigmoid_focal_loss(theirs, targets, alpha, gamma)
    torch.testing.assert_close(loss, expected, atol=1e-6, rtol=1e-4)
    loss.backward(upstream)
    expected.backward(upstream)
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-6, rtol=1e-4)


def test_vectors_of_focal_star() -> None:
    logits = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])
    ones = torch.ones(5)
    steep = focal_star_loss(logits, ones, -1, 2, 1)
    torch.testing.assert_close(
        steep, torch.tensor([1.524294, 0.656631, 0.156631, 0.024294, 0.003358]), atol=1e-6, rtol=0
    )
    unshifted = focal_star_loss(logits, ones, -1, 4, 0)
    expected = torch.tensor([2.000084, 1.004537, 0.173287, 0.004537, 8.4e-05])
    torch.testing.assert_close(unshifted, expected, atol=1e-6, rtol=0)
    assert torch.equal(focal_star_loss(-logits, 1 - ones, -1, 2, 1), steep)  # the same of negatives, mirrored
    torch.testing.assert_close(focal_star_loss(logits, ones, 0.25), steep / 4)
    torch.testing.assert_close(focal_star_loss(-logits, 1 - ones, 0.25), steep * 3 / 4)


def test_focal_star_at_gamma_1_and_beta_0_is_cross_entropy() -> None:
    logits, targets = torch.linspace(-6, 6, 25), torch.arange(25) % 2
    torch.testing.assert_close(focal_star_loss(logits, targets, -1, 1, 0), focal_loss(logits, targets, -1, 0))


@pytest.mark.parametrize("gamma", [0.0, 0.1, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_far_logits_stay_finite(gamma: float, dtype: torch.dtype) -> None:
    logits = torch.tensor([-60_000.0, -200.0, -30.0, 30.0, 200.0, 60_000.0], dtype=dtype, requires_grad=True)
    for target in (0.0, 1.0):
        for loss in (
            focal_loss(logits, torch.full((6,), target), gamma=gamma),
            focal_star_loss(logits, torch.full((6,), target), gamma=max(gamma, 0.1)),
        ):
            logits.grad = None
            assert loss.dtype == torch.float32
            assert torch.isfinite(loss).all()
            loss.sum().backward()
            assert logits.grad is not None
            assert logits.grad.dtype == dtype
            assert torch.isfinite(logits.grad).all()
    wrong = focal_loss(torch.tensor([-30.0, 30.0]), torch.tensor([1.0, 0.0]))
    assert wrong.tolist() == pytest.approx([7.5, 22.5])
    right = focal_loss(torch.tensor([-30.0, 30.0]), torch.tensor([0.0, 1.0]))
    assert right.tolist() == pytest.approx([0.0, 0.0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_computed_in_float32(dtype: torch.dtype) -> None:
    logits = torch.linspace(-8, 8, 101).to(dtype)
    targets = (torch.arange(101) % 3 == 0).float()
    assert torch.equal(focal_loss(logits, targets), focal_loss(logits.float(), targets))
    assert torch.equal(focal_star_loss(logits, targets), focal_star_loss(logits.float(), targets))
    unprimed = focal_loss(torch.zeros(1_000_000, dtype=dtype), torch.zeros(1_000_000))
    assert float(unprimed.sum()) == pytest.approx(129_965, rel=1e-4)  # beyond float16's 65,504
