"""Which moments of a view are worth a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamdet.results.jsonl_reading import FrameLine
from streamdet.results.page.gather import View
from streamdet.results.page.series import WIDTHS_S, Int64Array

MOST_BUSIEST = 6
MINUTE_S = 60.0
LEAST_MINUTES = 5
"""Shorter views are cut into less than minutes."""
LEAST_SPANS = 12
APART = 30
"""Chosen spans are at least this share of the view apart: one crowd fills no more than a few of them."""
LEAST_FILLED = 0.25
"""A span with fewer frames than this share of the usual number says too little."""


@dataclass(frozen=True, slots=True)
class Busy:
    """A span of time in which much was to be seen."""

    begin_s: float
    end_s: float
    means: tuple[float, ...]
    """Objects per frame by class."""
    peak: FrameLine
    """Its frame with most objects."""
    peak_s: float

    @property
    def mean(self) -> float:
        """Objects per frame."""
        return sum(self.means)


def span_width_s(view: View) -> float:
    """Seconds of the spans that are compared: a minute, or less where the view is short; a picture of a folder."""
    if view.pictures:
        return 1.0
    span_s = view.coverage.span_s
    if span_s >= LEAST_MINUTES * MINUTE_S:
        return MINUTE_S
    fit = [width_s for width_s in WIDTHS_S if span_s / width_s >= LEAST_SPANS]
    return max([fit[-1] if fit else WIDTHS_S[0], 2 * view.coverage.usual_interval_s])


def busiest(view: View) -> tuple[float, list[Busy]]:
    """Width of the spans in seconds, and those with most objects per frame, busiest first. None without objects."""
    width_s, bins = view.counts.bins(least_width_s=span_width_s(view))
    usual = float(np.median([one.frames for _, one in bins])) if bins else 0.0
    apart_s = max(width_s, view.coverage.span_s / APART)
    ranked = sorted(bins, key=lambda item: (-_mean(item[1].sums, item[1].frames), item[0]))
    chosen: list[Busy] = []
    for begin_s, one in ranked:
        if len(chosen) == MOST_BUSIEST:
            break
        if one.peak is None or not one.sums.sum() or one.frames < LEAST_FILLED * usual:
            continue
        if all(abs(begin_s - other.begin_s) >= apart_s - 1e-9 for other in chosen):
            means = tuple(float(total) / one.frames for total in one.sums)
            chosen.append(Busy(begin_s, begin_s + width_s, means, one.peak, one.peak_s))
    return width_s, chosen


def _mean(sums: Int64Array, frames: int) -> float:
    return float(sums.sum()) / frames
