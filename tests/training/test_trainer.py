from __future__ import annotations

import csv
import json
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboardX.proto.event_pb2 import Event

from streamdet.detection.checkpoint import load_model
from streamdet.detection.precision import Placement
from streamdet.errors import DataError, StreamdetError, UsageError
from streamdet.training import trainer as trainer_module
from streamdet.training.augment import AugmentRule
from streamdet.training.dataset import Dataset
from streamdet.training.diagnosis import DivergedError
from streamdet.training.losses import LossRule
from streamdet.training.trainer import Outcome, Progress, Trainer
from tests.training_runs import (
    OPTIONS,
    break_objective,
    holds,
    make_trainer,
    resume_and_run,
    start_process,
    write_data,
)

PLAIN = AugmentRule(mosaic=0, scale=(1, 1), mirror=0, brightness=0, contrast=0, saturation=0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("rectangles"))


@pytest.fixture(autouse=True)
def log_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer_module, "LOG_EVERY_STEPS", 1)


def shown(trainer: Trainer) -> list[Progress]:
    steps: list[Progress] = []
    trainer.run(steps.append)
    return steps


def metrics(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def events(folder: Path) -> list[Event]:
    """What TensorBoard reads: records of a length, its checksum, an event, and its checksum."""
    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content = path.read_bytes()
        while content:
            length = int.from_bytes(content[:8], "little")
            found.append(Event.FromString(content[12 : 12 + length]))
            content = content[16 + length :]
    return found


def assert_same_end(folder: Path, other: Path) -> None:
    """Both runs ended with the same weights, averages, optimizer and log, bit for bit."""
    states = [torch.load(each / "state.pt", weights_only=True) for each in (folder, other)]
    torch.testing.assert_close(states[1], states[0], atol=0, rtol=0)
    assert metrics(folder) == metrics(other)
    for name in ("last.safetensors", "best.safetensors"):
        assert (folder / name).read_bytes() == (other / name).read_bytes()


def test_the_loss_falls_and_is_the_same_twice(tmp_path: Path, data: Path) -> None:
    options = replace(OPTIONS, images_seen=84, sizes=((1.0, 96, 64),), augment=PLAIN)
    first, second = (shown(make_trainer(tmp_path / name, data, options)) for name in ("a", "b"))
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
    files = sorted(file.name for file in (tmp_path / "a").iterdir() if not file.name.startswith("events.out.tfevents."))
    assert files == ["args.json", "best.safetensors", "last.safetensors", "metrics.csv", "state.pt"]
    arguments = json.loads((tmp_path / "a" / "args.json").read_text())
    assert arguments["options"]["images_seen"] == 84
    assert arguments["pictures"] == 12
    assert arguments["class_names"] == ["car", "person", "bicycle"]
    assert arguments["versions"]["torch"] == torch.__version__
    rows = metrics(tmp_path / "a")
    assert [int(row["step"]) for row in rows] == list(range(1, 22))
    assert float(rows[4]["classification_loss"]) == pytest.approx(values[4][0], abs=1e-6)
    assert rows[-2]["AP50 val"] == ""
    assert float(rows[-1]["AP50 val"]) == pytest.approx(first[-1].scores["val"].ap50, abs=1e-4)
    _, *logged = events(tmp_path / "a")
    assert [event.step for event in logged] == list(range(1, 22))
    values_by_tag = {value.tag: value.simple_value for value in logged[-1].summary.value}
    assert values_by_tag["loss/classification"] == pytest.approx(values[-1][0])
    assert values_by_tag["AP50/val"] == pytest.approx(first[-1].scores["val"].ap50)


def test_the_result_keeps_a_share_of_the_start(tmp_path: Path, data: Path) -> None:
    start = {name: tensor.clone() for name, tensor in make_trainer(tmp_path, data).learner.network.state_dict().items()}
    trainers = []
    for share in (0.0, 0.25):
        trainer = make_trainer(tmp_path / str(share), data, replace(OPTIONS, images_seen=24, start_share=share))
        trainer.run(lambda progress: None)
        trainers.append(trainer)
    # learning goes on from what was learnt
    torch.testing.assert_close(*(each.learner.network.state_dict() for each in trainers), atol=0, rtol=0)
    plain, mixed = (each.learner.averaged().state_dict() for each in trainers)
    torch.testing.assert_close(mixed, {name: 0.75 * plain[name] + 0.25 * start[name] for name in start})
    bias = "head.classification_head.cls_logits.bias"
    assert ((mixed[bias] - plain[bias]).abs() > 1e-4).all()
    saved = load_model(tmp_path / "0.25" / "last.safetensors").network.state_dict()
    torch.testing.assert_close(saved, mixed, atol=2e-3, rtol=2e-3)  # files hold half precision


class StopRunError(Exception):
    """A run that is killed."""


def stop_at(step: int) -> Callable[[Progress], None]:
    def show(progress: Progress) -> None:
        if progress.step == step:
            raise StopRunError

    return show


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path: Path, data: Path, optimizer: str) -> None:
    # 7 steps; a state is saved after 3 and 6
    options = replace(
        OPTIONS, images_seen=28, evaluate_every=13, optimizer=optimizer, multi_scale=(0.6, 1.5), start_share=0.2
    )
    make_trainer(tmp_path / "whole", data, options).run(lambda progress: None)
    with pytest.raises(StopRunError):
        make_trainer(tmp_path / "cut", data, options).run(stop_at(5))
    with (tmp_path / "cut" / "metrics.csv").open("a") as log:
        log.write("6,0.1")  # killed while writing
    resumed = make_trainer(tmp_path / "cut", data, options, seed=99)
    resumed.resume()
    assert resumed.step == 3
    steps = shown(resumed)
    assert [progress.step for progress in steps] == [4, 5, 6, 7]
    assert all(progress.first_step == 3 for progress in steps)
    assert_same_end(tmp_path / "whole", tmp_path / "cut")
    state = torch.load(tmp_path / "whole" / "state.pt", weights_only=True)
    assert state["step"] == 7
    assert {"network", "average", "optimizer", "scaler", "positive_count", "watch", "best"} < state.keys()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_weights(
    tmp_path: Path, data: Path, workers: int
) -> None:
    options = replace(OPTIONS, images_seen=96, evaluate_every=32, workers=workers)
    make_trainer(tmp_path / "whole", data, options).run(lambda progress: None)
    moments = random.Random(workers)
    kills = 0
    while not (tmp_path / "killed" / "done").exists():
        process = start_process(resume_and_run, tmp_path / "killed", data, options)
        log = tmp_path / "killed" / "metrics.csv"
        before = log.read_text() if log.exists() else ""
        while process.is_alive() and (not log.exists() or len(log.read_text()) <= len(before)):
            time.sleep(0.01)  # until it has come further than the one before it
        if kills < 3:
            time.sleep(moments.uniform(0, 0.3))
            process.kill()
            kills += process.is_alive()
        process.join()
        if process.exitcode == 0:
            break
    assert kills >= 2
    assert_same_end(tmp_path / "whole", tmp_path / "killed")


