"""The report of a run: all its pictures, and one HTML page that holds them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streamdet import html
from streamdet.detection.checkpoint import Model, ModelCard
from streamdet.errors import OutputError
from streamdet.training.assess import Assessment
from streamdet.training.checking.coverage import anchor_coverage
from streamdet.training.dataset import LabelledImage
from streamdet.training.losses import LossRule
from streamdet.training.pictures.confusion import confusion_matrix, draw_confusion
from streamdet.training.pictures.coverage import draw_anchor_coverage
from streamdet.training.pictures.curves import draw_average_precision, draw_losses
from streamdet.training.pictures.figure4 import GAMMAS, Figure4, draw_figure4, gather_losses
from streamdet.training.pictures.metrics import Metrics, read_metrics
from streamdet.training.pictures.outcomes import best, outcomes, worst
from streamdet.training.pictures.precision_recall import draw_precision_recall
from streamdet.training.pictures.sheets import draw_sheet
from streamdet.training.thresholds import operating_point

TILES = 12
"""Pictures of a contact sheet."""
FEW_ROWS = 24
"""A longer table is folded."""


def write_report(
    folder: Path,
    model: Model,
    assessments: Sequence[Assessment],
    training_images: Sequence[LabelledImage],
    loss: LossRule,
) -> Path:
    """Draw a finished run's pictures into its `folder`, and `report.html` around them; returns its path.

    `model` is the one to be used (its card holds the thresholds), `assessments` are its validation sets; `metrics.csv`
    and `args.json` are read from the folder where they are. The classes of `training_images` are the model's.

    Raises DataError when a picture of the data can't be read, OutputError when the folder can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _write(folder, model, assessments, training_images, loss)
    except OSError as error:
        raise OutputError(
            f"the report can't be written to {folder} ({error.strerror or error}); make room, or see to its rights"
        ) from error


def _write(
    folder: Path,
    model: Model,
    assessments: Sequence[Assessment],
    training_images: Sequence[LabelledImage],
    loss: LossRule,
) -> Path:
    metrics = read_metrics(folder / "metrics.csv")
    parts = _head(folder, model.card, assessments, metrics, len(training_images))
    parts += _training(folder, metrics)
    for assessment, stem in zip(assessments, _stems([a.dataset.name for a in assessments]), strict=True):
        parts += _validation(folder, model.card, assessment, stem)
    parts += _data(folder, model, assessments, training_images, loss)
    parts += _options(folder)
    path = folder / "report.html"
    aside = path.with_name("report.html.part")
    aside.write_text(html.page(f"{model.card.name}: report", parts), encoding="utf-8")
    return aside.replace(path)


def _head(folder: Path, card: ModelCard, assessments: Sequence[Assessment], metrics: Metrics, images: int) -> list[str]:
    steps, _ = metrics.curve("step")
    done = f"{int(steps[-1])} steps" if len(steps) else "no logged steps"
    names = ", ".join(card.class_names[:FEW_ROWS]) + (", …" if len(card.class_names) > FEW_ROWS else "")
    parts = [
        html.heading(f"Training report: {card.name}", 1),
        html.paragraph(f"{done} on {_count(images, 'picture')}; {_count(len(card.class_names), 'class')}: {names}."),
    ]
    if assessments:
        rows = [
            [a.dataset.name, str(a.scores.images), _number(a.scores.ap), _number(a.scores.ap50), _number(a.scores.ap75)]
            for a in assessments
        ]
        parts.append(html.table(["set", "pictures", "AP", "AP50", "AP75"], rows))
    else:
        parts.append(html.paragraph("There was no validation set, so nothing is known about how good the model is."))
    run = f"streamdet run SOURCE --model {shlex.quote(str(folder))} --out annotated.mp4"
    return [*parts, html.paragraph("To use the model:"), html.command(run)]


def _training(folder: Path, metrics: Metrics) -> list[str]:
    parts = [html.heading("Training")]
    if len(metrics.curve("step")[0]):
        draw_losses(metrics, folder / "loss.png")
        caption = "Faint: as logged; strong: smoothed over a twentieth of the run."
        parts.append(html.picture(folder / "loss.png", "Losses and learning rate", caption))
    else:
        parts.append(html.paragraph("No step was logged, so there are no curves."))
    if metrics.validation_names:
        draw_average_precision(metrics, folder / "average_precision.png")
        caption = "AP50 counts a box as right from IoU 0.50; AP is the mean over IoU 0.50 to 0.95."
        parts.append(html.picture(folder / "average_precision.png", "Average precision", caption))
    return parts


