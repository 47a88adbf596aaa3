"""What drawing and blurring cost per frame: `python benchmarks/drawing.py [--size 1920x1080] [--objects 100]`.

Moving objects with ids and trails, 50 bays, a zone and a line, on one thread. Times are of the processor, so that other
work on the machine disturbs them less; the median of the last 40 of 240 frames, when most labels have been met before.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from fractions import Fraction

import av
import cv2
import numpy as np

from streamdet.scene import BayState, LineState, Scene, ZoneState
from streamdet.types import DetectedFrame, Detections, Frame
from streamdet.video.blur import Blur
from streamdet.video.overlay import Overlay

NAMES = ("person", "bicycle", "car", "motorcycle", "bus", "truck")
FRAMES, MEASURED = 240, 40
TRAIL_POINTS = 50


class Crowd:
    """Objects that walk to and fro."""

    def __init__(self, objects: int, width: int, height: int) -> None:
        rng = np.random.default_rng(1)
        self.size_wh = width, height
        self.scores = np.sort(rng.uniform(0.4, 0.95, objects))[::-1]
        self.class_ids = rng.integers(0, len(NAMES), objects)
        self._home = rng.uniform(0.1, 0.9, (objects, 2)) * self.size_wh
        self._way = rng.normal(0, height / 30, (objects, 2))
        self._sides = rng.uniform(height / 27, height / 5.4, (objects, 2))

    def middles(self, moment: int) -> np.ndarray:
        """(N, 2)."""
        return self._home + self._way * np.sin(0.13 * moment + self._sides[:, :1])

    def detections(self, moment: int, *, tracked: bool) -> Detections:
        """Boxes with scores that flicker, as a detector's do."""
        middles = self.middles(moment)
        boxes = np.concatenate((middles - self._sides / 2, middles + self._sides / 2), 1).astype(np.float32)
        scores = np.clip(self.scores - 0.02 * ((moment * 7) % 5) / 5, 0, 1).astype(np.float32)
        ids = np.arange(100, 100 + len(boxes)) if tracked else np.full(len(boxes), -1)
        return Detections(boxes, scores, self.class_ids, NAMES, ids.astype(np.int64))

    def trails(self, moment: int) -> dict[int, np.ndarray]:
        """The last points of each object."""
        past = np.stack([self.middles(at) for at in range(moment - TRAIL_POINTS, moment + 1)], 1).astype(np.float32)
        return {100 + index: past[index] for index in range(len(past))}

    def places(self) -> Scene:
        """50 bays, a zone and a line."""
        width, height = self.size_wh
        corners = np.float32([[0, 0], [0.8, 0], [0.9, 0.8], [0.1, 0.8]]) * np.float32([width / 26, height / 6])
        bays = tuple(
            BayState(
                f"B{i}", corners + np.float32([width * (1 + i % 25) / 27, height * (0.3 + 0.2 * (i // 25))]), i % 2 == 0
            )
            for i in range(50)
        )
        zone = np.float32([[0.05, 0.1], [0.95, 0.15], [0.9, 0.95], [0.1, 0.9]]) * np.float32(self.size_wh)
        line = LineState("gate", ((0.1 * width, 0.5 * height), (0.9 * width, 0.55 * height)), {"car": 12})
        return Scene((line,), (ZoneState("yard", zone, {"car": 3}),), bays)


def measured_ms(work: Callable[[int], object]) -> float:
    """Median time of the processor for the last frames."""
    times = []
    for moment in range(FRAMES):
        started = time.process_time()
        work(moment)
        times.append(time.process_time() - started)
    return statistics.median(times[-MEASURED:]) * 1e3


def main() -> None:
    """Print a line per case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--objects", type=int, default=100)
    arguments = parser.parse_args()
    width, height = (int(side) for side in arguments.size.split("x"))
    cv2.setNumThreads(1)
    crowd = Crowd(arguments.objects, width, height)
    noise = np.random.default_rng(0).integers(40, 200, (height * 3 // 2, width), np.uint8)
    picture = av.VideoFrame.from_ndarray(noise, format="yuv420p")
    plain = [crowd.detections(moment, tracked=False) for moment in range(FRAMES)]
    tracked = [crowd.detections(moment, tracked=True) for moment in range(FRAMES)]
    trails = [Scene(trails=crowd.trails(moment)) for moment in range(FRAMES)]
    nobody, places = Detections.empty(NAMES), crowd.places()
    frame = Frame(picture, "noise", 0, 0, Fraction(1, 25), 0.0)

    def drawn(found: Callable[[int], Detections], scene: Callable[[int], Scene | None]) -> float:
        overlay = Overlay(NAMES)
        return measured_ms(lambda moment: overlay.draw(picture, found(moment), scene=scene(moment)))

    blur = Blur(NAMES)
    cases = {
        "a copy of the picture": drawn(lambda _: nobody, lambda _: None),
        "boxes and labels": drawn(plain.__getitem__, lambda _: None),
        "with track ids": drawn(tracked.__getitem__, lambda _: None),
        "with ids and trails": drawn(tracked.__getitem__, trails.__getitem__),
        "places alone": drawn(lambda _: nobody, lambda _: places),
        "blurring all objects": measured_ms(lambda moment: blur(DetectedFrame(frame, tracked[moment]))),
    }
    print(f"{arguments.objects} objects, {width}x{height}")
    for name, milliseconds in cases.items():
        print(f"  {name:24s} {milliseconds:6.2f} ms")


if __name__ == "__main__":
    main()
