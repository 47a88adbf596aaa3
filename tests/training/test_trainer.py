from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from streamdet.detection.checkpoint import load_model
from streamdet.detection.precision import Placement
from streamdet.detection.retinanet import fold_batch_norm
from streamdet.errors import StreamdetError
from streamdet.training import trainer as trainer_module
from streamdet.training.augment import AugmentRule
from streamdet.training.dataset import Dataset, read_coco
from streamdet.training.losses import Losses
from streamdet.training.trainer import Progress, Trainer, TrainOptions
from tests.networks import tiny_model
from tests.rectangles import write_set

OPTIONS = TrainOptions(
    images_seen=80,
    batch_size=4,
    learning_rate=2e-3,
    average_decay=0.8,
    sizes=((0.5, 64, 64), (1.0, 96, 64)),
    evaluate_every=1000,
    workers=0,
    augment=AugmentRule(scale=(0.8, 1.2)),
)
Show = Callable[[Progress], None]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    folder = tmp_path_factory.mktemp("rectangles")
    return read_coco(write_set(folder / "train.json", 12)), read_coco(write_set(folder / "val.json", 4, seed=100))


@pytest.fixture(autouse=True)
def log_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer_module, "LOG_EVERY_STEPS", 1)


def make_trainer(
    folder: Path, sets: tuple[Dataset, Dataset], options: TrainOptions = OPTIONS, seed: int = 0
) -> Trainer:
    model = tiny_model(seed, short_side=64, long_side=96)
    fold_batch_norm(model.network)
    model.network.head.classification_head.cls_logits.bias.data.fill_(-4.6)
    card = replace(model.card, config=replace(model.card.config, batch_norm="folded"))
    placement = Placement(torch.device("cpu"), torch.float32)
    return Trainer(folder, card, model.network, list(sets[0].images), [sets[1]], options, placement)


def shown(trainer: Trainer) -> list[Progress]:
    steps: list[Progress] = []
    trainer.run(steps.append)
    return steps


def metrics(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_loss_falls_and_is_the_same_twice(tmp_path: Path, sets: tuple[Dataset, Dataset]) -> None:
    plain = AugmentRule(mosaic=0, scale=(1, 1), mirror=0, brightness=0, contrast=0, saturation=0)
    options = replace(OPTIONS, images_seen=84, sizes=((1.0, 96, 64),), augment=plain)
    first, second = (shown(make_trainer(tmp_path / name, sets, options)) for name in ("a", "b"))
    assert [progress.step for progress in first] == list(range(1, 22))
    values = [(progress.classification_loss, progress.box_loss) for progress in first]
    assert values == [(progress.classification_loss, progress.box_loss) for progress in second]
    totals = [sum(pair) for pair in values]
    assert sum(totals[-3:]) < 0.5 * sum(totals[:3])  # three steps are an epoch: the same pictures
    assert first[-1].scores is not None
    assert first[-1].scores.keys() == {"val"}
    models = [load_model(tmp_path / name / "last.safetensors") for name in ("a", "b")]
    assert models[0].card.metrics == {"val": first[-1].scores["val"].to_json()}
    for one, other in zip(models[0].network.parameters(), models[1].network.parameters(), strict=True):
        assert torch.equal(one, other)
    files = sorted(file.name for file in (tmp_path / "a").iterdir())
    assert files == ["args.json", "best.safetensors", "last.safetensors", "metrics.csv", "state.pt"]
    assert json.loads((tmp_path / "a" / "args.json").read_text())["images_seen"] == 84
    rows = metrics(tmp_path / "a")
    assert [int(row["step"]) for row in rows] == list(range(1, 22))
    assert float(rows[4]["classification_loss"]) == pytest.approx(values[4][0], abs=1e-6)
    assert rows[-2]["AP50 val"] == ""
    assert float(rows[-1]["AP50 val"]) == pytest.approx(first[-1].scores["val"].ap50, abs=1e-4)


class StopRunError(Exception):
    """A run that is killed."""


def stop_at(step: int) -> Show:
    def show(progress: Progress) -> None:
        if progress.step == step:
            raise StopRunError

    return show


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(
    tmp_path: Path, sets: tuple[Dataset, Dataset], optimizer: str
) -> None:
    # 7 steps; a state is saved after 3 and 6
    options = replace(OPTIONS, images_seen=28, evaluate_every=13, optimizer=optimizer)
    whole = make_trainer(tmp_path / "whole", sets, options)
    whole.run(lambda progress: None)
    with pytest.raises(StopRunError):
        make_trainer(tmp_path / "cut", sets, options).run(stop_at(5))
    resumed = make_trainer(tmp_path / "cut", sets, options, seed=99)
    resumed.resume()
    assert resumed.step == 3
    steps = shown(resumed)
    assert [progress.step for progress in steps] == [4, 5, 6, 7]
    assert all(progress.first_step == 3 for progress in steps)
    states = [torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("whole", "cut")]
    assert states[0]["step"] == 7
    assert states[0].keys() == {"step", "best", "positive_count", "network", "average", "optimizer"}
    torch.testing.assert_close(states[1], states[0], atol=0, rtol=0)
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "cut")
    for name in ("last.safetensors", "best.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()


def test_what_can_not_be_resumed(tmp_path: Path, sets: tuple[Dataset, Dataset]) -> None:
    options = replace(OPTIONS, images_seen=4)
    trainer = make_trainer(tmp_path, sets, options)
    with pytest.raises(StreamdetError, match=r"nothing to resume: .*state\.pt does not exist"):
        trainer.resume()
    trainer.run(lambda progress: None)
    with pytest.raises(StreamdetError, match=r"another run's .*optimizer is another kind"):
        make_trainer(tmp_path, sets, replace(options, optimizer="sgd")).resume()
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    state["network"].popitem()
    torch.save(state, tmp_path / "state.pt")
    with pytest.raises(StreamdetError, match=r"another run's .*state_dict"):
        make_trainer(tmp_path, sets, options).resume()
    (tmp_path / "state.pt").write_bytes((tmp_path / "state.pt").read_bytes()[:3000])
    with pytest.raises(StreamdetError, match=r"state\.pt is damaged"):
        make_trainer(tmp_path, sets, options).resume()


def break_losses(trainer: Trainer, steps: set[int], how: str) -> None:
    """Make the losses, or their gradients, of these steps not a number."""
    right = trainer._losses

    def losses(batch: object) -> Losses:
        found = right(batch)  # type: ignore[arg-type]
        if trainer.step not in steps:
            return found
        weight = next(p for p in trainer.network.parameters() if p.requires_grad)
        wrong = weight.sum() * float("nan") if how == "loss" else (weight * 0).abs().sqrt().sum()
        return replace(found, classification=found.classification + wrong)

    trainer._losses = losses  # type: ignore[method-assign]


@pytest.mark.parametrize("how", ["loss", "gradient"])
def test_a_step_that_is_not_finite_is_skipped_and_reported(
    tmp_path: Path, sets: tuple[Dataset, Dataset], how: str
) -> None:
    trainer = make_trainer(tmp_path, sets, replace(OPTIONS, images_seen=16))
    break_losses(trainer, {1, 2}, how)
    weights: list[torch.Tensor] = []
    notes: list[str] = []

    def show(progress: Progress) -> None:
        weights.append(trainer.network.head.regression_head.bbox_reg.weight.detach().clone())
        notes.append(progress.note)

    trainer.run(show)
    assert [bool(note) for note in notes] == [False, True, True, False]
    assert notes[1].startswith(f"a {how} that is not finite in a batch with ")
    assert ".png" in notes[1]
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[1], weights[2])
    assert not torch.equal(weights[2], weights[3])
    assert all(torch.isfinite(tensor).all() for tensor in trainer.average.values())
    assert len(metrics(tmp_path)) == 4