def test_asked_to_stop_it_saves_and_can_go_on(tmp_path: Path, data: Path) -> None:
    options = replace(OPTIONS, images_seen=24)
    make_trainer(tmp_path / "whole", data, options).run(lambda progress: None)
    trainer = make_trainer(tmp_path / "stopped", data, options)
    asked = iter([False, False, True])
    assert trainer.run(lambda progress: None, asked_to_stop=lambda: next(asked)) == Outcome({}, stopped=True)
    assert trainer.step == 3
    assert load_model(tmp_path / "stopped" / "last.safetensors").card.metrics == {}
    resumed = make_trainer(tmp_path / "stopped", data, options)
    resumed.resume()
    assert resumed.step == 3
    assert not resumed.run(lambda progress: None).stopped
    assert_same_end(tmp_path / "whole", tmp_path / "stopped")


def test_accumulated_batches_are_one_large_batch(tmp_path: Path, data: Path) -> None:
    # Adam would magnify the rounding errors of small gradients
    whole = replace(OPTIONS, images_seen=32, batch_size=8, optimizer="sgd")
    parts = replace(whole, batch_size=2, accumulate=4)
    assert [whole.rate(step) for step in range(4)] == [parts.rate(step) for step in range(4)]
    ends = []
    for name, options in (("whole", whole), ("parts", parts)):
        trainer = make_trainer(tmp_path / name, data, options)
        steps = shown(trainer)
        assert len(steps) == 4
        ends.append((steps, trainer.learner.network.state_dict()))
    for a, b in zip(ends[0][0], ends[1][0], strict=True):
        assert (b.classification_loss, b.box_loss) == pytest.approx((a.classification_loss, a.box_loss), rel=1e-4)
    torch.testing.assert_close(ends[1][1], ends[0][1], atol=1e-5, rtol=1e-4)


