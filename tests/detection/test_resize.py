from __future__ import annotations

from dataclasses import replace

import av
import numpy as np
import pytest
import torch
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from streamdet.detection.resize import Fitting, InputRule, to_batch
from tests.networks import noise_picture

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("size", "scaled", "padded"),
    [
        ((1280, 720), (1333, 749), (1344, 768)),
        ((1920, 1080), (1333, 749), (1344, 768)),
        ((3840, 2160), (1333, 749), (1344, 768)),
        ((640, 480), (1066, 800), (1088, 800)),
        ((480, 640), (800, 1066), (800, 1088)),
        ((1, 5000), (1, 1333), (32, 1344)),
    ],
)
def test_sizes_of_the_reference(size: tuple[int, int], scaled: tuple[int, int], padded: tuple[int, int]) -> None:
    fitting = InputRule().fit(*size)
    assert (fitting.width, fitting.height) == scaled
    assert (fitting.padded_width, fitting.padded_height) == padded


def test_equal_to_torchvisions_transform() -> None:
    rule = InputRule(96, 170, exact=True)
    theirs = GeneralizedRCNNTransform(96, 170, list(rule.mean), list(rule.std)).eval()
    for width, height in ((640, 360), (33, 47), (90, 91), (96, 170), (411, 77)):
        picture = noise_picture(width, height)
        expected, _ = theirs([torch.from_numpy(picture).permute(2, 0, 1) / 255])
        fitting = rule.fit(width, height)
        batch = to_batch([fitting.resize(picture, exact=True)], fitting, rule, CPU)
        assert [(fitting.height, fitting.width)] == expected.image_sizes
        torch.testing.assert_close(batch, expected.tensors, atol=1e-4, rtol=0)


def test_every_size_is_scaled_as_torchvision_scales_it() -> None:
    rng = np.random.default_rng(0)
    for width, height in rng.integers(2, 4000, (300, 2)).tolist():
        fitting = InputRule(480, 800).fit(width, height)
        scale = min(480 / min(width, height), 800 / max(width, height))
        shape = torch.nn.functional.interpolate(
            torch.empty(1, 1, height, width, device="meta"), scale_factor=scale, recompute_scale_factor=True
        ).shape
        assert (max(1, fitting.height), max(1, fitting.width)) == (max(1, shape[2]), max(1, shape[3]))


def test_boxes_go_there_and_back() -> None:
    fitting = Fitting(1920, 1080, 640, 360)
    boxes = np.array([[0, 0, 1920, 1080], [300, 150, 600, 450]], np.float32)
    assert fitting.boxes_from_source(boxes).tolist() == [[0, 0, 640, 360], [100, 50, 200, 150]]
    np.testing.assert_allclose(fitting.boxes_to_source(fitting.boxes_from_source(boxes)), boxes)
    assert fitting.boxes_to_source(boxes[:0]).shape == (0, 4)
    assert fitting.boxes_to_source(boxes).dtype == np.float32


@pytest.mark.parametrize("width", [160, 161, 320, 640])  # even and odd: swscale takes different ways
@pytest.mark.parametrize("pixel_format", ["yuv420p", "nv12", "yuvj420p", "yuv422p10le"])
def test_yuv_keeps_its_colours(width: int, pixel_format: str) -> None:
    red_square = np.zeros((180, 320, 3), np.uint8)
    red_square[:] = (40, 90, 140)
    red_square[60:120, 120:200] = (220, 30, 60)
    source = av.VideoFrame.from_ndarray(red_square, format="rgb24")
    fitting = Fitting(320, 180, width, width * 9 // 16)
    from_yuv = fitting.resize(source.reformat(format=pixel_format), exact=False).float()
    from_rgb = fitting.resize(red_square, exact=True)
    difference = (from_yuv - from_rgb).abs()
    assert difference.mean() < 1.5
    across, along = (from_rgb - from_rgb.roll(1, dims=2)).abs(), (from_rgb - from_rgb.roll(1, dims=1)).abs()
    edges = across.amax(dim=0) + along.amax(dim=0)
    near_edge = torch.nn.functional.max_pool2d(edges[None], 9, stride=1, padding=4)[0] > 1
    assert difference[:, ~near_edge].max() <= 4  # no level lost in flat parts
    # The chroma of an edge is not spread wider than the source's own subsampling.
    assert difference.amax(dim=0).gt(40).float().mean() < 0.03


@pytest.mark.parametrize("exact", [False, True])
def test_an_array_and_its_frame_are_the_same(exact: bool) -> None:
    picture = noise_picture(320, 180)
    fitting = Fitting(320, 180, 200, 112)
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    assert torch.equal(fitting.resize(picture, exact=exact), fitting.resize(frame, exact=exact))


def test_batches_are_padded_with_the_mean_and_normalised() -> None:
    rule = replace(InputRule(), short_side=40, long_side=60, mean=(0.5, 0.25, 1.0), std=(0.5, 0.5, 0.25))
    fitting = rule.fit(60, 40)
    pictures = [torch.full((3, 40, 60), value, dtype=torch.uint8) for value in (0, 255)]
    batch = to_batch(pictures, fitting, rule, CPU)
    assert batch.shape == (2, 3, 64, 64)
    assert batch.dtype == torch.float32
    np.testing.assert_allclose(batch[:, :, 10, 10], [[-1, -0.5, -4], [1, 1.5, 0]], atol=1e-6)
    assert float(batch[:, :, 40:].abs().max()) == float(batch[:, :, :, 60:].abs().max()) == 0
    assert int(pictures[1].min()) == 255  # the caller's bytes stay


def test_rule_survives_json() -> None:
    rule = InputRule(300, 500, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), exact=True)
    assert InputRule.from_json(rule.to_json()) == rule
