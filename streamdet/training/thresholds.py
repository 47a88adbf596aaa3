"""From which score on an object is worth reporting: chosen per class on validation data, kept in the model's file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamdet.detection.checkpoint import rewrite_model
from streamdet.errors import DataError
from streamdet.training.assess import Assessment, ClassCurve, FloatArray
from streamdet.training.evaluate import EVALUATION_RULE

ALL_OTHERS = "*"
"""In a card's thresholds: the classes that have none of their own."""
LEAST_OBJECTS = 20
"""A class with fewer gets no threshold of its own: it would be luck."""
LEAST_KEPT = 10
"""A precision among fewer detections is luck."""
PLATEAU = 0.99
"""F1 from this share of the best on is as good as the best."""
STEPS_TO_STAY = 5
GRID: FloatArray = np.arange(round(EVALUATION_RULE.score_threshold * 100), 99) / 100


@dataclass(frozen=True)
class OperatingPoint:
    """What is reported of some class, or of all, above its threshold, at IoU 0.5."""

    kept: int
    """Detections above the threshold."""
    found: int
    """Objects that they found."""
    objects: int
    """Objects that there are."""

    @property
    def precision(self) -> float:
        """Share of the detections that is right; nan without any."""
        return self.found / self.kept if self.kept else float("nan")

    @property
    def recall(self) -> float:
        """Share of the objects that is found; nan without any."""
        return self.found / self.objects if self.objects else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; nan without detections and objects."""
        both = self.kept + self.objects
        return 2 * self.found / both if both else float("nan")


@dataclass(frozen=True)
class Choice:
    """Thresholds, and where they are not what was asked for."""

    thresholds: dict[str, float]
    """By class name, "*" for all others; as a `ModelCard` keeps them."""
    short_of_target: tuple[str, ...] = ()
    """Names (or "*") for which no threshold gives the precision asked for: they got that of the best F1."""
    left_to_all_others: tuple[str, ...] = ()
    """Names of the classes whose objects were too few."""


def operating_point(curve: ClassCurve, threshold: float) -> OperatingPoint:
    """What `threshold` makes of the class."""
    kept = int(np.count_nonzero(curve.scores > np.float32(threshold)))  # the detector compares in float32
    return OperatingPoint(kept, round(float(curve.precision[kept - 1]) * kept) if kept else 0, curve.objects)


def choose_thresholds(assessments: Sequence[Assessment], *, precision: float | None = None) -> Choice:
    """A threshold per class and, as "*", one of all classes together; over all data sets at once, in steps of 0.01.

    Without `precision` the one with the best F1: the middle of the range in which F1 stays within 1% of the best,
    as the top of that curve is flat and noisy. With `precision` the lowest from which on at least that share of the
    detections is right, and stays so for the next 0.05. Classes with fewer than 20 objects are left to "*".

    Raises DataError when the data sets hold no object of a class that was detected at all.
    """
    names = list(dict.fromkeys(name for assessment in assessments for name in assessment.curves))
    curves = {name: pooled(name, [each.curves[name] for each in assessments if name in each.curves]) for name in names}
    # Of a class that the model doesn't know, or never sees, the scores say nothing.
    detected = [curve for curve in curves.values() if len(curve.scores)]
    everything = pooled(ALL_OTHERS, detected)
    if not everything.objects:
        sets = ", ".join(assessment.dataset.name for assessment in assessments)
        raise DataError(
            f"no class that the model detects has objects in {sets or 'no data set'}, so no threshold can be chosen; "
            "give labelled pictures of its classes"
        )
    thresholds, short_of_target = {}, []
    few = tuple(curve.name for curve in detected if 0 < curve.objects < LEAST_OBJECTS)
    for curve in (everything, *(curve for curve in detected if curve.objects >= LEAST_OBJECTS)):
        threshold = None if precision is None else _reaching(curve, precision)
        if precision is not None and threshold is None:
            short_of_target.append(curve.name)
        thresholds[curve.name] = _best_f1(curve) if threshold is None else threshold
    return Choice(thresholds, tuple(short_of_target), few)


def pooled(name: str, curves: Sequence[ClassCurve]) -> ClassCurve:
    """One curve of the detections and objects of several."""
    scores = np.concatenate([np.zeros(0), *(curve.scores for curve in curves)])
    hits = np.concatenate([np.zeros(0, np.int64), *(np.diff(_found(curve), prepend=0) for curve in curves)])
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(hits[order])
    objects = sum(curve.objects for curve in curves)
    recall = found / objects if objects else np.full(len(found), np.nan)
    return ClassCurve(name, scores[order], found / np.arange(1, len(found) + 1), recall, objects)


def _found(curve: ClassCurve) -> FloatArray:
    """(D,) objects found up to each detection: whole numbers."""
    return np.rint(curve.precision * np.arange(1, len(curve.scores) + 1))


def _on_grid(curve: ClassCurve) -> tuple[FloatArray, FloatArray]:
    """Detections above each threshold of the grid, and objects found by them: (G,), (G,)."""
    kept = np.searchsorted(-curve.scores, -GRID.astype(np.float32).astype(np.float64), side="left")
    return kept.astype(np.float64), np.concatenate([[0.0], _found(curve)])[kept]


def _best_f1(curve: ClassCurve) -> float:
    kept, found = _on_grid(curve)
    f1 = 2 * found / (kept + curve.objects)  # van Rijsbergen's F with equal weights
    good = f1 >= PLATEAU * f1.max()
    first = last = int(f1.argmax())
    while first > 0 and good[first - 1]:
        first -= 1
    while last + 1 < len(GRID) and good[last + 1]:
        last += 1
    return round(float(GRID[(first + last) // 2]), 2)


def _reaching(curve: ClassCurve, precision: float) -> float | None:
    kept, found = _on_grid(curve)
    measurable = kept >= LEAST_KEPT
    reached = found >= precision * kept - 1e-9
    for place in np.flatnonzero(measurable & reached):
        above = slice(place, place + STEPS_TO_STAY + 1)
        if (reached[above] | ~measurable[above]).all():
            return round(float(GRID[place]), 2)
    return None


def save_thresholds(path: Path, choice: Choice) -> None:
    """Put the chosen thresholds into the header of a `.safetensors` of ours; its tensors stay bit for bit.

    Those that it has stay for classes that the data sets hold no object of: nothing was measured of these.
    Raises ModelError for a file of another kind, OutputError when the disk refuses.
    """

    def put(fields: dict[str, Any]) -> None:
        own = {name: value for name, value in fields["thresholds"].items() if name not in choice.left_to_all_others}
        fields["thresholds"] = own | choice.thresholds

    rewrite_model(path, header=put)
