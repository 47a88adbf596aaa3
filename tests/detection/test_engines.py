from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from streamdet.detection.checkpoint import Model
from streamdet.detection.detector import Detector
from streamdet.detection.engines import choosing, making
from streamdet.detection.engines.choosing import choose, key_of, remembered
from streamdet.detection.engines.int8 import quantize
from streamdet.detection.engines.making import folded
from streamdet.detection.engines.openvino import OpenVinoEngine, split, take_split
from streamdet.detection.engines.seam import TorchEngine
from streamdet.detection.engines.translation import GroupNormByChannels, openvino_core, translated
from streamdet.detection.precision import Placement, cpu_has_fast_bfloat16
from streamdet.detection.resize import to_batch
from streamdet.detection.retinanet import HeadOutputs
from streamdet.errors import UsageError
from tests.networks import noise_picture, tiny_model

CPU = torch.device("cpu")
FLOAT32 = Placement(CPU, torch.float32)


@pytest.fixture(scope="module")
def model() -> Model:
    return replace(tiny_model(backbone="resnet18"), sha256="a1" * 32)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


def detector_of(model: Model, cache: Path, engine: str, placement: Placement = FLOAT32) -> Detector:
    return Detector(model, placement, engine=engine, cache_dir=cache)


def shares_found(found: Detector, expected: Detector, iou: float = 0.95) -> float:
    """Share of the expected boxes above 0.3 that the other detector has, too, over pictures of several shapes."""
    hits = []
    for seed, size in enumerate([(320, 180), (200, 200), (90, 160), (333, 251)]):
        picture = noise_picture(*size, seed)
        a, b = found([picture])[0], expected([picture])[0]
        b = b[b.scores > 0.3]
        low = np.maximum(a.boxes_xyxy[:, None, :2], b.boxes_xyxy[None, :, :2])
        high = np.minimum(a.boxes_xyxy[:, None, 2:], b.boxes_xyxy[None, :, 2:])
        shared = np.clip(high - low, 0, None).prod(axis=2)
        areas = [np.prod(each.boxes_xyxy[:, 2:] - each.boxes_xyxy[:, :2], axis=1) for each in (a, b)]
        near = shared >= iou * (areas[0][:, None] + areas[1][None] - shared)
        near &= a.class_ids[:, None] == b.class_ids[None]
        hits += near.any(axis=0).tolist()
    assert len(hits) > 40
    return float(np.mean(hits))


def test_openvino_finds_what_torch_finds_in_pictures_of_any_shape(model: Model, cache: Path) -> None:
    ours, exact = detector_of(model, cache, "openvino"), detector_of(model, cache, "torch")
    assert shares_found(ours, exact, 0.999) == shares_found(exact, ours, 0.999) == 1
    assert ours.engine is not None
    assert (ours.engine.name, ours.engine.precision) == ("openvino", "float32")
    assert len(list(cache.glob("engines/*.rest.*.xml"))) == 1  # translated once for all shapes


def test_a_batch_holds_each_pictures_own_outputs(model: Model, cache: Path) -> None:
    detector = detector_of(model, cache, "openvino")
    pictures = [noise_picture(320, 180, seed) for seed in range(3)]
    together = detector(pictures)
    for picture, found in zip(pictures, together, strict=True):
        (alone,) = detector([picture])
        np.testing.assert_array_equal(found.boxes_xyxy, alone.boxes_xyxy)
        np.testing.assert_array_equal(found.scores, alone.scores)
    assert len({len(found) for found in together} | {float(found.scores[0]) for found in together}) > 2


@pytest.mark.skipif(not cpu_has_fast_bfloat16(), reason="this CPU has no bfloat16: OpenVINO would compute in float32")
def test_openvino_in_bfloat16_is_as_near_as_torch_in_bfloat16(model: Model, cache: Path) -> None:
    half = Placement(CPU, torch.bfloat16)
    exact = detector_of(model, cache, "torch")
    theirs = shares_found(detector_of(model, cache, "openvino", half), exact, 0.8)
    assert theirs > 0.9
    assert theirs > shares_found(detector_of(model, cache, "torch", half), exact, 0.8) - 0.05


