"""What people do wrong with `streamdet train`: each is told in one sentence, before or while it trains."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from streamdet.detection.checkpoint import load_model, save_model
from streamdet.training.runs import RunFolder
from tests.cli.conftest import Streamdet
from tests.networks import tiny_model
from tests.rectangles import write_set
from tests.threads import one_torch_thread
from tests.training_runs import write_data

__all__ = ["one_torch_thread"]

TINY = ("--sizes", "64x96", "--input", "64x96", "--batch", "4", "--workers", "0", "--images", "8")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("rectangles"))


def refused(streamdet: Streamdet, code: int, *arguments: object) -> str:
    """The one sentence that a refused command says; it leaves no run behind."""
    done = streamdet("train", "--out", "runs/mine", *arguments)
    assert done.exit_code == code, done.err
    assert "unexpected" not in done.err
    assert not Path("runs").exists()
    return " ".join(done.err.split())


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--images", "0", "0 samples make no step of"),
        ("--batch", "0", "take at least one step's worth"),
        ("--lr", "0", "learning_rate is 0.0; it must be more than 0"),
        ("--lr", "-1", "learning_rate is -1.0; it must be more than 0"),
        ("--lr", "nan", "learning_rate is nan; it must be more than 0"),
        ("--weight-decay", "-1", "weight_decay is -1.0; it must be 0 or more"),
        ("--warmup", "5", "warmup is 5.0, expected 0 to less than 1"),
        ("--average-decay", "2", "average_decay is 2.0, expected 0 to less than 1"),
        ("--evaluate-every", "0", "evaluate_every is 0, expected 1 sample or more"),
        ("--channels", "0", "greater than or equal to 1"),
        ("--channels", "32", "--channels is 32; the heads' norm takes 32 groups of 2 or more: give 64, 96, 128"),
        ("--channels", "80", "--channels is 80; the heads' norm takes 32 groups of 2 or more: give 64, 96, 128"),
        ("--head-depth", "-1", "greater than or equal to 0"),
        ("--anchor-base", "nan", "--anchor-base is nan; give a side in pixels of the input, such as 20"),
        ("--seed", "-1", "greater than or equal to 0"),
        ("--workers", "-1", "greater than or equal to 0"),
        ("--multi-scale", "0.5-inf", "the factors must be positive, finite and rise"),
        ("--input", "5x5", "--input is '5x5'; each side must be between 32 and 8192"),
        ("--repeat", "other=2", "--repeat names the source 'other', and the pictures come from train"),
        ("--prior", "0.2", "--prior is what new classes start from, and street knows all of them"),
    ],
)
def test_numbers_that_make_no_sense(streamdet: Streamdet, data: Path, option: str, value: str, sentence: str) -> None:
    assert sentence in refused(streamdet, 2, "--data", data, option, value)


def test_random_weights_need_a_batch_norm_that_learns(streamdet: Streamdet, data: Path) -> None:
    said = refused(streamdet, 2, "--data", data, "--backbone-weights", "none", "--batch-norm", "folded")
    assert "fixed statistics of random weights don't train" in said
    said = refused(streamdet, 2, "--data", data, "--backbone-weights", "none", "--frozen-stages", "5")
    assert "--frozen-stages is 5 and --backbone-weights none: random weights that stay random" in said


def test_data_that_teaches_nothing(streamdet: Streamdet, data: Path, tmp_path: Path) -> None:
    only_val, empty, others = tmp_path / "only_val", tmp_path / "empty", tmp_path / "others"
    write_set(only_val / "val.json", 2)
    assert "no training set in" in (said := refused(streamdet, 1, "--data", only_val))
    assert "only val for validation; `streamdet data split` makes both of one" in said

    content = json.loads(write_set(empty / "train.json", 4).read_text())
    (empty / "train.json").write_text(json.dumps({**content, "annotations": []}))
    assert "hold no object, so there is nothing to learn" in refused(streamdet, 1, "--data", empty)
    checked = streamdet("data", "check", empty)
    assert checked.exit_code == 1
    assert "train holds no object" in " ".join(checked.out.split())

    shutil.copytree(data, others)
    content = json.loads((others / "val.json").read_text())
    for category in content["categories"]:
        category["name"] = f"x{category['name']}"
    (others / "val.json").write_text(json.dumps(content))
    said = refused(streamdet, 1, "--data", others)
    assert "val has the classes xcar, xperson, xbicycle, training has car, person, bicycle, so nothing could be" in said
    content["categories"][0]["name"] = "car"
    (others / "val.json").write_text(json.dumps(content))
    done = streamdet("train", "--out", "runs/mine", "--data", others, *TINY)
    assert done.exit_code == 0, done.err
    said = " ".join(done.err.split())
    assert "val has classes that training hasn't: xperson, xbicycle won't be found" in said
    card = load_model(Path("runs/mine/best.safetensors")).card
    others, person, bicycle = (card.threshold(name) for name in ("*", "person", "bicycle"))
    assert f"saved in the model: others {others:.2f}; kept, as nothing to choose them by was there: " in said
    assert f"person {person:.2f}, bicycle {bicycle:.2f}" in said
    assert set(card.thresholds) == {"*", "person", "bicycle"}  # val has too few cars for one of their own


def test_a_start_with_broken_weights(streamdet: Streamdet, data: Path, tmp_path: Path) -> None:
    path, model = tmp_path / "broken.safetensors", tiny_model()
    save_model(path, model.network, model.card)
    tensors = load_file(path)
    next(tensor for tensor in tensors.values() if tensor.is_floating_point()).view(-1)[0] = float("nan")
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file(tensors, path, metadata=metadata)
    assert "has weights that are not finite" in refused(streamdet, 4, "--data", data, "--start", path)


def test_a_run_goes_on_with_the_sets_that_it_was_measured_on(streamdet: Streamdet, data: Path, tmp_path: Path) -> None:
    own = shutil.copytree(data, tmp_path / "own")
    command = ("train", "--out", "runs/mine", "--data", own, *TINY)
    assert streamdet(*command).exit_code == 0
    rows = Path("runs/mine/metrics.csv").read_text()
    (own / "val.json").unlink()
    done = streamdet(*command, "--resume")
    assert done.exit_code == 2
    assert "runs/mine was measured on other validation sets (val then, none now" in " ".join(done.err.split())
    assert Path("runs/mine/metrics.csv").read_text() == rows
    assert load_model(Path("runs/mine/best.safetensors")).card.metrics.keys() == {"val"}


def test_a_folder_that_goes_away_while_it_trains(
    streamdet: Streamdet, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, steps = RunFolder.log, iter(range(100))

    def log_after_removal(self: RunFolder, *arguments: object) -> None:
        if next(steps) == 1:
            shutil.rmtree(self.path)
        log(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(RunFolder, "log", log_after_removal)
    done = streamdet("train", "--out", "runs/mine", "--data", data, *TINY)
    assert done.exit_code == 1
    said = done.err.splitlines()[-1]
    assert said.startswith("streamdet: ")
    assert "metrics.csv can't be written (No such file or directory); nothing is saved there" in said


def test_a_disk_that_is_full_while_it_saves(streamdet: Streamdet, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(state: object, file: object) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0\nmore")

    monkeypatch.setattr(torch, "save", full)
    done = streamdet("train", "--out", "runs/mine", "--data", data, *TINY)
    assert done.exit_code == 1
    assert "state.pt can't be written ([enforce fail" in done.err.splitlines()[-1]
    assert "unexpected pos 64 vs 0); nothing is saved there; make room" in done.err.splitlines()[-1]
    assert not Path("runs/mine/state.pt.part").exists()


def test_a_run_in_the_present_folder_has_its_name(
    streamdet: Streamdet, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gate").mkdir()
    monkeypatch.chdir(tmp_path / "gate")
    assert streamdet("train", "--out", ".", "--data", data, *TINY).exit_code == 0
    assert load_model(tmp_path / "gate" / "best.safetensors").card.name == "gate"
