"""Curves over the steps of a run: losses, learning rate, average precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from streamdet.training.pictures.metrics import Metrics
from streamdet.training.pictures.style import COLOURS, SMALL_PT, FloatArray, new_figure, plain, save, tidy

FEW_POINTS = 30
"""Curves of fewer points show each of them."""


def draw_losses(metrics: Metrics, path: Path) -> None:
    """Classification and box loss, as logged (faint) and smoothed, and the learning rate."""
    figure = new_figure(6.6)
    panels = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 2))
    for axes, column, title, colour in zip(
        panels[:2],
        ("classification_loss", "box_loss"),
        ("Classification loss", "Box loss"),
        COLOURS,
        strict=False,
    ):
        steps, losses = metrics.curve(column)
        means = smooth(losses)
        _plot(axes, steps, losses, colour, faint=True)
        _plot(axes, steps, means, colour)
        tidy(axes, title, "", "")
        if len(means):  # the first steps' heights must not flatten the rest
            axes.set_ylim(0, max(1.1 * min(float(means.max()), 6 * float(np.median(means))), 1e-6))
    steps, rates = metrics.curve("learning_rate")
    _plot(panels[2], steps, rates, COLOURS[7])
    tidy(panels[2], "Learning rate", "step", "")
    panels[2].set_ylim(bottom=0)
    panels[2].ticklabel_format(axis="y", style="plain" if not len(rates) or rates.max() >= 0.01 else "sci")
    panels[2].yaxis.get_offset_text().set_fontsize(SMALL_PT)
    save(figure, path)


def draw_average_precision(metrics: Metrics, path: Path) -> None:
    """AP50 and AP of each validation set, one colour per set."""
    names = metrics.validation_names
    figure = new_figure(4.0 + 0.25 * len(names))
    axes = figure.subplots()
    handles, labels = [], []
    for place, name in enumerate(names):
        colour = COLOURS[place % len(COLOURS)]
        for column, dashes, inside in (("AP50", "-", colour), ("AP", "--", "white")):
            steps, values = metrics.curve(f"{column} {name}")
            [line] = axes.plot(
                steps, values, dashes, color=colour, linewidth=2, marker="o", markersize=5, markerfacecolor=inside
            )
            handles.append(line)
            last = f"{values[-1]:.3f}" if len(values) else "–"
            labels.append(f"{column} {last}  {plain(name)}")
    tidy(axes, "Average precision", "step", "")
    axes.set_ylim(0, 1)
    axes.set_xlim(left=0)
    figure.legend(
        handles, labels, loc="outside lower left", ncols=2, fontsize=SMALL_PT, frameon=False, handlelength=3.5
    )
    save(figure, path)


def smooth(values: FloatArray) -> FloatArray:
    """Means over a window of a twentieth of the curve, centred; at the ends over what there is of it."""
    half = len(values) // 40
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    first, last = np.maximum(places - half, 0), np.minimum(places + half + 1, len(values))
    means: FloatArray = (sums[last] - sums[first]) / (last - first)
    return means


def _plot(axes: Axes, steps: FloatArray, values: FloatArray, colour: str, *, faint: bool = False) -> list[Line2D]:
    marker = "o" if len(steps) < FEW_POINTS else ""
    return axes.plot(
        steps,
        values,
        color=colour,
        alpha=0.3 if faint else 1.0,
        linewidth=1.0 if faint else 2.0,
        marker=marker,
        markersize=4,
    )
