"""What a live run shows at its end: each camera's frames accounted for, its outages and ages, and the verdict."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from streamdet.cli.figures import cut_middle, duration
from streamdet.cli.places_receipt import event_line, place_rows
from streamdet.cli.receipt import NAME_COLUMNS, VERDICT_STYLES, clock
from streamdet.video.base import printable
from streamdet.video.live.status import SourceState

if TYPE_CHECKING:
    from streamdet.live.report import CameraReport, LiveReport
    from streamdet.report import StageTimes

NOTES_SHOWN = 10
"""Most notes in the receipt; run.json has all."""
OUTPUTS_SHOWN = 3
"""Most outputs of a camera that are named."""


def show_live_receipt(report: LiveReport, exit_code: int, *, console: Console | None = None) -> None:
    """Print the receipt of a live run."""
    (console or Console(stderr=True)).print(_receipt(report, exit_code))


def _receipt(report: LiveReport, exit_code: int) -> Panel:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", justify="right", no_wrap=True)
    grid.add_column(overflow="fold")
    detected = sum(camera.detected for camera in report.cameras)
    rate = detected / report.wall_s if report.wall_s > 0 else 0.0
    grid.add_row("time", f"{clock(report.wall_s)}: {counted(detected, 'frame')} detected, {rate:.1f} frames/s")
    size = "x".join(map(str, report.input_size_wh)) if report.input_size_wh else "-"
    by = f"{report.precision} by {report.engine}" if report.engine else report.precision
    computed = f"{by} on {report.device}, input {size}, batch {report.batch}"
    grid.add_row("model", Text(printable(f"{report.model} ({computed})")))
    shares = [f"{name} {times.busy_s / max(report.wall_s, 1e-9):.0%}" for name, times in report.stages.items()]
    if shares:
        grid.add_row("stages", " · ".join(shares))
    for camera in report.cameras:
        name = Text(cut_middle(printable(camera.name), NAME_COLUMNS), style="not dim bold")
        grid.add_row(name, _account(camera))
        for heading, content in [] if camera.tally is None else place_rows(camera.tally.to_dict()):
            grid.add_row(heading, content)
        if camera.blurred is not None:
            grid.add_row("blurred", Text(printable(camera.blurred.told())))
    if report.events:
        grid.add_row("events", Text(event_line(report.events)))
    notes = [*report.notes, *(f"{camera.name}: {note}" for camera in report.cameras for note in camera.notes)]
    for note in notes[:NOTES_SHOWN]:
        grid.add_row("note", Text(printable(note), style="yellow"))
    if len(notes) > NOTES_SHOWN:
        grid.add_row("", Text(f"and {len(notes) - NOTES_SHOWN} more notes", style="yellow"))
    for output in report.outputs:
        grid.add_row("written", Text("standard output" if output == "-" else printable(output), style="bold"))
    style = VERDICT_STYLES[report.verdict]
    title = Text(f" {report.verdict} ", style=f"bold {style}")
    grid.add_row("verdict", Text(f"{printable(report.reason)} (exit code {exit_code})", style=style))
    return Panel(grid, title=title, title_align="left", border_style=style, expand=False)


def _account(camera: CameraReport) -> Text:
    """Where each frame of a camera went; then what befell it, if anything."""
    counts = camera.counts
    lines = [Text(_sum_line(camera))]
    told = []
    told += [Text(f"{counts.lost} lost to damage", "yellow")] * bool(counts.lost)
    told += [Text(f"{counts.damaged} marked damaged", "yellow")] * bool(counts.damaged)
    outages = counts.outages
    if outages.calls:
        told.append(Text(f"{counted(outages.calls, 'outage')}, the longest {duration(outages.longest_s)}", "yellow"))
    told += [Text(counted(counts.reconnects, "reconnect"))] * bool(counts.reconnects)
    troubles = Counter(dict(counts.stalls)) + Counter(dict(counts.failures))
    told += [Text(f"{count} × {printable(kind)}", "yellow") for kind, count in troubles.most_common()]
    if camera.age_detected.calls:
        told.append(Text(f"age at detection {_ages(camera.age_detected)}"))
    if camera.age_written.calls:
        told.append(Text(f"at output {_ages(camera.age_written)}"))
    if told:
        lines.append(Text(" · ").join(told))
    status = camera.status
    if status.problem and status.state is not SourceState.LIVE:
        lines.append(Text(f"in the end: {printable(status.problem)}", "red"))
    return Text("\n").join(lines)


def _sum_line(camera: CameraReport) -> str:
    """How the frames that came in add up."""
    dropped = dict(camera.dropped)
    parts = [f"{camera.counts.decoded} in = {camera.detected} detected"]
    parts += [f"{camera.skipped} skipped as asked"] * bool(camera.skipped)
    reasons = sorted(((count, printable(reason)) for reason, count in dropped.items() if count), reverse=True)
    if len(reasons) == 1:
        parts.append(f"{reasons[0][0]} dropped ({reasons[0][1]})")
    elif reasons:
        told = ", ".join(f"{count} {reason}" for count, reason in reasons)
        parts.append(f"{sum(dropped.values())} dropped ({told})")
    line = " + ".join(parts)
    if camera.written is not None:
        line += f" · {camera.written} written"
        if camera.written and camera.outputs:
            line += f" to {', '.join(printable(output) for output in camera.outputs[:OUTPUTS_SHOWN])}"
            line += f" and {len(camera.outputs) - OUTPUTS_SHOWN} more" * (len(camera.outputs) > OUTPUTS_SHOWN)
        unwritten = [f"{count} {printable(reason)}" for reason, count in dict(camera.unwritten).items() if count]
        line += f" ({', '.join(unwritten)})" * bool(unwritten)
    return line


def _ages(times: StageTimes) -> str:
    return f"{duration(times.percentile_s(50))} (p95 {duration(times.percentile_s(95))})"


def counted(count: int, word: str) -> str:
    """A number and its word, which takes an s from two on."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
