"""What a run shows: progress while it runs, the receipt at its end. All on standard error."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from streamdet.options import RunOptions

if TYPE_CHECKING:
    from streamdet.report import RunReport
    from streamdet.video.base import Source

PLAIN_LINE_EVERY_S = 10.0
"""Without a terminal a line of progress is printed this often."""

VERDICT_STYLES = {"complete": "green", "partial": "yellow", "interrupted": "yellow", "failed": "red"}


def stage_names(options: RunOptions) -> list[str]:
    """Stages of a run in the order of a frame's trip."""
    drawn = ["draw", "encode"] if options.video else []
    return ["decode", "resize", "network", "postprocess", *drawn]


class RunDisplay:
    """Live progress of a run: frames, rate, time left, damage, and how busy each stage is."""

    def __init__(self, report: RunReport, source: Source) -> None:
        self._report = report
        self._source = source
        self._console = Console(stderr=True)
        self._started = time.perf_counter()
        self._printed = self._started
        self._progress = Progress(
            TextColumn("[bold]{task.description}", markup=True),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[frames]}"),
            TextColumn("[cyan]{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[stages]}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task(
            source.info.path.name, total=source.info.expected_frames, frames="", rate="", stages=""
        )

    def __enter__(self) -> Self:
        self._progress.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.__exit__(kind, error, trace)

    def update(self) -> None:
        """Show the state of the run as the report has it now."""
        now = time.perf_counter()
        elapsed = now - self._started
        done, counts = self._report.frames.detected, self._source.counts
        total = self._source.info.expected_frames
        frames = f"{done}/{total} frames" if total else f"{done} frames"
        flaws = [f"{counts.lost} lost"] * bool(counts.lost) + [f"{counts.damaged_marked} damaged"] * bool(
            counts.damaged_marked
        )
        rate = f"{done / elapsed:.1f} fps"
        if self._console.is_terminal:
            self._progress.update(
                self._task,
                completed=done,
                frames=", ".join([frames, *flaws]),
                rate=rate,
                stages=busy_shares(self._report, elapsed),
            )
        elif now - self._printed >= PLAIN_LINE_EVERY_S:
            self._printed = now
            line = ", ".join([frames, *flaws, rate, busy_shares(self._report, elapsed)])
            self._console.print(f"{self._source.info.path.name}: {line}", highlight=False)


def busy_shares(report: RunReport, wall_s: float) -> str:
    """How busy each stage is, in percent of the time; they overlap. The busiest is the one that limits the run."""
    shares = {name: times.busy_s / max(wall_s, 1e-9) for name, times in report.stages.items()}
    return " ".join(f"{name} {share:.0%}" for name, share in shares.items() if share >= 0.005)


class FetchDisplay:
    """Progress of fetching a model's weights; nothing is shown when nothing is fetched."""

    def __init__(self, model: str) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn(f"fetching {model}"), BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=console
        )
        self._task = self._progress.add_task("", total=None, visible=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def update(self, done: int, total: int | None) -> None:
        """Bytes there so far, and in all."""
        self._progress.start()
        self._progress.update(self._task, completed=done, total=total, visible=True)


def show_receipt(report: RunReport, exit_code: int) -> None:
    """Print the receipt: what was covered, how fast, and the verdict."""
    Console(stderr=True).print(_receipt(report, exit_code))


def _receipt(report: RunReport, exit_code: int) -> Panel:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", justify="right")
    grid.add_column(overflow="fold")
    grid.add_row("frames", _frames_line(report))
    grid.add_row("time", f"{report.media_s:.2f} s of video in {report.wall_s:.2f} s: {report.fps:.1f} frames/s")
    size = "x".join(map(str, report.input_size_wh)) if report.input_size_wh else "-"
    grid.add_row("model", f"{report.model} ({report.precision} on {report.device}, input {size}, batch {report.batch})")
    grid.add_row("stages", _stage_table(report))
    for note in report.notes:
        grid.add_row("note", Text(note, style="yellow"))
    for output in report.outputs:
        grid.add_row("written", Text("standard output" if output == "-" else output, style="bold"))
    style = VERDICT_STYLES[report.verdict]
    title = Text(f" {report.verdict} ", style=f"bold {style}")
    grid.add_row("verdict", Text(f"{report.reason} (exit code {exit_code})", style=style))
    return Panel(grid, title=title, title_align="left", border_style=style, expand=False)


def _frames_line(report: RunReport) -> str:
    frames = report.frames
    whole = report.verdict in ("complete", "partial")
    parts = [f"{frames.in_container} {'in the source' if whole else 'read'}", f"{frames.decoded} decoded"]
    for count, word in (
        (frames.lost, "lost to damage"),
        (frames.damaged, "marked damaged"),
        (frames.skipped, "skipped as asked"),
        (frames.dropped, "given up"),
    ):
        if count:
            parts.append(f"{count} {word}")
    parts.append(f"{frames.detected} detected")
    if frames.written is not None:
        parts.append(f"{frames.written} written")
    return " · ".join(parts)


def _stage_table(report: RunReport) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    for heading in ("busy", "p50", "p95", "p99"):
        table.add_column(heading, justify="right")
    busiest = max(report.stages, key=lambda name: report.stages[name].busy_s, default=None)
    for name, times in report.stages.items():
        percentiles = [f"{times.percentile_s(percent) * 1000:.1f} ms" for percent in (50, 95, 99)]
        share = f"{times.busy_s / max(report.wall_s, 1e-9):.0%}"
        table.add_row(name, share, *percentiles, style="bold" if name == busiest else "")
    return table
