"""What following, counting and telling cost together: CPU time a frame, without detector and pictures.

    python benchmarks/analysis_cost.py [--objects 100] [--frames 500] [--history]

Objects in a 1080p picture at 25 frames/s: 4 in 10 are parked cars whose boxes tremble, the others cross the picture to
and fro; one in twenty is missed in each frame. They go through `Analysis` with our tracker and 4 lines, 4 zones and 50
bays, as in `streamdet run`, and through the sink of events with 8 rules and its journal (no snapshots: those are
pictures). Beside the whole, printed are its parts; the first 100 frames, in which everything is new, don't count.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from history import append_row, history_row
from rich.console import Console
from rich.table import Table

from streamdet.events.desk import EventDesk, EventOptions
from streamdet.events.rules import BayChange, CameraDown, Condition, Crossing, Crowd, Dwell, Rule, Visit
from streamdet.events.sink import EventRecorder, EventSink
from streamdet.results.analysis import Analysis
from streamdet.results.places import Places
from streamdet.results.places.rules import BayRule, LineRule, PlaceRules, ZoneRule
from streamdet.results.tracks import Tracker, TrackRule
from streamdet.types import DetectedFrame, Detections, Frame

CLASSES = ("person", "bicycle", "car", "motorcycle", "bus", "truck")
CAR = CLASSES.index("car")
WIDTH, HEIGHT, RATE = 1920, 1080, 25
PARKED_SHARE, MISSED_SHARE, WARM_UP = 0.4, 0.05, 100
CONDITIONS: tuple[Condition, ...] = (
    Crossing("line 0"), Crossing("line 1", "in", ("person",)), Visit("zone 0", "entered"), Visit("zone 1", "left"),
    Dwell("zone 2", 3.0), Crowd(5, "zone 3", 1.0), BayChange(), CameraDown(),
)  # fmt: skip


def places() -> PlaceRules:
    """4 lines and 4 zones over the picture, two rows of 25 bays."""
    bays = []
    for number in range(50):
        x, y = (number % 25 + 0.5) / 26, 0.3 + 0.4 * (number // 25)
        corners = ((x, y), (x + 0.032, y), (x + 0.032, y + 0.06), (x, y + 0.06))
        bays.append(BayRule(f"bay {number}", corners))
    lines = [LineRule(f"line {n}", ((0.05, 0.2 + 0.2 * n), (0.95, 0.25 + 0.2 * n))) for n in range(4)]
    zones = [
        ZoneRule(f"zone {n}", ((x, y), (x + 0.42, y + 0.03), (x + 0.4, y + 0.4), (x + 0.02, y + 0.38)))
        for n, (x, y) in enumerate(((0.05, 0.05), (0.5, 0.05), (0.05, 0.5), (0.5, 0.5)))
    ]
    return PlaceRules(tuple(lines), tuple(zones), tuple(bays))


def traffic(objects: int, frames: int) -> Iterator[Detections]:
    """What a detector sees; some of it now and then not."""
    rng = np.random.default_rng(0)
    parked = np.arange(objects) < PARKED_SHARE * objects
    home = rng.uniform(0.1, 0.9, (objects, 2)) * (WIDTH, HEIGHT)
    home[parked] = [((n % 25 + 1) / 26 * WIDTH, (0.34 + 0.4 * (n // 25 % 2)) * HEIGHT) for n in range(parked.sum())]
    sides = np.where(parked[:, None], (55, 50), rng.uniform(20, 90, (objects, 2)))
    way = np.where(parked[:, None], 0, rng.normal(0, 150, (objects, 2)))
    class_ids = np.where(parked, CAR, rng.integers(0, len(CLASSES), objects))
    phases = rng.uniform(0, 6.28, (objects, 1))
    usual = rng.uniform(0.5, 0.95, objects)
    for moment in range(frames):
        middles = home + way * np.sin(moment / RATE * 0.8 + phases) + rng.normal(0, 0.6, (objects, 2))
        boxes = np.concatenate((middles - sides / 2, middles + sides / 2), axis=1)
        boxes = np.clip(boxes, 0, (WIDTH, HEIGHT, WIDTH, HEIGHT)).astype(np.float32)
        scores = np.clip(usual + rng.normal(0, 0.03, objects), 0.3, 0.99).astype(np.float32)
        order = np.argsort(-scores)
        seen = order[rng.random(objects) >= MISSED_SHARE]
        yield Detections(boxes[seen], scores[seen], class_ids[seen], CLASSES)


@dataclass
class Stopwatch:
    """CPU time of this thread's calls of one part, in ms a frame."""

    part: Any
    frames_ms: list[float] = field(default_factory=list)

    def update(self, *given: Any) -> Any:
        """The part's own, measured."""
        started = time.thread_time()
        done = self.part.update(*given)
        self.frames_ms.append((time.thread_time() - started) * 1000)
        return done

    @property
    def trails(self) -> Any:
        """The tracker's own."""
        return self.part.trails


def measure(objects: int, frames: int, folder: Path) -> dict[str, list[float]]:
    """CPU time of each frame in ms: of the whole, and of its parts."""
    tracker = Stopwatch(Tracker(TrackRule(), CLASSES))
    there = Stopwatch(Places.of(places()))
    analysis = Analysis(np.full(len(CLASSES), 0.4, np.float32), tracker, there)
    rules = [Rule(f"rule {n}", condition, snapshot=False) for n, condition in enumerate(CONDITIONS)]
    desk = EventDesk(EventOptions(tuple(rules), folder))
    sink = EventSink(EventRecorder(desk, "camera", lambda detected: detected.frame.picture))
    picture = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
    costs: dict[str, list[float]] = {"events": [], "whole": []}
    for index, found in enumerate(traffic(objects, frames)):
        frame = Frame(picture, "camera", index, index, Fraction(1, RATE), 0.0)
        started = time.thread_time()
        detected = analysis(DetectedFrame(frame, found))
        between = time.thread_time()
        sink.write(detected)
        ended = time.thread_time()
        costs["events"].append((ended - between) * 1000)
        costs["whole"].append((ended - started) * 1000)
    sink.finish(complete=True)
    desk.finish()
    costs = {"tracking": tracker.frames_ms, "places": there.frames_ms, **costs}
    return {name: each[min(WARM_UP, frames // 2) :] for name, each in costs.items()} | {"told": [float(desk.told)]}


def percentiles(values: list[float]) -> tuple[float, float]:
    """p50 and p95."""
    middle, most = np.percentile(values, (50, 95))
    return float(middle), float(most)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=100)
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--history", action="store_true", help="append a row to HISTORY.md")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        costs = measure(chosen.objects, chosen.frames, Path(name))
    [told] = costs.pop("told")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in (f"{chosen.objects} objects, ms of CPU a frame", "p50", "p95"):
        table.add_column(heading, justify="left" if len(heading) > 3 else "right")
    for part, values in costs.items():
        table.add_row(part, *(f"{value:.2f}" for value in percentiles(values)), style="bold" if part == "whole" else "")
    console = Console()
    console.print(table)
    console.print(f"{chosen.frames} frames, {told:.0f} events", style="dim", highlight=False)
    if chosen.history:
        from history import machine

        middle, most = percentiles(costs["whole"])
        parts = ", ".join(f"{part} {percentiles(costs[part])[0]:.2f}" for part in costs if part != "whole")
        title = f"analysis_cost: tracking, places and events of {chosen.objects} objects, p50/p95 of CPU"
        append_row(
            history_row(title, machine(), f"numpy {np.__version__}", "-", f"{middle:.2f}/{most:.2f} ms", "-", parts)
        )


if __name__ == "__main__":
    main()
