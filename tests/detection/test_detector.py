from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from streamdet.detection.checkpoint import save_model
from streamdet.detection.detector import STAGES, Detector, is_out_of_memory
from streamdet.detection.postprocess import PostprocessRule
from streamdet.detection.precision import Placement, choose_placement
from streamdet.errors import ModelError, UsageError
from streamdet.types import Detections
from tests.networks import CLASS_NAMES, noise_picture, tiny_model

CPU = torch.device("cpu")
FLOAT32 = Placement(CPU, torch.float32)


@pytest.fixture
def model_path(tmp_path: Path) -> Path:
    model = tiny_model()
    save_model(tmp_path / "tiny.safetensors", model.network, model.card, dtype=torch.float32)
    return tmp_path / "tiny.safetensors"


def assert_same(a: Detections, b: Detections, pixels: float = 1e-2, score: float = 1e-4) -> None:
    assert len(a) == len(b) > 5
    np.testing.assert_allclose(a.scores, b.scores, atol=score)
    # Of two nearly equal scores either may come first.
    near = np.abs(a.boxes_xyxy[:, None] - b.boxes_xyxy[None]).max(axis=2) < pixels
    near &= np.abs(a.scores[:, None] - b.scores[None]) < score
    near &= a.class_ids[:, None] == b.class_ids[None]
    assert near.any(axis=0).all()
    assert near.any(axis=1).all()


def found_again(found: Detections, expected: Detections, *, iou: float, score: float) -> float:
    """Share of the `expected` objects that `found` has: same class, near score, IoU."""
    lows = np.maximum(found.boxes_xyxy[:, None, :2], expected.boxes_xyxy[None, :, :2])
    highs = np.minimum(found.boxes_xyxy[:, None, 2:], expected.boxes_xyxy[None, :, 2:])
    shared = np.clip(highs - lows, 0, None).prod(axis=2)
    areas = [np.prod(d.boxes_xyxy[:, 2:] - d.boxes_xyxy[:, :2], axis=1) for d in (found, expected)]
    near = shared >= iou * (areas[0][:, None] + areas[1][None] - shared)
    near &= np.abs(found.scores[:, None] - expected.scores[None]) < score
    near &= found.class_ids[:, None] == expected.class_ids[None]
    return float(near.any(axis=0).mean())


def test_a_batch_gives_the_same_as_single_pictures() -> None:
    detector = Detector(tiny_model(), FLOAT32)
    sizes = [(320, 180), (200, 200), (320, 180), (90, 160), (200, 200)]
    pictures = [noise_picture(*size, seed) for seed, size in enumerate(sizes)]
    together = detector(pictures)
    assert detector.seconds.keys() == set(STAGES)
    assert all(seconds > 0 for seconds in detector.seconds.values())
    for picture, found in zip(pictures, together, strict=True):
        assert_same(found, detector([picture])[0])
        assert found.boxes_xyxy[:, 0::2].max() <= picture.shape[1] + 1e-3
        assert found.boxes_xyxy[:, 1::2].max() <= picture.shape[0] + 1e-3
        assert found.class_names == CLASS_NAMES
    assert detector([]) == []


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((3, 10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3), np.float32),
        np.zeros((0, 10, 3), np.uint8),
    ],
)
def test_wrong_arrays_are_refused(picture: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"give \(height, width, 3\) uint8 RGB"):
        Detector(tiny_model(), FLOAT32)([picture])


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 700), (900, 3)])
def test_extreme_shapes_pass(width: int, height: int, exact: bool) -> None:
    model = tiny_model()
    rule = replace(model.card.input_rule, exact=exact)
    (found,) = Detector(model, FLOAT32, input_rule=rule)([noise_picture(width, height)])
    assert np.isfinite(found.boxes_xyxy).all()


def test_read_only_and_strided_arrays_pass() -> None:
    detector = Detector(tiny_model(), FLOAT32)
    exact = Detector(tiny_model(), FLOAT32, input_rule=replace(tiny_model().card.input_rule, exact=True))
    picture = noise_picture(200, 120)
    strided = np.zeros((120, 400, 3), np.uint8)[:, ::2]
    strided[:] = picture
    frozen = picture.copy()
    frozen.flags.writeable = False
    for each in (detector, exact):
        plain, *others = each([picture, strided, frozen])
        for other in others:
            assert_same(other, plain)


def test_only_wanted_classes_and_their_places_in_the_best(model_path: Path) -> None:
    picture = noise_picture(320, 180)
    every = Detector.load(model_path, conf=0.05, engine="torch")([picture])[0]
    assert len(every) == 300  # the limit: unwanted classes must not use up its places
    people = Detector.load(model_path, conf=0.05, classes=["person"], engine="torch")([picture])[0]
    assert set(people.names) == {"person"}
    assert len(people) > (every.class_ids == 1).sum()
    best = np.sort(every.scores[every.class_ids == 1])[::-1]
    np.testing.assert_allclose(people.scores[: len(best)], best, atol=1e-5)
    with pytest.raises(UsageError, match="tiny knows no class 'dog'; it knows car, person, bicycle"):
        Detector.load(model_path, classes=["dog"])


