"""Measures a model and writes the numbers into its card.

    python models/update_card.py DATA_FOLDER [--model street]

DATA_FOLDER holds val*.json and images/; speed is measured on the machine that runs this.
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from pathlib import Path

import numpy as np

from streamdet import Detector
from streamdet.detection.models import find_model
from streamdet.detection.precision import choose_placement
from streamdet.training.dataset import read_validation_sets
from streamdet.training.evaluate import evaluate, evaluation_detector

FRAMES = 60


def table(model: str, data: Path) -> str:
    """Average precision per set and class, as Markdown."""
    detector = evaluation_detector(find_model(model), choose_placement())
    names = detector.card.class_names
    lines = ["| set | pictures | AP | AP50 | " + " | ".join(f"{name} AP50" for name in names) + " |"]
    lines.append("|" + "---|" * (4 + len(names)))
    for dataset in read_validation_sets([data]):
        scores = evaluate(detector, dataset)
        per_class = [scores.ap50_per_class.get(name, float("nan")) for name in names]
        cells = ["-" if np.isnan(value) else f"{value:.3f}" for value in per_class]
        lines.append(
            f"| {dataset.name} | {scores.images} | {scores.ap:.3f} | {scores.ap50:.3f} | {' | '.join(cells)} |"
        )
        print(lines[-1])
    return "\n".join(lines)


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
    measured = f"{table(chosen.model, chosen.data)}\n\n{speed(chosen.model)}\n"
    start = r"(<!-- measured: [^\n]*-->\n).*?(<!-- end -->)"
    card.write_text(re.sub(start, lambda match: match[1] + measured + match[2], card.read_text(), flags=re.DOTALL))


if __name__ == "__main__":
    main()
