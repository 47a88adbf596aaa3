"""What the model, at the scores from which it reports objects, gets right and wrong in each picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamdet.detection.checkpoint import ModelCard
from streamdet.training.assess import FALSE, Assessment, ImageResult
from streamdet.training.dataset import BoolArray, LabelledImage
from streamdet.types import Detections, Float32Array


@dataclass(frozen=True)
class Outcome:
    """One picture."""

    image: LabelledImage
    right: Detections
    false: Detections
    missed_xyxy: Float32Array
    """(M, 4) objects, of classes that the picture was labelled for, that were not found."""
    missed_names: tuple[str, ...]
    """(M,) their classes."""

    @property
    def errors(self) -> int:
        """Misses and false boxes."""
        return len(self.missed_names) + len(self.false)

    @property
    def confidence_in_errors(self) -> float:
        """Sum of the false boxes' scores."""
        return float(self.false.scores.sum())


def reported(detections: Detections, card: ModelCard) -> BoolArray:
    """(D,) which of them the model of `card` would report: those above its thresholds, as the detector compares."""
    thresholds = np.array([card.threshold(name) for name in detections.class_names], np.float32)
    above: BoolArray = detections.scores > thresholds[detections.class_ids]
    return above


def outcomes(assessment: Assessment, card: ModelCard) -> list[Outcome]:
    """Each picture of the data set, at the thresholds of `card`."""
    return [_outcome(result, assessment.dataset.class_names, card) for result in assessment.images]


def _outcome(result: ImageResult, class_names: tuple[str, ...], card: ModelCard) -> Outcome:
    image = result.image
    shown = reported(result.detections, card)
    right = shown & (result.matched >= 0)
    # Matching goes by falling score, so what is left out below the threshold took no object from what is above.
    missed = np.setdiff1d(np.flatnonzero(image.labelled[image.class_ids]), result.matched[right])
    return Outcome(
        image,
        result.detections[right],
        result.detections[shown & (result.matched == FALSE)],
        image.boxes_xyxy[missed],
        tuple(class_names[class_id] for class_id in image.class_ids[missed]),
    )


def worst(found: list[Outcome], count: int) -> list[Outcome]:
    """Up to `count` pictures with most errors; among equals, those with the most confident false boxes."""
    faulty = [outcome for outcome in found if outcome.errors]
    return sorted(faulty, key=lambda outcome: (-outcome.errors, -outcome.confidence_in_errors))[:count]


def best(found: list[Outcome], count: int) -> list[Outcome]:
    """Up to `count` pictures in which something was found: fewest errors, then most objects, then highest scores."""
    useful = [outcome for outcome in found if len(outcome.right)]
    return sorted(
        useful, key=lambda outcome: (outcome.errors, -len(outcome.right), -float(outcome.right.scores.mean()))
    )[:count]
