"""What a frame costs with growing work: streams, size of the pictures, batch, and boxes in them.

    python benchmarks/scaling.py [--picture scaling.png] [--model street] [--size 320x544] [--quick]

Prints a table for each and draws a picture of all four. Streams: 1 to 16 files of 640x360 through one live pipeline, in
which nothing is dropped; their wall time is the age of a frame when it is drawn, waiting included. Size: 240p to 4K,
every stage of a file alone but the network. Batch: 1 to 64 pictures. Boxes: 1 to 300 objects with as many candidates
as nine anchors give. Clips are samples/parking.mp4, scaled; torch has one thread. `--quick` only shows that it works.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable
from pathlib import Path

import torch
from history import machine
from rich.console import Console
from rich.table import Table
from scaling_picture import draw_scaling
from scaling_work import Cost, by_batch, by_boxes, by_size, by_streams

from streamdet.detection.detector import Detector
from streamdet.options import parse_size

SIZES = [(426, 240), (640, 360), (854, 480), (1280, 720), (1920, 1080), (2560, 1440), (3840, 2160)]
TITLES = {
    "streams": ("streams", "live pipeline by streams, age and CPU beside the network"),
    "size": ("picture", "stages of a file by size, without the network"),
    "batch": ("batch", "detector by batch, per frame"),
    "boxes": ("objects", "post-processing (91 classes, 480x800) and drawing (1080p) by objects"),
}


def table(kind: str, costs: Iterable[Cost]) -> Table:
    """Wall and CPU time of each amount of work."""
    heading, title = TITLES[kind]
    drawn = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in (heading, "p50, ms", "p95, ms", "CPU, ms"):
        drawn.add_column(name, justify="right")
    drawn.add_column("")
    for cost in costs:
        parts = ", ".join(f"{name} {ms:.1f}" for name, ms in cost.cpu_ms.items()) if len(cost.cpu_ms) > 1 else ""
        times = (f"{each:.1f}" for each in (cost.percentile_ms(50), cost.percentile_ms(95), cost.whole_cpu_ms))
        drawn.add_row(cost.work, *times, "; ".join(filter(None, (parts, cost.more))), style="")
    return drawn


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, default=Path("scaling.png"))
    parser.add_argument("--model", default="street")
    parser.add_argument("--size", help="short x long side of the network's input")
    parser.add_argument("--frames", type=int, default=60, help="frames of each case")
    parser.add_argument("--quick", action="store_true", help="the smallest cases, some frames each")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    size = parse_size(chosen.size or ("64x128" if chosen.quick else None))
    detector = Detector.load(chosen.model, device="cpu", size=size, engine="torch")
    frames = 4 if chosen.quick else chosen.frames
    streams, batches, boxes = [1, 2, 4, 8, 16], [1, 2, 4, 8, 16, 32, 64], [1, 3, 10, 30, 100, 300]
    sizes = SIZES
    if chosen.quick:
        streams, batches, boxes, sizes = streams[:2], batches[:3], boxes[::2], SIZES[:2]
    console, costs = Console(), {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind, measured in (
            ("streams", by_streams(detector, streams, frames, folder)),
            ("size", by_size(detector, sizes, frames, folder)),
            ("batch", by_batch(detector, batches, max(2, frames // 8))),
            ("boxes", by_boxes(boxes, frames)),
        ):
            costs[kind] = list(measured)
            console.print(table(kind, costs[kind]), "")
    width, height = detector.input_size_wh or (0, 0)
    draw_scaling(chosen.picture, f"{detector.card.name} at {width}x{height}, {machine()}", costs)
    console.print(f"Look at {chosen.picture}", highlight=False, markup=False)


if __name__ == "__main__":
    main()
