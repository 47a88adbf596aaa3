"""A run from its plan to its report, as `streamdet train` shows it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from streamdet.cli.train_display import TrainDisplay, say
from streamdet.cli.train_start import stop_on_signals

if TYPE_CHECKING:
    from streamdet.training.dataset import Dataset, LabelledImage
    from streamdet.training.trainer import Trainer


def plan(trainer: Trainer, start: str, training: Sequence[Dataset], validation: Sequence[Dataset]) -> list[str]:
    """What will be done, in sentences; `start` is the one about the network."""
    options, config, placement = trainer.options, trainer.card.config, trainer.placement
    images = [image for dataset in training for image in dataset.images]
    objects = sum(len(image.boxes_xyxy) for image in images)
    measured = ", ".join(f"{dataset.name} ({len(dataset.images)} pictures)" for dataset in validation)
    width, height = max(((w, h) for _, w, h in options.sizes), key=lambda size: size[0] * size[1])
    samples = f"{options.effective_batch} samples"
    if options.accumulate > 1:
        samples += f" ({options.accumulate} times {options.batch_size})"
    sharing = f" in {trainer.processes.count} processes" if trainer.processes.count > 1 else ""
    sentences = [
        f"{len(images):,} pictures with {objects:,} objects of {', '.join(trainer.card.class_names)}",
        f"measured on {measured}"
        if validation
        else "no validation set: nothing will be measured, and the last model counts as the best; `streamdet data "
        "split` sets pictures aside for it",
        start,
        f"{trainer.steps:,} steps of {samples} at up to {width}x{height}, peak rate {options.peak_rate:.2g} "
        f"({options.body_rate:g} times that in the backbone), "
        f"{options.frozen_stages} of 5 backbone stages frozen, batch norm {config.batch_norm}; "
        f"{placement.precision} on {placement.device}{sharing}",
    ]
    for dataset in validation:
        if unknown := [name for name in dataset.class_names if name not in trainer.card.class_names]:
            sentences.append(f"{dataset.name} has classes that training hasn't: {', '.join(unknown)} won't be found")
    if options.start_share:
        kept = f"{100 * options.start_share:g} %"
        sentences.append(f"the result keeps {kept} of the start's weights, so that it forgets less")
    if not trainer.watch.has_prior:
        sentences.append("the class head has no prior; the paper (section 4.1) found that training diverges so")
    if trainer.step:
        sentences.append(f"going on after step {trainer.step:,}")
    return sentences


def run_to_the_end(trainer: Trainer, images: Sequence[LabelledImage]) -> None:
    """Train, and finish with a report. Exits with 130 when stopped on the way."""
    talks = trainer.processes.is_main
    with stop_on_signals(talks=talks) as request:
        if talks:
            with TrainDisplay() as display:
                outcome = trainer.run(display.show, asked_to_stop=request)
        else:
            outcome = trainer.run(lambda _: None, asked_to_stop=request)
    trainer.processes.leave()
    if outcome.stopped:
        if talks:
            again = shlex.join(["streamdet", *(argument for argument in sys.argv[1:] if argument != "--resume")])
            say(f"stopped after step {trainer.step:,} of {trainer.steps:,}; all is saved, to go on: {again} --resume")
        raise typer.Exit(130)
    if talks:
        _finish(trainer, images)


def _finish(trainer: Trainer, images: Sequence[LabelledImage]) -> None:
    from streamdet.training.finish import finish

    best = trainer.files.best_model
    say(f"done: {best}; measuring it in detail and drawing its report")
    finished = finish(best, trainer.validation, images, trainer.options.loss, trainer.placement.device)
    if finished.thresholds:
        others = finished.thresholds["*"]
        chosen = [f"{name} {value:.2f}" for name, value in finished.thresholds.items() if name != "*"]
        kept = ", ".join(f"{name} {value:.2f}" for name, value in finished.kept_thresholds.items())
        kept = f"; kept, as nothing to choose them by was there: {kept}" if kept else ""
        say(f"thresholds by the best F1, saved in the model: {', '.join([*chosen, f'others {others:.2f}'])}{kept}")
    say(f"the report: {finished.report}")
    say(f"to use the model: streamdet run SOURCE --model {trainer.files.path} --out annotated.mp4")
