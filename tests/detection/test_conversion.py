from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import ColorRange, VideoReformatter
from torch import Tensor

from streamdet.detection import detector as detector_module
from streamdet.detection.conversion import Layout, filter_matrix, layout_of, planes_to_input, upload
from streamdet.detection.detector import STAGES, Detector
from streamdet.detection.precision import Placement, choose_placement
from streamdet.detection.resize import Fitting, InputRule, to_batch
from tests.detection.test_detector import found_again
from tests.networks import noise_picture, tiny_model

CPU = torch.device("cpu")
GREY_LEVELS = replace(InputRule(), mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255))
"""The network's input in grey levels."""


def frame_of(
    pixel_format: str, width: int = 320, height: int = 180, *, space: int = 2, full: bool = False
) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(noise_picture(width, height), format="rgb24").reformat(format=pixel_format)
    frame.colorspace = space
    frame.color_range = ColorRange.JPEG if full else ColorRange.MPEG
    return frame


def video_frames(count: int) -> list[av.VideoFrame]:
    pictures = [noise_picture(320, 180, seed) for seed in range(count)]
    return [av.VideoFrame.from_ndarray(each, format="rgb24").reformat(format="yuv420p") for each in pictures]


def by_device(frames: Sequence[av.VideoFrame], fitting: Fitting, rule: InputRule, device: torch.device = CPU) -> Tensor:
    layout = layout_of(frames[0])
    assert layout is not None
    return planes_to_input(upload(frames, layout, device), fitting, rule)


def by_host(frames: Sequence[av.VideoFrame], fitting: Fitting, rule: InputRule) -> Tensor:
    reformatter = VideoReformatter()
    scaled = [fitting.resize(frame, exact=False, reformatter=reformatter) for frame in frames]
    return to_batch(scaled, fitting, rule, CPU)


SIZES = [
    Fitting(320, 180, 320, 180),  # as it is
    Fitting(320, 180, 252, 142),  # smaller, linear
    Fitting(320, 180, 160, 90),  # half, averaged
    Fitting(321, 181, 100, 56),  # odd sides, averaged
    Fitting(320, 180, 471, 265),  # larger
]


@pytest.mark.parametrize("fitting", SIZES)
@pytest.mark.parametrize("pixel_format", ["yuv420p", "nv12", "yuvj420p"])
def test_as_swscale_does_it(fitting: Fitting, pixel_format: str) -> None:
    frame = frame_of(pixel_format, fitting.source_width, fitting.source_height, full=pixel_format == "yuvj420p")
    ours, theirs = (way([frame], fitting, GREY_LEVELS) for way in (by_device, by_host))
    assert ours.shape == theirs.shape
    assert ours.dtype == torch.float32
    difference = (ours - theirs)[..., : fitting.height, : fitting.width]
    assert difference.abs().mean() < 0.05  # of 255 grey levels: one pixel in 20 is rounded the other way
    assert difference.abs().max() <= 2
    assert not ours[..., fitting.height :, :].any()


@pytest.mark.parametrize("space", [1, 2, 5, 6, 9])
@pytest.mark.parametrize("full", [False, True])
def test_colours_are_those_of_the_tags(space: int, full: bool) -> None:
    fitting = SIZES[1]
    frame = frame_of("yuv420p", space=space, full=full)
    difference = by_device([frame], fitting, GREY_LEVELS) - by_host([frame], fitting, GREY_LEVELS)
    assert difference.abs().mean() < 0.02
    assert difference.mean(dim=(0, 2, 3)).abs().max() < 0.01  # no channel is off


def test_a_batch_is_its_pictures_normalised_and_padded() -> None:
    rule = InputRule(96, 160)
    fitting = rule.fit(320, 180)
    frames = video_frames(2)
    together = by_device(frames, fitting, rule)
    expected = by_host(frames, fitting, rule)
    assert together.shape == expected.shape == (2, 3, 96, 160)
    assert (together - expected).abs().mean() < 0.001
    assert not together[:, :, fitting.height :].any()
    for one, frame in zip(together, frames, strict=True):
        torch.testing.assert_close(one, by_device([frame], fitting, rule)[0], atol=1e-4, rtol=1e-4)


