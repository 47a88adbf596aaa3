"""What would make the anchors fit better: a larger input, other anchors, or both; the cheapest that helps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from streamdet.detection.anchors import LEVEL_STRIDES, AnchorRule
from streamdet.detection.resize import PAD_MULTIPLE, InputRule
from streamdet.training.checking.coverage import MATCHING, Coverage, InputBoxes, best_ious, input_boxes
from streamdet.training.dataset import LabelledImage

ENOUGH = 0.95
"""Share of objects with a good anchor from which there is nothing to suggest."""
WORTH_IT = 0.01
"""Least gain in that share that is worth a change."""
MOST_OF_IT = 0.8
SAMPLE = 3000
"""Boxes on which changes are tried."""
INPUT_FACTORS = (1.25, 1.5, 2.0)
BASE_SIDES_PX = (8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64)
"""Sides of P3's smallest anchor that are tried."""
WIDE_RATIOS = (1 / 3, 0.5, 1.0, 2.0, 3.0)
FULL_SCALES = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))


@dataclass(frozen=True)
class Suggestion:
    """Another input size, other anchors, or both, and what they would bring."""

    input_rule: InputRule
    anchor_rule: AnchorRule
    what: str
    """In words: "an input of 480x800"."""
    good: float
    """Share of objects with a best IoU of 0.5 or more."""
    poor: float
    """Below 0.4"""
    work: float
    """Pixels of the input, relative to now."""

    def __str__(self) -> str:
        cost = "" if self.work == 1 else f", at {self.work:.1f} times the work"
        return f"{self.what}: {self.good:.1%} ({self.poor:.1%} below {MATCHING.negative_iou}){cost}"


def suggest(images: Sequence[LabelledImage], now: Coverage) -> tuple[Suggestion, ...]:
    """What would raise the coverage, the cheapest of each kind; nothing when it is good or nothing helps."""
    if not len(now.best_iou) or now.total.good >= ENOUGH:
        return ()
    trial = _Trial(images, now)
    anchors = trial.best_anchors(now.input_rule)
    inputs = [scaled(now.input_rule, factor) for factor in INPUT_FACTORS]
    larger = trial.cheapest([trial.outcome(rule, now.anchor_rule) for rule in inputs])
    found = [suggestion for suggestion in (anchors, larger) if suggestion.good >= now.total.good + WORTH_IT]
    best = max([now.total.good, *(suggestion.good for suggestion in found)])
    if best < ENOUGH:
        both = trial.cheapest([trial.best_anchors(rule) for rule in inputs])
        found += [both] if both.good >= best + WORTH_IT and both.anchor_rule != now.anchor_rule else []
    return tuple(found)


def scaled(rule: InputRule, factor: float) -> InputRule:
    """The input rule with both sides larger by about `factor`, in steps that need no padding."""
    short, long = (round(side * factor / PAD_MULTIPLE) * PAD_MULTIPLE for side in (rule.short_side, rule.long_side))
    return replace(rule, short_side=short, long_side=long)


def with_base(rule: AnchorRule, base_px: float) -> AnchorRule:
    """The anchor rule with this side on P3, doubled from level to level."""
    return replace(rule, base_sides=tuple(float(base_px * stride / LEVEL_STRIDES[0]) for stride in LEVEL_STRIDES))


class _Trial:
    """Tries inputs and anchors on some of the boxes; what is suggested in the end is measured on all of them."""

    def __init__(self, images: Sequence[LabelledImage], now: Coverage) -> None:
        self._images, self._now = images, now
        count = len(now.best_iou)
        rng = np.random.default_rng(0)
        self._sample = np.sort(rng.choice(count, min(count, SAMPLE), replace=False))
        self._boxes: dict[InputRule, InputBoxes] = {}

    def outcome(self, input_rule: InputRule, anchor_rule: AnchorRule) -> Suggestion:
        """What this input and these anchors would bring, by the sample."""
        if input_rule not in self._boxes:
            self._boxes[input_rule] = input_boxes(self._images, input_rule)
        return self._suggestion(self._boxes[input_rule][self._sample], input_rule, anchor_rule)

    def exact(self, suggestion: Suggestion) -> Suggestion:
        """The same measured on all boxes."""
        boxes = self._boxes[suggestion.input_rule]
        return self._suggestion(boxes, suggestion.input_rule, suggestion.anchor_rule)

    def best_anchors(self, input_rule: InputRule) -> Suggestion:
        """The best side of the smallest anchor; more shapes only where they bring something."""
        rule = self._now.anchor_rule
        best = max(
            [self.outcome(input_rule, r) for r in (rule, *(with_base(rule, base) for base in BASE_SIDES_PX))],
            key=lambda outcome: outcome.good,
        )
        for change in ({"ratios": WIDE_RATIOS}, {"scales": FULL_SCALES}):
            rule = replace(best.anchor_rule, **change)
            more = self.outcome(input_rule, rule)
            if rule.per_cell > best.anchor_rule.per_cell and more.good >= best.good + WORTH_IT:
                best = more
        return self.exact(best)

    def cheapest(self, outcomes: Sequence[Suggestion]) -> Suggestion:
        """The first that is enough; if none is, the first that brings most of what the best one would."""
        now = self._now.total.good
        best = max(outcome.good for outcome in outcomes)
        least = min(ENOUGH, now + MOST_OF_IT * (best - now))
        return self.exact(next(outcome for outcome in outcomes if outcome.good >= least))

    def _suggestion(self, boxes: InputBoxes, input_rule: InputRule, anchor_rule: AnchorRule) -> Suggestion:
        iou, now = best_ious(boxes, anchor_rule), self._now.input_rule
        good, poor = float((iou >= MATCHING.positive_iou).mean()), float((iou < MATCHING.negative_iou).mean())
        work = (input_rule.short_side * input_rule.long_side) / (now.short_side * now.long_side)
        return Suggestion(input_rule, anchor_rule, self._words(input_rule, anchor_rule), good, poor, work)

    def _words(self, input_rule: InputRule, anchor_rule: AnchorRule) -> str:
        now, parts = self._now, []
        if input_rule != now.input_rule:
            parts.append(f"an input of {input_rule.short_side}x{input_rule.long_side}")
        if anchor_rule.base_sides != now.anchor_rule.base_sides:
            parts.append(f"anchors from {anchor_rule.base_sides[0]:g} px")
        if anchor_rule.ratios != now.anchor_rule.ratios:
            parts.append(f"ratios {', '.join(f'{ratio:.2g}' for ratio in anchor_rule.ratios)}")
        if anchor_rule.scales != now.anchor_rule.scales:
            parts.append(f"{len(anchor_rule.scales)} scales")
        return " and ".join(parts)
