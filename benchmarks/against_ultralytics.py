"""What the pipelines of Ultralytics and of streamdet cost beside their networks, on the same 1080p clip, in one run.

Theirs: `YOLO("yolo11n.yaml").predict(clip, stream=True)`, `plot()` of each result, and its way to the YUV that encoders
take, by OpenCV. Ours: what `streamdet run` does, in its threads, up to the annotated picture, which is YUV. Counted is
the CPU time of the whole process, without that of the network, and without encoding, which neither side does here. One
frame at a time, the same input size, one torch thread each, sides in turns, medians of the rounds. Their network is
random (no weights are fetched), and finds as many boxes as ours: see ultralytics_side.py.

Ultralytics asks for opencv-python, which overwrites our opencv-python-headless: give it an environment of its own.

    python3 -m venv ultralytics-venv
    ultralytics-venv/bin/pip install ultralytics
    .venv/bin/python benchmarks/against_ultralytics.py --ultralytics-python ultralytics-venv/bin/python

The clip is samples/parking.mp4, scaled. [--frames 300] [--rounds 5] [--size 384x640] [--model street] [--history]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch
from clips import scaled_clip
from history import append_row, history_row, machine
from rich.console import Console
from rich.table import Table

from streamdet.detection.detector import Detector
from streamdet.options import parse_size
from streamdet.pipeline import Pipeline
from streamdet.report import RunReport
from streamdet.types import DetectedFrame
from streamdet.video.overlay import Overlay
from streamdet.video.sources import open_source

SIZE_WH = 1920, 1080
STAGES = ("decode", "preprocess", "postprocess", "plot", "to YUV")
"""`preprocess`: all from the decoded picture to the network's input. Ours draws on the YUV picture that was decoded."""


@dataclass(frozen=True)
class Round:
    """Milliseconds of CPU per frame, and what was found."""

    overhead_ms: float
    """All but the network."""
    network_ms: float
    stages_ms: dict[str, float]
    boxes: float
    """Per frame."""
    speed_ms: dict[str, float]
    """Wall time by Ultralytics' own account; empty for ours."""


class Drawn:
    """A sink that draws each frame, and encodes none."""

    def __init__(self, class_names: tuple[str, ...]) -> None:
        self._overlay = Overlay(class_names)
        self.cpu_s = 0.0
        self.boxes: list[int] = []

    def write(self, detected: DetectedFrame) -> None:
        """Draw it."""
        started = time.thread_time()
        self._overlay.draw_frame(detected)
        self.cpu_s += time.thread_time() - started
        self.boxes.append(len(detected.shown))

    def finish(self, *, complete: bool) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is kept."""


def our_round(clip: Path, detector: Detector) -> Round:
    """Ours, once over the clip."""
    detector.clock = time.thread_time
    report, sink = RunReport({}, batch=1), Drawn(detector.card.class_names)
    with open_source(clip) as source:
        started = time.process_time()
        Pipeline(source, detector, [sink], report).run()
        whole_s = time.process_time() - started
    started = time.process_time()
    with open_source(clip) as source:
        count = sum(1 for _ in source)
    decode_s = time.process_time() - started
    busy_s = {name: times.busy_s for name, times in report.stages.items()}
    stages_s = {
        "decode": decode_s,
        "preprocess": busy_s["resize"] + busy_s["copy"],
        "postprocess": busy_s["postprocess"],
        "plot": sink.cpu_s,
        "to YUV": 0.0,
    }
    return Round(
        (whole_s - busy_s["network"]) / count * 1000,
        busy_s["network"] / count * 1000,
        {name: seconds / count * 1000 for name, seconds in stages_s.items()},
        mean(sink.boxes),
        {},
    )


def their_round(told: dict[str, Any]) -> Round:
    """A round as ultralytics_side.py tells it."""
    cpu_ms = told["cpu_ms"]
    stages_ms = {name: cpu_ms[name] for name in STAGES}
    return Round(told["overhead_ms"], cpu_ms["inference"], stages_ms, told["boxes"], told["speed_ms"])


@contextmanager
def ultralytics_side(python: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The other process; its settings stay out of the user's home."""
    with tempfile.TemporaryDirectory() as settings:
        side = subprocess.Popen(
            [str(python), str(Path(__file__).with_name("ultralytics_side.py")), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"YOLO_CONFIG_DIR": settings, "OMP_NUM_THREADS": "1"},
            cwd=settings,
        )
        try:
            yield side
        finally:
            side.communicate()  # the end of its input ends it


def answer(side: subprocess.Popen[str]) -> dict[str, Any]:
    """The next line that the other process prints."""
    assert side.stdout is not None
    line = side.stdout.readline()
    if not line:
        raise SystemExit("Ultralytics' side has stopped: see above")
    told: dict[str, Any] = json.loads(line)
    return told


