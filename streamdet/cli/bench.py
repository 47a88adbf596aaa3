"""`streamdet bench`: how fast the whole job and each stage is here, beside a plain loop and raw networks."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer

from streamdet.errors import SourceError, UsageError
from streamdet.options import parse_size

if TYPE_CHECKING:
    from torch import Tensor

    from streamdet.cli.bench_measure import Job, StageCost
    from streamdet.cli.bench_rivals import Network
    from streamdet.detection.detector import Detector

SAMPLE = Path(__file__).parents[2] / "samples" / "parking.mp4"
FEWEST_FRAMES = 4
PLAIN_SHARE = 8
"""The plain loop takes one of so many of the frames: it is slow, and each of its frames costs the same."""


@dataclass
class Contest:
    """Ours beside another, in turns: a number per round of each."""

    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Ours over theirs, round by round, ascending."""
        return sorted(a / b for a, b in zip(self.ours, self.theirs, strict=True))


@dataclass
class Bench:
    """All that was measured."""

    clip: str
    size_wh: tuple[int, int]
    frames: int
    model: str
    engine: str
    precision: str
    device: str
    input_size_wh: tuple[int, int]
    cores: int
    load: float
    """Processes of others that were running, on average, before we began."""
    stages: dict[str, StageCost]
    jobs: list[Job]
    memory_bytes: int
    """Peak of the whole job, the model included."""
    plain_name: str = ""
    plain: Contest = field(default_factory=Contest)
    """Frames per second of the whole job and of the plain loop."""
    ours_ms: list[float] = field(default_factory=list)
    """Network and post-processing of ours, per round."""
    raw_ms: dict[str, list[float]] = field(default_factory=dict)
    """Raw networks of others, per round."""

    @property
    def fps(self) -> float:
        """Frames per second of the whole job: the median round."""
        return median(job.fps for job in self.jobs)


def bench(
    clip: Annotated[
        Path | None, typer.Argument(metavar="[CLIP]", help="A video file. Default: samples/parking.mp4 of a checkout.")
    ] = None,
    model: Annotated[str, typer.Option(help="A model's name or file, or a run's folder.")] = "street",
    size: Annotated[
        str | None, typer.Option(help="Short x long side of the model's input. Default: the model decides.")
    ] = None,
    frames: Annotated[int, typer.Option(help="Frames of the clip, from its beginning.", metavar="N")] = 48,
    rounds: Annotated[int, typer.Option(help="Rounds of which the median counts.", metavar="N")] = 5,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32, float16 or bfloat16.")] = "auto",
    engine: Annotated[str, typer.Option(help="auto, torch, winograd, openvino or openvino-int8.")] = "auto",
    batch: Annotated[int | None, typer.Option(help="Frames per pass. Default: measured on a GPU, 2 on a CPU.")] = None,
    alone: Annotated[bool, typer.Option("--alone", help="Only our own work, nobody else's.")] = False,
    as_json: Annotated[
        Path | None, typer.Option("--json", help="All numbers as JSON; - for standard output.", metavar="FILE")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="A picture of them (PNG).", metavar="FILE")] = None,
    history: Annotated[
        Path | None, typer.Option(help="Append a row to this table (benchmarks/HISTORY.md).", metavar="FILE")
    ] = None,
) -> None:
    """Measure speed: the whole job and each stage, beside a plain loop and raw networks on the same frames.

    Ratios compare what ran in turns in this one process; other work on the machine disturbs both sides.
    """
    from rich.console import Console

    from streamdet.cli.bench_display import history_row, show_bench, to_json

    clip = clip or SAMPLE
    if frames < FEWEST_FRAMES or rounds < 1:
        raise UsageError(
            f"--frames is {frames} and --rounds {rounds}; give {FEWEST_FRAMES} frames and 1 round at least"
        )
    if not clip.is_file():
        raise SourceError(f"there is no video {clip}; give the path of one")
    for path in (as_json, picture, history):
        if path is not None and path != Path("-") and not path.absolute().parent.is_dir():
            raise UsageError(f"there is no folder {path.absolute().parent} for {path.name}; make it, or choose another")
    measured = measure(clip, model, parse_size(size), frames, rounds, (device, precision, engine), batch, alone=alone)
    if as_json == Path("-"):
        typer.echo(json.dumps(to_json(measured), indent=2))
    else:
        show_bench(Console(), measured)
        if as_json is not None:
            as_json.write_text(json.dumps(to_json(measured), indent=2) + "\n")
    if picture is not None:
        from streamdet.cli.bench_picture import draw_bench

        draw_bench(measured, picture)
    if history is not None:
        with history.open("a") as file:
            file.write(history_row(measured, Path(__file__).parents[2]) + "\n")


