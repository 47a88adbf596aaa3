"""The picture of scaling.py: four panels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from scaling_work import Cost

from streamdet.training.pictures.style import COLOURS, INK, SMALL_PT, new_figure, save, tidy

BAND = "#9ec6ee"
STAGES = ("all but the network", "decode", "resize", "post-process", "draw", "encode")
"""Each has its colour in all panels."""


def draw_scaling(path: Path, about: str, costs: dict[str, Sequence[Cost]]) -> None:
    """Write a PNG. `costs`: of "streams", "size", "batch" and "boxes", each in ascending order of work."""
    figure = new_figure(8.6)
    figure.set_size_inches(11.0, 8.6)
    figure.suptitle(
        f"{about}. The network's time is only in the detector's panel.", fontsize=SMALL_PT, color=INK, x=0.02, ha="left"
    )
    panels = figure.subplots(2, 2)
    _stacked(panels[0, 0], costs["streams"])
    tidy(panels[0, 0], "Streams in one process, ms of CPU a frame", "streams of 640x360", "")
    _stacked(panels[0, 1], costs["size"])
    tidy(panels[0, 1], "A file, ms of CPU a frame", "picture", "")
    _banded(panels[1, 0], costs["batch"])
    tidy(panels[1, 0], "The detector, ms a frame", "frames in a batch", "")
    _stacked(panels[1, 1], costs["boxes"])
    tidy(panels[1, 1], "Objects, ms of CPU a frame", "objects in a frame", "")
    for axes in panels.flat:
        axes.grid(False, axis="x")
        axes.set_ylim(bottom=0)
    save(figure, path)


def _stacked(axes: Axes, costs: Sequence[Cost]) -> None:
    """A bar for each amount of work, divided by stage, with its sum above it."""
    places = range(len(costs))
    floor = [0.0] * len(costs)
    for name in costs[0].cpu_ms:
        parts = [cost.cpu_ms[name] for cost in costs]
        axes.bar(places, parts, 0.66, floor, color=COLOURS[STAGES.index(name)], label=name)
        floor = [below + part for below, part in zip(floor, parts, strict=True)]
    for place, cost in enumerate(costs):
        axes.text(place, cost.whole_cpu_ms, f"{cost.whole_cpu_ms:.1f}", ha="center", va="bottom", fontsize=SMALL_PT)
    axes.set_xticks(places, [cost.work for cost in costs])
    axes.margins(y=0.14)
    if len(costs[0].cpu_ms) > 1:
        axes.legend(frameon=False, fontsize=SMALL_PT, loc="upper left", reverse=True)
    if max(len(cost.work) for cost in costs) > 6:
        axes.set_xticks(places, [cost.work.partition("x")[2] + "p" for cost in costs])


def _banded(axes: Axes, costs: Sequence[Cost]) -> None:
    """Median wall time with a band up to that of 95 in 100, and CPU time."""
    places = list(range(len(costs)))
    middle, most = ([cost.percentile_ms(percent) for cost in costs] for percent in (50, 95))
    axes.fill_between(places, middle, most, color=BAND, alpha=0.6, linewidth=0, label="wall, p50 to p95")
    axes.plot(places, middle, "o-", color=COLOURS[0], label="wall, p50")
    axes.plot(places, [cost.whole_cpu_ms for cost in costs], "s--", color=COLOURS[1], label="CPU")
    axes.set_xticks(places, [cost.work for cost in costs])
    axes.margins(y=0.3)
    axes.legend(frameon=False, fontsize=SMALL_PT, loc="best")
