"""`streamdet train`: builds a run from folders of labelled pictures and shows its progress."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from streamdet.cli.train_parsing import (
    parse_numbers,
    parse_or_none,
    parse_range,
    parse_repeats,
    parse_schedule,
    parse_stages,
)
from streamdet.errors import UsageError
from streamdet.options import parse_size

START, LEARN, LOSS = "What to start from", "How to learn", "What to make small"
SAMPLES, COMPUTE, NEW = "What samples look like", "How to compute", "A new detector (--start backbone)"
LossKind = Literal["focal", "ce", "balanced-ce", "ohem", "focal-star"]


def train(
    data: Annotated[
        list[Path],
        typer.Option(
            help="Folder of labelled pictures: COCO, YOLO, Pascal VOC, CSV or JSON lines. May be given again."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in --out was stopped.")] = False,
    start: Annotated[
        str,
        typer.Option(
            help="A trained model: street, coco-r50, coco-r50-v2, a file or a run's folder; or backbone, for a new "
            "detector. auto: street.",
            rich_help_panel=START,
        ),
    ] = "auto",
    frozen_stages: Annotated[
        str,
        typer.Option(
            help="Stages of the backbone that keep their weights, 0 to 5. auto: by the number of pictures.",
            rich_help_panel=START,
        ),
    ] = "auto",
    batch_norm: Annotated[
        Literal["auto", "folded", "frozen", "live"],
        typer.Option(
            help="Of the backbone. folded: into the convolutions, fastest; live: learns.", rich_help_panel=START
        ),
    ] = "auto",
    input_size: Annotated[
        str | None,
        typer.Option(
            "--input",
            help="Short x long side that the finished model scales pictures to. Default: as the start.",
            rich_help_panel=START,
        ),
    ] = None,
    anchor_base: Annotated[
        float | None, typer.Option(help="Side of the smallest anchor, in pixels of the input.", rich_help_panel=START)
    ] = None,
    anchor_scales: Annotated[
        str | None, typer.Option(help="Sizes per level, such as 1,1.26,1.59.", metavar="NUMBERS", rich_help_panel=START)
    ] = None,
    anchor_ratios: Annotated[
        str | None, typer.Option(help="Height over width, such as 0.5,1,2.", metavar="NUMBERS", rich_help_panel=START)
    ] = None,
    prior: Annotated[
        str | None,
        typer.Option(
            help="Probability of an object that new classes start from (default 0.01), or none.", rich_help_panel=START
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="mobilenet_v2 (default), efficientnet_lite0/1/2, resnet18/34/50/101, resnext50_32x4d/101_32x8d.",
            rich_help_panel=NEW,
        ),
    ] = None,
    backbone_weights: Annotated[
        str | None,
        typer.Option(help="imagenet (default; fetched), none, or the classifier's .pth file.", rich_help_panel=NEW),
    ] = None,
    channels: Annotated[
        int | None, typer.Option(help="Width of pyramid and heads (96).", min=1, rich_help_panel=NEW)
    ] = None,
    head_depth: Annotated[
        int | None, typer.Option(help="3x3 convolutions of each head (2).", min=0, rich_help_panel=NEW)
    ] = None,
    head_norm: Annotated[
        Literal["none", "group"] | None, typer.Option(help="Normalisation in the heads (group).", rich_help_panel=NEW)
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(help="Samples to train on, in all. Default: by the number of pictures.", rich_help_panel=LEARN),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(help="Samples at once, over all processes. Default: 8 or 16.", rich_help_panel=LEARN)
    ] = None,
    accumulate: Annotated[int, typer.Option(help="Batches per step of the optimizer.", rich_help_panel=LEARN)] = 1,
    lr: Annotated[
        float | None,
        typer.Option(
            help="Peak learning rate at 16 samples per step; scaled to the real number. Default: by the pictures.",
            rich_help_panel=LEARN,
        ),
    ] = None,
    optimizer: Annotated[
        Literal["adamw", "sgd"], typer.Option(help="How weights are updated.", rich_help_panel=LEARN)
    ] = "adamw",
    weight_decay: Annotated[
        float | None, typer.Option(help="Default: 0.05 for adamw, 1e-4 for sgd.", rich_help_panel=LEARN)
    ] = None,
    schedule: Annotated[
        Literal["cosine", "steps"],
        typer.Option(help="How the rate falls; steps: by 10 at 2/3 and 8/9.", rich_help_panel=LEARN),
    ] = "cosine",
    warmup: Annotated[
        float | None, typer.Option(help="Share of the steps in which the rate rises.", rich_help_panel=LEARN)
    ] = None,
    clip: Annotated[str, typer.Option(help="Largest norm of the gradients, or none.", rich_help_panel=LEARN)] = "5",
    average_decay: Annotated[
        float, typer.Option(help="Of the moving average of the weights, per step.", rich_help_panel=LEARN)
    ] = 0.995,
    start_share: Annotated[
        float | None,
        typer.Option(
            help="Share of the start's weights in the result: it forgets less. Default: by the pictures.",
            min=0,
            max=0.99,
            rich_help_panel=LEARN,
        ),
    ] = None,
    evaluate_every: Annotated[
        int | None, typer.Option(help="Samples between two evaluations.", rich_help_panel=LEARN)
    ] = None,
    loss: Annotated[LossKind, typer.Option(help="Of the classes.", rich_help_panel=LOSS)] = "focal",
    alpha: Annotated[
        float | None, typer.Option(help="Weight of positives; -1: none. Default: the paper's.", rich_help_panel=LOSS)
    ] = None,
    gamma: Annotated[float | None, typer.Option(help="Focusing. Default: the paper's.", rich_help_panel=LOSS)] = None,
    box_loss: Annotated[
        Literal["giou", "l1", "smooth-l1"], typer.Option(help="Of the boxes.", rich_help_panel=LOSS)
    ] = "giou",
    sizes: Annotated[
        str | None,
        typer.Option(
            help="Height x width @ share of the run, such as 256x352@0.65,320x448@1. Default: by --input.",
            rich_help_panel=SAMPLES,
        ),
    ] = None,
    multi_scale: Annotated[
        str, typer.Option(help="Range of a factor on the size, drawn for each step.", rich_help_panel=SAMPLES)
    ] = "1-1",
    scale: Annotated[
        str | None,
        typer.Option(
            help="Range of the scale jitter, relative to a picture that fits. Default: 0.6-1.6; crops: by --input.",
            rich_help_panel=SAMPLES,
        ),
    ] = None,
    mirror: Annotated[
        float, typer.Option(help="Share of pictures that are mirrored.", min=0, max=1, rich_help_panel=SAMPLES)
    ] = 0.5,
    colour: Annotated[
        float, typer.Option(help="Strength of the changes of colour; 0: none.", min=0, max=2, rich_help_panel=SAMPLES)
    ] = 1.0,
    mosaic: Annotated[
        float, typer.Option(help="Share of samples that join four pictures.", min=0, max=1, rich_help_panel=SAMPLES)
    ] = 0.0,
    repeat: Annotated[
        list[str] | None,
        typer.Option(help="Take pictures of a source N times per epoch.", metavar="SOURCE=N", rich_help_panel=SAMPLES),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.", rich_help_panel=COMPUTE)] = "auto",
    precision: Annotated[
        str, typer.Option(help="auto, float32, bfloat16 or (GPU) float16.", rich_help_panel=COMPUTE)
    ] = "auto",
    workers: Annotated[
        int | None, typer.Option(help="Processes that prepare samples.", min=0, rich_help_panel=COMPUTE)
    ] = None,
    cache: Annotated[
        Literal["auto", "memory", "off"],
        typer.Option(help="Decoded pictures in memory; auto: a quarter of what is free.", rich_help_panel=COMPUTE),
    ] = "auto",
    seed: Annotated[int, typer.Option(help="Of everything random.", min=0, rich_help_panel=COMPUTE)] = 0,
) -> None:
    """Train a detector on labelled pictures; the folder of the run then is a model: streamdet run --model runs/NAME.

    Where nothing is said, it follows the number of pictures. On several GPUs: torchrun ... -m -- streamdet train ...
    """
    from streamdet.cli.train_display import say
    from streamdet.cli.train_run import plan, run_to_the_end
    from streamdet.cli.train_start import NewDetector, begin, default_workers, resolve_start, training_placement
    from streamdet.detection.checkpoint import ModelCard
    from streamdet.training.augment import AugmentRule
    from streamdet.training.dataset import read_for_training
    from streamdet.training.distributed import described_processes, meet
    from streamdet.training.losses import LossRule
    from streamdet.training.recipe import aimed_for, crop_for, recipe_for, scale_for, training_sizes
    from streamdet.training.trainer import NO_PRIOR, Trainer, TrainOptions

    if (out / "state.pt").exists() and not resume:
        raise UsageError(f"{out} holds a run already; add --resume to go on with it, or give another --out")
    processes = described_processes(os.environ)
    placement = training_placement(device, precision, processes)
    on_gpu = placement.device.type == "cuda"
    new = NewDetector(backbone, backbone_weights, channels, head_depth, head_norm)
    start, kind = resolve_start(start, new)
    start_prior = None if prior is None else parse_or_none("--prior", prior, 0, 1) or NO_PRIOR
    anchor_numbers = (
        anchor_base,
        parse_numbers("--anchor-scales", anchor_scales),
        parse_numbers("--anchor-ratios", anchor_ratios),
    )

    training, validation = read_for_training(data)
    pictures = [image for dataset in training for image in dataset.images]
    class_names = training[0].class_names
    sources = {image.source for image in pictures}
    recipe = recipe_for(len(pictures), kind, optimizer, on_gpu=on_gpu)
    try:
        beginning = begin(
            start,
            new,
            class_names,
            seed,
            batch_norm=recipe.batch_norm if batch_norm == "auto" else batch_norm,
            anchor_numbers=anchor_numbers,
            prior=start_prior,
        )
        input_rule = beginning.input_rule
        if (asked := parse_size(input_size, "--input")) is not None:
            input_rule = replace(input_rule, short_side=asked[0], long_side=asked[1])
        share = processes.count * -(-recipe.batch_size // processes.count)
        samples = recipe.images_seen if images is None else images
        stages = parse_stages(frozen_stages)
        if stages and kind == "nothing":
            raise UsageError(
                f"--frozen-stages is {stages} and --backbone-weights none: random weights that stay random find "
                "nothing; leave --frozen-stages out"
            )
        look = AugmentRule()
        crop = 1.0 if sizes else crop_for(pictures, input_rule, recipe.crop)
        options = TrainOptions(
            images_seen=samples,
            batch_size=share if batch is None else batch,
            accumulate=accumulate,
            learning_rate=recipe.learning_rate if lr is None else lr,
            optimizer=optimizer,
            weight_decay=recipe.weight_decay if weight_decay is None else weight_decay,
            schedule=schedule,
            warmup=recipe.warmup if warmup is None else warmup,
            clip_norm=parse_or_none("--clip", clip, 0, float("inf")),
            average_decay=average_decay,
            start_share=start_share if start_share is not None else recipe.start_share if beginning.knows_all else 0.0,
            sizes=parse_schedule(sizes) if sizes else training_sizes(pictures, input_rule, crop),
            multi_scale=parse_range("--multi-scale", multi_scale),
            frozen_stages=recipe.frozen_stages if stages is None else stages,
            evaluate_every=min(4_500, max(samples // 4, 1)) if evaluate_every is None else evaluate_every,
            workers=default_workers(processes.count, on_gpu=on_gpu) if workers is None else workers,
            cache=cache,
            seed=seed,
            repeats=parse_repeats(repeat or [], sources),
            loss=LossRule(loss, alpha=alpha, gamma=gamma, box=box_loss),
            augment=AugmentRule(
                mosaic=mosaic,
                scale=parse_range("--scale", scale) if scale else scale_for(crop),
                mirror=mirror,
                aimed=aimed_for(crop),
                brightness=look.brightness * colour,
                contrast=look.contrast * colour,
                saturation=look.saturation * colour,
            ),
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    card = ModelCard(out.resolve().name, class_names, beginning.config, input_rule, beginning.thresholds, voting=True)
    meet(processes, placement.device)
    about = {"start": start, "data": [str(path) for path in data], "command": ["streamdet", *sys.argv[1:]]}
    trainer = Trainer(
        out, card, beginning.network, pictures, validation, options, placement, processes=processes, about=about
    )
    if resume:
        trainer.resume()
    if processes.is_main:
        for sentence in plan(trainer, beginning.sentence, training, validation):
            say(sentence)
    run_to_the_end(trainer, pictures)
