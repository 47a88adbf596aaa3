"""`streamdet probe`: what a source is, how regular, what it costs here, and how many of them this machine carries."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer

from streamdet.errors import SourceError, UsageError
from streamdet.options import LiveOptions, Transport, parse_size

if TYPE_CHECKING:
    from streamdet.cli.capacity import DetectionCost
    from streamdet.detection.detector import Detector
    from streamdet.video.location import Location
    from streamdet.video.probing import Probe

TRIAL_S = 2.0
"""About how long the detector is tried."""
FEWEST_TRIALS = 3
LONGEST_S = 600.0


def probe(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A video file, a camera (0, /dev/video0), an address (rtsp://, http://, ...), a pipe, or -.",
            show_default=False,
        ),
    ],
    seconds: Annotated[float, typer.Option(help="How long to look at it.", metavar="SECONDS")] = 5.0,
    model: Annotated[str, typer.Option(help="A model's name or file, or a run's folder.")] = "street",
    size: Annotated[
        str | None, typer.Option(help="Short x long side of the model's input. Default: the model decides.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32, float16 or bfloat16.")] = "auto",
    transport: Annotated[Transport, typer.Option(help="Of RTSP.")] = "tcp",
    netrc: Annotated[Path | None, typer.Option(help="Passwords by host, as curl reads them.", metavar="FILE")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Look at a source: codec, rate, regularity, cost here, how many of them this machine carries, what to change.

    A user name and a password can also stand in STREAMDET_USER and STREAMDET_PASSWORD.
    """
    from rich.console import Console

    from streamdet.cli.capacity import advice, capacity_of, is_busy
    from streamdet.cli.probe_display import show_probe, to_json
    from streamdet.video.location import parse_location
    from streamdet.video.probe_opening import probe_location

    if not 0 < seconds <= LONGEST_S:
        raise UsageError(f"--seconds is {seconds:g}; give a time above 0, and at most {LONGEST_S:g}")
    user, password = os.environ.get("STREAMDET_USER"), os.environ.get("STREAMDET_PASSWORD")
    location = parse_location(source, user=user, password=password, netrc=netrc)
    input_size = parse_size(size)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0  # before this command adds to it
    with _progress(location) as tick:
        found = probe_location(location, LiveOptions(transport=transport), seconds=seconds, tick=tick)
    cost = try_detector(load_detector(model, input_size, device, precision), found)
    fps = found.rhythm.fps or found.rhythm.fps_arrived or found.facts.declared_fps
    decode_s = found.decoding.processor_s_per_picture
    if not fps or not decode_s or found.decoding.pictures < 2:
        raise SourceError(f"{location.name} gave a single picture in {seconds:g} s; give more --seconds, or a video")
    capacity = capacity_of(fps, decode_s, cost, _cores())
    busy = load if is_busy(load, capacity.cores) else None
    said = advice(found, cost, capacity, scheme=location.scheme or location.kind, transport=transport)
    if as_json:
        typer.echo(json.dumps(to_json(location.name, found, cost, capacity, said, busy), indent=2, ensure_ascii=False))
    else:
        show_probe(Console(), location.name, found, cost, capacity, said, busy)


def load_detector(model: str, size: tuple[int, int] | None, device: str, precision: str) -> Detector:
    """Raises ModelError or UsageError."""
    from streamdet.cli.receipt import FetchDisplay
    from streamdet.detection.detector import Detector

    with FetchDisplay(model) as display:
        return Detector.load(model, device=device, precision=precision, size=size, progress=display.update)


def try_detector(detector: Detector, found: Probe) -> DetectionCost:
    """What a picture costs, in the batches that live runs take."""
    from streamdet.cli.capacity import DetectionCost

    batch = 8 if detector.placement.device.type == "cuda" else 1
    pictures = [found.pictures[place % len(found.pictures)] for place in range(batch)]
    detector(pictures)  # the first call is slow: memory is taken, kernels are chosen
    walls: list[float] = []
    processor_started = time.process_time()
    while len(walls) < FEWEST_TRIALS or sum(walls) < TRIAL_S:
        first = len(walls) * batch
        started = time.perf_counter()
        detector([found.pictures[(first + place) % len(found.pictures)] for place in range(batch)])
        walls.append(time.perf_counter() - started)
    processor_s = (time.process_time() - processor_started) / len(walls)
    return DetectionCost(
        model=detector.card.name,
        device=detector.placement.device.type,
        precision=detector.placement.precision,
        batch=batch,
        input_size_wh=detector.input_size_wh or (0, 0),
        wall_s=median(walls) / batch,  # other programs that come in between don't count
        processor_s=processor_s / batch,
    )


@contextlib.contextmanager
def _progress(location: Location) -> Iterator[Callable[[float], None]]:
    """A bar on a terminal; yields what is to be told of the share that is done."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from streamdet.cli.figures import cut_middle

    console = Console(stderr=True)
    columns = TextColumn("looking at {task.description}", markup=False), BarColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(cut_middle(location.name, 40), total=1.0)
        yield lambda share: progress.update(task, completed=share)


def _cores() -> int:
    """Cores that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(allowed(0)) if allowed else os.cpu_count() or 1
