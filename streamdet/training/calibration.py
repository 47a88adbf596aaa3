"""Do scores mean what they say? Of detections with a score near 0.7, about 70 of 100 should be right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamdet.training.assess import NOT_COUNTED, Assessment, FloatArray
from streamdet.types import Int64Array


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
    matched = np.concatenate([np.zeros(0, np.int64), *(result.matched for result in assessment.images)])
    scores = np.concatenate([np.zeros(0), *(result.detections.scores for result in assessment.images)])
    counted = matched != NOT_COUNTED
    scores, right = scores[counted], matched[counted] >= 0
    places = np.minimum((scores * bins).astype(np.int64), bins - 1)
    counts = np.bincount(places, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_scores = np.bincount(places, scores, minlength=bins) / counts
        shares_right = np.bincount(places, right, minlength=bins) / counts
    return Reliability(counts, mean_scores, shares_right)