def medians(rounds: Sequence[Round]) -> Round:
    """Each number's median."""

    def middle(dictionaries: list[dict[str, float]]) -> dict[str, float]:
        return {name: median(each[name] for each in dictionaries) for name in dictionaries[0]}

    return Round(
        median(each.overhead_ms for each in rounds),
        median(each.network_ms for each in rounds),
        middle([each.stages_ms for each in rounds]),
        median(each.boxes for each in rounds),
        middle([each.speed_ms for each in rounds]),
    )


def ratios(theirs: Sequence[Round], ours: Sequence[Round]) -> list[float]:
    """Their overhead over ours, round by round, ascending."""
    return sorted(a.overhead_ms / b.overhead_ms for a, b in zip(theirs, ours, strict=True))


def table(theirs: Sequence[Round], ours: Sequence[Round]) -> Table:
    """Stages, and the whole."""
    drawn = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    drawn.add_column("ms a frame, medians")
    for heading in ("Ultralytics, own count", "Ultralytics, CPU", "streamdet, CPU"):
        drawn.add_column(heading, justify="right")
    a, b = medians(theirs), medians(ours)
    for name in STAGES:
        own = f"{a.speed_ms[name]:.1f}" if name in a.speed_ms else "–"
        drawn.add_row(name, own, f"{a.stages_ms[name]:.1f}", f"{b.stages_ms[name]:.1f}")
    rest = [each.overhead_ms - sum(each.stages_ms.values()) for each in (a, b)]
    networks = f"{a.speed_ms['inference']:.1f}", f"{a.network_ms:.1f}", f"{b.network_ms:.1f}"
    drawn.add_row("all the rest", "–", *(f"{each:.1f}" for each in rest))
    drawn.add_row("all but the network", "", f"{a.overhead_ms:.1f}", f"{b.overhead_ms:.1f}", style="bold")
    drawn.add_row("network", *networks, style="dim")
    drawn.add_row("boxes a frame", "", f"{a.boxes:.1f}", f"{b.boxes:.1f}", style="dim")
    return drawn


def row(theirs: Sequence[Round], ours: Sequence[Round], versions: dict[str, str], network: str, model: str) -> str:
    """For HISTORY.md."""
    a, b = medians(theirs), medians(ours)
    between = ratios(theirs, ours)
    stages = ", ".join(f"{name} {a.stages_ms[name]:.1f}/{b.stages_ms[name]:.1f}" for name in STAGES)
    return history_row(
        f"against_ultralytics: all but network and encoder at {SIZE_WH[0]}x{SIZE_WH[1]}, {network} and {model}",
        machine(),
        f"torch {versions['torch']}, ultralytics {versions['ultralytics']}",
        f"{a.overhead_ms:.1f} ms of CPU",
        f"{b.overhead_ms:.1f} ms of CPU",
        f"{median(between):.2f} ({between[0]:.2f}–{between[-1]:.2f})",
        f"not counted; theirs/ours: {stages}; boxes {a.boxes:.0f}/{b.boxes:.0f}",
    )


def main() -> None:
    """Run both sides in turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ultralytics-python", type=Path, required=True, help="the Python that has ultralytics")
    parser.add_argument("--network", default="yolo11n.yaml", help="theirs, by the name of its YAML")
    parser.add_argument("--model", default="street", help="ours")
    parser.add_argument("--size", default="384x640", help="short x long side of both networks' input")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--history", action="store_true", help="append a row to HISTORY.md")
    chosen = parser.parse_args()
    console = Console()
    torch.set_num_threads(1)  # as on the other side
    detector = Detector.load(chosen.model, device="cpu", size=parse_size(chosen.size), engine="torch")
    with tempfile.TemporaryDirectory() as name:
        clip = scaled_clip(Path(name) / "clip.mp4", SIZE_WH, chosen.frames)
        boxes = round(our_round(clip, detector).boxes)  # it warms up, too
        side_arguments = str(clip), chosen.network, chosen.size.split("x")[-1], str(boxes)
        theirs, ours = [], []
        with ultralytics_side(chosen.ultralytics_python.absolute(), *side_arguments) as side:
            versions = answer(side)["versions"]
            assert side.stdin is not None
            for number in range(-1, chosen.rounds):  # the first one warms up
                print("round", file=side.stdin, flush=True)
                told = their_round(answer(side))
                if number < 0:
                    continue
                theirs.append(told)
                ours.append(our_round(clip, detector))
                a, b = told.overhead_ms, ours[-1].overhead_ms
                console.print(f"round {number + 1}: theirs {a:.1f} ms, ours {b:.1f} ms", highlight=False)
    console.print(table(theirs, ours))
    between = ratios(theirs, ours)
    console.print(
        f"Ultralytics {versions['ultralytics']} takes {median(between):.2f} ({between[0]:.2f}–{between[-1]:.2f}) times "
        f"the CPU time of streamdet beside the networks; {SIZE_WH[0]}x{SIZE_WH[1]}, {chosen.frames} frames, input "
        f"{chosen.size}",
        highlight=False,
    )
    if chosen.history:
        append_row(row(theirs, ours, versions, chosen.network, detector.card.name))


if __name__ == "__main__":
    main()
