from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from streamdet.detection.detector import Detector
from streamdet.detection.engines.making import folded
from streamdet.detection.engines.seam import TorchEngine
from streamdet.detection.engines.winograd import LEAST_CELLS, WinogradConv2d, WinogradEngine, gains, transforms
from streamdet.detection.precision import Placement
from streamdet.detection.retinanet import to_channels_last
from streamdet.errors import UsageError
from tests.networks import tiny_model

CPU = torch.device("cpu")
BFLOAT16 = Placement(CPU, torch.bfloat16)


def test_the_transforms_filter_a_row() -> None:
    a, b, g = transforms()
    rng = np.random.default_rng(0)
    row, taps = rng.normal(size=6), rng.normal(size=3)
    np.testing.assert_allclose(a @ ((g @ taps) * (b @ row)), np.correlate(row, taps, "valid"), atol=1e-12)


@pytest.mark.parametrize("size", [(20, 16), (19, 17), (41, 8), (22, 31)])
@pytest.mark.parametrize("bias", [True, False])
def test_it_is_the_convolution_at_any_size(size: tuple[int, int], bias: bool) -> None:
    torch.manual_seed(1)
    conv = nn.Conv2d(12, 7, 3, padding=1, bias=bias)
    x = torch.randn(2, 12, *size).to(memory_format=torch.channels_last)
    assert size[0] * size[1] >= LEAST_CELLS
    with torch.inference_mode():
        ours, expected = WinogradConv2d(conv)(x), conv(x)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


def test_small_maps_are_left_to_the_direct_convolution() -> None:
    conv = nn.Conv2d(4, 4, 3, padding=1)
    x = torch.randn(1, 4, 8, 16)
    with torch.inference_mode():
        assert torch.equal(WinogradConv2d(conv)(x), conv(x))


def test_raw_outputs_are_about_as_near_as_plain_bfloat16s() -> None:
    model = tiny_model(channels=256, head_norm="group", head_depth=2)
    engine, plain = WinogradEngine(folded(model)), TorchEngine(folded(model), CPU, torch.bfloat16)
    exact = to_channels_last(folded(model))
    images = torch.randn(2, 3, 160, 224)
    assert len([module for module in engine._network.modules() if isinstance(module, WinogradConv2d)]) == 3 + 2 * 3
    errors = []
    with torch.inference_mode():
        for heads in (*engine(images), *plain(images)):
            rows = [torch.cat(levels, 1).float() for levels in (heads.logits, heads.deltas)]
            truth = [torch.cat(levels, 1) for levels in (exact(images).logits, exact(images).deltas)]
            errors.append([float((a - b).norm() / b.norm()) for a, b in zip(rows, truth, strict=True)])
    assert errors[0] != errors[1]
    assert all(0 < ours < 1.5 * direct < 0.2 for ours, direct in zip(*errors, strict=True)), errors


def test_where_it_can_not_be_had() -> None:
    assert not gains(tiny_model().network)
    with pytest.raises(UsageError, match="at least 192 channels, and those of tiny have 32; leave it out"):
        Detector(tiny_model(), BFLOAT16, engine="winograd")
    with pytest.raises(UsageError, match="computes in bfloat16 on a CPU, and this is float32 on cpu"):
        Detector(tiny_model(channels=256), Placement(CPU, torch.float32), engine="winograd")
