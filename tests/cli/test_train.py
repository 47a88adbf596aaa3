from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streamdet.cli.train_display import fitting
from streamdet.cli.train_parsing import (
    parse_numbers,
    parse_or_none,
    parse_range,
    parse_repeats,
    parse_schedule,
    parse_stages,
)
from streamdet.cli.train_start import NewDetector, resolve_start
from streamdet.detection.checkpoint import load_model
from streamdet.errors import UsageError
from tests.cli.conftest import Streamdet
from tests.rectangles import write_set
from tests.threads import one_torch_thread
from tests.training_runs import write_data

__all__ = ["one_torch_thread"]

SECONDS = 120.0
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
TINY = ("--sizes", "64x96", "--input", "64x96", "--batch", "4", "--workers", "0")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("rectangles"))


def test_from_labelled_pictures_to_a_model_with_its_report(streamdet: Streamdet, data: Path) -> None:
    done = streamdet("train", "--data", data, "--out", "runs/mine", *TINY, "--images", "24", "--evaluate-every", "12")
    assert done.exit_code == 0, done.err
    assert done.out == ""
    lines = done.err.splitlines()
    assert all(len(line) <= 79 for line in lines), done.err
    said = " ".join(done.err.split())
    assert "12 pictures with 12 objects of car, person, bicycle" in said
    assert "starting from street: all weights of street kept, those of car, person, bicycle by name; 3 of its" in said
    assert "6 steps of 4 samples at up to 96x64, peak rate 0.0005 (0.5 times that in the backbone), 4 of 5 " in said
    assert "the result keeps 25 % of the start's weights, so that it forgets less" in said
    assert sum(line.startswith("step 3  val  AP ") for line in lines) == 1
    assert sum(line.startswith("step 6  val  AP ") for line in lines) == 1
    assert "runs/mine/report.html" in done.err
    folder = Path("runs/mine")
    files = {path.name for path in folder.iterdir()}
    assert {"best.safetensors", "last.safetensors", "state.pt", "metrics.csv", "args.json", "report.html"} <= files
    arguments = json.loads((folder / "args.json").read_text())
    assert arguments["start"] == "street"
    assert arguments["data"] == [str(data)]
    assert arguments["command"][:3] == ["streamdet", "train", "--data"]
    assert arguments["options"]["augment"]["mosaic"] == 0
    card = load_model(folder / "best.safetensors").card
    assert card.name == "mine"
    assert card.class_names == ("car", "person", "bicycle")
    assert (card.input_rule.short_side, card.input_rule.long_side) == (64, 96)
    assert card.metrics.keys() == {"val"}
    assert streamdet("eval", "--model", "runs/mine", "--data", data).exit_code == 0

    refused = streamdet("train", "--data", data, "--out", "runs/mine")
    assert (refused.exit_code, refused.err.strip().count("\n")) == (2, 0)
    assert "runs/mine holds a run already; add --resume to go on with it" in refused.err
    other = streamdet(
        "train", "--data", data, "--out", "runs/mine", *TINY, "--images", "24", "--lr", "1e-4", "--resume"
    )
    assert other.exit_code == 2
    assert "runs/mine was started with --lr 0.002, now it is 0.0001" in other.err


def test_new_classes_other_loss_and_no_validation(streamdet: Streamdet, tmp_path: Path) -> None:
    train = write_set(tmp_path / "data" / "train.json", 4) if (tmp_path / "data").mkdir() is None else None
    assert train is not None
    train.write_text(train.read_text().replace('"bicycle"', '"van"'))
    options = "--loss", "balanced-ce", "--box-loss", "smooth-l1", "--optimizer", "sgd", "--schedule", "steps"
    done = streamdet(
        *("train", "--data", "data", "--out", "runs/mine", *TINY, "--images", "16", *options),
        *("--accumulate", "2", "--multi-scale", "0.7-1.4", "--clip", "none", "--frozen-stages", "2"),
    )
    assert done.exit_code == 0, done.err
    said = " ".join(done.err.split())
    assert "car, person by name; van: new, from the prior 0.01; 4 of its classes dropped" in said
    assert "of the start's weights" not in said
    assert "no validation set" in said
    assert "`streamdet data split`" in said
    assert "2 steps of 8 samples (2 times 4)" in said
    assert Path("runs/mine/best.safetensors").exists()
    options_used = json.loads(Path("runs/mine/args.json").read_text())["options"]
    assert options_used["loss"]["kind"] == "balanced-ce"
    assert options_used["weight_decay"] == 1e-4
    assert options_used["clip_norm"] is None