def test_five_such_steps_in_a_row_end_the_run(tmp_path: Path, sets: tuple[Dataset, Dataset]) -> None:
    trainer = make_trainer(tmp_path, sets, replace(OPTIONS, evaluate_every=8))
    break_losses(trainer, {0, 1, 2, 3, *range(5, 20)}, "loss")
    with pytest.raises(
        StreamdetError, match=r"stopped at step 10: 5 steps in a row .*lower the learning rate .*last.saf"
    ):
        trainer.run(lambda progress: None)
    assert load_model(tmp_path / "last.safetensors").card.name == "tiny"


def test_evaluations_between_the_logged_steps_are_shown_too(
    tmp_path: Path, sets: tuple[Dataset, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_module, "LOG_EVERY_STEPS", 10)
    steps = shown(make_trainer(tmp_path, sets, replace(OPTIONS, images_seen=20, evaluate_every=12)))
    assert [(progress.step, progress.scores is not None) for progress in steps] == [(3, True), (5, True)]


def test_a_validation_set_without_objects_does_not_spoil_the_best_model(
    tmp_path: Path, sets: tuple[Dataset, Dataset]
) -> None:
    trainer = make_trainer(tmp_path, sets, replace(OPTIONS, images_seen=4))
    empty = Dataset("empty", sets[1].class_names, (sets[1].images[3],))
    trainer.validation.append(empty)
    trainer.run(lambda progress: None)
    assert load_model(tmp_path / "best.safetensors").card.metrics["empty"]["AP50"] is None


def test_training_in_bfloat16_with_workers(tmp_path: Path, sets: tuple[Dataset, Dataset]) -> None:
    trainer = make_trainer(tmp_path, sets, replace(OPTIONS, images_seen=12, workers=1))
    trainer.placement = Placement(torch.device("cpu"), torch.bfloat16)
    before = {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}
    (last,) = [progress for progress in shown(trainer) if progress.step == 3]
    assert 0 < last.classification_loss < 10
    after = trainer.network.state_dict()
    frozen = {name for name in after if name.startswith(tuple(f"backbone.body.features.{k}." for k in range(4)))}
    assert {name for name in after if torch.equal(after[name], before[name])} == frozen
    assert all(tensor.dtype == torch.float32 for tensor in after.values())


@pytest.mark.gpu
def test_training_on_the_gpu(tmp_path: Path, sets: tuple[Dataset, Dataset]) -> None:
    model = tiny_model(short_side=64, long_side=96)
    fold_batch_norm(model.network)
    card = replace(model.card, config=replace(model.card.config, batch_norm="folded"))
    placement = Placement(torch.device("cuda"), torch.float16)
    trainer = Trainer(tmp_path, card, model.network, list(sets[0].images), [sets[1]], OPTIONS, placement)
    steps = shown(trainer)
    totals = [progress.classification_loss + progress.box_loss for progress in steps]
    assert all(total < 10 for total in totals)
    trainer.resume()
