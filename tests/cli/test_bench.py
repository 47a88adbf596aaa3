from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from streamdet.cli.bench import Contest
from streamdet.cli.bench_rivals import PlainLoop, torchvision_model
from streamdet.detection.models import load_torchvision
from streamdet.detection.resize import InputRule
from tests.cli.conftest import Streamdet
from tests.networks import enliven, saved_torchvision, tiny_model
from tests.threads import one_torch_thread

__all__ = ["one_torch_thread"]

STAGES = ["decode", "resize", "copy", "network", "postprocess", "draw", "encode"]


def test_everything_is_measured_and_written(
    streamdet: Streamdet, clip: Path, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    Path("HISTORY.md").write_text("| date |\n")
    asked = ("--model", model_file, "--frames", "6", "--rounds", "2", "--device", "cpu", "--precision", "float32")
    written = ("--json", "bench.json", "--picture", "bench.png", "--history", "HISTORY.md")
    done = streamdet("bench", clip, *asked, *written, "--engine", "torch")
    assert done.exit_code == 0, done.err
    assert max(map(len, done.out.splitlines())) <= 80
    words = " ".join(done.out.split())
    assert "float32 by torch on cpu" in words
    assert "torch eager float32" in words
    told = json.loads(Path("bench.json").read_text())
    assert list(told["stages_ms"]) == STAGES
    for cost in told["stages_ms"].values():
        assert 0 < cost["p50"] <= cost["p95"] <= cost["p99"]
        assert cost["cpu"] > 0
    assert told["overhead_cpu_ms"] == pytest.approx(
        sum(cost["cpu"] for name, cost in told["stages_ms"].items() if name not in ("network", "encode")), abs=0.01
    )
    assert told["job"]["limit"] in STAGES
    assert told["frames"] == 6
    assert len(told["job"]["fps_of_rounds"]) == len(told["plain_loop"]["ratios"]) == 2
    assert told["memory_bytes"] > 50e6
    assert cv2.imread("bench.png").shape[0] > 500
    heading, row, *rest = Path("HISTORY.md").read_text().splitlines()
    assert (heading, rest) == ("| date |", [])
    assert row.count("|") == 10
    plain_fps, fps, ratio = (float(cell) for cell in row.split("|")[6:9])
    assert fps == pytest.approx(told["job"]["fps"], abs=0.011)  # both are rounded
    assert min(plain_fps, ratio) > 0


def test_alone_and_on_standard_output(streamdet: Streamdet, clip: Path, model_file: Path) -> None:
    done = streamdet("bench", clip, "--model", model_file, "--frames", "4", "--rounds", "1", "--alone", "--json", "-")
    assert done.exit_code == 0, done.err
    told = json.loads(done.out)
    assert told["plain_loop"] is None
    assert told["raw_networks"] == {}
    assert len(told["job"]["fps_of_rounds"]) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--frames", "3"), 2, "--frames is 3 and --rounds 5; give 4 frames and 1 round at least"),
        (("absent.mp4",), 3, "there is no video absent.mp4; give the path of one"),
        (("--engine", "turbo"), 2, "--engine is 'turbo'; choose one of auto, torch, winograd, openvino, openvino-int8"),
        (("--picture", "absent/bench.png"), 2, "for bench.png; make it, or choose another"),
    ],
)
def test_wrong_arguments(streamdet: Streamdet, arguments: tuple[str, ...], code: int, message: str) -> None:
    done = streamdet("bench", *arguments)
    assert (done.exit_code, done.err.count("\n")) == (code, 1)
    assert message in done.err


def test_ratios_are_those_of_the_rounds() -> None:
    assert Contest([10.0, 30.0], [5.0, 10.0]).ratios == [2.0, 3.0]


def test_the_plain_loop_finds_what_the_model_finds(tmp_path: Path, clip: Path) -> None:
    model = tiny_model()
    assert torchvision_model(model, model.card.input_rule) is None  # its backbone is not torchvision's ResNet
    loop = PlainLoop(model, model.card.input_rule)
    assert loop.run(clip, tmp_path / "plain.mp4", 3) > 0
    capture = cv2.VideoCapture(str(tmp_path / "plain.mp4"))
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == 3


@pytest.mark.parametrize("version", ["retinanet_resnet50_fpn", "retinanet_resnet50_fpn_v2"])
def test_torchvisions_own_models_run_as_torchvision_runs_them(tmp_path: Path, version: str) -> None:
    import torch
    from torchvision.models import detection

    torch.manual_seed(0)
    reference = getattr(detection, version)(weights=None, weights_backbone=None, min_size=64, max_size=96)
    enliven(reference, bias=-8.5, spread=1.5)
    model = load_torchvision(saved_torchvision(reference, tmp_path))
    theirs = torchvision_model(model, InputRule(64, 96))
    assert theirs is not None
    image = torch.rand(3, 70, 90)
    with torch.inference_mode():
        expected, found = reference([image])[0], theirs([image])[0]
    torch.testing.assert_close(found["boxes"], expected["boxes"])
    assert len(found["scores"]) > 5
