"""How steady boxes are in video: how many are missing for one frame, and how much they shake. Tracking is off.

    python benchmarks/stability.py ../shared/videos/*.mp4 [--model street] [--seconds 20] [--json FILE]

A box **flickers** where the frames before and after show the same object (same class, IoU of at least 0.5) and the
frame between shows nothing of any class there (IoU of at least 0.4 with the mean of the two). It **shakes** by the
distance of its edges from the mean of its neighbours in time, in percent of the square root of its area: even motion
is no shaking.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamdet import Detector, detect
from streamdet.errors import StreamdetError
from streamdet.types import Detections, Float32Array

SAME_IOU, THERE_IOU = 0.5, 0.4


@dataclass
class Steadiness:
    """What was counted over some frames."""

    frames: int = 0
    pairs: int = 0
    """Objects that the frames before and after some frame show."""
    missing: int = 0
    """Of those: not shown in the frame between."""
    shakes: list[float] = field(default_factory=list)
    """Of those that are shown."""

    @property
    def flicker(self) -> float:
        """Share of the pairs that miss their box; nan without pairs."""
        return self.missing / self.pairs if self.pairs else float("nan")

    def shake(self, percentile: float) -> float:
        """In percent of the square root of the area; nan without boxes."""
        return float(np.percentile(self.shakes, percentile)) if self.shakes else float("nan")

    def add(self, other: Steadiness) -> None:
        """Count another clip in."""
        self.frames += other.frames
        self.pairs += other.pairs
        self.missing += other.missing
        self.shakes += other.shakes


def ious(boxes: Float32Array, others: Float32Array) -> npt.NDArray[np.float64]:
    """(N, M) intersection over union of boxes (N, 4) and (M, 4), xyxy."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas, other_areas = ((each[:, 2:] - each[:, :2]).prod(axis=1) for each in (boxes, others))
    union = areas[:, None] + other_areas[None] - shared
    return np.asarray(shared / np.maximum(union, 1e-9), np.float64)


def pairs(first: Detections, second: Detections) -> Iterator[tuple[int, int]]:
    """Places of the boxes that show one object in both, each used once, the best overlap first."""
    overlaps = ious(first.boxes_xyxy, second.boxes_xyxy)
    overlaps[first.class_ids[:, None] != second.class_ids[None]] = 0
    while overlaps.size and overlaps.max() >= SAME_IOU:
        row, column = np.unravel_index(int(overlaps.argmax()), overlaps.shape)
        yield int(row), int(column)
        overlaps[row], overlaps[:, column] = 0, 0


def steadiness(frames: Iterable[Detections]) -> Steadiness:
    """Over successive frames of one clip."""
    found = Steadiness()
    before: tuple[Detections, Detections] | None = None
    for earlier, now in pairwise(frames):
        found.frames += 1
        if before is not None:
            count(found, before[0], earlier, now)
        before = (earlier, now)
    return found


def count(found: Steadiness, first: Detections, middle: Detections, last: Detections) -> None:
    """Add what three successive frames show."""
    for row, column in pairs(first, last):
        expected = (first.boxes_xyxy[row] + last.boxes_xyxy[column]) / 2
        found.pairs += 1
        overlaps = ious(expected[None], middle.boxes_xyxy)[0]
        if not len(overlaps) or overlaps.max() < THERE_IOU:
            found.missing += 1
            continue
        there = middle.boxes_xyxy[int(overlaps.argmax())]
        side = float(np.sqrt(np.prod(expected[2:] - expected[:2])))
        found.shakes.append(100 * float(np.abs(there - expected).mean()) / max(side, 1.0))


def main() -> None:
    """Measure the clips and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--model", default="street")
    parser.add_argument("--seconds", type=float, default=20, help="of each clip, from its start")
    parser.add_argument("--conf", type=float, default=None, help="default: the model's own thresholds")
    parser.add_argument("--json", type=Path, default=None, help="the same numbers, for programs")
    chosen = parser.parse_args()
    whole = Steadiness()
    rows = {}
    try:
        detector = Detector.load(chosen.model, conf=chosen.conf)
        for clip in chosen.clips:
            found = steadiness(each.detections for each in detect(clip, model=detector, end_s=chosen.seconds))
            whole.add(found)
            rows[clip.name] = found
            print_row(clip.name, found)
    except StreamdetError as error:
        raise SystemExit(str(error)) from error
    rows["all"] = whole
    print_row("all", whole)
    if chosen.json is not None:
        numbers = {
            name: {
                "frames": each.frames,
                "pairs": each.pairs,
                "flicker": each.flicker,
                "shake_p50": each.shake(50),
                "shake_p95": each.shake(95),
            }
            for name, each in rows.items()
        }
        chosen.json.write_text(json.dumps(numbers, indent=2) + "\n")


def print_row(name: str, found: Steadiness) -> None:
    """One line of the table."""
    shake = f"{found.shake(50):.2f} / {found.shake(95):.2f}"
    print(f"{name:40} {found.frames:5} frames  {found.pairs:6} boxes  flicker {found.flicker:6.2%}  shake {shake} %")


if __name__ == "__main__":
    main()
