from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from streamdet.cli.quantize import Gains, show
from streamdet.results.jsonl_reading import read_jsonl
from tests.cli.conftest import Outcome, Streamdet
from tests.media import make_clip
from tests.networks import noise_picture, tiny_model
from tests.rectangles import write_set
from tests.threads import one_torch_thread

__all__ = ["one_torch_thread"]

SIZE = ("--size", "64x96")
NO_INT8 = "no INT8 network of tiny here yet"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of each test's own."""
    monkeypatch.setenv("STREAMDET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def lively(tmp_path: Path) -> Path:
    """A clip in whose pictures the tiny model finds something."""
    return make_clip(
        tmp_path / "lively.mp4", frames=24, size=(160, 96), draw=lambda index, size: noise_picture(*size, seed=index)
    )


def in_a_process_of_its_own(*arguments: str | Path) -> Outcome:
    """As the `streamdet` of other tests. NNCF makes and ends OpenVINO cores of its own here: see `openvino_core`."""
    command = [sys.executable, "-m", "streamdet", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.mark.timeout(300)  # where other work runs
def test_what_was_quantized_is_measured_and_then_used(
    tmp_path: Path, lively: Path, model_file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streamdet = in_a_process_of_its_own
    monkeypatch.chdir(tmp_path)
    write_set(Path("data/val.json"), 4, size=(64, 48))
    chosen = ("--model", model_file, *SIZE)
    evaluate = ("eval", "--data", "data", *chosen, "--device", "cpu", "--json", "--engine")
    run = ("run", lively, *chosen, "--no-video", "--jsonl", "out.jsonl", "--report", "run.json", "--overwrite")
    early = streamdet(*evaluate, "openvino-int8")
    assert early.exit_code == 2
    assert NO_INT8 in early.err

    monkeypatch.setenv("CUDA_HOME", str(tmp_path))  # as where CUDA's compiler is, but no GPU
    done = streamdet("quantize", lively, *chosen, "--frames", "10", "--data", "data", "--json")
    assert done.exit_code == 0, done.err
    assert "CUDA" not in done.err
    told = json.loads(done.out)  # no bar of NNCF's stands before it
    assert (told["model"], told["calibrated_on"], told["compared_on"]) == ("tiny", 10, 10)
    assert Path(told["file"]).parent == cache / "engines"
    assert Path(told["file"]).stat().st_size > 0
    assert told["network_ms"].keys() == {"openvino", "openvino-int8"}
    assert min(told["network_ms"].values()) > 0
    assert told["times_as_fast"] == sorted(told["times_as_fast"])
    assert len(told["times_as_fast"]) == 9
    # the usual network is compared, too: bfloat16 moves some boxes where the CPU has it
    assert told["agreement_ap50"]["openvino"] > 0.8
    assert 0.2 < told["agreement_ap50"]["openvino-int8"] <= told["agreement_ap50"]["openvino"]

    for engine in ("openvino", "openvino-int8"):
        evaluated = streamdet(*evaluate, engine)
        assert evaluated.exit_code == 0, evaluated.err
        report = json.loads(evaluated.out)
        assert report["engine"] == engine
        assert report["sets"]["val"]["AP50"] == pytest.approx(told["ap50"]["val"][engine], abs=1e-3)
    ran = streamdet(*run, "--engine", "openvino-int8")
    assert ran.exit_code == 0, ran.err
    receipt = json.loads(Path("run.json").read_text())
    assert (receipt["engine"], receipt["precision"]) == ("openvino-int8", "int8")
    lines = list(read_jsonl("out.jsonl")[1])
    assert len(lines) == 24
    assert sum(len(line.detections) for line in lines) > 24


def test_the_table_fits_and_says_what_is_lost() -> None:
    gains = Gains(
        path=Path("int8.xml"),
        calibrated_on=100,
        compared_on=99,
        ms={"openvino": 20.0, "openvino-int8": 12.5},
        ratios=[1.5, 1.6, 1.75],
        agreement={"openvino": 0.99, "openvino-int8": 0.95},
        ap50={"val_street": {"openvino": 0.9, "openvino-int8": 0.895}, "val": {"openvino": 0.5, "openvino-int8": 0.51}},
    )
    console = Console(width=80, file=io.StringIO(), record=True)
    show(console, tiny_model(), gains)
    told = console.export_text()
    assert max(map(len, told.splitlines())) <= 80
    words = " ".join(told.split())
    assert "tiny in INT8, calibrated on 100 frames" in words
    assert "network, ms 20.0 12.5 1.60 (1.50–1.75) times" in words
    assert "AP50 against float32 0.990 0.950 -4.0 points" in words
    assert "AP50 on val_street 0.900 0.895 -0.5 points AP50 on val 0.500 0.510 +1.0 points" in words
    assert words.endswith("Use it with --engine openvino-int8 --model tiny")


def test_where_nothing_is_found_nothing_is_said_of_agreement() -> None:
    gains = Gains(Path("int8.xml"), 10, 10, {"openvino": 2.0, "openvino-int8": 1.0}, [2.0], {}, {})
    console = Console(width=80, file=io.StringIO(), record=True)
    show(console, tiny_model(), gains)
    assert "AP50" not in console.export_text()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("clip.mp4", "--frames", "9"), 2, "--frames is 9; give 10 at least"),
        (("absent.mp4",), 3, "absent.mp4"),
        (("clip.mp4", "--model", "absent.safetensors"), 4, "there is no model 'absent.safetensors'"),
        (("clip.mp4", "--data", "absent"), 1, "absent"),
        (("short.mp4",), 2, "6 pictures are too few to calibrate INT8 on; give 10 at least"),
    ],
)
def test_wrong_arguments(
    streamdet: Streamdet, clip: Path, model_file: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    Path("clip.mp4").symlink_to(clip)
    make_clip(Path("short.mp4"), frames=12, size=(64, 48))
    chosen = () if "--model" in arguments else ("--model", model_file)
    done = streamdet("quantize", *arguments, *chosen)
    assert done.exit_code == code, done.err
    [said] = [line for line in done.err.splitlines() if line.startswith("streamdet: ")]
    assert message in said


def test_without_the_packages(streamdet: Streamdet, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamdet.detection.engines.int8.has_openvino", lambda: False)
    done = streamdet("quantize", clip)
    assert (done.exit_code, done.out) == (2, "")
    assert done.err == "streamdet: INT8 needs the packages openvino and nncf: pip install 'streamdet[openvino]'\n"
