"""What `streamdet train` starts from, and where it runs."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from streamdet.errors import UsageError

if TYPE_CHECKING:
    from streamdet.detection.anchors import AnchorRule
    from streamdet.detection.precision import Placement
    from streamdet.detection.resize import InputRule
    from streamdet.detection.retinanet import RetinaNet, RetinaNetConfig
    from streamdet.training.distributed import Processes
    from streamdet.training.recipe import Start

BACKBONE, AUTO = "backbone", "auto"
DEFAULT_MODEL = "street"
ANCHOR_BASE = 20.0
"""Pixels: smaller than the paper's 32, for small inputs."""


@dataclass(frozen=True)
class NewDetector:
    """What a user may say about a detector that is built anew; None where nothing was said."""

    backbone: str | None = None
    backbone_weights: str | None = None
    channels: int | None = None
    head_depth: int | None = None
    head_norm: str | None = None

    def given(self) -> list[str]:
        """The options that were given, in the command line's words."""
        return [f"--{name.replace('_', '-')}" for name, value in vars(self).items() if value is not None]


@dataclass(frozen=True)
class Beginning:
    """A network to train, and what is known of it."""

    network: RetinaNet
    config: RetinaNetConfig
    input_rule: InputRule
    thresholds: dict[str, float]
    sentence: str
    knows_all: bool = False
    """Nothing is new: it has every class, and its own anchors."""


def resolve_start(start: str, new: NewDetector) -> tuple[str, Start]:
    """The model's name or "backbone" for what the user gave as --start, and what kind of start that is.

    A trained detector beats a backbone with new heads even where it knows none of the classes, so `auto` is the shipped
    model, unless the options describe a new detector. Raises UsageError when they contradict each other.
    """
    if start == AUTO:
        start = BACKBONE if new.given() else DEFAULT_MODEL
    if start != BACKBONE:
        if new.given():
            raise UsageError(
                f"{new.given()[0]} describes a new detector, but --start {start} brings its own network; leave one out"
            )
        return start, "detector"
    return start, "nothing" if new.backbone_weights == "none" else "backbone"


def begin(
    start: str,
    new: NewDetector,
    class_names: Sequence[str],
    seed: int,
    *,
    batch_norm: str,
    anchor_numbers: tuple[float | None, tuple[float, ...] | None, tuple[float, ...] | None],
    prior: float | None,
) -> Beginning:
    """The network that a run starts from. `start`: from `resolve_start`; `anchor_numbers`: base, scales and ratios.

    Raises ModelError when a model can't be had, UsageError when an option doesn't go with it.
    """
    from streamdet.cli.receipt import FetchDisplay
    from streamdet.detection.anchors import LEVEL_STRIDES, AnchorRule
    from streamdet.detection.backbones import batch_norm_eps
    from streamdet.detection.models import find_model
    from streamdet.detection.resize import InputRule
    from streamdet.detection.retinanet import RetinaNetConfig
    from streamdet.training.start import continue_network, known_rows, start_network

    def anchors(rule: AnchorRule) -> AnchorRule:
        base, scales, ratios = anchor_numbers
        if base is not None and not 1 <= base < float("inf"):
            raise UsageError(f"--anchor-base is {base:g}; give a side in pixels of the input, such as 20")
        sides = rule.base_sides if base is None else tuple(base * stride / LEVEL_STRIDES[0] for stride in LEVEL_STRIDES)
        return replace(rule, base_sides=sides, scales=scales or rule.scales, ratios=ratios or rule.ratios)

    names = tuple(class_names)
    with FetchDisplay(start) as display:
        if start != BACKBONE:
            model = find_model(start, progress=display.update)
            card = model.card
            network, config, kept = continue_network(
                model, names, seed, batch_norm=batch_norm, anchors=anchors(card.config.anchors), prior=prior
            )
            # Until thresholds are chosen on a validation set.
            thresholds = {"*": card.threshold("*")} | {
                name: card.threshold(name) for name in names if name in card.thresholds
            }
            knows_all = None not in known_rows(card, names) and anchor_numbers == (None, None, None)
            return Beginning(network, config, card.input_rule, thresholds, f"starting from {start}: {kept}", knows_all)
        backbone, channels, head_norm = new.backbone or "mobilenet_v2", new.channels or 96, new.head_norm or "group"
        if head_norm == "group" and (channels < 64 or channels % 32):
            raise UsageError(
                f"--channels is {channels}; the heads' norm takes 32 groups of 2 or more: give 64, 96, 128, ..., or "
                "--head-norm none"
            )
        config = RetinaNetConfig(
            num_classes=len(names),
            backbone=backbone,
            anchors=anchors(AnchorRule(base_sides=tuple(ANCHOR_BASE * s / LEVEL_STRIDES[0] for s in LEVEL_STRIDES))),
            channels=channels,
            head_depth=2 if new.head_depth is None else new.head_depth,
            head_norm=head_norm,
            batch_norm_eps=batch_norm_eps(backbone),
            prior=prior or 0.01,
        )
        weights = new.backbone_weights or "imagenet"
        if weights == "none" and batch_norm != "live":
            raise UsageError(
                f"--batch-norm is {batch_norm} and --backbone-weights none: fixed statistics of random weights don't "
                "train; leave --batch-norm out, or start from ImageNet's weights"
            )
        network, config = start_network(config, weights, seed, batch_norm=batch_norm, progress=display.update)
        whose = {"imagenet": "its ImageNet weights", "none": "random weights"}.get(weights, weights)
        sentence = f"starting a new detector on {config.backbone} with {whose}"
        return Beginning(network, config, InputRule(320, 544), {"*": 0.4}, sentence)


def training_placement(device: str, precision: str, processes: Processes) -> Placement:
    """Where to train, and in which mixed precision. Raises UsageError.

    Of the half precisions a GPU takes bfloat16 where it has units for it: float16's gradients need scaling.
    """
    import torch

    from streamdet.detection.precision import Placement, choose_placement

    placement = choose_placement(device, precision)
    if placement.device.type == "cuda":
        dtype = placement.dtype
        if precision == AUTO:
            dtype = torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
        number = processes.local_rank if processes.count > 1 else placement.device.index or 0
        if number >= torch.cuda.device_count():
            raise UsageError(
                f"there are {torch.cuda.device_count()} GPUs and process {number} of this machine has none; start as "
                "many processes as there are GPUs, or add --device cpu"
            )
        return Placement(torch.device("cuda", number), dtype)
    if placement.dtype == torch.float16:
        raise UsageError("--precision is float16, which trains on GPUs only; take bfloat16 or float32")
    return placement


def default_workers(processes: int, *, on_gpu: bool) -> int:
    """A CPU's cores are needed by the network; a GPU waits for as many as there are."""
    cores = len(os.sched_getaffinity(0)) // processes
    return min(max(cores - 1, 1), 12) if on_gpu else int(cores > 1)


class StopRequest:
    """Turns true when the user or the system asks the run to end."""

    asked = False

    def __call__(self) -> bool:
        """True when asked."""
        return self.asked


@contextlib.contextmanager
def stop_on_signals(*, talks: bool) -> Iterator[StopRequest]:
    """The first SIGINT or SIGTERM asks for the end of the step, the same once more ends at once (what is saved stands).

    Ctrl-C under torchrun brings both, one after the other: that is one request.
    """
    request = StopRequest()
    seen: set[int] = set()

    def handle(number: int, _: object) -> None:
        if number in seen:
            os._exit(130)
        if talks and not seen:
            os.write(sys.stderr.fileno(), b"\nstreamdet: finishing this step and saving; once more to stop at once\n")
        seen.add(number)
        request.asked = True

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
