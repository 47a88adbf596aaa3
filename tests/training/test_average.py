"""models/average.py: the mean of models."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import torch

from streamdet.detection.checkpoint import load_model, save_model
from streamdet.training.calibration import Scaling, save_scaling
from tests.networks import tiny_model

SCRIPT = Path(__file__).parents[2] / "models" / "average.py"


def average(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_weights_are_averaged_without_calibration(tmp_path: Path) -> None:
    models = [tiny_model(seed) for seed in (1, 2)]
    paths = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    for path, model in zip(paths, models, strict=True):
        card = replace(model.card, metrics={"val": {"AP50": 0.9}})
        save_model(path, model.network, card, dtype=torch.float32)
    save_scaling(paths[1], Scaling(2.0, -0.5))

    out = tmp_path / "mean.safetensors"
    done = average(*paths, "--out", out)

    assert done.returncode == 0, done.stderr
    mean = load_model(out)
    assert mean.card.logit_scaling == (1.0, 0.0)
    assert not mean.card.metrics  # nobody has measured the mean
    first, second = (model.network.state_dict() for model in models)
    for name, tensor in mean.network.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, (first[name] + second[name]) / 2, rtol=1e-3, atol=1e-3)
    differing = "head.classification_head.cls_logits.weight"
    assert not torch.allclose(first[differing], second[differing], atol=0.01)


def test_a_model_that_is_given_twice_counts_twice(tmp_path: Path) -> None:
    models = [tiny_model(seed) for seed in (1, 2)]
    paths = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    for path, model in zip(paths, models, strict=True):
        save_model(path, model.network, model.card, dtype=torch.float32)

    done = average(paths[0], paths[0], paths[1], "--out", tmp_path / "mean.safetensors")

    assert done.returncode == 0, done.stderr
    mean = load_model(tmp_path / "mean.safetensors").network.state_dict()
    first, second = (model.network.state_dict() for model in models)
    name = "head.classification_head.cls_logits.weight"
    torch.testing.assert_close(mean[name], (2 * first[name] + second[name]) / 3, rtol=1e-3, atol=1e-3)


def test_models_of_other_classes_are_refused(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    model = tiny_model(1)
    save_model(paths[0], model.network, model.card)
    save_model(paths[1], model.network, replace(model.card, class_names=("dog", "cat", "mouse")))

    done = average(*paths, "--out", tmp_path / "mean.safetensors")

    assert done.returncode == 4
    assert "differ in class_names" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_place_that_cannot_be_written_gets_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    model = tiny_model(1)
    save_model(path, model.network, model.card)

    done = average(path, path, "--out", tmp_path / "nowhere" / "mean.safetensors")

    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_input_takes_the_place_of_sides_that_may_differ(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    model = tiny_model(1)
    for path, side in zip(paths, (64, 96), strict=True):
        rule = replace(model.card.input_rule, short_side=side)
        save_model(path, model.network, replace(model.card, input_rule=rule))
    out = tmp_path / "mean.safetensors"

    without = average(*paths, "--out", out)
    assert without.returncode == 4
    assert "differ in input_rule" in without.stderr
    small = average(*paths, "--out", out, "--input", "16x160")
    assert small.returncode == 2
    assert "16x160" in small.stderr
    assert not out.exists()

    done = average(*paths, "--out", out, "--input", "160x128")
    assert done.returncode == 0, done.stderr
    rule = load_model(out).card.input_rule
    assert (rule.short_side, rule.long_side) == (128, 160)
    assert replace(rule, short_side=0, long_side=0) == replace(model.card.input_rule, short_side=0, long_side=0)
