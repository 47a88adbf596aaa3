"""Do scores mean what they say? Of detections with a score near 0.7, about 70 of 100 should be right.

Focal loss leaves scores that rank well and mean little. Two numbers mend that: the class logits are multiplied by a
slope and an offset is added (Platt 1999), both folded into the last class convolution, so that it costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamdet.detection.checkpoint import rewrite_model
from streamdet.detection.retinanet import RetinaNet
from streamdet.errors import DataError
from streamdet.training.assess import NOT_COUNTED, Assessment, FloatArray
from streamdet.types import Detections, Int64Array

LEAST_TO_FIT = 50
"""Right detections, and wrong ones, below which two numbers would be luck."""


@dataclass(frozen=True)
class Reliability:
    """Scores against the truth, in bins of equal width from 0 to 1; B bins."""

    counts: Int64Array
    """(B,) detections."""
    mean_scores: FloatArray
    """(B,) nan in an empty bin."""
    shares_right: FloatArray
    """(B,) share of them that found an object at IoU 0.5; nan in an empty bin."""

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of the two, weighted by counts; nan without detections."""
        if not self.counts.sum():
            return float("nan")
        distances = np.nan_to_num(np.abs(self.shares_right - self.mean_scores))
        return float((distances * self.counts).sum() / self.counts.sum())


def reliability(assessment: Assessment, bins: int = 10) -> Reliability:
    """How far the scores can be read as probabilities of being right (Guo et al. 2017, section 2).

    Over all detections above the evaluation threshold that count, whatever their class.
    """
    scores, right = _counted(assessment)
    places = np.minimum((scores * bins).astype(np.int64), bins - 1)
    counts = np.bincount(places, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_scores = np.bincount(places, scores, minlength=bins) / counts
        shares_right = np.bincount(places, right, minlength=bins) / counts
    return Reliability(counts, mean_scores, shares_right)


@dataclass(frozen=True)
class Scaling:
    """New class logits from old ones: `slope * logit + offset`. Order, and so average precision, stays."""

    slope: float
    offset: float

    def apply(self, detections: Detections) -> Detections:
        """The same objects with the scores that the scaled network gives them."""
        scores = np.clip(detections.scores.astype(np.float64), 1e-6, 1 - 1e-6)
        scaled = self.slope * np.log(scores / (1 - scores)) + self.offset
        return replace(detections, scores=(1 / (1 + np.exp(-scaled))).astype(np.float32))


def fit_scaling(assessments: Sequence[Assessment]) -> Scaling:
    """The scaling with the greatest likelihood (Guo et al. 2017, section 4.1, "Platt scaling"); all sets at once.

    Raises DataError when too few detections are right or wrong to fit it to, or when scores rank the wrong way round.
    """
    pairs = [_counted(assessment) for assessment in assessments]
    scores, right = (np.concatenate([np.zeros(0), *parts]) for parts in zip(*pairs, strict=True))
    if min(right.sum(), (1 - right).sum()) < LEAST_TO_FIT:
        raise DataError(
            f"{int(right.sum())} detections are right and {int((1 - right).sum())} wrong, too few to calibrate scores "
            f"by (at least {LEAST_TO_FIT} of each); give more labelled pictures"
        )
    scores = np.clip(scores, 1e-6, 1 - 1e-6)
    features = np.stack([np.log(scores / (1 - scores)), np.ones(len(scores))], axis=1)
    weights = np.array([1.0, 0.0])
    for _ in range(50):  # Newton's method; it converges within ten steps
        expected = 1 / (1 + np.exp(-features @ weights))
        curvature = (features * (expected * (1 - expected))[:, None]).T @ features
        step = np.linalg.solve(curvature + 1e-9 * np.eye(2), features.T @ (right - expected))
        weights += step
        if np.abs(step).max() < 1e-8:
            break
    if not weights[0] > 0:
        raise DataError(
            "higher scores are not more often right on these pictures, so there is nothing to calibrate; train the "
            "model further, or give more labelled pictures"
        )
    return Scaling(float(weights[0]), float(weights[1]))


def save_scaling(path: Path, scaling: Scaling) -> None:
    """Fold `scaling` into the last class convolution of a `.safetensors` of ours.

    Raises ModelError for a file of another kind, OutputError when the disk refuses.
    """

    def fold(tensors: dict[str, Tensor]) -> None:
        weight, bias = (f"head.classification_head.cls_logits.{part}" for part in ("weight", "bias"))
        tensors[weight] = (tensors[weight].double() * scaling.slope).to(tensors[weight].dtype)
        tensors[bias] = (tensors[bias].double() * scaling.slope + scaling.offset).to(tensors[bias].dtype)

    def note(fields: dict[str, Any]) -> None:
        slope, offset = fields.get("logit_scaling", (1.0, 0.0))
        fields["logit_scaling"] = [slope * scaling.slope, offset * scaling.slope + scaling.offset]

    rewrite_model(path, header=note, tensors=fold)


@torch.no_grad()
def take_out_scaling(network: RetinaNet, scaling: tuple[float, float]) -> None:
    """The class logits as focal loss had left them: it learns slowly where calibration has made them certain."""
    slope, offset = scaling
    last = network.head.classification_head.cls_logits
    assert last.bias is not None
    last.bias.sub_(offset).div_(slope)
    last.weight.div_(slope)


def _counted(assessment: Assessment) -> tuple[FloatArray, FloatArray]:
    """Scores of the detections that count, and 1 where right, 0 where wrong."""
    matched = np.concatenate([np.zeros(0, np.int64), *(result.matched for result in assessment.images)])
    scores = np.concatenate([np.zeros(0), *(result.detections.scores for result in assessment.images)])
    counted = matched != NOT_COUNTED
    return scores[counted].astype(np.float64), (matched[counted] >= 0).astype(np.float64)