def test_a_new_detector_without_the_prior_diverges_and_is_told_so(streamdet: Streamdet, data: Path) -> None:
    done = streamdet(
        *("train", "--data", data, "--out", "runs/mine", *TINY, "--images", "400", "--warmup", "0"),
        *("--backbone-weights", "none", "--channels", "32", "--head-depth", "1", "--head-norm", "none"),
        *("--loss", "ce", "--prior", "none", "--clip", "none", "--optimizer", "sgd", "--lr", "40"),
    )
    assert done.exit_code == 1
    said = " ".join(done.err.split())
    assert "the class head has no prior; the paper (section 4.1) found that training diverges so" in said
    last = done.err.splitlines()[-1]
    assert last.startswith("streamdet: training diverged and was stopped at step ")
    assert "the class head has no prior" in last
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--images", "3", "--batch", "4"], 2, "3 samples make no step of 4; take at least one step's worth"),
        (["--sizes", "100x64"], 2, "--sizes is '100x64'; sides must be multiples of 32"),
        (["--frozen-stages", "6"], 2, "--frozen-stages is '6'; give auto, or 0 (all learn) to 5"),
        (["--clip", "0"], 2, "--clip is '0'; give a number of more than 0, or none"),
        (["--prior", "1"], 2, "--prior is '1'; give a number of more than 0 and less than 1, or none"),
        (
            ["--start", "street", "--channels", "64"],
            2,
            "--channels describes a new detector, but --start street brings",
        ),
        (["--start", "street", "--batch-norm", "live"], 2, "the batch norm of street is folded already"),
        (["--start", "nowhere"], 4, "there is no model 'nowhere'"),
        (["--loss", "ce", "--gamma", "2"], 2, "the loss ce has no gamma"),
        (["--precision", "float16", "--device", "cpu"], 2, "--precision is float16, which trains on GPUs only"),
        (["--anchor-ratios", "1,x"], 2, "--anchor-ratios is '1,x'; give positive numbers with commas between"),
    ],
)
def test_wrong_use_is_one_sentence(
    streamdet: Streamdet, data: Path, arguments: list[str], code: int, sentence: str
) -> None:
    done = streamdet("train", "--data", data, "--out", "runs/mine", *arguments)
    assert done.exit_code == code, done.err
    assert sentence in done.err
    assert done.err.strip().count("\n") == 0
    assert not Path("runs").exists()


def test_ctrl_c_saves_and_the_same_command_goes_on(data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "streamdet", "train", "--data", str(data), "--out", "runs/mine", *TINY]
    command += ["--images", "800", "--evaluate-every", "40"]
    process = subprocess.Popen(command, cwd=tmp_path, env=ONE_THREAD, stderr=subprocess.PIPE, text=True)
    log, deadline = tmp_path / "runs" / "mine" / "metrics.csv", time.monotonic() + SECONDS
    while not log.exists() or log.read_bytes().count(b"\n") < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    said = " ".join(err.split())
    assert "finishing this step and saving; once more to stop at once" in said
    assert "all is saved, to go on: streamdet train --data " in said
    assert said.endswith("--evaluate-every 40 --resume")
    done = int(said.split("stopped after step ")[1].split()[0])
    assert 2 <= done < 200
    process = subprocess.Popen([*command, "--resume"], cwd=tmp_path, env=ONE_THREAD, stderr=subprocess.PIPE, text=True)
    while log.read_bytes().count(b"\n") < done + 4:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.terminate()
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, err
    assert f"going on after step {done}" in " ".join(err.split())


@pytest.mark.slow
def test_torchrun_starts_processes_that_train_one_model(data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    # Without the dashes torchrun takes --start for one of its own options, shortened, and refuses it as ambiguous.
    command += ["-m", "--", "streamdet", "train", "--data", str(data), "--out", "runs/mine", *TINY, "--images", "16"]
    command += ["--start", "auto"]
    done = subprocess.run(
        command, cwd=tmp_path, env=ONE_THREAD, stderr=subprocess.PIPE, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "float32 on cpu in 2 processes" in " ".join(done.stderr.split()).replace("bfloat16", "float32")
    assert done.stderr.count("runs/mine/report.html") == 1
    assert (tmp_path / "runs" / "mine" / "report.html").exists()


def test_what_a_run_starts_from() -> None:
    assert resolve_start("auto", NewDetector()) == ("street", "detector")
    assert resolve_start("coco-r50", NewDetector()) == ("coco-r50", "detector")
    assert resolve_start("backbone", NewDetector()) == ("backbone", "backbone")
    assert resolve_start("auto", NewDetector(channels=64)) == ("backbone", "backbone")
    assert resolve_start("auto", NewDetector(backbone_weights="none")) == ("backbone", "nothing")


def test_options_that_are_more_than_a_word() -> None:
    assert parse_schedule("256x352@0.65,320x448@1") == ((0.65, 352, 256), (1.0, 448, 320))
    assert parse_schedule("64x96") == ((1.0, 96, 64),)
    assert parse_repeats(["a=2", "b=c=3"], {"a", "b=c", "d"}) == {"a": 2, "b=c": 3}
    assert parse_range("--scale", "0.6-1.6") == (0.6, 1.6)
    assert parse_numbers("--anchor-ratios", "0.5,1,2") == (0.5, 1.0, 2.0)
    assert parse_numbers("--anchor-ratios", None) is None
    assert parse_or_none("--clip", "none", 0, 9) is None
    assert parse_or_none("--clip", "5", 0, 9) == 5
    assert [parse_stages(text) for text in ("auto", "0", "5")] == [None, 0, 5]
    for call, texts in (
        (parse_schedule, ("x", "64", "64x96@0.5", "64x96@1,64x96@0.5")),
        (lambda text: parse_repeats([text], {"a"}), ("a", "a=0", "=2", "other=2")),
        (lambda text: parse_range("--scale", text), ("1", "a-b", "2-1", "0-1", "0.5-inf")),
        (lambda text: parse_numbers("--anchor-scales", text), ("", "0", "nan", "1,inf")),
    ):
        for text in texts:
            with pytest.raises(UsageError):
                call(text)


def test_plain_lines_fit_80_columns() -> None:
    parts = ["step 12345/12345", "loss 0.235 + 0.279", "123.5 img/s", "wait 10%", "12 h 59 min left", "rate 6e-04"]
    assert fitting(parts, 79) == "  ".join(parts[:5])
    assert fitting(parts, 5) == parts[0]