def test_hidden_logits_are_never_reported() -> None:
    model = tiny_model()
    model = replace(model, card=replace(model.card, hidden_class_ids=(0,)))
    (found,) = Detector(model, FLOAT32)([noise_picture(320, 180)])
    assert set(found.names) == {"person", "bicycle"}
    with pytest.raises(UsageError, match="knows no class 'car'; it knows person, bicycle"):
        Detector(model, FLOAT32, class_names=["car"])


def test_thresholds_of_the_card_and_of_the_user(model_path: Path, tmp_path: Path) -> None:
    picture = noise_picture(320, 180)
    model = tiny_model()
    card = replace(model.card, thresholds={"*": 0.3, "car": 0.1})
    save_model(tmp_path / "careful.safetensors", model.network, card)
    (found,) = Detector.load(tmp_path / "careful.safetensors")([picture])
    lowest = {name: min(score for _, score, other in found if other == name) for name in CLASS_NAMES}
    assert 0.1 < lowest["car"] < 0.3 < min(lowest["person"], lowest["bicycle"])
    (strict,) = Detector.load(model_path, conf=0.4)([picture])
    assert len(strict) > 5
    assert strict.scores.min() > 0.4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"conf": 0.0}, "the confidence is 0.0"),
        ({"conf": float("nan")}, "the confidence is nan"),
        ({"size": (16, 100)}, "the input size is 16x100; each side needs at least 32"),
        ({"device": "toaster"}, "--device is 'toaster'"),
        ({"device": "meta"}, "--device is 'meta'"),
        ({"precision": "int4"}, "--precision is 'int4'"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_loaded(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Detector.load("no such model", **arguments)  # type: ignore[arg-type]
    with pytest.raises(ModelError):
        Detector.load("no such model")


def test_size(model_path: Path) -> None:
    detector = Detector.load(model_path, size=(256, 64))
    detector([noise_picture(320, 180)])
    assert detector.input_size_wh == (128, 64)  # 113.7 wide, padded to 32
    detector([noise_picture(3200, 180)])
    assert detector.input_size_wh == (256, 32)


def test_a_video_frame_gives_nearly_the_boxes_of_its_rgb_array() -> None:
    detector = Detector(tiny_model(backbone="resnet18"), FLOAT32)  # MobileNet with random weights magnifies noise
    rgb = av.VideoFrame.from_ndarray(noise_picture(320, 180), format="rgb24")
    for pixel_format in ("yuv420p", "nv12", "yuvj420p", "gray", "yuv420p10le"):
        frame = rgb.reformat(format=pixel_format)
        from_frame, from_array = detector([frame, frame.to_ndarray(format="rgb24")])
        assert found_again(from_frame, from_array, iou=0.8, score=0.08) > 0.75, pixel_format


def test_two_detectors_can_share_a_model() -> None:
    model = tiny_model()
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    first = Detector(model, FLOAT32)([noise_picture(320, 180)])[0]
    Detector(model, Placement(CPU, torch.bfloat16), class_names=["car"])
    assert_same(Detector(model, FLOAT32)([noise_picture(320, 180)])[0], first)
    assert model.network.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.state_dict().items())


def compare_precision(placement: Placement, share: float) -> None:
    picture, rule = noise_picture(320, 180), PostprocessRule(0.2)
    model = tiny_model(backbone="resnet18")
    exact = Detector(model, Placement(placement.device, torch.float32), rule=rule)([picture])[0]
    half = Detector(model, placement, rule=rule)([picture])[0]
    assert half.boxes_xyxy.dtype == np.float32
    assert abs(len(half) - len(exact)) < 0.1 * len(exact)
    assert found_again(half, exact, iou=0.8, score=0.05) > share
    assert found_again(exact, half, iou=0.8, score=0.05) > share


def test_bfloat16_gives_close_boxes() -> None:
    compare_precision(Placement(CPU, torch.bfloat16), 0.8)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["auto", "float16", "bfloat16"])
def test_half_precision_on_the_gpu(precision: str) -> None:
    placement = choose_placement("cuda", precision)
    assert placement.dtype == (torch.bfloat16 if precision == "bfloat16" else torch.float16)
    compare_precision(placement, 0.8 if precision == "bfloat16" else 0.95)


@pytest.mark.gpu
def test_the_gpu_gives_the_boxes_of_the_cpu() -> None:
    pictures = [noise_picture(320, 180, seed) for seed in range(3)]
    on_cpu = Detector(tiny_model(), FLOAT32)(pictures)
    on_gpu = Detector(tiny_model(), choose_placement("cuda:0", "float32"))(pictures)
    for gpu, cpu in zip(on_gpu, on_cpu, strict=True):
        assert found_again(gpu, cpu, iou=0.99, score=0.01) > 0.97  # TF32 may be on


def test_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_placement("auto", "float32") == FLOAT32
    assert choose_placement("cpu", "bfloat16").precision == "bfloat16"
    with pytest.raises(UsageError, match="finds no CUDA GPU"):
        choose_placement("cuda")


def test_out_of_memory_is_recognised() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 62, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
