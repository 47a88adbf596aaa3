"""`streamdet eval`: average precision of a model on labelled pictures, through the Detector that streams."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from streamdet.errors import DataError, UsageError
from streamdet.options import parse_size


def evaluate_model(
    data: Annotated[list[Path], typer.Option(help="COCO .json file, or folder with val*.json. May be given again.")],
    model: Annotated[str, typer.Option(help="A model's name or file.")] = "street",
    size: Annotated[
        str | None, typer.Option(help="Short x long side of the input. Default: the model decides.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32, float16 or bfloat16.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Measure a model: AP and AP50 as COCO counts them, per set and class. Classes are matched by name."""
    from rich.console import Console
    from rich.table import Table

    from streamdet.detection.detector import Detector
    from streamdet.training.dataset import read_coco
    from streamdet.training.evaluate import evaluate
    from streamdet.training.trainer import EVALUATION_RULE

    paths = [path for given in data for path in (sorted(given.glob("val*.json")) if given.is_dir() else [given])]
    if not paths:
        raise DataError(f"no val*.json in {', '.join(map(str, data))}; give a COCO .json file")
    detector = Detector.load(
        model, device=device, precision=precision, size=parse_size(size), conf=EVALUATION_RULE.score_threshold
    )
    results, table = {}, Table("set", "images", "AP", "AP50", "AP50 per class", "ms/image")
    for path in paths:
        dataset = read_coco(path)
        if not set(dataset.class_names) & set(detector.card.class_names):
            raise UsageError(f"{path} and {detector.card.name} share no class name; choose another model or data")
        started = time.perf_counter()
        scores = evaluate(detector, dataset)
        milliseconds = (time.perf_counter() - started) * 1000 / max(len(dataset.images), 1)
        results[dataset.name] = scores.to_json()
        per_class = " ".join(f"{name} {value:.3f}" for name, value in scores.ap50_per_class.items() if value == value)
        numbers = f"{scores.ap:.3f}", f"{scores.ap50:.3f}"
        table.add_row(dataset.name, str(scores.images), *numbers, per_class, f"{milliseconds:.0f}")
    if as_json:
        typer.echo(json.dumps({"model": detector.card.name, "sha256": detector.sha256, "sets": results}, indent=2))
    else:
        Console(stderr=True).print(table)
