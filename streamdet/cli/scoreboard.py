"""What `streamdet eval` shows: a block of numbers and a table of classes per set, or all of it as JSON."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from streamdet.training.assess import Assessment, FloatArray, assess_found
from streamdet.training.calibration import Scaling, reliability
from streamdet.training.thresholds import ALL_OTHERS, LEAST_OBJECTS, Choice, OperatingPoint, operating_point

if TYPE_CHECKING:
    from streamdet.detection.detector import Detector
    from streamdet.training.dataset import Dataset


@dataclass(frozen=True)
class Measured:
    """One set's results."""

    assessment: Assessment
    milliseconds: FloatArray
    """Per picture, network and post-processing."""

    def rescaled(self, scaling: Scaling) -> Measured:
        """What the network gives with scaled scores."""
        found = [scaling.apply(image.detections) for image in self.assessment.images]
        return Measured(assess_found(self.assessment.dataset, found), self.milliseconds)

    def points(self, choice: Choice) -> dict[str, OperatingPoint]:
        """What the chosen thresholds make of each class of the set."""
        rest = choice.thresholds.get(ALL_OTHERS, 1.0)
        return {
            name: operating_point(curve, choice.thresholds.get(name, rest))
            for name, curve in self.assessment.curves.items()
        }


@contextlib.contextmanager
def progress_bar(dataset: Dataset) -> Iterator[Callable[[int], None]]:
    """Shows how many pictures are done, on a terminal; yields what is to be told of each batch."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(compact=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(dataset.name, total=len(dataset.images))
        yield lambda count: progress.advance(task, count)


def to_json(
    detector: Detector,
    measured: list[Measured],
    choice: Choice,
    rule: str,
    scaling: Scaling | None,
    saved_in: Path | None,
) -> dict[str, Any]:
    """Everything that was measured, as plain values."""
    return {
        "model": detector.card.name,
        "sha256": detector.sha256,
        "device": str(detector.placement.device),
        "precision": detector.engine.precision if detector.engine else detector.placement.precision,
        "engine": detector.engine.name if detector.engine else None,
        "input": {"short_side": detector.input_rule.short_side, "long_side": detector.input_rule.long_side},
        "thresholds": {
            "rule": rule,
            "chosen": choice.thresholds,
            "short_of_target": list(choice.short_of_target),
            "saved_in": None if saved_in is None else str(saved_in),
        },
        "scaling": None if scaling is None else {"slope": scaling.slope, "offset": scaling.offset},
        "sets": {each.assessment.dataset.name: _set_to_json(each, choice, detector) for each in measured},
    }


def _set_to_json(measured: Measured, choice: Choice, detector: Detector) -> dict[str, Any]:
    assessment = measured.assessment
    trust = reliability(assessment)
    p50, p95 = np.percentile(measured.milliseconds, (50, 95))
    points = {name: point for name, point in measured.points(choice).items() if point.objects or point.kept}
    return {
        **assessment.scores.to_json(),
        "objects_per_class": {name: curve.objects for name, curve in assessment.curves.items() if curve.objects},
        "at_thresholds": {
            name: {
                "threshold": _threshold(name, choice, detector),
                "detections": point.kept,
                "right": point.found,
                "precision": _rounded(point.precision),
                "recall": _rounded(point.recall),
                "f1": _rounded(point.f1),
            }
            for name, point in points.items()
        },
        "calibration": {
            "error": _rounded(trust.error),
            "counts": trust.counts.tolist(),
            "mean_scores": [_rounded(value) for value in trust.mean_scores],
            "shares_right": [_rounded(value) for value in trust.shares_right],
        },
        "ms_per_picture": {"p50": round(float(p50), 2), "p95": round(float(p95), 2)},
    }


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def show_measured(
    console: Console,
    detector: Detector,
    measured: list[Measured],
    choice: Choice,
    target: float | None,
    scaling: Scaling | None,
    saved_in: Path | None,
) -> None:
    """Print the results; they fit into 80 columns."""
    placement, rule = detector.placement, detector.input_rule
    by = f"{detector.engine.precision} by {detector.engine.name}" if detector.engine else placement.precision
    where = f"{by} on {placement.device}, input {rule.short_side}x{rule.long_side}"
    console.print(Text.assemble((detector.card.name, "bold"), (f"  {where}", "dim")))
    for each in measured:
        _show_set(console, each, choice, detector)
    console.print()
    if scaling is not None:
        formula = f"{scaling.slope:.2f} x logit {scaling.offset:+.2f}"
        console.print(Text(f"Scores calibrated on these pictures: {formula}.", style="dim"))
    for note, style in _notes(detector, measured, choice, target, saved_in):
        console.print(Text(note, style=style))


def _show_set(console: Console, measured: Measured, choice: Choice, detector: Detector) -> None:
    assessment = measured.assessment
    objects = sum(curve.objects for curve in assessment.curves.values())
    console.print()
    console.rule(
        Text.assemble(
            (assessment.dataset.name, "bold"), f"  {assessment.scores.images:,} pictures, {objects:,} objects"
        ),
        align="left",
        style="dim",
    )
    console.print(_numbers(assessment))
    console.print()
    console.print(_classes(measured, choice, detector))
    p50, p95 = (f"{value:.{0 if value >= 10 else 1}f}" for value in np.percentile(measured.milliseconds, (50, 95)))
    error = _share(reliability(assessment).error)
    line = f"  calibration error {error}   network and NMS {p50} ms per picture, 95% under {p95} ms"
    console.print(Text(line, style="dim"))


def _numbers(assessment: Assessment) -> Padding:
    scores = assessment.scores
    grid = Table.grid(padding=(0, 1, 0, 0))
    for _ in range(6):
        grid.add_column(style="dim", min_width=5)
        grid.add_column(min_width=6)
    for row in (
        {
            "AP": scores.ap,
            "AP50": scores.ap50,
            "AP75": scores.ap75,
            "small": scores.ap_small,
            "medium": scores.ap_medium,
            "large": scores.ap_large,
        },
        {
            "AR100": scores.ar_100,
            "AR10": scores.ar_10,
            "AR1": scores.ar_1,
            "small": scores.ar_small,
            "medium": scores.ar_medium,
            "large": scores.ar_large,
        },
    ):
        style = "bold" if "AP" in row else ""
        cells: list[Text] = []
        for name, value in row.items():
            cells += [Text(name), Text(_share(value), style=style)]
        grid.add_row(*cells)
    return Padding(grid, (0, 0, 0, 2), expand=False)


def _classes(measured: Measured, choice: Choice, detector: Detector) -> Table:
    """A row per class that has objects in this set, and one for all."""
    assessment, points = measured.assessment, measured.points(choice)
    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column(" class", overflow="ellipsis", no_wrap=True, min_width=12, max_width=22)
    for heading in ("objects", "AP", "AP50", "threshold", "precision", "recall", "F1"):
        table.add_column(heading, justify="right")
    for name, point in points.items():
        if point.objects:
            precisions = assessment.scores.ap_per_class[name], assessment.scores.ap50_per_class[name]
            threshold = _threshold(name, choice, detector)
            star = " " if name in choice.thresholds else "*"
            shown = "- " if threshold is None else f"{threshold:.2f}{star}"
            table.add_row(f" {name}", *_cells(point, precisions, shown))
    counts = [(point.kept, point.found, point.objects) for point in points.values()]
    whole = OperatingPoint(*(sum(column) for column in zip(*counts, strict=True)))
    table.add_row(" all", *_cells(whole, (assessment.scores.ap, assessment.scores.ap50), ""), style="bold")
    return table


def _cells(point: OperatingPoint, precisions: tuple[float, float], threshold: str) -> list[str]:
    values = (point.precision, point.recall, point.f1)
    return [f"{point.objects:,}", *map(_share, precisions), threshold, *map(_share, values)]


def _threshold(name: str, choice: Choice, detector: Detector) -> float | None:
    """Of a class that the model knows, if there was anything to choose by."""
    if name not in detector.card.class_names:
        return None
    return choice.thresholds.get(name, choice.thresholds.get(ALL_OTHERS))


def _share(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "-"


def _notes(
    detector: Detector, measured: list[Measured], choice: Choice, target: float | None, saved_in: Path | None
) -> list[tuple[str, str]]:
    """What the numbers alone don't say, and in which style."""
    goal = "the best F1" if target is None else f"precision {target:g}"
    sets = "all sets" if len(measured) > 1 else "this set"
    notes = [(f"Thresholds for {goal} on {sets}; precision, recall and F1 at IoU 0.5.", "dim")]
    curves = [curve for each in measured for curve in each.assessment.curves.values() if curve.objects]
    unknown = list(dict.fromkeys(curve.name for curve in curves if curve.name not in detector.card.class_names))
    if any(curve.name not in (*choice.thresholds, *unknown) for curve in curves):
        notes.append((f"*  under {LEAST_OBJECTS} objects, or never detected: the threshold of all classes.", "dim"))
    if choice.short_of_target:
        short = ", ".join("all classes" if name == ALL_OTHERS else name for name in choice.short_of_target)
        notes.append((f"No threshold gives precision {target:g} for {short}: taken is that of the best F1.", "yellow"))
    if unknown:
        notes.append(
            (f"{detector.card.name} doesn't know {', '.join(unknown)}: these objects count as missed.", "yellow")
        )
    if saved_in is not None:
        notes.append((f"Saved in {saved_in}: `streamdet run` uses these thresholds unless --conf is given.", ""))
    return notes
