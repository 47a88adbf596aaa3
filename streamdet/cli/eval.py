"""`streamdet eval`: how good a model is on labelled pictures, from which scores on it should report, and how fast."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamdet.errors import DataError, ModelError, UsageError
from streamdet.options import parse_size

if TYPE_CHECKING:
    from streamdet.detection.detector import Detector
    from streamdet.training.assess import Assessment
    from streamdet.training.dataset import Dataset
    from streamdet.training.thresholds import Choice


def evaluate_model(
    data: Annotated[
        list[Path], typer.Option(help="Folder with labelled validation pictures, or a label file. May be given again.")
    ],
    model: Annotated[str, typer.Option(help="A model's name or file, or a run's folder.")] = "street",
    thresholds: Annotated[
        str,
        typer.Option(
            help="The score from which a class is reported: f1 (best F1) or precision:0.9 (that share is right).",
            metavar="RULE",
        ),
    ] = "f1",
    save: Annotated[
        bool, typer.Option("--save", help="Keep these scores in the model's file, for `streamdet run`.")
    ] = False,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="Fit the scores to these pictures, so that of those near 0.7 about 70 in 100 are right; kept with "
            "--save.",
        ),
    ] = False,
    size: Annotated[
        str | None, typer.Option(help="Short x long side of the input. Default: the model decides.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32, float16 or bfloat16.")] = "auto",
    engine: Annotated[str, typer.Option(help="auto, torch, winograd, openvino or openvino-int8.")] = "torch",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Measure a model: average precision and recall as COCO counts them, per set and class; thresholds and speed.

    Classes are matched by name. Objects in crowds, and classes that a picture was not labelled for, don't count.
    """
    from rich.console import Console

    from streamdet.cli.scoreboard import Measured, progress_bar, show_measured, to_json
    from streamdet.training.assess import assess_found
    from streamdet.training.calibration import fit_scaling, save_scaling
    from streamdet.training.evaluate import find_objects
    from streamdet.training.thresholds import save_thresholds

    target = parse_rule(thresholds)
    input_size = parse_size(size)
    path = writable_model(model) if save else None
    sets = validation_sets(data)
    detector = load_detector(model, input_size, device, precision, engine)
    for dataset in sets:
        if not set(dataset.class_names) & set(detector.card.class_names):
            raise UsageError(
                f"{dataset.name} has the classes {', '.join(dataset.class_names)} and {detector.card.name} knows "
                f"{', '.join(detector.card.class_names)}; choose another model or data"
            )
    measured = []
    for dataset in sets:
        with progress_bar(dataset) as advance:
            found = find_objects(detector, dataset.images, progress=advance)
        measured.append(Measured(assess_found(dataset, found.detections), found.milliseconds))
    scaling = fit_scaling([each.assessment for each in measured]) if calibrate else None
    if scaling is not None:
        measured = [each.rescaled(scaling) for each in measured]
    choice = choose([each.assessment for each in measured], target, must=save)
    if path is not None:
        if scaling is not None:
            save_scaling(path, scaling)
        save_thresholds(path, choice)
    if as_json:
        typer.echo(json.dumps(to_json(detector, measured, choice, thresholds, scaling, path), indent=2))
    else:
        show_measured(Console(), detector, measured, choice, target, scaling, path)


def parse_rule(text: str) -> float | None:
    """The precision asked for, from "precision:0.9"; None from "f1". Raises UsageError."""
    if text == "f1":
        return None
    kind, _, number = text.partition(":")
    try:
        target = float(number)
    except ValueError:
        target = -1.0
    if kind != "precision" or not 0 < target <= 1:
        raise UsageError(f"--thresholds is {text!r}; give f1, or precision: with a share such as precision:0.9")
    return target


def writable_model(model: str) -> Path:
    """The file that `--save` writes into. Raises UsageError for models that belong to streamdet or to torchvision."""
    from streamdet.detection.models import SHIPPED
    from streamdet.detection.shipped import shipped_model_path
    from streamdet.detection.weights import PUBLISHED

    path = Path(model).expanduser()
    if path.is_dir():
        path = path / "best.safetensors"
    shipped = {name: shipped_model_path(name) for name in SHIPPED}
    for name, own in shipped.items():
        if model == name or (own is not None and path.exists() and own.samefile(path)):
            raise UsageError(
                f"--save would change the model {name} that comes with streamdet; copy it first (cp {own} "
                "mine.safetensors) and give --model mine.safetensors"
            )
    if model in PUBLISHED or path.suffix != ".safetensors":
        raise UsageError(
            f"--save writes into .safetensors files of `streamdet train`, and {model} is none; give its scores to "
            "`streamdet run` by --conf, or train a model from it with `streamdet train --start`"
        )
    if not path.exists():
        raise ModelError(f"there is no file {path}; give a run's folder or a .safetensors file")
    return path


def validation_sets(paths: list[Path]) -> list[Dataset]:
    """The validation sets of folders, and label files whatever their names. Raises DataError when there is none."""
    from streamdet.training.formats.find import find_sets

    found = []
    for path in paths:
        in_path = find_sets(path)
        sets = in_path.validation or (() if path.is_dir() else in_path.training)
        if not sets:
            raise DataError(
                f"{path} holds only sets for training ({', '.join(dataset.name for dataset in in_path.training)}), and "
                "a model isn't measured on what it learned; give a label file instead of the folder to do so anyway"
            )
        found += [(path, dataset) for dataset in sets]
    names = [dataset.name for _, dataset in found]
    for path, dataset in found:
        if not dataset.images:
            raise DataError(f"{path}: {dataset.name} holds no picture; give labelled pictures")
    return [
        replace(dataset, name=f"{path.name if path.is_dir() else path.parent.name}/{dataset.name}")
        if names.count(dataset.name) > 1
        else dataset
        for path, dataset in found
    ]


def load_detector(
    model: str, size: tuple[int, int] | None, device: str, precision: str, engine: str = "torch"
) -> Detector:
    """The model, set to report doubtful objects too. Raises ModelError or UsageError."""
    from streamdet.cli.receipt import FetchDisplay
    from streamdet.detection.models import find_model
    from streamdet.detection.precision import choose_placement
    from streamdet.training.evaluate import evaluation_detector

    placement = choose_placement(device, precision)
    with FetchDisplay(model) as display:
        found = find_model(model, progress=display.update)
    rule = found.card.input_rule
    if size is not None:
        rule = replace(rule, short_side=size[0], long_side=size[1])
    return evaluation_detector(found, placement, input_rule=rule, engine=engine)


def choose(assessments: list[Assessment], target: float | None, *, must: bool) -> Choice:
    """Thresholds; none where there is nothing to choose them by, unless they `must` be: then DataError."""
    from streamdet.training.thresholds import Choice, choose_thresholds

    try:
        return choose_thresholds(assessments, precision=target)
    except DataError:
        if must:
            raise
        return Choice({})
