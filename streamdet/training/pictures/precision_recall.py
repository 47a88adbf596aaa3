"""Precision over recall, per class, with the point at which the model works."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.lines import Line2D

from streamdet.detection.checkpoint import ModelCard
from streamdet.training.assess import Assessment
from streamdet.training.pictures.style import (
    INK,
    SMALL_PT,
    class_style,
    most_frequent,
    new_figure,
    plain,
    save,
    tidy,
)
from streamdet.training.thresholds import operating_point


def draw_precision_recall(assessment: Assessment, card: ModelCard, path: Path) -> None:
    """A curve per class that has objects, the operating point of `card` marked."""
    curves = [curve for curve in assessment.curves.values() if curve.objects]
    shown = most_frequent(curves, [curve.objects for curve in curves])
    names = list(dict.fromkeys((*card.class_names, *assessment.curves)))
    figure = new_figure(5.2 + 0.12 * len(shown))
    axes = figure.subplots()
    handles, labels = [], []
    for curve in shown:
        colour, dashes = class_style(names.index(curve.name))
        # From recall 0 at the first precision, as the first detection stands for all scores above its own.
        recall = np.concatenate([[0.0], curve.recall]) if len(curve.recall) else np.zeros(0)
        precision = np.concatenate([curve.precision[:1], curve.precision])
        [line] = axes.plot(recall, precision, dashes, color=colour, linewidth=2)
        point = operating_point(curve, card.threshold(curve.name))
        dot = axes.scatter(point.recall, point.precision, s=90, color=colour, edgecolors="white", linewidths=1.5)
        dot.set(zorder=3, clip_on=False)
        handles.append(line)
        ap50 = assessment.scores.ap50_per_class.get(curve.name, float("nan"))
        labels.append(f"{ap50:.2f}  {plain(curve.name)}")
    handles.append(Line2D([], [], color=INK, linestyle="none", marker="o", markersize=8))
    labels.append("at the model's threshold")
    few = f" (the {len(shown)} most frequent of {len(curves)} classes)" if len(shown) < len(curves) else ""
    tidy(axes, f"Precision over recall{few}", "recall", "precision")
    axes.set(xlim=(0, 1.01), ylim=(0, 1.03))
    figure.legend(
        handles,
        labels,
        loc="outside lower left",
        ncols=2,
        fontsize=SMALL_PT,
        frameon=False,
        title="AP50  class",
        title_fontsize=SMALL_PT,
        alignment="left",
    )
    save(figure, path)
