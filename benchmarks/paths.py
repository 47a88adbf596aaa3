"""Do the fast ways of computing a model find the boxes of the exact one? Frames of real clips, every engine at hand.

For each way: in how many frames it finds as many objects above 0.3 as the float32 network, and how many of all objects
it finds with an IoU of 0.95 at least, in the same class. Objects whose score lies nearest to 0.3 come and go with any
rounding: "sure" counts leave out frames whose exact scores come within 0.02 of it.

    python benchmarks/paths.py CLIP... [--model street] [--frames 200] [--size 480x800]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice

import av
import numpy as np
import torch

from streamdet.detection.detector import Detector
from streamdet.errors import StreamdetError
from streamdet.options import parse_size
from streamdet.types import Detections
from streamdet.video.sources import open_source

SHOWN_FROM, NEAR, IOU = 0.3, 0.02, 0.95
WAYS = {
    "torch bfloat16": ("bfloat16", "torch"),
    "Winograd bfloat16": ("bfloat16", "winograd"),
    "OpenVINO float32": ("float32", "openvino"),
    "OpenVINO bfloat16": ("bfloat16", "openvino"),
    "OpenVINO INT8": ("auto", "openvino-int8"),
}


def pictures(clips: list[str], count: int) -> Iterator[av.VideoFrame]:
    """`count` frames, as many of each clip, spread over it."""
    each = -(-count // len(clips))
    for clip in clips:
        with open_source(clip) as source:
            every = max(1, (source.info.expected_frames or each) // each)
        with open_source(clip, every=every) as source:
            for frame in islice(source, each):
                yield frame.picture


def found_again(found: Detections, expected: Detections) -> int:
    """How many of the expected objects are there, each at most once."""
    low = np.maximum(found.boxes_xyxy[:, None, :2], expected.boxes_xyxy[None, :, :2])
    high = np.minimum(found.boxes_xyxy[:, None, 2:], expected.boxes_xyxy[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = [np.prod(each.boxes_xyxy[:, 2:] - each.boxes_xyxy[:, :2], axis=1) for each in (found, expected)]
    near = shared >= IOU * (areas[0][:, None] + areas[1][None] - shared)
    near &= found.class_ids[:, None] == expected.class_ids[None]
    return int(near.any(axis=0).sum())


def above(detections: Detections) -> Detections:
    """Those above the score."""
    return detections[detections.scores > SHOWN_FROM]


def main() -> None:
    """Compare and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="+")
    parser.add_argument("--model", default="street")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--size")
    chosen = parser.parse_args()

    def load(precision: str, engine: str) -> Detector:
        # lower than what is compared: an object just above the line may come out just below it
        return Detector.load(
            chosen.model, device="cpu", precision=precision, engine=engine, conf=0.2, size=parse_size(chosen.size)
        )

    exact = load("float32", "torch")
    ways = {}
    for name, (precision, engine) in WAYS.items():
        try:
            ways[name] = load(precision, engine)
        except StreamdetError as error:
            print(f"{name}: left out ({error})")
    sums = {name: np.zeros(6, np.int64) for name in ways}  # frames, as many, sure, sure as many, objects, found again
    for picture in pictures(chosen.clips, chosen.frames):
        [truth] = exact([picture])
        sure = not bool((np.abs(truth.scores - SHOWN_FROM) < NEAR).any())
        expected = above(truth)
        for name, detector in ways.items():
            [found] = detector([picture])
            same = len(above(found)) == len(expected)
            sums[name] += (1, same, sure, sure and same, len(expected), found_again(found, expected))
    print(f"{exact.card.name} on {torch.backends.cpu.get_cpu_capability()}, against float32 by torch")
    print(f"{'':20}{'frames':>8}{'as many':>9}{'sure':>7}{'as many':>9}{'objects':>9}{'IoU 0.95':>10}")
    for name, (frames, many, sure, sure_many, objects, again) in sums.items():
        counts = f"{name:20}{frames:8}{many / max(frames, 1):9.3f}{sure:7}{sure_many / max(sure, 1):9.3f}"
        print(f"{counts}{objects:9}{again / max(objects, 1):10.4f}")


if __name__ == "__main__":
    main()
