"""The table and the picture of the fine-tuning story, from what its runs measured (see fine_tune.py)."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from record import Run

BEFORE = "before"
"""In place of a start: the shipped model without any training."""
STARTS = {"model": "from the shipped model", "backbone": "its backbone, new heads", "imagenet": "ImageNet only"}
TEST, OLD = "newcamera_test", "val_street"
YARDSTICK = (0.272, "NanoDet-m\nas it comes")
"""AP50 of another detector on the new camera (the data's README)."""


def counts_of(results: Sequence[Run]) -> list[int]:
    """Frames that were trained on, ascending."""
    return sorted({run["frames"] for run in results if run["start"] != BEFORE})


def values(results: Sequence[Run], start: str, frames: int, name: str) -> list[float]:
    """AP50 on a set, one value per seed."""
    runs = [run for run in results if run["start"] == start and run["frames"] == frames]
    return [run["scores"][name]["AP50"] for run in runs]


def mean_and_spread(numbers: Sequence[float]) -> str:
    """As in the table: "0.612 ± 0.011"."""
    if not numbers:
        return "–"
    mean = f"{statistics.mean(numbers):.3f}"
    return mean if len(numbers) == 1 else f"{mean} ± {statistics.stdev(numbers):.3f}"


def scores_before(results: Sequence[Run]) -> dict[str, Any]:
    """Of the shipped model, by set."""
    scores: dict[str, Any] = next(run["scores"] for run in results if run["start"] == BEFORE)
    return scores


def make_table(results: Sequence[Run]) -> str:
    """Markdown: AP50 by frames and start, of those that were run; minutes; what was forgotten."""
    before = scores_before(results)
    starts = {start: label for start, label in STARTS.items() if any(run["start"] == start for run in results)}
    header = ["frames", *starts.values(), "minutes", f"{OLD} after"]
    lines = [
        "AP50 on newcamera_test, the camera's other days. For the start from the shipped model also: minutes of "
        "training, and AP50 on val_street after it.",
        "",
        f"| {' | '.join(header)} |",
        f"|{'---:|' * len(header)}",
        f"| 0 | {before[TEST]['AP50']:.3f} |{' – |' * (len(starts) - 1)} 0 | {before[OLD]['AP50']:.3f} |",
    ]
    for frames in counts_of(results):
        own = [run for run in results if run["start"] == "model" and run["frames"] == frames]
        minutes = f"{statistics.mean(run['minutes'] for run in own):.1f}" if own else "–"
        cells = [mean_and_spread(values(results, start, frames, TEST)) for start in starts]
        lines.append(
            f"| {frames} | {' | '.join(cells)} | {minutes} | {mean_and_spread(values(results, 'model', frames, OLD))} |"
        )
    if cut := [f"{run['start']} with {run['frames']} frames" for run in results if run["stopped_early"]]:
        lines += ["", f"Stopped at the time limit: {', '.join(cut)}."]
    return "\n".join(lines) + "\n"


def draw_curve(results: Sequence[Run], path: Path) -> None:
    """AP50 on the new camera against the number of frames, a line for each start."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7.2, 4.2), dpi=130, layout="constrained")
    before, counts = scores_before(results), counts_of(results)
    for (start, label), colour in zip(STARTS.items(), ("#0b6e4f", "#2f6fb0", "#b5541c"), strict=True):
        points = [(count, found) for count in counts if (found := values(results, start, count, TEST))]
        if points:
            x = [count for count, _ in points]
            y = [statistics.mean(found) for _, found in points]
            axes.plot(x, y, "o-", color=colour, linewidth=2, markersize=5, label=label)
            if max(len(found) for _, found in points) > 1:
                axes.fill_between(
                    x, [min(f) for _, f in points], [max(f) for _, f in points], color=colour, alpha=0.15, linewidth=0
                )
    for level, text in ((before[TEST]["AP50"], "shipped model,\nnot fine-tuned"), YARDSTICK):
        axes.axhline(level, color="#777777", linewidth=1, linestyle="--", zorder=1)
        upper = level >= max(before[TEST]["AP50"], YARDSTICK[0])
        axes.annotate(
            text,
            (1.01, level),
            xycoords=("axes fraction", "data"),
            verticalalignment="bottom" if upper else "top",  # beside the picture, where no curve can be
            fontsize=8.5,
            color="#555555",
        )
    axes.set_xscale("log")
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.set_ylim(0, 1)
    axes.set_xlabel("labelled frames of the new camera")
    axes.set_ylabel("AP50 on its other days")
    axes.grid(color="#e3e3e3", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left")
    figure.savefig(path)
    plt.close(figure)