def test_planes_may_be_cut_out_of_larger_ones() -> None:
    """Decoders pad their lines."""
    frame = frame_of("yuv420p", 322, 182)
    assert any(plane.line_size > plane.width for plane in frame.planes)
    layout = layout_of(frame)
    assert layout is not None
    planes = upload([frame], layout, CPU)
    flat = torch.from_numpy(frame.to_ndarray().reshape(-1).copy())
    torch.testing.assert_close(planes.luma.flatten(), flat[: 322 * 182])
    torch.testing.assert_close(planes.chroma.flatten(), flat[322 * 182 :])


@pytest.mark.parametrize("pixel_format", ["yuv420p10le", "yuv422p", "yuv444p", "rgb24", "gray"])
def test_other_formats_go_the_hosts_way(pixel_format: str) -> None:
    assert layout_of(frame_of("yuv420p").reformat(format=pixel_format)) is None


def test_arrays_and_unknown_colours_go_the_hosts_way() -> None:
    assert layout_of(noise_picture(32, 32)) is None
    assert layout_of(frame_of("yuv420p", space=7)) is None
    assert layout_of(frame_of("yuv420p", space=1)) == Layout(False, 0.2126, 0.0722, False)
    assert layout_of(frame_of("nv12", full=True)) == Layout(True, 0.299, 0.114, True)


@pytest.mark.parametrize(("source", "target"), [(10, 10), (7, 20), (1, 5), (1080, 544), (1080, 300), (5, 1)])
@pytest.mark.parametrize("averages", [False, True])
def test_filters_keep_what_is_even_and_where_things_are(source: int, target: int, averages: bool) -> None:
    weights = filter_matrix(source, target, averages, CPU)
    assert weights.shape == (target, source)
    assert float(weights.min()) >= 0
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(target))
    torch.testing.assert_close(weights, weights.flip(0, 1), atol=1e-5, rtol=1e-5)  # symmetric: nothing moves
    if source == target:
        torch.testing.assert_close(weights, torch.eye(source))


def test_a_detector_finds_the_same_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = video_frames(3)
    mixed = [frames[0], frames[1].reformat(format="nv12"), frames[2].reformat(format="yuv444p")]
    detector = Detector(tiny_model(backbone="resnet18"), Placement(CPU, torch.float32))
    expected = detector(mixed)
    monkeypatch.setattr(Detector, "_layout", lambda self, picture: layout_of(picture))
    monkeypatch.setattr(detector_module, "postprocess", detector_module.postprocess_batch)
    found = detector(mixed)
    assert detector.seconds.keys() == set(STAGES)
    assert all(seconds > 0 for seconds in detector.seconds.values())
    for ours, theirs in zip(found, expected, strict=True):
        assert found_again(ours, theirs, iou=0.95, score=0.01) > 0.95
    np.testing.assert_allclose(found[2].boxes_xyxy, expected[2].boxes_xyxy, atol=1e-2)  # the host's way, twice


@pytest.mark.gpu
@pytest.mark.parametrize("fitting", SIZES)
@pytest.mark.parametrize("pixel_format", ["yuv420p", "nv12"])
def test_the_gpu_converts_as_the_cpu_does(fitting: Fitting, pixel_format: str) -> None:
    frames = [frame_of(pixel_format, fitting.source_width, fitting.source_height)] * 3
    on_gpu = by_device(frames, fitting, GREY_LEVELS, torch.device("cuda")).cpu()
    torch.testing.assert_close(on_gpu, by_device(frames, fitting, GREY_LEVELS), atol=0.3, rtol=0)


@pytest.mark.gpu
def test_a_detector_on_the_gpu_finds_what_the_cpu_finds_in_video() -> None:
    frames = video_frames(3)
    model = tiny_model(backbone="resnet18")
    on_cpu = Detector(model, Placement(CPU, torch.float32))(frames)
    on_gpu = Detector(model, choose_placement("cuda", "float32"))(frames)
    for gpu, cpu in zip(on_gpu, on_cpu, strict=True):
        assert found_again(gpu, cpu, iou=0.8, score=0.05) > 0.9
