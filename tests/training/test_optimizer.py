from __future__ import annotations

import pytest
import torch

from streamdet.training.optimizer import WeightAverage, clip, make_optimizer, set_rate
from streamdet.training.schedule import TrainOptions
from tests.networks import tiny_model


def test_gradients_are_scaled_down_to_the_norm() -> None:
    weights = [torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(1))]
    for most, factor in ((None, 1.0), (26.0, 1.0), (6.5, 0.5)):
        weights[0].grad, weights[1].grad = torch.tensor([3.0, 4.0]), torch.tensor([12.0])
        assert clip(weights, most) == pytest.approx(13)
        torch.testing.assert_close(weights[0].grad, factor * torch.tensor([3.0, 4.0]), rtol=1e-5, atol=0)
        torch.testing.assert_close(weights[1].grad, factor * torch.tensor([12.0]), rtol=1e-5, atol=0)


def test_the_average_follows_closely_at_first_and_then_by_its_decay() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(1.0)
    average, expected = WeightAverage(network, 0.5), 1.0
    for step in range(30):
        network.weight.data.fill_(float(step))
        average.update(network, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
        assert float(average.tensors["weight"]) == pytest.approx(expected, rel=1e-5)
    assert expected == pytest.approx(28, abs=0.01)


def test_the_backbone_learns_at_half_the_rate_and_norms_and_biases_do_not_decay() -> None:
    network = tiny_model().network
    optimizer = make_optimizer(network, TrainOptions(weight_decay=0.05))
    set_rate(optimizer, 0.1)
    names = {parameter: name for name, parameter in network.named_parameters()}
    seen = set()
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            in_body = names[parameter].startswith("backbone.body")
            assert group["lr"] == pytest.approx(0.05 if in_body else 0.1)
            assert group["weight_decay"] == (0.05 if parameter.ndim > 1 else 0.0)
            seen.add(parameter)
    assert seen == {parameter for parameter in network.parameters() if parameter.requires_grad}
