"""A small crowd in MOT's text format: people on their ways, hidden by each other, and what a detector says of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

FPS, FRAMES, PEOPLE = 25, 250, 14
WIDTH, HEIGHT = 1280, 720


def write(folder: Path, seed: int = 0) -> None:
    """gt/gt.txt and det/det.txt: frame, id, left, top, width, height, score, class, visible (frames from 1)."""
    rng = np.random.default_rng(seed)
    start = rng.uniform((100, 150), (WIDTH - 100, HEIGHT - 150), (PEOPLE, 2))
    speed = rng.uniform(-60, 60, (PEOPLE, 2)) * (1.0, 0.4)
    height = rng.uniform(90, 150, PEOPLE)
    first, last = rng.integers(0, 50, PEOPLE), rng.integers(200, FRAMES, PEOPLE)
    truth, seen = [], []
    for frame in range(FRAMES):
        t = frame / FPS
        middle = start + speed * t + 12 * np.sin(t + np.arange(PEOPLE))[:, None] * (0.0, 1.0)
        boxes = np.concatenate((middle - np.stack((0.2 * height, height / 2), 1),
                                np.stack((0.4 * height, height), 1)), axis=1)  # fmt: skip
        there = [i for i in range(PEOPLE) if first[i] <= frame <= last[i]]
        there = [i for i in there if boxes[i, 0] > 0 and boxes[i, 0] + boxes[i, 2] < WIDTH]
        for i in there:
            truth.append((frame + 1, i + 1, *boxes[i], 1, 1, 1))
            hidden = max([_covered(boxes[i], boxes[j]) for j in there if boxes[j, 1:4:2].sum() > boxes[i, 1:4:2].sum()],
                         default=0.0)  # fmt: skip
            if hidden > 0.75 or rng.random() < 0.03:
                continue
            score = np.clip(0.9 - 0.75 * hidden + rng.normal(0, 0.04), 0.12, 0.99)
            seen.append((frame + 1, -1, *(boxes[i] + rng.normal(0, 0.02, 4) * height[i]), score, 1, 1))
        for _ in range(rng.poisson(0.5)):
            seen.append(
                (frame + 1, -1, *rng.uniform((0, 0), (WIDTH - 60, HEIGHT - 120)), 45, 110, rng.uniform(0.1, 0.5), 1, 1)
            )
    for name, rows in (("gt", truth), ("det", seen)):
        (folder / name).mkdir(parents=True)
        lines = [",".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row) for row in rows]
        (folder / name / f"{name}.txt").write_text("\n".join(lines) + "\n")


def _covered(box: np.ndarray, other: np.ndarray) -> float:
    sides = np.minimum(box[:2] + box[2:], other[:2] + other[2:]) - np.maximum(box[:2], other[:2])
    return float(np.prod(np.maximum(sides, 0)) / np.prod(box[2:]))


def read(path: Path) -> np.ndarray:
    """(R, 9)."""
    return np.loadtxt(path, delimiter=",", ndmin=2)
