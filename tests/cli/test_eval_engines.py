from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Streamdet
from tests.rectangles import write_set
from tests.threads import one_torch_thread

__all__ = ["one_torch_thread"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_set(tmp_path / "data" / "val.json", 12, size=(64, 48))
    return tmp_path / "data"


def test_every_engine_is_named_and_scores_the_same(streamdet: Streamdet, data: Path, model_file: Path) -> None:
    asked = ("eval", "--model", model_file, "--data", data, "--device", "cpu", "--precision", "float32")
    reports = {}
    for engine in ("torch", "openvino"):
        done = streamdet(*asked, "--engine", engine, "--json")
        assert done.exit_code == 0, done.err
        reports[engine] = json.loads(done.out)
        assert (reports[engine]["engine"], reports[engine]["precision"]) == (engine, "float32")
    ours, theirs = (report["sets"]["val"] for report in reports.values())
    for name in ("AP", "AP50", "AR_100"):
        assert theirs[name] == pytest.approx(ours[name], abs=0.005)
    assert sum(theirs["calibration"]["counts"]) == pytest.approx(sum(ours["calibration"]["counts"]), rel=0.01)
    told = streamdet(*asked, "--engine", "openvino")
    assert "float32 by openvino" in " ".join(told.out.split())


def test_torch_computes_unless_another_one_is_asked_for(streamdet: Streamdet, data: Path, model_file: Path) -> None:
    done = streamdet("eval", "--model", model_file, "--data", data, "--device", "cpu", "--json")
    assert done.exit_code == 0, done.err
    assert json.loads(done.out)["engine"] == "torch"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--engine", "turbo"), "--engine is 'turbo'; choose one of auto, torch, "),
        (("--engine", "openvino", "--precision", "float16"), "openvino computes in bfloat16 or float32"),
        (("--engine", "openvino-int8"), "no INT8 network of tiny here yet"),
    ],
)
def test_engines_that_can_not_be_had(
    streamdet: Streamdet, data: Path, model_file: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = streamdet("eval", "--model", model_file, "--data", data, "--device", "cpu", *arguments)
    assert (done.exit_code, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1
