"""How well the anchors fit the objects, as bars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.patches import Patch

from streamdet.training.checking.coverage import MEDIUM_SIDE, SIZE_NAMES, SMALL_SIDE, Coverage
from streamdet.training.pictures.style import INK, SMALL_PT, most_frequent, new_figure, plain, save, tidy

PARTS = (("IoU 0.5 and more", "#3f90da"), ("0.4 to 0.5", "#b6bfc8"), ("below 0.4", "#e76300"))
SIDES = dict(
    zip(SIZE_NAMES, (f"< {SMALL_SIDE} px", f"{SMALL_SIDE}–{MEDIUM_SIDE} px", f"≥ {MEDIUM_SIDE} px"), strict=True)
)


def draw_anchor_coverage(coverage: Coverage, path: Path) -> None:
    """Shares of the objects by the IoU of their best anchor: of all, by size in the network's input, by class."""
    sizes = [row for row in coverage.by_size if row.objects]
    classes = [row for row in coverage.by_class if row.objects]
    shown = most_frequent(classes, [row.objects for row in classes])
    rows = [coverage.total, *sizes, *shown]
    labels = ["all", *(f"{row.name} ({SIDES[row.name]})" for row in sizes), *(plain(row.name) for row in shown)]
    places = np.arange(len(rows))
    y = places + 0.4 * (places > 0) + 0.4 * (places > len(sizes))  # three groups
    figure = new_figure(1.5 + 0.34 * (len(rows) + 1))
    axes = figure.subplots()
    left = np.zeros(len(rows))
    shares = np.array([(row.good, row.between, row.poor) for row in rows])
    for part, (_, colour) in zip(shares.T, PARTS, strict=True):
        axes.barh(y, part, left=left, color=colour, height=0.75)
        left += part
    for place, row in zip(y, rows, strict=True):
        if row.good >= 0.12:
            axes.text(0.01, place, f"{row.good:.0%}", va="center", fontsize=SMALL_PT, color="white")
        axes.text(1.01, place, f"{row.objects}", va="center", fontsize=SMALL_PT, color=INK)
    few = f" ({len(shown)} most frequent of {len(classes)} classes)" if len(shown) < len(classes) else ""
    tidy(axes, "Best anchor of each object", f"share of the objects{few}", "")
    axes.set_yticks(y, labels)
    axes.grid(False, axis="y")
    axes.set(xlim=(0, 1))
    axes.margins(y=0.02)
    axes.invert_yaxis()
    handles = [Patch(color=colour, label=label) for label, colour in PARTS]
    figure.legend(handles=handles, loc="outside lower left", ncols=3, fontsize=SMALL_PT, frameon=False)
    save(figure, path)