def test_what_can_not_be_resumed(tmp_path: Path, data: Path) -> None:
    options = replace(OPTIONS, images_seen=4)
    trainer = make_trainer(tmp_path, data, options)
    with pytest.raises(StreamdetError, match=r"nothing to resume: .*state\.pt does not exist"):
        trainer.resume()
    trainer.run(lambda progress: None)
    for changed, sentence in (
        (replace(options, optimizer="sgd"), "was started with --optimizer adamw, now it is sgd; give the options"),
        (replace(options, images_seen=8), "was started with --images 4, now it is 8"),
        (replace(options, learning_rate=1e-3), r"was started with --lr 0\.002, now it is 0\.001"),
        (replace(options, loss=LossRule(gamma=1.0)), "was started with --gamma 2, now it is 1"),
        (replace(options, repeats={"train": 2}), r"was started with --repeat \(none\), now it is train=2"),
    ):
        with pytest.raises(UsageError, match=sentence):
            make_trainer(tmp_path, data, changed).resume()
    make_trainer(tmp_path, data, replace(options, workers=1, cache="off", evaluate_every=4)).resume()  # free to change
    other = write_data(tmp_path / "other")
    (other / "train.json").write_text((other / "train.json").read_text().replace('"bbox": [', '"bbox": [1'))
    with pytest.raises((UsageError, DataError), match=r"was started on other labels|outside the picture"):
        make_trainer(tmp_path, other, options).resume()
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    state["network"].popitem()
    torch.save(state, tmp_path / "state.pt")
    with pytest.raises(StreamdetError, match=r"another run's .*state_dict"):
        make_trainer(tmp_path, data, options).resume()
    (tmp_path / "state.pt").write_bytes((tmp_path / "state.pt").read_bytes()[:3000])
    with pytest.raises(StreamdetError, match=r"state\.pt is damaged"):
        make_trainer(tmp_path, data, options).resume()


