"""What follows a run: its best model is measured once more in detail, gets thresholds to work at, and a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from streamdet.detection.checkpoint import load_model
from streamdet.detection.precision import Placement
from streamdet.errors import DataError
from streamdet.training.assess import Assessment, assess
from streamdet.training.dataset import Dataset, LabelledImage
from streamdet.training.evaluate import evaluation_detector
from streamdet.training.losses import LossRule
from streamdet.training.pictures.report import write_report
from streamdet.training.thresholds import choose_thresholds, save_thresholds


@dataclass(frozen=True)
class Finished:
    """The best model's results."""

    assessments: tuple[Assessment, ...]
    thresholds: dict[str, float]
    """Chosen on the validation sets and saved in the model; empty without objects to choose them on."""
    kept_thresholds: dict[str, float]
    """What the model has besides, from its start: of classes that the validation sets hold no object of."""
    report: Path


def finish(
    best_model: Path,
    validation: Sequence[Dataset],
    images: Sequence[LabelledImage],
    loss: LossRule,
    device: torch.device,
) -> Finished:
    """Assess `best_model` on the `validation` sets, save its thresholds, and write the report beside it.

    `images` are those that it was trained on. Raises DataError when a picture can't be read any more.
    """
    detector = evaluation_detector(load_model(best_model), Placement(device, torch.float32))
    assessments = tuple(assess(detector, dataset) for dataset in validation)
    thresholds = {}
    try:
        choice = choose_thresholds(assessments)
        save_thresholds(best_model, choice)
        thresholds = choice.thresholds
    except DataError:
        pass  # nothing to choose them on: the model keeps those that it has
    model = load_model(best_model)
    kept = {name: value for name, value in model.card.thresholds.items() if name not in thresholds}
    report = write_report(best_model.parent, model, assessments, images, loss)
    return Finished(assessments, thresholds, kept, report)
