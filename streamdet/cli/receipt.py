"""What a run shows: progress while it runs, the receipt at its end. All on standard error."""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, RenderableType
from rich.panel import Panel
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from streamdet.cli.places_receipt import event_line, place_rows
from streamdet.options import RunOptions
from streamdet.video.base import printable

if TYPE_CHECKING:
    from streamdet.report import RunReport
    from streamdet.video.base import Source

PLAIN_LINE_EVERY_S = 10.0
"""Without a terminal a line of progress is printed this often."""

LINE_COLUMNS = 79
"""Most columns of such a line."""
NAME_COLUMNS = 20
"""Most columns of the source's name beside the progress bar."""
LOST_SHOWN = 5
"""Most times of lost frames in the receipt; run.json has all."""

VERDICT_STYLES = {"complete": "green", "partial": "yellow", "interrupted": "yellow", "failed": "red"}


def stage_names(options: RunOptions) -> list[str]:
    """Stages of a run in the order of a frame's trip."""
    drawn = ["draw", "encode"] if options.video else []
    tracked = ["track"] if options.common.tracks else []
    blurred = ["blur"] if options.common.analysis.blur else []
    return ["decode", "resize", "copy", "network", "postprocess", *tracked, *blurred, *drawn]


class _TwoLines(Progress):
    """A progress bar, and below it how busy each stage is."""

    stages = Text()

    def get_renderables(self) -> Iterable[RenderableType]:
        """Both lines; they never wrap."""
        yield self.make_tasks_table(self.tasks)
        yield self.stages


class RunDisplay:
    """Live progress of a run: frames, rate, time left, damage, and how busy each stage is.

    Without a terminal: a line of at most 79 columns every 10 s.
    """

    def __init__(self, report: RunReport, source: Source) -> None:
        self._report = report
        self._source = source
        self._console = Console(stderr=True)
        self._started = time.perf_counter()
        self._printed = self._started
        self._progress = _TwoLines(
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[frames]}"),
            TextColumn("{task.fields[rate]}", style="cyan"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
            expand=True,
        )
        name = cut(source.info.name, NAME_COLUMNS)
        self._task = self._progress.add_task(name, total=source.info.expected_frames, frames="", rate="")

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _stop(self._progress)

    def update(self) -> None:
        """Show the state of the run as the report has it now."""
        now = time.perf_counter()
        elapsed = now - self._started
        done, counts = self._report.frames.detected, self._source.counts
        total = self._source.info.expected_frames
        frames = [f"{done}/{total} frames" if total else f"{done} frames"]
        frames += [f"{counts.lost} lost"] * bool(counts.lost)
        frames += [f"{counts.damaged_marked} damaged"] * bool(counts.damaged_marked)
        rate = done / elapsed
        if self._console.is_terminal:
            self._progress.stages = busy_shares(self._report, elapsed)
            self._progress.update(self._task, completed=done, frames=", ".join(frames), rate=f"{rate:.1f} fps")
        elif now - self._printed >= PLAIN_LINE_EVERY_S:
            self._printed = now
            left = [f"{clock((total - done) / rate)} left"] if total and rate and total > done else []
            busiest = max(self._report.stages, key=lambda name: self._report.stages[name].busy_s)
            limit = f"{busiest} {self._report.stages[busiest].busy_s / elapsed:.0%}"
            line = ", ".join([*frames, f"{rate:.1f} fps", *left, limit])
            name = cut(self._source.info.name, max(LINE_COLUMNS - len(line) - 2, 8))
            self._console.print(cut(f"{name}: {line}", LINE_COLUMNS), markup=False, highlight=False, soft_wrap=True)


def _stop(progress: Progress) -> None:
    if progress.live.is_started:  # else rich prints an empty line
        progress.stop()


def busy_shares(report: RunReport, wall_s: float) -> Text:
    """How busy each stage is, in percent of the time; they overlap. The busiest, in bold, limits the run."""
    shares = {name: times.busy_s / max(wall_s, 1e-9) for name, times in report.stages.items()}
    most = max(shares.values(), default=0.0)
    parts = [
        Text(f"{name} {share:.0%}", style="bold" if share == most else "dim")
        for name, share in shares.items()
        if share >= 0.005
    ]
    return Text(" ", style="dim", no_wrap=True, overflow="ellipsis").join(parts)


def cut(text: str, columns: int) -> str:
    """`text`, or its beginning and an ellipsis where it takes more than `columns` of a terminal."""
    shown = Text(text)
    shown.truncate(columns, overflow="ellipsis")
    return shown.plain


def clock(seconds: float) -> str:
    """Seconds as 0:07, 12:34 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class FetchDisplay:
    """Progress of fetching a model's weights; nothing is shown when nothing is fetched."""

    def __init__(self, model: str) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn(f"fetching {model}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task("", total=None, visible=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _stop(self._progress)

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
    if report.lost_at_s:
        moments = [f"{moment_s:.2f} s" for moment_s in report.lost_at_s[:LOST_SHOWN]]
        more = [f"and {len(report.lost_at_s) - LOST_SHOWN} more"] * (len(report.lost_at_s) > LOST_SHOWN)
        grid.add_row("lost at", ", ".join([*moments, *more]))
    grid.add_row("time", f"{report.media_s:.2f} s of video in {report.wall_s:.2f} s: {report.fps:.1f} frames/s")
    size = "x".join(map(str, report.input_size_wh)) if report.input_size_wh else "-"
    by = f"{report.precision} by {report.engine}" if report.engine else report.precision
    computed = f"{by} on {report.device}, input {size}, batch {report.batch}"
    grid.add_row("model", Text(f"{report.model} ({computed})"))
    grid.add_row("stages", _stage_table(report))
    for heading, content in place_rows(report.places):
        grid.add_row(heading, content)
    if report.blurred:
        grid.add_row("blurred", Text(printable(report.blurred)))
    if report.events:
        grid.add_row("events", Text(event_line(report.events)))
    for note in report.notes:
        grid.add_row("note", Text(printable(note), style="yellow"))
    for output in report.outputs:
        grid.add_row("written", Text("standard output" if output == "-" else printable(output), style="bold"))
    style = VERDICT_STYLES[report.verdict]
    title = Text(f" {report.verdict} ", style=f"bold {style}")
    grid.add_row("verdict", Text(f"{printable(report.reason)} (exit code {exit_code})", style=style))
    return Panel(grid, title=title, title_align="left", border_style=style, expand=False)


def _frames_line(report: RunReport) -> str:
    frames = report.frames
    whole = report.verdict in ("complete", "partial") and not report.source.get("window_s")
    parts = [f"{frames.in_container} {'in the source' if whole else 'read'}", f"{frames.decoded} decoded"]
    for count, word in (
        (frames.lost, "lost to damage"),
        (frames.damaged, "marked damaged"),
        (frames.skipped, "skipped as asked"),
        (frames.dropped, "given up"),
        (frames.times_repaired, "with a mended time"),
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