def measure(
    clip: Path,
    model: str,
    size: tuple[int, int] | None,
    count: int,
    rounds: int,
    how: tuple[str, str, str],
    batch: int | None,
    *,
    alone: bool,
) -> Bench:
    """Measure everything. `how`: device, precision, engine. Raises StreamdetError."""
    from streamdet.cli.bench_measure import measure_stages, peak_memory_bytes, read_frames, run_job
    from streamdet.detection.batching import batch_for
    from streamdet.detection.detector import Detector
    from streamdet.pipeline import most_at_once

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    device, precision, engine = how
    detector = Detector.load(model, device=device, precision=precision, size=size, engine=engine)
    frames = read_frames(clip, count)
    sides = (frames[0].width, frames[0].height)
    batch = batch or batch_for(detector, *sides, most_at_once(*sides))
    with tempfile.TemporaryDirectory() as name, _progress(rounds) as tell:
        folder = Path(name)
        tell(0, "warming up")
        detector([frames[0].picture] * batch)
        first = run_job(clip, detector, len(frames), folder / "ours.mp4", batch)
        memory_bytes = peak_memory_bytes()
        stages = measure_stages(clip, detector, len(frames), folder / "stages.mp4")
        measured = Bench(
            clip=clip.name,
            size_wh=(frames[0].width, frames[0].height),
            frames=len(frames),
            model=detector.card.name,
            engine=detector.engine.name if detector.engine else "",
            precision=detector.engine.precision if detector.engine else "",
            device=str(detector.placement.device),
            input_size_wh=detector.input_size_wh or (0, 0),
            cores=_cores(),
            load=load,
            stages=stages,
            jobs=[first] if alone else [],
            memory_bytes=memory_bytes,
        )
        rivals = None if alone else _Rivals(model, detector, frames[0].picture, measured, folder)
        for round_ in range(rounds - len(measured.jobs)):
            tell(round_, "the whole job")
            job = run_job(clip, detector, len(frames), folder / "ours.mp4", batch)
            measured.jobs.append(job)
            if rivals is not None:
                tell(round_, "the others")
                rivals.take_turns(job.fps, clip, max(2, len(frames) // PLAIN_SHARE))
    return measured


class _Rivals:
    """What runs beside ours, in turns with it."""

    def __init__(self, model: str, detector: Detector, picture: object, measured: Bench, folder: Path) -> None:
        import av

        from streamdet.cli.bench_rivals import PlainLoop, raw_networks
        from streamdet.detection.models import find_model
        from streamdet.detection.resize import to_batch
        from streamdet.detection.weights import default_cache_dir

        assert isinstance(picture, av.VideoFrame)
        self._measured, self._detector, self._folder, self._picture = measured, detector, folder, picture
        found = find_model(model)
        rule = detector.input_rule
        self._plain = PlainLoop(found, rule)
        measured.plain_name = self._plain.name
        fitting = rule.fit(picture.width, picture.height)
        scaled = [fitting.resize(picture, exact=False)]
        self._images: Tensor = to_batch(scaled, fitting, rule, detector.placement.device)
        self._raw: dict[str, Network] = raw_networks(found, detector, self._images, default_cache_dir())
        measured.raw_ms = {name: [] for name in self._raw}
        self._warm = False

    def take_turns(self, fps: float, clip: Path, frames: int) -> None:
        """One round of each, after the whole job that reached `fps`."""
        if not self._warm:
            self._plain.run(clip, self._folder / "plain.mp4", 1)
            self._time_networks(1)
            self._warm = True
        self._measured.plain.ours.append(fps)
        self._measured.plain.theirs.append(self._plain.run(clip, self._folder / "plain.mp4", frames))
        ours, theirs = self._time_networks(frames)
        self._measured.ours_ms.append(ours)
        for name, each in theirs.items():
            self._measured.raw_ms[name].append(each)

    def _time_networks(self, frames: int) -> tuple[float, dict[str, float]]:
        """Milliseconds of our network and post-processing, and of raw networks: medians, a frame of each in turn."""
        import torch

        ours: list[float] = []
        theirs: dict[str, list[float]] = {name: [] for name in self._raw}
        for _ in range(frames):
            self._detector([self._picture])
            ours.append(self._detector.seconds["network"] + self._detector.seconds["postprocess"])
            for name, network in self._raw.items():
                started = time.perf_counter()
                with torch.inference_mode():
                    network(self._images)
                theirs[name].append(time.perf_counter() - started)
        return median(ours) * 1000, {name: median(each) * 1000 for name, each in theirs.items()}


def _cores() -> int:
    allowed = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(allowed(0)) if allowed else os.cpu_count() or 1


@contextlib.contextmanager
def _progress(rounds: int) -> Iterator[Callable[[int, str], None]]:
    """A bar on a terminal; gives what is to be told of the round and of what it is at."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = BarColumn(), TextColumn("{task.description}", markup=False)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=rounds)
        yield lambda done, what: progress.update(task, completed=done, description=f"round {done + 1}: {what}")
