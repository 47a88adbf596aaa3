"""Measures a model and writes the numbers into its card, and a picture of how far its scores can be trusted.

    python models/update_card.py DATA_FOLDER [--model street]

DATA_FOLDER holds val*.json and images/; speed is measured on the machine that runs this. The picture is
MODEL_reliability.png beside the card.
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

from streamdet import Detector
from streamdet.detection.models import find_model
from streamdet.detection.precision import choose_placement
from streamdet.training.assess import Assessment, assess
from streamdet.training.calibration import reliability
from streamdet.training.dataset import read_sets
from streamdet.training.evaluate import evaluation_detector

FRAMES = 60
LEAST_IN_BIN = 10
"""Bins of scores with fewer detections say nothing."""


def assessments(model: str, data: Path) -> list[Assessment]:
    """The model over each validation set."""
    detector = evaluation_detector(find_model(model), choose_placement())
    return [assess(detector, dataset) for dataset in read_sets([data])[1]]


def table(measured: list[Assessment]) -> str:
    """Average precision per set and class, and the error of the scores, as Markdown."""
    names = measured[0].dataset.class_names
    lines = ["| set | pictures | AP | AP50 | " + " | ".join(f"{name} AP50" for name in names) + " | score error |"]
    lines.append("|" + "---|" * (5 + len(names)))
    for assessment in measured:
        scores = assessment.scores
        per_class = [scores.ap50_per_class.get(name, float("nan")) for name in names]
        cells = ["-" if np.isnan(value) else f"{value:.3f}" for value in per_class]
        lines.append(
            f"| {assessment.dataset.name} | {scores.images} | {scores.ap:.3f} | {scores.ap50:.3f} | "
            f"{' | '.join(cells)} | {reliability(assessment).error:.3f} |"
        )
        print(lines[-1])
    return "\n".join(lines)


def thresholds(model: str) -> str:
    """The score from which each class is reported."""
    card = find_model(model).card
    told = ", ".join(f"{name} {card.threshold(name):.2f}" for name in card.class_names)
    return f"Reported from a score of: {told} (best F1 on these sets)."


def draw_reliability(measured: list[Assessment], path: Path) -> None:
    """How often detections are right, against their score."""
    mpl.use("agg")
    figure, axes = plt.subplots(figsize=(5.2, 4.4), dpi=130, layout="constrained")
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle="--", label="a score that means what it says")
    for assessment, colour in zip(measured, ("#0b6e4f", "#2f6fb0", "#b5541c", "#6b3fa0"), strict=False):
        told = reliability(assessment)
        enough = told.counts >= LEAST_IN_BIN
        axes.plot(
            told.mean_scores[enough], told.shares_right[enough], "o-", color=colour, label=assessment.dataset.name
        )
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="score", ylabel="share of detections that are right (IoU 0.5)")
    axes.grid(color="#e3e3e3", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left")
    figure.savefig(path)
    plt.close(figure)


def speed(model: str) -> str:
    """Time of one 1080p picture from pixels to boxes, one at a time."""
    detector = Detector.load(model)
    picture = np.random.default_rng(0).integers(0, 255, (1080, 1920, 3), np.uint8)
    milliseconds = []
    for _ in range(FRAMES):
        started = time.perf_counter()
        detector([picture])
        milliseconds.append((time.perf_counter() - started) * 1000)
    width, height = detector.input_size_wh or (0, 0)
    p50, p95 = statistics.median(milliseconds), float(np.percentile(milliseconds, 95))
    where = f"{detector.placement.precision} on {detector.placement.device}, {width}x{height} input"
    return f"One 1080p picture on the machine that measured this ({where}): p50 {p50:.0f} ms, p95 {p95:.0f} ms."


def main() -> None:
    """Measure and rewrite."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="street")
    chosen = parser.parse_args()
    card = Path(__file__).with_name(f"{chosen.model}.md")
    found = assessments(chosen.model, chosen.data)
    draw_reliability(found, card.with_name(f"{chosen.model}_reliability.png"))
    measured = f"{table(found)}\n\n{thresholds(chosen.model)}\n{speed(chosen.model)}\n"
    start = r"(<!-- measured: [^\n]*-->\n).*?(<!-- end -->)"
    card.write_text(re.sub(start, lambda match: match[1] + measured + match[2], card.read_text(), flags=re.DOTALL))


if __name__ == "__main__":
    main()
