from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from streamdet.detection.checkpoint import load_model
from streamdet.detection.shipped import shipped_model_path
from streamdet.results.jsonl_reading import read_jsonl
from streamdet.training.calibration import Scaling
from streamdet.training.thresholds import Choice, save_thresholds
from tests.cli.conftest import Streamdet
from tests.rectangles import write_set
from tests.threads import one_torch_thread

__all__ = ["one_torch_thread"]

PICTURES = 12
OBJECTS = 12
"""In write_set's pictures: 1, 2, 1, 0, and so on."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_set(tmp_path / "data" / "val.json", PICTURES, size=(64, 48))
    return tmp_path / "data"


@pytest.fixture
def model(tmp_path: Path, model_file: Path) -> Path:
    path = Path(shutil.copy(model_file, tmp_path / "mine.safetensors"))
    save_thresholds(path, Choice({"*": 0.9}))
    return path


def test_everything_as_json(streamdet: Streamdet, data: Path, model: Path) -> None:
    done = streamdet("eval", "--model", model, "--data", data, "--json", "--device", "cpu", "--precision", "float32")
    assert done.exit_code == 0, done.err
    assert done.err.strip() == ""
    report = json.loads(done.out)
    assert {name: report[name] for name in ("model", "device", "precision", "input")} == {
        "model": "tiny",
        "device": "cpu",
        "precision": "float32",
        "input": {"short_side": 96, "long_side": 160},
    }
    assert report["sha256"] == load_model(model).sha256
    result = report["sets"]["val"]
    assert result["images"] == PICTURES
    assert all(0 <= result[name] < 0.5 for name in ("AP", "AP50", "AP75", "AP_small", "AR_1", "AR_10", "AR_100"))
    assert result["AP_large"] is None
    assert sum(result["objects_per_class"].values()) == OBJECTS
    assert set(result["at_thresholds"]) == set(result["AP_per_class"]) == {"car", "person", "bicycle"}
    chosen = report["thresholds"]["chosen"]
    for point in result["at_thresholds"].values():
        assert point["threshold"] == chosen["*"]
        assert point["detections"] >= point["right"]
    assert 0 < result["calibration"]["error"] < 1
    assert sum(result["calibration"]["counts"]) > 100
    assert 0 < result["ms_per_picture"]["p50"] <= result["ms_per_picture"]["p95"]
    assert report["thresholds"]["saved_in"] is None
    assert load_model(model).card.thresholds == {"*": 0.9}


@pytest.mark.parametrize("columns", [80, 100])
def test_tables_fit_the_terminal(
    streamdet: Streamdet, data: Path, model: Path, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(data / "val_more.json", 3, size=(64, 48))
    monkeypatch.setenv("COLUMNS", str(columns))
    done = streamdet("eval", "--model", model, "--data", data)
    assert done.exit_code == 0, done.err
    assert max(map(len, done.out.splitlines())) <= columns
    words = " ".join(done.out.split())
    assert f"val {PICTURES} pictures, {OBJECTS} objects" in words
    assert "val_more 3 pictures, 4 objects" in words
    assert words.count("class objects AP AP50 threshold precision recall F1 car") == 2
    assert "Thresholds for the best F1 on all sets" in words
    assert "under 20 objects" in words
    assert "Saved" not in words


def test_saved_thresholds_are_used_by_run_unless_conf_is_given(
    streamdet: Streamdet, data: Path, model: Path, clip: Path
) -> None:
    done = streamdet("eval", "--model", model, "--data", data / "val.json", "--save", "--json")
    assert done.exit_code == 0, done.err
    report = json.loads(done.out)["thresholds"]
    assert report["saved_in"] == str(model)
    assert report["chosen"] == load_model(model).card.thresholds
    chosen = report["chosen"]["*"]
    assert 0.02 <= chosen < 0.9
    for options, expected in (((), chosen), (("--conf", "0.5"), 0.5)):
        ran = streamdet("run", clip, "--model", model, "--no-video", "--jsonl", "out.jsonl", "--overwrite", *options)
        assert ran.exit_code == 0, ran.err
        header, lines = read_jsonl("out.jsonl")
        assert header["thresholds"] == dict.fromkeys(("car", "person", "bicycle"), expected)
        scores = [score for line in lines for _, score, _ in line.detections]
        assert min(scores) >= expected
        assert len(scores) > 10


def test_a_precision_that_can_not_be_reached_is_told_and_saved_into_a_runs_folder(
    streamdet: Streamdet, data: Path, model: Path
) -> None:
    run = Path("runs/mine")
    run.mkdir(parents=True)
    shutil.copy(model, run / "best.safetensors")
    done = streamdet("eval", "--model", run, "--data", data, "--thresholds", "precision:0.99", "--save")
    assert done.exit_code == 0, done.err
    words = " ".join(done.out.split())
    assert "No threshold gives precision 0.99 for all classes: taken is that of the best F1." in words
    assert "Saved in runs/mine/best.safetensors: `streamdet run` uses these thresholds unless --conf is given." in words
    assert load_model(run / "best.safetensors").card.thresholds["*"] < 0.9


@pytest.mark.parametrize("given", ["street", "the shipped file"])
def test_the_shipped_model_is_not_changed(streamdet: Streamdet, data: Path, given: str) -> None:
    shipped = shipped_model_path("street")
    assert shipped is not None
    done = streamdet("eval", "--model", shipped if given != "street" else given, "--data", data, "--save")
    assert done.exit_code == 2
    assert done.err == (
        f"streamdet: --save would change the model street that comes with streamdet; copy it first (cp {shipped} "
        "mine.safetensors) and give --model mine.safetensors\n"
    )


@pytest.mark.parametrize("name", ["coco-r50", "weights.pth"])
def test_torchvisions_models_are_not_changed(streamdet: Streamdet, data: Path, name: str) -> None:
    done = streamdet("eval", "--model", name, "--data", data, "--save")
    assert done.exit_code == 2
    assert f"--save writes into .safetensors files of `streamdet train`, and {name} is none" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("rule", ["F1", "precision", "precision:", "precision:0", "precision:1.1", "recall:0.5", "0.9"])
def test_rules_that_mean_nothing(streamdet: Streamdet, data: Path, rule: str) -> None:
    done = streamdet("eval", "--model", "absent.safetensors", "--data", data, "--thresholds", rule)
    assert done.exit_code == 2
    assert done.err == (
        f"streamdet: --thresholds is {rule!r}; give f1, or precision: with a share such as precision:0.9\n"
    )


def test_nothing_is_measured_on_training_pictures_unless_they_are_named(
    streamdet: Streamdet, tmp_path: Path, model: Path
) -> None:
    write_set(tmp_path / "labels" / "train.json", 3)
    done = streamdet("eval", "--model", model, "--data", tmp_path / "labels")
    assert done.exit_code == 1
    assert "labels holds only sets for training (train), and a model isn't measured on what it learned" in done.err
    assert done.err.count("\n") == 1
    named = streamdet("eval", "--model", model, "--data", tmp_path / "labels" / "train.json", "--json")
    assert named.exit_code == 0, named.err
    assert json.loads(named.out)["sets"]["train"]["images"] == 3


def test_sets_of_the_same_name_are_told_apart(streamdet: Streamdet, tmp_path: Path, model: Path) -> None:
    for folder in ("north", "south"):
        write_set(tmp_path / folder / "val.json", 2)
    done = streamdet("eval", "--model", model, "--data", "north", "--data", Path("south/val.json"), "--json")
    assert done.exit_code == 0, done.err
    assert list(json.loads(done.out)["sets"]) == ["north/val", "south/val"]


def test_sets_without_objects_are_measured_but_decide_nothing(streamdet: Streamdet, data: Path, model: Path) -> None:
    labels = json.loads((data / "val.json").read_text())
    (data / "val.json").write_text(json.dumps({**labels, "annotations": []}))
    done = streamdet("eval", "--model", model, "--data", data)
    assert done.exit_code == 0, done.err
    assert f"val {PICTURES} pictures, 0 objects" in " ".join(done.out.split())
    refused = streamdet("eval", "--model", model, "--data", data, "--save")
    assert refused.exit_code == 1
    assert "no class that the model detects has objects in val, so no threshold can be chosen" in refused.err


def test_classes_that_the_model_does_not_know(streamdet: Streamdet, data: Path, model: Path) -> None:
    labels = json.loads((data / "val.json").read_text())
    renames = {"person": "van", "bicycle": "tram"}
    for category in labels["categories"]:
        category["name"] = renames.get(category["name"], category["name"])
    (data / "val.json").write_text(json.dumps(labels))
    done = streamdet("eval", "--model", model, "--data", data)
    assert done.exit_code == 0, done.err
    words = " ".join(done.out.split())
    assert "tiny doesn't know van, tram: these objects count as missed." in words
    assert re.search(r" van [1-9] 0\.000 0\.000 - - 0\.000 0\.000 ", words)
    for category in labels["categories"]:
        category["name"] = "x" + category["name"]
    (data / "val.json").write_text(json.dumps(labels))
    refused = streamdet("eval", "--model", model, "--data", data)
    assert refused.exit_code == 2
    assert (
        "val has the classes xcar, xvan, xtram and tiny knows car, person, bicycle; choose another model" in refused.err
    )


def test_scores_are_calibrated(
    streamdet: Streamdet, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The network is random: nearly all that it finds is wrong, and what little is right fits no curve.
    monkeypatch.setattr("streamdet.training.calibration.fit_scaling", lambda assessments: Scaling(1.0, -9.0))
    write_set(tmp_path / "many" / "val.json", 80, size=(64, 48))
    options = ("eval", "--model", model, "--data", tmp_path / "many", "--json")
    before = json.loads(streamdet(*options).out)
    done = streamdet(*options, "--calibrate", "--save")
    assert done.exit_code == 0, done.err
    told = json.loads(done.out)
    assert told["scaling"] == {"slope": 1.0, "offset": -9.0}
    assert told["sets"]["val"]["calibration"]["error"] < before["sets"]["val"]["calibration"]["error"]
    again = json.loads(streamdet(*options).out)
    # Now their scores say that they are wrong; they are looked at all the same.
    counts, counts_before = (each["sets"]["val"]["calibration"]["counts"] for each in (again, before))
    assert sum(counts) == sum(counts_before)
    assert counts[0] == sum(counts) > 10 * counts_before[0]
    assert again["sets"]["val"]["AP50"] == pytest.approx(before["sets"]["val"]["AP50"], abs=0.002)
