"""The paper's Figure 4 on one's own data: how focusing moves the loss from the easy to the hard samples.

A sample is one logit that the loss counts, of one anchor and class; positive where the anchor answers for an object of
that class. All losses of a logit rise with its wrongness (the logit of 1 - p_t), whatever gamma is, so one order serves
all: losses are summed in fine bins of wrongness, and no logit has to be kept. The weight alpha is the same for all
positives, and for all negatives, and falls out of the normalised sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from streamdet.detection.anchors import anchors_per_level
from streamdet.detection.checkpoint import Model
from streamdet.detection.resize import to_batch
from streamdet.training.dataset import LabelledImage, read_rgb
from streamdet.training.focal import focal_loss
from streamdet.training.matcher import make_targets
from streamdet.training.pictures.style import COLOURS, SMALL_PT, FloatArray, new_figure, save, tidy

GAMMAS = (0.0, 0.5, 1.0, 2.0)
MOST_IMAGES = 48
FARTHEST_LOGIT = 40.0
BINS = 8000
GAMMA_COLOURS = dict(zip(GAMMAS, ("#9aa5b1", COLOURS[5], COLOURS[1], COLOURS[3]), strict=True))


class LossSums:
    """Losses of samples, summed in bins of their wrongness, per gamma."""

    def __init__(self, gammas: Sequence[float] = GAMMAS) -> None:
        self.gammas = tuple(gammas)
        self._counts = torch.zeros(BINS, dtype=torch.int64)
        self._sums = torch.zeros(len(self.gammas), BINS, dtype=torch.float64)

    def add(self, wrongness: Tensor) -> None:
        """Count samples (S,) by their logits of 1 - p_t."""
        wrongness = wrongness.detach().float().cpu()
        places = ((wrongness / FARTHEST_LOGIT + 1) * (BINS / 2)).long().clamp_(0, BINS - 1)
        self._counts += torch.bincount(places, minlength=BINS)
        for sums, gamma in zip(self._sums, self.gammas, strict=True):
            losses = focal_loss(-wrongness, torch.ones_like(wrongness), -1, gamma)
            sums += torch.bincount(places, losses.double(), minlength=BINS)

    @property
    def count(self) -> int:
        """Samples seen."""
        return int(self._counts.sum())

    def total(self, gamma: float) -> float:
        """Sum of all samples' losses, unweighted."""
        return float(self._sums[self.gammas.index(gamma)].sum())

    def cumulative(self, gamma: float) -> tuple[FloatArray, FloatArray]:
        """Fraction of the samples, easiest first, and their share of the loss: two rising arrays from 0 to 1."""
        filled = self._counts > 0
        counts = self._counts[filled].cumsum(0).double()
        sums = self._sums[self.gammas.index(gamma)][filled].cumsum(0)
        if not len(counts) or sums[-1] <= 0:
            return np.array([0.0, 1.0]), np.array([0.0, 1.0])
        fractions, shares = (counts / counts[-1]).numpy(), (sums / sums[-1]).numpy()
        return np.concatenate([[0.0], fractions]), np.concatenate([[0.0], shares])

    def share_of_hardest(self, fraction: float, gamma: float) -> float:
        """Share of the loss that the hardest `fraction` of the samples has."""
        fractions, shares = self.cumulative(gamma)
        return 1 - float(np.interp(1 - fraction, fractions, shares))


@dataclass(frozen=True)
class Figure4:
    """What the picture shows."""

    positives: LossSums
    negatives: LossSums
    images: int


def gather_losses(
    model: Model, images: Sequence[LabelledImage], *, gammas: Sequence[float] = GAMMAS, most: int = MOST_IMAGES
) -> Figure4:
    """Losses of `model` over all anchors of up to `most` of the `images`, evenly picked, unaugmented.

    Raises DataError when a picture can't be read.
    """
    count = min(most, len(images))
    picked = [images[place * len(images) // count] for place in range(count)]
    positives, negatives = LossSums(gammas), LossSums(gammas)
    for image in picked:
        logits, truth, counted = _logits_and_truth(model, image)
        wrongness = torch.where(truth, -logits, logits)
        positives.add(wrongness[truth])
        negatives.add(wrongness[counted & ~truth])
    return Figure4(positives, negatives, len(picked))


@torch.inference_mode()
def _logits_and_truth(model: Model, image: LabelledImage) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (A, K) of a picture, which of them are positive, and which the loss counts."""
    card, cpu = model.card, torch.device("cpu")
    fitting = card.input_rule.fit(image.width, image.height)
    scaled = fitting.resize(read_rgb(image), exact=card.input_rule.exact)
    heads = model.network(to_batch([scaled], fitting, card.input_rule, cpu))
    logits = torch.cat(heads.logits, dim=1)[0]
    anchors = torch.cat(anchors_per_level(card.config.anchors, fitting.padded_height, fitting.padded_width, cpu))
    class_ids = torch.from_numpy(image.class_ids)
    targets = make_targets(
        anchors,
        torch.from_numpy(fitting.boxes_from_source(image.boxes_xyxy)),
        class_ids,
        torch.from_numpy(fitting.boxes_from_source(image.ignored_xyxy)),
        torch.tensor([[0.0, 0.0, fitting.width, fitting.height]]),
        torch.from_numpy(image.labelled)[None],
    )
    truth = torch.zeros_like(logits, dtype=torch.bool)
    rows = (targets.matches >= 0).nonzero().squeeze(1)
    truth[rows, class_ids[targets.matches[rows]]] = True
    return logits, truth, targets.counted


def draw_figure4(losses: Figure4, path: Path, *, trained_gamma: float | None) -> None:
    """Cumulative normalised loss over positives (left) and negatives (right); the run's own gamma, if any, is thick."""
    figure = new_figure(4.3)
    left, right = figure.subplots(1, 2, sharey=True)
    _draw(left, losses.positives, "Positives", trained_gamma)
    _draw(right, losses.negatives, "Negatives", trained_gamma)
    left.set_ylabel("cumulative normalised loss", color=left.xaxis.label.get_color())
    left.legend(loc="upper left", fontsize=SMALL_PT, frameon=False)
    save(figure, path)


def _draw(axes: Axes, sums: LossSums, title: str, trained_gamma: float | None) -> None:
    for gamma in sums.gammas:
        own = gamma == trained_gamma
        label = f"gamma {gamma:g}" + (" (this run)" if own else "")
        fractions, shares = sums.cumulative(gamma)
        axes.plot(
            fractions, shares, color=GAMMA_COLOURS.get(gamma, COLOURS[2]), linewidth=3.2 if own else 1.8, label=label
        )
    tidy(axes, f"{title} ({_rounded(sums.count)})", "fraction, easiest first", "")
    axes.set(xlim=(0, 1.01), ylim=(0, 1.01))


def _rounded(count: int) -> str:
    """Three digits are enough to read."""
    if count < 1000:
        return str(count)
    return f"{count / 1000:.3g} k" if count < 999_500 else f"{count / 1_000_000:.3g} M"
