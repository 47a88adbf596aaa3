"""What `streamdet bench` shows: tables, JSON, and a row of benchmarks/HISTORY.md."""

from __future__ import annotations

import datetime
import subprocess
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from streamdet import __version__
from streamdet.cli.capacity import is_busy
from streamdet.video.base import printable

if TYPE_CHECKING:
    from streamdet.cli.bench import Bench

SCHEMA = 1
"""Version of the form of the JSON."""
NOT_OURS = ("network", "encode")
"""Stages whose time is the network's and the encoder's own: the rest is what streamdet adds."""


def overhead_ms(measured: Bench) -> float:
    """CPU time per frame of everything but network and encoder."""
    return sum(cost.cpu_ms for name, cost in measured.stages.items() if name not in NOT_OURS)


def ratio_text(ratios: list[float]) -> str:
    """The median, and between which values the rounds lay."""
    return f"{median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"


def show_bench(console: Console, measured: Bench) -> None:
    """Print the tables; they fit into 80 columns."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", justify="right", no_wrap=True)
    grid.add_column(overflow="fold")
    width, height = measured.size_wh
    input_width, input_height = measured.input_size_wh
    grid.add_row("clip", Text(f"{printable(measured.clip)}, {width}x{height}, {measured.frames} frames"))
    how = f"{measured.precision} by {measured.engine} on {measured.device}"
    grid.add_row("model", Text(f"{printable(measured.model)}, input {input_width}x{input_height}, {how}"))
    job = sorted(measured.jobs, key=lambda each: each.fps)[len(measured.jobs) // 2]
    speeds = [each.fps for each in measured.jobs]
    spread = f"({min(speeds):.1f} to {max(speeds):.1f} in {len(speeds)} rounds)"
    grid.add_row("whole job", Text(f"{measured.fps:.1f} frames/s {spread}", style="bold"))
    cpu = job.cpu_s / job.frames * 1000
    grid.add_row("", Text(f"{cpu:.1f} ms of CPU time a frame, on {measured.cores} cores"))
    grid.add_row("limit", Text(f"{job.limit}: at work {job.busy[job.limit]:.0%} of the time"))
    grid.add_row("memory", Text(f"{measured.memory_bytes / 1e6:.0f} MB at its peak"))
    grid.add_row("overhead", Text(f"{overhead_ms(measured):.1f} ms of CPU time a frame but for network and encoder"))
    grid.add_row("", "")
    grid.add_row("stages", _stage_table(measured))
    if measured.plain.theirs:
        grid.add_row("", "")
        grid.add_row("beside", _beside(measured))
        grid.add_row("", Text("networks: theirs raw, ours with boxes; in brackets: all rounds", style="dim"))
    if is_busy(measured.load, measured.cores):
        busy = f"{measured.load:.1f} processes of others were running: times are too long, and ratios uncertain"
        grid.add_row("note", Text(busy, style="yellow"))
    console.print(Panel(grid, title=" bench ", title_align="left", expand=False))


def _stage_table(measured: Bench) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("alone, ms a frame")
    for heading in ("p50", "p95", "p99", "CPU"):
        table.add_column(heading, justify="right")
    slowest = max(measured.stages, key=lambda name: measured.stages[name].cpu_ms)
    for name, cost in measured.stages.items():
        numbers = [f"{cost.percentile_ms(percent):.1f}" for percent in (50, 95, 99)]
        table.add_row(name, *numbers, f"{cost.cpu_ms:.1f}", style="bold" if name == slowest else "")
    return table


def _beside(measured: Bench) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("", "theirs", "ours", "times as fast"):
        table.add_column(heading, justify="right" if heading else "left")
    plain = measured.plain
    speeds = [f"{median(each):.2f}/s" for each in (plain.theirs, plain.ours)]
    table.add_row(measured.plain_name, *speeds, ratio_text(plain.ratios))
    ours = f"{median(measured.ours_ms):.1f} ms"
    for name, theirs in measured.raw_ms.items():
        table.add_row(name, f"{median(theirs):.1f} ms", ours, ratio_text(network_ratios(measured, name)))
    return table


def network_ratios(measured: Bench, name: str) -> list[float]:
    """How many times as fast our network with post-processing is as a raw one, round by round."""
    return [theirs / ours for theirs, ours in zip(measured.raw_ms[name], measured.ours_ms, strict=True)]


def to_json(measured: Bench) -> dict[str, Any]:
    """All that was measured, as plain values."""
    return {
        "schema": SCHEMA,
        "streamdet": __version__,
        "versions": versions(measured),
        "machine": machine(measured),
        "cores": measured.cores,
        "load_of_others": round(measured.load, 2),
        "clip": measured.clip,
        "size_wh": measured.size_wh,
        "frames": measured.frames,
        "model": measured.model,
        "engine": measured.engine,
        "precision": measured.precision,
        "device": measured.device,
        "input_size_wh": measured.input_size_wh,
        "memory_bytes": measured.memory_bytes,
        "job": {
            "fps": round(measured.fps, 3),
            "fps_of_rounds": [round(job.fps, 3) for job in measured.jobs],
            "cpu_ms_per_frame": [round(job.cpu_s / job.frames * 1000, 2) for job in measured.jobs],
            "limit": max(measured.jobs, key=lambda job: job.fps).limit,
        },
        "overhead_cpu_ms": round(overhead_ms(measured), 3),
        "stages_ms": {
            name: {
                **{f"p{percent}": round(cost.percentile_ms(percent), 3) for percent in (50, 95, 99)},
                "cpu": round(cost.cpu_ms, 3),
            }
            for name, cost in measured.stages.items()
        },
        "plain_loop": {
            "name": measured.plain_name,
            "fps": [round(each, 3) for each in measured.plain.theirs],
            "ratios": [round(each, 3) for each in measured.plain.ratios],
        }
        if measured.plain.theirs
        else None,
        "network_and_postprocess_ms": [round(each, 3) for each in measured.ours_ms],
        "raw_networks": {
            name: {
                "ms": [round(each, 3) for each in theirs],
                "ratios": [round(each, 3) for each in network_ratios(measured, name)],
            }
            for name, theirs in measured.raw_ms.items()
        },
    }


def versions(measured: Bench) -> str:
    """Of what computes."""
    import torch

    from streamdet.detection.engines.translation import openvino_version

    named = f"torch {torch.__version__}"
    return f"{named}, openvino {openvino_version()}" if measured.engine.startswith("openvino") else named


def machine(measured: Bench) -> str:
    """What it ran on, in short."""
    import torch

    capability = torch.backends.cpu.get_cpu_capability() if measured.device == "cpu" else measured.device
    return f"{capability}, {measured.cores} threads, {measured.precision} by {measured.engine}"


def history_row(measured: Bench, checkout: Path) -> str:
    """A row of benchmarks/HISTORY.md."""
    asked = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    network = measured.stages["network"]
    plain = measured.plain
    width, height = measured.input_size_wh
    cells = [
        datetime.date.today().isoformat(),
        f"bench {measured.clip} ({measured.size_wh[0]}x{measured.size_wh[1]}), {measured.model} at {width}x{height}",
        machine(measured),
        versions(measured),
        commit or "-",
        f"{median(plain.theirs):.2f}" if plain.theirs else "-",
        f"{measured.fps:.2f}",
        f"{median(plain.ratios):.2f}" if plain.theirs else "-",
        "/".join(f"{network.percentile_ms(percent):.0f}" for percent in (50, 95, 99)),
    ]
    return f"| {' | '.join(cells)} |"
