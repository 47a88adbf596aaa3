"""Small training runs, in this process or in others that tests kill or let work together."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from torch import Tensor

from streamdet.detection.folding import fold_batch_norm
from streamdet.detection.precision import Placement
from streamdet.detection.retinanet import HeadOutputs
from streamdet.training import trainer as trainer_module
from streamdet.training.augment import AugmentRule
from streamdet.training.distributed import Processes, described_processes, meet
from streamdet.training.formats.coco import read_coco
from streamdet.training.loader import Batch
from streamdet.training.losses import Losses
from streamdet.training.objective import Objective, Prepared
from streamdet.training.trainer import Trainer, TrainOptions
from tests.networks import tiny_model
from tests.rectangles import write_set

CPU = Placement(torch.device("cpu"), torch.float32)
OPTIONS = TrainOptions(
    images_seen=80,
    batch_size=4,
    learning_rate=2e-3,
    average_decay=0.8,
    sizes=((0.5, 64, 64), (1.0, 96, 64)),
    evaluate_every=1000,
    workers=0,
    augment=AugmentRule(mosaic=0.4, scale=(0.8, 1.2)),
)


def write_data(folder: Path) -> Path:
    """`folder` with train.json (12 pictures) and val.json (4)."""
    write_set(folder / "train.json", 12)
    write_set(folder / "val.json", 4, seed=100)
    return folder


def make_trainer(
    folder: Path,
    data: Path,
    options: TrainOptions = OPTIONS,
    *,
    seed: int = 0,
    placement: Placement = CPU,
    processes: Processes | None = None,
    batch_norm: str = "folded",
) -> Trainer:
    """A trainer of a tiny network whose class head starts from the prior."""
    model = tiny_model(seed, short_side=64, long_side=96)
    if batch_norm == "folded":
        fold_batch_norm(model.network)
    model.network.head.classification_head.cls_logits.bias.data.fill_(-4.6)
    card = replace(model.card, config=replace(model.card.config, batch_norm=batch_norm))
    training, validation = read_coco(data / "train.json"), read_coco(data / "val.json")
    return Trainer(
        folder, card, model.network, list(training.images), [validation], options, placement, processes=processes
    )


class Broken:
    """An objective whose loss, or its gradient, is no number for the batches that `when` picks."""

    def __init__(self, whole: Objective, when: Callable[[Prepared], bool], how: str) -> None:
        self.whole, self.when, self.how = whole, when, how

    def prepare(self, batch: Batch) -> Prepared:
        return self.whole.prepare(batch)

    def losses(self, network: Callable[[Tensor], HeadOutputs], prepared: Prepared, per_image: float) -> Losses:
        found = self.whole.losses(network, prepared, per_image)
        if not self.when(prepared):
            return found
        value = found.classification
        wrong = value * float("nan") if self.how == "loss" else (value * 0).abs().sqrt()
        return replace(found, classification=value + wrong)


def break_objective(trainer: Trainer, when: Callable[[Prepared], bool], how: str = "loss") -> None:
    trainer.learner.objective = Broken(trainer.learner.objective, when, how)  # type: ignore[assignment]


def holds(prepared: Prepared, name: str) -> bool:
    """True when a sample of the batch was made of a picture of this name."""
    return any(path.endswith(name) for sample in prepared.batch.samples for path in sample.paths)


# What follows runs in processes of its own.


def start_process(target: Callable[..., None], *arguments: object) -> BaseProcess:
    """A process forked from a server that has imported everything, and has never run autograd or OpenMP."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.training_runs"])
    process = context.Process(target=target, args=arguments)
    process.start()
    return process


def resume_and_run(folder: Path, data: Path, options: TrainOptions) -> None:
    """Go on with the run in `folder`, or begin it; its state is saved after every step."""
    torch.set_num_threads(1)
    trainer_module.SAVE_EVERY_S, trainer_module.SAVING_SHARE = 0.0, float("inf")
    trainer_module.LOG_EVERY_STEPS = 1
    trainer = make_trainer(folder, data, options)
    if trainer.files.state.exists():
        trainer.resume()
    trainer.run(lambda progress: None)


def run_together(rank: int, count: int, port: int, folder: Path, data: Path, options: TrainOptions, bad: str) -> None:
    """Process `rank` of a run of `count`; the picture `bad` has no finite loss."""
    torch.set_num_threads(1)
    trainer_module.LOG_EVERY_STEPS = 1
    names = {"RANK": rank, "WORLD_SIZE": count, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in names.items()})
    processes = described_processes(os.environ)
    meet(processes, CPU.device)
    trainer = make_trainer(folder, data, options, processes=processes)
    break_objective(trainer, lambda prepared: bool(bad) and holds(prepared, bad))
    # Only one of them is asked to stop; all must.
    steps = iter(range(10_000))
    trainer.run(lambda progress: None, asked_to_stop=lambda: rank == count - 1 and next(steps) >= trainer.steps)
    processes.leave()
    assert threading.active_count() == 1


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