def _validation(folder: Path, card: ModelCard, assessment: Assessment, stem: str) -> list[str]:
    name = assessment.dataset.name
    parts = [
        html.heading(f"Validation set {name}"),
        html.paragraph("Precision and recall are those at the threshold, from which on the model reports objects."),
        _class_table(card, assessment),
    ]
    if any(curve.objects for curve in assessment.curves.values()):
        path = folder / f"precision_recall_{stem}.png"
        draw_precision_recall(assessment, card, path)
        caption = "At IoU 0.5. The dots are at the model's thresholds."
        parts.append(html.picture(path, f"Precision and recall on {name}", caption))
    else:
        parts.append(html.paragraph("The set has no objects, so there are no curves of precision and recall."))
    path = folder / f"confusion_{stem}.png"
    draw_confusion(confusion_matrix(assessment, card), assessment.dataset.class_names, path)
    caption = (
        "Objects that count, by their true class (rows) and the class that they were detected as (columns), at the "
        "model's thresholds and IoU 0.5; shaded by the shares of each row, errors orange. Last row: false boxes, where "
        "there is nothing. Last column: objects that were missed."
    )
    parts.append(html.picture(path, f"Confusion on {name}", caption))
    found = outcomes(assessment, card)
    for kind, chosen, none in (
        ("worst", worst(found, TILES), "No picture has a missed object or a false box."),
        ("best", best(found, TILES), "Nothing was found in any picture."),
    ):
        path = folder / f"{kind}_{stem}.jpg"
        if chosen:
            draw_sheet(chosen, path)
            order = {
                "worst": "Most misses and false boxes first; among equals, the most confident false boxes.",
                "best": "Fewest errors first, then most objects found.",
            }[kind]
            parts.append(html.picture(path, f"The {kind} pictures of {name}", order))
        else:
            path.unlink(missing_ok=True)  # of an earlier report
            parts.append(html.paragraph(none))
    return parts


def _class_table(card: ModelCard, assessment: Assessment) -> str:
    """AP50 and the operating point of each class."""
    rows = []
    for name, curve in assessment.curves.items():
        threshold = card.threshold(name)
        point = operating_point(curve, threshold)
        ap50 = assessment.scores.ap50_per_class.get(name, float("nan"))
        numbers = (ap50, threshold, point.precision, point.recall)
        rows.append([name, str(curve.objects), *(_number(number) for number in numbers)])
    table = html.table(["class", "objects", "AP50", "threshold", "precision", "recall"], rows)
    return table if len(rows) <= FEW_ROWS else html.folded(f"AP50 of {len(rows)} classes", table)


def _data(
    folder: Path,
    model: Model,
    assessments: Sequence[Assessment],
    training_images: Sequence[LabelledImage],
    loss: LossRule,
) -> list[str]:
    images, whose = training_images, "training"
    if not images:
        images, whose = [result.image for a in assessments for result in a.images], "validation"
    if not images:
        return []
    parts = [html.heading("Data")]
    card = model.card
    coverage = anchor_coverage(images, card.class_names, card.config.anchors, card.input_rule)
    caption = (
        f"How well the best anchor fits each object of the {whose} pictures, at the model's input size: at IoU 0.5 and "
        "more it learns well, below 0.4 only through one anchor that is forced on it."
    )
    if coverage.total.objects:
        draw_anchor_coverage(coverage, folder / "anchor_coverage.png")
        parts.append(html.picture(folder / "anchor_coverage.png", "Anchor coverage", caption))
    else:
        parts.append(html.paragraph(f"The {whose} pictures have no objects, so there is no anchor coverage."))
    gamma = _trained_gamma(loss)
    losses = gather_losses(model, images, gammas=sorted({*GAMMAS, *([] if gamma is None else [gamma])}))
    draw_figure4(losses, folder / "focal_loss.png", trained_gamma=gamma)
    title = "Where the focal loss looks (Figure 4 of the paper)"
    parts.append(html.picture(folder / "focal_loss.png", title, _figure4_caption(losses, whose)))
    return parts


def _trained_gamma(loss: LossRule) -> float | None:
    """The gamma of the focal loss that the run's loss is; None for other losses."""
    if loss.kind in ("ce", "balanced-ce"):
        return 0.0
    return loss.gamma if loss.kind == "focal" else None


def _figure4_caption(losses: Figure4, whose: str) -> str:
    positives, negatives = losses.positives, losses.negatives
    text = (
        f"Cumulative normalised loss of the trained network over all anchors of {_count(losses.images, 'picture')} of "
        f"the {whose} set: the further a curve hugs the lower right corner, the more the loss comes from few, hard "
        "samples."
    )
    if positives.count:
        text += (
            f" The hardest 20 % of the positives hold {positives.share_of_hardest(0.2, 0):.0%} of their loss with "
            f"gamma 0, {positives.share_of_hardest(0.2, 2):.0%} with gamma 2."
        )
    if negatives.count:
        text += (
            f" Of the negatives' loss, the hardest 0.1 % hold {negatives.share_of_hardest(0.001, 0):.0%} with gamma 0, "
            f"{negatives.share_of_hardest(0.001, 2):.0%} with gamma 2."
        )
    return text


def _options(folder: Path) -> list[str]:
    try:
        options = json.loads((folder / "args.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [
        html.heading("Options"),
        html.folded("All options of the run", html.table(["option", "value"], _flat(options))),
    ]


def _flat(value: Any, name: str = "") -> list[list[str]]:
    """Name and value of each option; those of a group are named GROUP.NAME."""
    if isinstance(value, dict) and value:
        return [row for key, item in value.items() for row in _flat(item, f"{name}.{key}".lstrip("."))]
    return [[name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)]]


def _stems(names: Sequence[str]) -> list[str]:
    """The names as parts of file names, each another."""
    stems: list[str] = []
    for name in names:
        stem = re.sub(r"[^\w.-]+", "_", name) or "_"
        stems.append(stem if stem not in stems else f"{stem}_{len(stems) + 1}")
    return stems


def _number(value: float) -> str:
    return "–" if value != value else f"{value:.3f}"


def _count(count: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{count} {noun if count == 1 else plural}"
