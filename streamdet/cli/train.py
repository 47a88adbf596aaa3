"""`streamdet train`: builds a run from folders of labelled pictures and shows its progress."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from streamdet.errors import UsageError
from streamdet.options import parse_size

if TYPE_CHECKING:
    from streamdet.training.evaluate import Scores
    from streamdet.training.trainer import Progress

LINE_EVERY_S = 15.0
"""A line of progress is printed this often."""


def train(
    data: Annotated[
        list[Path],
        typer.Option(help="Folder with train.json, val*.json (COCO) and images/. May be given several times."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    images: Annotated[int, typer.Option(help="Samples to train on, in all.")] = 28_000,
    batch: Annotated[int, typer.Option(help="Samples per step.")] = 16,
    lr: Annotated[float, typer.Option(help="Peak learning rate at a batch of 16; scaled to the real one.")] = 8e-4,
    optimizer: Annotated[Literal["adamw", "sgd"], typer.Option(help="How weights are updated.")] = "adamw",
    sizes: Annotated[
        str,
        typer.Option(help="Input sizes (height x width) in the course of the run: size@share-of-the-run, ..."),
    ] = "256x352@0.65,320x448@1",
    input_size: Annotated[
        str, typer.Option("--input", help="Short x long side that the finished model scales pictures to.")
    ] = "384x640",
    start: Annotated[
        str | None,
        typer.Option(help="Model (name or file) to go on from; its backbone, anchors and heads are taken over."),
    ] = None,
    backbone: Annotated[str, typer.Option(help="resnet18/34/50/101, resnext50_32x4d/101_32x8d, mobilenet_v2.")] = (
        "mobilenet_v2"
    ),
    backbone_weights: Annotated[
        str, typer.Option(help="imagenet (fetched), none, or torchvision's .pth file.")
    ] = "imagenet",
    channels: Annotated[int, typer.Option(help="Width of pyramid and heads.")] = 96,
    head_depth: Annotated[int, typer.Option(help="3x3 convolutions of each head.")] = 2,
    head_norm: Annotated[Literal["none", "group"], typer.Option(help="Normalisation in the heads.")] = "group",
    anchor_base: Annotated[float, typer.Option(help="Side of the smallest anchor, in pixels of the input.")] = 20.0,
    gamma: Annotated[float, typer.Option(help="Focal loss: focusing.")] = 2.0,
    alpha: Annotated[float, typer.Option(help="Focal loss: weight of positives; -1: none.")] = 0.25,
    mosaic: Annotated[float, typer.Option(help="Share of samples that join four pictures.")] = 0.35,
    scale: Annotated[str, typer.Option(help="Range of the scale jitter.")] = "0.6-1.6",
    repeat: Annotated[
        list[str] | None, typer.Option(help="Take pictures of a source N times per epoch.", metavar="SOURCE=N")
    ] = None,
    average_decay: Annotated[float, typer.Option(help="Of the moving average of the weights, per step.")] = 0.995,
    frozen_stages: Annotated[int, typer.Option(help="Blocks of the backbone that keep their weights.")] = 4,
    evaluate_every: Annotated[int, typer.Option(help="Samples between two evaluations.")] = 4_500,
    workers: Annotated[int, typer.Option(help="Processes that prepare samples.")] = 1,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16: of the network while training.")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in --out was stopped.")] = False,
) -> None:
    """Train a detector on labelled pictures; the folder of the run then is a model: streamdet run --model runs/NAME."""
    from streamdet.detection.anchors import LEVEL_STRIDES, AnchorRule
    from streamdet.detection.checkpoint import ModelCard
    from streamdet.detection.models import find_model
    from streamdet.detection.precision import choose_placement
    from streamdet.detection.resize import InputRule
    from streamdet.detection.retinanet import RetinaNetConfig
    from streamdet.training.augment import AugmentRule
    from streamdet.training.dataset import read_training_sets, read_validation_sets
    from streamdet.training.losses import LossRule
    from streamdet.training.schedule import TrainOptions
    from streamdet.training.start import continue_network, start_network
    from streamdet.training.trainer import Trainer

    if (out / "state.pt").exists() and not resume:
        raise UsageError(f"{out} holds a run already; add --resume to go on with it, or give another --out")
    short_side, long_side = parse_size(input_size) or (384, 640)
    try:
        config = RetinaNetConfig(
            num_classes=1,
            backbone=backbone,
            anchors=AnchorRule(base_sides=tuple(anchor_base * stride / LEVEL_STRIDES[0] for stride in LEVEL_STRIDES)),
            channels=channels,
            head_depth=head_depth,
            head_norm=head_norm,
        )
        options = TrainOptions(
            images_seen=images,
            batch_size=batch,
            learning_rate=lr,
            optimizer=optimizer,
            sizes=parse_schedule(sizes),
            average_decay=average_decay,
            frozen_stages=frozen_stages,
            evaluate_every=evaluate_every,
            workers=workers,
            seed=seed,
            repeats=parse_repeats(repeat or []),
            loss=LossRule(alpha=alpha, gamma=gamma),
            augment=AugmentRule(mosaic=mosaic, scale=parse_range(scale)),
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    training, validation = read_training_sets(data), read_validation_sets(data)
    class_names = training[0].class_names
    if start is None:
        network, config = start_network(replace(config, num_classes=len(class_names)), backbone_weights, seed)
    else:
        network, config, kept = continue_network(find_model(start), class_names, seed)
        typer.echo(kept, err=True)
    card = ModelCard(out.name, class_names, config, InputRule(short_side, long_side), {"*": 0.4})
    pictures = [image for dataset in training for image in dataset.images]
    trainer = Trainer(out, card, network, pictures, validation, options, choose_placement(device, precision))
    if resume:
        trainer.resume()
    typer.echo(
        f"{len(pictures)} pictures, {trainer.steps} steps of {batch}; classes: {', '.join(class_names)}", err=True
    )
    trainer.run(TrainDisplay().show)
    typer.echo(f"done: {out / 'best.safetensors'}", err=True)


class TrainDisplay:
    """Lines of progress on standard error."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._shown = 0.0

    def show(self, progress: Progress) -> None:
        """One line now and then, and a table of scores after each evaluation."""
        now = time.perf_counter() - self._started
        if progress.note or progress.scores or now - self._shown >= LINE_EVERY_S:
            self._shown = now
            left_s = (progress.steps - progress.step) * now / max(progress.step - progress.first_step, 1)
            typer.echo(
                f"{now:6.0f} s  step {progress.step}/{progress.steps}  class loss {progress.classification_loss:.3f}  "
                f"box loss {progress.box_loss:.3f}  rate {progress.learning_rate:.1e}  "
                f"{progress.images_per_s:.1f} images/s  "
                f"waiting {progress.wait_share:.0%}  {left_s / 60:.0f} min left  {progress.note}",
                err=True,
            )
        for name, scores in (progress.scores or {}).items():
            typer.echo(f"          {name}: {describe(scores)}", err=True)


