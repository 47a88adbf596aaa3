"""A picture of what `streamdet bench` measured: where a frame's time goes, and how others do."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from streamdet.cli.bench_display import machine, network_ratios
from streamdet.training.pictures.style import COLOURS, FONT_PT, INK, SMALL_PT, new_figure, plain, save, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from streamdet.cli.bench import Bench

OURS, THEIRS = COLOURS[0], COLOURS[7]


def draw_bench(measured: Bench, path: Path) -> None:
    """Write a PNG: the stages' CPU time a frame; frames per second beside the plain loop; networks."""
    beside = bool(measured.plain.theirs)
    rows = [len(measured.stages)] + [2, 1 + len(measured.raw_ms)] * beside
    figure = new_figure(1.6 + 0.42 * sum(rows) + 0.8 * len(rows))
    panels = figure.subplots(len(rows), 1, height_ratios=rows, squeeze=False)[:, 0]
    width, height = measured.size_wh
    figure.suptitle(
        plain(f"{measured.model}, {machine(measured)}", 70) + "\n" + plain(f"{measured.clip}, {width}x{height}", 70),
        fontsize=SMALL_PT,
        color=INK,
        x=0.02,
        ha="left",
    )
    names = list(measured.stages)
    costs = [measured.stages[name].cpu_ms for name in names]
    most = max(range(len(costs)), key=lambda place: costs[place])
    colours = [OURS if place == most else "#9ec6ee" for place in range(len(costs))]
    _bars(panels[0], names, costs, colours, [f"{each:.1f}" for each in costs])
    tidy(panels[0], "Where a frame's CPU time goes, ms", "", "")
    if beside:
        theirs, ours = median(measured.plain.theirs), measured.fps
        ratio = f"{median(measured.plain.ratios):.1f} times"
        labels = [f"{theirs:.1f}", f"{ours:.1f}  ({ratio})"]
        _bars(panels[1], [measured.plain_name, "streamdet"], [theirs, ours], [THEIRS, OURS], labels)
        tidy(panels[1], "The whole job, frames/s", "", "")
        raw = {name: median(each) for name, each in measured.raw_ms.items()}
        mine = median(measured.ours_ms)
        labels = [f"{mine:.0f}"] + [
            f"{each:.0f}  ({median(network_ratios(measured, n)):.2f})" for n, each in raw.items()
        ]
        _bars(
            panels[2],
            ["streamdet, with boxes", *raw],
            [mine, *raw.values()],
            [OURS] + [THEIRS] * len(raw),
            labels,
        )
        tidy(panels[2], "Network of a frame, ms; ours with boxes", "", "")
    save(figure, path)


def _bars(axes: Axes, names: list[str], values: list[float], colours: list[str], labels: list[str]) -> None:
    places = range(len(names))
    axes.barh(places, values, color=colours, height=0.62)
    axes.set_yticks(places, [plain(name, 30) for name in names], fontsize=FONT_PT)
    axes.invert_yaxis()
    axes.set_xlim(0, max(values) * 1.36)
    for place, (value, label) in enumerate(zip(values, labels, strict=True)):
        axes.text(value + max(values) * 0.012, place, label, va="center", fontsize=SMALL_PT, color=INK)