def test_a_split_picture_keeps_grey_levels_in_the_stem(model: Model, cache: Path) -> None:
    """A faint picture, which bfloat16 rounds to a few levels: its two parts together have them all."""
    faint = 2 + 0.01 * torch.randn(1, 3, 96, 160, generator=torch.Generator().manual_seed(0))
    stem = openvino_core().read_model(translated(folded(model), model.sha256, cache).stem)
    stem.reshape(list(faint.shape))
    (convolution,) = (node for node in stem.get_ops() if node.get_type_name() == "Convolution")
    take_split(stem, convolution)
    request = openvino_core().compile_model(stem, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    request.infer([split(faint).float().numpy()])
    got = torch.from_numpy(request.get_output_tensor().data).permute(0, 3, 1, 2)
    with torch.inference_mode():
        exact, rounded = (folded(model).backbone.body.stem(each) for each in (faint, faint.bfloat16().float()))
    assert split(faint).dtype == torch.bfloat16
    assert (got - exact).norm() < 0.01 * (rounded - exact).norm()


@pytest.mark.parametrize("spread", [1.0, 0.0], ids=["as usual", "all the same"])
def test_group_norm_by_channels_is_group_norm(spread: float) -> None:
    generator = torch.Generator().manual_seed(0)
    norm = torch.nn.GroupNorm(8, 32)
    torch.nn.init.normal_(norm.weight, generator=generator)
    torch.nn.init.normal_(norm.bias, generator=generator)
    x = 0.7 + spread * torch.randn(2, 32, 9, 13, generator=generator)
    torch.testing.assert_close(GroupNormByChannels(norm)(x), norm(x), rtol=1e-4, atol=1e-4)


def test_classes_and_thresholds_hold_for_every_engine(model: Model, cache: Path) -> None:
    picture = noise_picture(320, 180)
    for engine in ("torch", "openvino"):
        detector = Detector(model, FLOAT32, engine=engine, cache_dir=cache, class_names=["person"])
        detector.set_thresholds((0.1, 0.35, 0.1))
        (found,) = detector([picture])
        assert set(found.names) == {"person"}
        assert found.scores.min() > 0.35


def inputs(model: Model, count: int) -> list[Tensor]:
    rule = model.card.input_rule
    fitting = rule.fit(320, 180)
    pictures = [noise_picture(320, 180, seed) for seed in range(count)]
    return [to_batch([fitting.resize(each, exact=False)], fitting, rule, CPU) for each in pictures]


def test_int8_is_near_and_is_kept(model: Model, cache: Path) -> None:
    told: list[int] = []
    path = quantize(model, inputs(model, 12), cache, told.append)
    assert path.exists()
    assert sum(told) >= 12
    detector = detector_of(model, cache, "openvino-int8")
    assert shares_found(detector, detector_of(model, cache, "torch"), 0.7) > 0.8
    assert detector.engine is not None
    assert (detector.engine.name, detector.engine.precision) == ("openvino-int8", "int8")
    with pytest.raises(UsageError, match="9 pictures are too few to calibrate INT8 on; give 10 at least"):
        quantize(model, inputs(model, 9), cache)


def test_int8_must_be_made_first(model: Model, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no INT8 network of tiny here yet: .* with streamdet quantize CLIP --model"):
        detector_of(model, tmp_path, "openvino-int8")


@pytest.mark.parametrize(
    ("engine", "placement", "message"),
    [
        ("turbo", FLOAT32, "--engine is 'turbo'; choose one of auto, torch, winograd, openvino, openvino-int8"),
        ("openvino", Placement(CPU, torch.float16), "openvino computes in bfloat16 or float32, and --precision is"),
        ("openvino", Placement(torch.device("cuda"), torch.float32), "on the CPU, and --device is cuda"),
    ],
)
def test_what_can_not_be_had(model: Model, tmp_path: Path, engine: str, placement: Placement, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        detector_of(model, tmp_path, engine, placement)


def test_nobody_is_told_of_its_use(model: Model, tmp_path: Path) -> None:
    look = """
import sys
from pathlib import Path
from streamdet.detection.engines.int8 import quantize
from tests.detection.test_engines import inputs
from tests.networks import tiny_model
quantize(tiny_model(), inputs(tiny_model(), 10), Path(sys.argv[1]))
print(sorted(name for name, module in sys.modules.items() if "openvino_telemetry" in name and module is not None))
"""
    done = subprocess.run([sys.executable, "-c", look, tmp_path], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert not (tmp_path / "intel").exists()


ENDED_ELSEWHERE = """
import faulthandler, os, signal, sys, threading
from pathlib import Path
import torch
from streamdet.detection.engines.openvino import OpenVinoEngine, Parts
faulthandler.enable()
stem, rest = map(Path, sys.argv[1:])
engines = [OpenVinoEngine(Parts(stem, rest), 3, torch.float32)]
engines[0](torch.zeros(1, 3, 128, 128))
signal.signal(signal.SIGUSR1, lambda *_: print("alive", flush=True))
os.kill(os.getpid(), signal.SIGUSR1)
ending = threading.Thread(target=engines.clear)
ending.start()
ending.join()
os.kill(os.getpid(), signal.SIGUSR1)
"""


def test_a_signal_after_an_engine_ended_in_another_thread_kills_nobody(model: Model, cache: Path) -> None:
    parts = translated(folded(model), model.sha256, cache)
    command = [sys.executable, "-c", ENDED_ELSEWHERE, *map(str, parts)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "alive\nalive\n"), done.stderr


def test_without_the_package(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamdet.detection.engines.openvino.has_openvino", lambda: False)
    monkeypatch.setattr(making, "has_openvino", lambda: False)
    with pytest.raises(UsageError, match=r"needs the package openvino, .*: pip install 'streamdet\[openvino\]'"):
        detector_of(model, tmp_path, "openvino")
    detector = detector_of(model, tmp_path, "auto")
    assert detector.engine is not None
    assert detector.engine.name == "torch"


class Fake:
    """An engine that takes a while by the fake clock below."""

    precision = "float32"

    def __init__(self, name: str, takes_s: float, clock: list[float]) -> None:
        self.name, self._takes_s, self._clock = name, takes_s, clock
        self.calls = 0

    def __call__(self, images: Tensor) -> list[HeadOutputs]:
        self.calls += 1
        self._clock[0] += self._takes_s
        return []


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(choosing.time, "perf_counter", lambda: now[0])
    return now


IMAGES = torch.zeros(1, 3, 64, 96)


def chosen(clock: list[float], cache: Path, torch_s: float, other_s: float, sha: str = "b2" * 32) -> tuple[str, int]:
    """Which engine, and how often the other one was tried."""
    other = Fake("openvino", other_s, clock)
    engine = choose(Fake("torch", torch_s, clock), {"openvino": lambda: other}, IMAGES, sha, cache)
    return engine.name, other.calls


def test_the_faster_engine_is_chosen_once_and_remembered(clock: list[float], tmp_path: Path) -> None:
    assert chosen(clock, tmp_path, 0.05, 0.03) == ("openvino", 6)
    assert chosen(clock, tmp_path, 0.01, 0.9) == ("openvino", 0)  # as it was measured then
    assert chosen(clock, tmp_path, 0.03, 0.05, sha="c3" * 32) == ("torch", 6)
    assert chosen(clock, tmp_path, 0.9, 0.01, sha="c3" * 32) == ("torch", 0)
    assert chosen(clock, tmp_path, 0.05, 0.0499, sha="d4" * 32)[0] == "torch"  # a tie
    kept = json.loads((tmp_path / "engines" / "choices.json").read_text())
    assert [each["engine"] for each in kept.values()] == ["openvino", "torch", "torch"]
    assert next(iter(kept.values())) == {"engine": "openvino", "torch_ms": 50.0, "openvino_ms": 30.0}


def test_the_fastest_of_three(clock: list[float], tmp_path: Path) -> None:
    engines = {name: Fake(name, takes_s, clock) for name, takes_s in (("winograd", 0.02), ("openvino", 0.04))}
    for tried in (6, 7):  # at the second time it is only used
        makers = {name: (lambda engine=engine: engine) for name, engine in engines.items()}
        chosen_engine = choose(Fake("torch", 0.05, clock), makers, IMAGES, "f6" * 32, tmp_path)
        assert chosen_engine is engines["winograd"]
        chosen_engine(IMAGES)
        assert (engines["winograd"].calls, engines["openvino"].calls) == (tried + 1, 6)
    (kept,) = remembered(tmp_path).values()
    assert kept == {"engine": "winograd", "torch_ms": 50.0, "winograd_ms": 20.0, "openvino_ms": 40.0}


def test_a_small_network_is_left_to_torch_without_a_trial(clock: list[float], tmp_path: Path) -> None:
    assert chosen(clock, tmp_path, 0.005, 0.001) == ("torch", 0)
    assert remembered(tmp_path) == {}


def unwritable() -> Fake:
    raise UsageError("no room")


@pytest.mark.parametrize("make_other", [unwritable, lambda: (_ for _ in ()).throw(RuntimeError("unknown operation"))])
def test_an_engine_that_can_not_be_made_is_no_error(
    clock: list[float], tmp_path: Path, make_other: Callable[[], Fake]
) -> None:
    assert choose(Fake("torch", 0.05, clock), {"openvino": make_other}, IMAGES, "e5" * 32, tmp_path).name == "torch"


def test_a_broken_memory_is_measured_anew(clock: list[float], tmp_path: Path) -> None:
    (tmp_path / "engines").mkdir()
    for content in ("{", "[]", '{"a": 3}'):
        (tmp_path / "engines" / "choices.json").write_text(content)
        assert remembered(tmp_path) == {}
        assert chosen(clock, tmp_path, 0.05, 0.03) == ("openvino", 6)


def test_the_choice_is_for_this_machine_and_size(model: Model) -> None:
    engine = TorchEngine(folded(model), CPU, torch.float32)
    key = key_of(engine, IMAGES, model.sha256)
    assert "1 of 96x64, float32" in key
    assert f"torch {torch.__version__}" in key
    assert key != key_of(engine, torch.zeros(2, 3, 64, 96), model.sha256)


def test_auto_uses_what_is_remembered(model: Model, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "WORTH_S", 0.0)
    monkeypatch.setattr(choosing, "CLEARLY", 1e9)
    detector = detector_of(model, cache, "auto")
    assert detector.engine is None
    detector([noise_picture(320, 180)])
    assert isinstance(detector.engine, OpenVinoEngine)
    assert remembered(cache)


def test_a_cache_that_can_not_be_written_is_told(model: Model, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="set STREAMDET_CACHE to a folder that can be written, or give --engine torch"):
        translated(folded(model), model.sha256, tmp_path / "file")
