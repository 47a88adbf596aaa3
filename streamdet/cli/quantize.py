"""`streamdet quantize`: a model in INT8, calibrated on the user's own frames, with what it gains and what it loses."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer

from streamdet.errors import UsageError
from streamdet.options import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from streamdet.detection.checkpoint import Model
    from streamdet.detection.detector import Detector
    from streamdet.detection.resize import InputRule
    from streamdet.types import Frame

ENGINES = ("openvino", "openvino-int8")
ROUNDS = 9


@dataclass(frozen=True)
class Gains:
    """INT8 beside the usual network of the same engine."""

    path: Path
    calibrated_on: int
    compared_on: int
    ms: dict[str, float]
    """Network of one frame, by engine."""
    ratios: list[float]
    """How many times as fast INT8 is, round by round, ascending."""
    agreement: dict[str, float]
    """AP50 on the frames that were not calibrated on, with the float32 network's boxes taken for the truth."""
    ap50: dict[str, dict[str, float]]
    """By set of labelled pictures, by engine."""


def quantize(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A clip, or a folder of pictures, like those to come.")
    ],
    model: Annotated[str, typer.Option(help="A model's name or file, or a run's folder.")] = "street",
    size: Annotated[
        str | None, typer.Option(help="Short x long side of the model's input. Default: the model decides.")
    ] = None,
    frames: Annotated[int, typer.Option(help="Frames to calibrate on, spread over the source.", metavar="N")] = 100,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Labelled pictures to measure the loss on, as for eval. May be given again."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Make a model's INT8 network for --engine openvino-int8, and show what it gains and what it loses.

    Half of the frames are calibrated on, the others tell how near its boxes are to those of the float32 network.
    """
    from rich.console import Console

    from streamdet.cli.eval import validation_sets
    from streamdet.cli.receipt import FetchDisplay
    from streamdet.detection.engines.int8 import FEWEST_PICTURES, check_int8
    from streamdet.detection.models import find_model

    check_int8()
    if frames < FEWEST_PICTURES:
        raise UsageError(f"--frames is {frames}; give {FEWEST_PICTURES} at least")
    sets = validation_sets(list(data or ()))
    with FetchDisplay(model) as display:
        found = find_model(model, progress=display.update)
    rule = _input_rule(found, parse_size(size))
    taken = _take(source, 2 * frames)
    gains = _measure(found, rule, taken[::2], taken[1::2], sets)
    if as_json:
        typer.echo(json.dumps(to_json(found, gains), indent=2))
    else:
        show(Console(), found, gains)


def _input_rule(model: Model, size: tuple[int, int] | None) -> InputRule:
    from dataclasses import replace

    rule = model.card.input_rule
    return rule if size is None else replace(rule, short_side=size[0], long_side=size[1])


def _take(source: str, count: int) -> list[Frame]:
    """`count` frames, spread over the source; fewer where it has fewer. Raises SourceError."""
    from streamdet.video.sources import open_source

    with open_source(source) as opened:
        total = opened.info.expected_frames or count
    with open_source(source, every=max(1, total // count)) as opened:
        return list(islice((frame for frame in opened if not frame.damaged), count))


def _measure(model: Model, rule: InputRule, calibrated: Sequence[Frame], others: Sequence[Frame], sets: list) -> Gains:  # type: ignore[type-arg]
    import torch

    from streamdet.detection.engines.int8 import quantize as quantize_model
    from streamdet.detection.precision import Placement, choose_placement
    from streamdet.detection.weights import default_cache_dir
    from streamdet.training.evaluate import evaluate, evaluation_detector

    with _progress("calibrating") as advance:
        pictures = [_normalised(frame, rule) for frame in calibrated]
        path = quantize_model(model, pictures, default_cache_dir(), advance)
    placement = choose_placement("cpu", "auto")
    detectors = {name: evaluation_detector(model, placement, input_rule=rule, engine=name) for name in ENGINES}
    exact = evaluation_detector(
        model, Placement(torch.device("cpu"), torch.float32), input_rule=rule, engine="openvino"
    )
    with _progress("comparing") as advance:
        agreement = _agreement(model, exact, detectors, others, advance)
        ms, ratios = _speeds(detectors, others or calibrated)
        ap50 = {
            dataset.name: {
                name: evaluate(detector, dataset, progress=advance).ap50 for name, detector in detectors.items()
            }
            for dataset in sets
        }
    return Gains(path, len(calibrated), len(others), ms, ratios, agreement, ap50)


def _normalised(frame: Frame, rule: InputRule) -> Tensor:
    import torch

    from streamdet.detection.resize import to_batch

    fitting = rule.fit(frame.width, frame.height)
    scaled = fitting.resize(frame.picture, exact=rule.exact)
    return to_batch([scaled], fitting, rule, torch.device("cpu"))


def _agreement(
    model: Model,
    exact: Detector,
    detectors: dict[str, Detector],
    frames: Sequence[Frame],
    advance: Callable[[int], None],
) -> dict[str, float]:
    """AP50 of each detector against what the exact one shows at the model's own thresholds."""
    import numpy as np

    from streamdet.training.dataset import Dataset, LabelledImage
    from streamdet.training.evaluate import score

    names = model.card.class_names
    least = np.array([model.card.threshold(name) for name in names], np.float32)
    images, found = [], {name: [] for name in detectors}  # type: ignore[var-annotated]
    for frame in frames:
        [truth] = exact([frame.picture])
        truth = truth[truth.scores >= least[truth.class_ids]]
        images.append(
            LabelledImage(
                Path(f"{frame.index}"),
                frame.width,
                frame.height,
                truth.boxes_xyxy,
                truth.class_ids,
                np.zeros((0, 4), np.float32),
                np.zeros(0, np.int64),
                np.ones(len(names), np.bool_),
                "",
                "",
            )
        )
        for name, detector in detectors.items():
            found[name] += detector([frame.picture])
        advance(1)
    if not sum(len(image.boxes_xyxy) for image in images):
        return {}
    dataset = Dataset("frames", names, tuple(images))
    return {name: score(dataset, each).ap50 for name, each in found.items()}