@pytest.mark.parametrize("how", ["loss", "gradient"])
def test_a_step_that_is_not_finite_is_skipped_and_its_samples_are_named(tmp_path: Path, data: Path, how: str) -> None:
    trainer = make_trainer(tmp_path, data, replace(OPTIONS, images_seen=16, augment=PLAIN))
    drawn = [[sample.paths[0] for sample in trainer.samples[number]] for number in range(4)]  # type: ignore[union-attr]
    name = Path(drawn[1][2]).name
    bad = [number for number in range(4) if any(path.endswith(name) for path in drawn[number])]
    break_objective(trainer, lambda prepared: holds(prepared, name), how)
    weights: list[torch.Tensor] = []
    notes: list[str] = []

    def show(progress: Progress) -> None:
        weights.append(trainer.learner.network.head.regression_head.bbox_reg.weight.detach().clone())
        notes.append(progress.note)

    trainer.run(show)
    assert [number for number, note in enumerate(notes) if note] == bad
    assert notes[1] == f"a {how} that is not finite from {drawn[1][2]}"
    for number in (1, 2, 3):
        assert torch.equal(weights[number - 1], weights[number]) == (number in bad)
    assert trainer.learner.average.is_finite()
    assert len(metrics(tmp_path)) == 4
    record = json.loads((tmp_path / "bad_steps.jsonl").read_text().splitlines()[0])
    assert record["step"] == 2
    assert record["learning_rate"] == pytest.approx(trainer.options.rate(1))
    assert [sample["paths"] for sample in record["samples"]] == [[path] for path in drawn[1]]
    assert [sample["guilty"] for sample in record["samples"]] == [False, False, True, False]
    image = next(image for image in trainer.samples.images if image.path.name == name)
    guilty = record["samples"][2]
    assert guilty["classes"] == [trainer.card.class_names[class_id] for class_id in image.class_ids]
    sides = [(x2 - x1, y2 - y1) for x1, y1, x2, y2 in guilty["boxes_xyxy"]]  # the picture lies anywhere in the sample
    assert np.array(sides) == pytest.approx((image.boxes_xyxy[:, 2:] - image.boxes_xyxy[:, :2]) * 64 / 96, abs=0.3)


def test_several_such_steps_in_a_row_end_the_run_and_the_last_good_state_stands(tmp_path: Path, data: Path) -> None:
    trainer = make_trainer(tmp_path, data, replace(OPTIONS, evaluate_every=4))  # saves after each step
    break_objective(trainer, lambda _: trainer.step in {0, 1, 2, 3, *range(6, 20)})
    with pytest.raises(
        DivergedError,
        match=r"diverged and was stopped at step 11: 5 steps in a row had no finite loss.*"
        r"lower the learning rate .*bad_steps\.jsonl.*last\.safetensors is from before",
    ):
        trainer.run(lambda progress: None)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["step"] == 6
    assert all(torch.isfinite(tensor).all() for tensor in state["network"].values())
    model = load_model(tmp_path / "last.safetensors")
    for (name, tensor), own in zip(state["average"].items(), model.network.state_dict().values(), strict=True):
        assert torch.equal(tensor.half().float(), own), name


def test_without_the_prior_a_divergence_is_called_by_its_name(tmp_path: Path, data: Path) -> None:
    options = replace(
        OPTIONS, loss=LossRule("ce"), optimizer="sgd", learning_rate=40.0, clip_norm=None, images_seen=400, warmup=0
    )
    trainer = make_trainer(tmp_path, data, options)
    trainer.learner.network.head.classification_head.cls_logits.bias.data.fill_(0)
    trainer.watch.has_prior = False
    with pytest.raises(DivergedError, match=r"diverged .*no prior.* \(paper, section 4\.1\); leave out --prior none"):
        trainer.run(lambda progress: None)


def test_a_run_that_ends_with_infinite_weights_diverged(tmp_path: Path, data: Path) -> None:
    trainer = make_trainer(tmp_path, data, replace(OPTIONS, images_seen=4))
    next(iter(trainer.learner.average.tensors.values()))[0] = float("inf")
    with pytest.raises(DivergedError, match="the weights after its last step are not finite; lower the learning rate"):
        trainer.run(lambda progress: None)
    assert not (tmp_path / "state.pt").exists()


def test_a_loss_that_grows_is_a_divergence_too(tmp_path: Path, data: Path) -> None:
    trainer = make_trainer(tmp_path, data, replace(OPTIONS, images_seen=400))
    whole = trainer.learner.learn

    def growing(*arguments: object, **named: object) -> object:
        result = whole(*arguments, **named)  # type: ignore[arg-type]
        return replace(result, classification_loss=0.5 * 1.12**trainer.step)

    trainer.learner.learn = growing  # type: ignore[method-assign,assignment]
    with pytest.raises(DivergedError, match=r"the loss has grown from 1\.\d+ to 1\d\.\d+; lower the learning rate"):
        trainer.run(lambda progress: None)
    assert trainer.step < 50