def describe(scores: Scores) -> str:
    """AP and AP50 in one line, with the classes that the set has."""
    classes = " ".join(f"{name} {value:.3f}" for name, value in scores.ap50_per_class.items() if value == value)
    return f"AP {scores.ap:.3f}  AP50 {scores.ap50:.3f}  ({classes})"


def parse_schedule(text: str) -> tuple[tuple[float, int, int], ...]:
    """(until this share of the run, width, height) from "256x352@0.65,320x448@1". Raises UsageError."""
    schedule = []
    try:
        for part in text.split(","):
            size, _, share = part.partition("@")
            height, width = (int(side) for side in size.lower().split("x"))
            schedule.append((float(share or 1), width, height))
    except ValueError as error:
        raise UsageError(f"--sizes is {text!r}; give height x width @ share, such as 256x352@0.65,320x448@1") from error
    if any(side % 32 or side < 32 for _, width, height in schedule for side in (width, height)):
        raise UsageError(f"--sizes is {text!r}; sides must be multiples of 32")
    shares = [share for share, _, _ in schedule]
    if shares != sorted(set(shares)) or shares[-1] != 1 or shares[0] <= 0:
        raise UsageError(f"--sizes is {text!r}; the shares must rise and end with 1")
    return tuple(schedule)


def parse_repeats(texts: list[str]) -> dict[str, int]:
    """Times per epoch by source, from "SOURCE=N". Raises UsageError."""
    repeats = {}
    for text in texts:
        source, _, times = text.rpartition("=")
        if not source or not times.isdecimal() or int(times) < 1:
            raise UsageError(f"--repeat is {text!r}; give SOURCE=N with N of 1 or more")
        repeats[source] = int(times)
    return repeats


def parse_range(text: str) -> tuple[float, float]:
    """Low and high from "0.6-1.6". Raises UsageError."""
    low, _, high = text.partition("-")
    try:
        values = float(low), float(high)
    except ValueError as error:
        raise UsageError(f"--scale is {text!r}; give two factors such as 0.6-1.6") from error
    if not 0 < values[0] <= values[1]:
        raise UsageError(f"--scale is {text!r}; the factors must be positive and rise")
    return values
