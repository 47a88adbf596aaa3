"""Detections and assessments that tests make up."""

from __future__ import annotations

import numpy as np

from streamdet.detection.checkpoint import ModelCard
from streamdet.detection.resize import InputRule
from streamdet.training.assess import Assessment, assess_found
from streamdet.training.dataset import Dataset, LabelledImage
from streamdet.types import Detections
from tests.networks import CLASS_NAMES, tiny_config

A, B, C = [10.0, 10.0, 50.0, 60.0], [100.0, 20.0, 140.0, 90.0], [20.0, 100.0, 90.0, 140.0]
"""Boxes that don't overlap, in pictures of SIZE."""
SIZE = (200, 150)
CAR, PERSON, BICYCLE = range(3)


def found(*entries: tuple[list[float], float, int], names: tuple[str, ...] = CLASS_NAMES) -> Detections:
    """From (box, score, class)."""
    entries = tuple(sorted(entries, key=lambda entry: -entry[1]))
    return Detections(
        np.array([box for box, _, _ in entries], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in entries], np.float32),
        np.array([class_id for _, _, class_id in entries], np.int64),
        names,
    )


def assessment(
    *pairs: tuple[LabelledImage, Detections], names: tuple[str, ...] = CLASS_NAMES, name: str = "val"
) -> Assessment:
    dataset = Dataset(name, names, tuple(image for image, _ in pairs))
    return assess_found(dataset, [detections for _, detections in pairs])


def card(**thresholds: float) -> ModelCard:
    return ModelCard("tiny", CLASS_NAMES, tiny_config(), InputRule(96, 160), {"*": 0.4, **thresholds})