def test_evaluations_between_the_logged_steps_are_logged_too(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_module, "LEAST_LOGGED", 1)
    monkeypatch.setattr(trainer_module, "LOG_EVERY_STEPS", 10)
    steps = shown(make_trainer(tmp_path, data, replace(OPTIONS, images_seen=20, evaluate_every=12)))
    assert [progress.step for progress in steps if progress.scores is not None] == [3, 5]
    assert [int(row["step"]) for row in metrics(tmp_path)] == [3, 5]


def test_a_validation_set_without_objects_does_not_spoil_the_best_model(tmp_path: Path, data: Path) -> None:
    trainer = make_trainer(tmp_path, data, replace(OPTIONS, images_seen=4))
    images = trainer.validation[0].images
    trainer.validation.append(Dataset("empty", trainer.card.class_names, (images[3],)))
    trainer.run(lambda progress: None)
    assert load_model(tmp_path / "best.safetensors").card.metrics["empty"]["AP50"] is None


def test_without_validation_the_last_model_is_the_best(tmp_path: Path, data: Path) -> None:
    trainer = make_trainer(tmp_path, data, replace(OPTIONS, images_seen=8, evaluate_every=4))
    trainer.validation.clear()
    trainer.files.validation_names = ()
    assert trainer.run(lambda progress: None) == Outcome({})
    assert (tmp_path / "best.safetensors").read_bytes() == (tmp_path / "last.safetensors").read_bytes()


def test_training_in_bfloat16_with_workers(tmp_path: Path, data: Path) -> None:
    placement = Placement(torch.device("cpu"), torch.bfloat16)
    trainer = make_trainer(tmp_path, data, replace(OPTIONS, images_seen=12, workers=1), placement=placement)
    before = {name: tensor.clone() for name, tensor in trainer.learner.network.state_dict().items()}
    (last,) = [progress for progress in shown(trainer) if progress.step == 3]
    assert 0 < last.classification_loss < 10
    after = trainer.learner.network.state_dict()
    frozen = {name for name in after if name.startswith(tuple(f"backbone.body.features.{k}." for k in range(4)))}
    assert {name for name in after if torch.equal(after[name], before[name])} == frozen
    assert all(tensor.dtype == torch.float32 for tensor in after.values())


def test_live_batch_norm_learns_but_not_in_frozen_stages(tmp_path: Path, data: Path) -> None:
    trainer = make_trainer(tmp_path, data, replace(OPTIONS, images_seen=12, evaluate_every=4), batch_norm="live")
    before = {name: tensor.clone() for name, tensor in trainer.learner.network.state_dict().items()}
    trainer.run(lambda progress: None)
    after = trainer.learner.network.state_dict()
    same = {name for name in after if torch.equal(after[name], before[name])}
    frozen = {name for name in after if name.startswith(tuple(f"backbone.body.features.{k}." for k in range(4)))}
    assert any(name.endswith("running_mean") for name in frozen)
    assert same == frozen
    assert load_model(tmp_path / "last.safetensors").card.config.batch_norm == "live"


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_training_on_the_gpu(tmp_path: Path, data: Path, dtype: torch.dtype) -> None:
    placement = Placement(torch.device("cuda"), dtype)
    options = replace(OPTIONS, images_seen=48, sizes=((1.0, 96, 64),), augment=PLAIN, workers=1)
    trainer = make_trainer(tmp_path, data, options, placement=placement)
    totals = [progress.classification_loss + progress.box_loss for progress in shown(trainer)]
    assert sum(totals[-3:]) < 0.8 * sum(totals[:3])
    assert trainer.learner.scaler.is_enabled() == (dtype == torch.float16)
    again = make_trainer(tmp_path, data, options, placement=placement)
    again.resume()
    assert again.step == 12
    assert again.learner.scaler.state_dict() == trainer.learner.scaler.state_dict()