def _speeds(detectors: dict[str, Detector], frames: Sequence[Frame]) -> tuple[dict[str, float], list[float]]:
    """Milliseconds of the network per frame, and INT8's gain round by round, both in turns."""
    rounds: list[dict[str, float]] = []
    for place in range(ROUNDS):
        picture = frames[place % len(frames)].picture
        times = {}
        for name, detector in detectors.items():
            detector([picture])
            times[name] = detector.seconds["network"] * 1000
        rounds.append(times)
    usual, int8 = ENGINES
    return (
        {name: median(times[name] for times in rounds) for name in detectors},
        sorted(times[usual] / times[int8] for times in rounds),
    )


def to_json(model: Model, gains: Gains) -> dict[str, object]:
    """All that was measured, as plain values."""
    return {
        "model": model.card.name,
        "file": str(gains.path),
        "calibrated_on": gains.calibrated_on,
        "compared_on": gains.compared_on,
        "network_ms": {name: round(ms, 3) for name, ms in gains.ms.items()},
        "times_as_fast": [round(ratio, 3) for ratio in gains.ratios],
        "agreement_ap50": {name: round(value, 4) for name, value in gains.agreement.items()},
        "ap50": {set_: {name: round(value, 4) for name, value in each.items()} for set_, each in gains.ap50.items()},
    }


def show(console: object, model: Model, gains: Gains) -> None:
    """Print the table; it fits into 80 columns."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from streamdet.cli.bench_display import ratio_text
    from streamdet.video.base import printable

    assert isinstance(console, Console)
    usual, int8 = ENGINES
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("", usual, "INT8", ""):
        table.add_column(heading, justify="left" if not heading else "right")
    table.add_row("network, ms", f"{gains.ms[usual]:.1f}", f"{gains.ms[int8]:.1f}", f"{ratio_text(gains.ratios)} times")
    rows = {"AP50 against float32": gains.agreement} if gains.agreement else {}
    rows |= {f"AP50 on {printable(name)}": each for name, each in gains.ap50.items()}
    for name, each in rows.items():
        table.add_row(
            name, f"{each[usual]:.3f}", f"{each[int8]:.3f}", f"{(each[int8] - each[usual]) * 100:+.1f} points"
        )
    console.print(Text(f"{model.card.name} in INT8, calibrated on {gains.calibrated_on} frames"))
    console.print(table)
    console.print(f"Use it with --engine openvino-int8 --model {model.card.name}", style="dim", markup=False)


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int], None]]:
    """A line on a terminal; gives what is to be told of pictures done."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    console = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("{task.description}, {task.completed} pictures")
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda count: progress.advance(task, count)
