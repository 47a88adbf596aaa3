"""`streamdet check`: proves that an output covers its source."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamdet.report import EXIT_COMPLETE, EXIT_PARTIAL

if TYPE_CHECKING:
    from rich.panel import Panel

    from streamdet.video.checking.check import Checked, Tick

EXIT_WRONG = 1


def check(
    output: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="A video, or the JSON lines of detections.", show_default=False),
    ],
    against: Annotated[Path, typer.Option(help="The source that it was made from.", metavar="IN", show_default=False)],
    start: Annotated[float | None, typer.Option(help="OUT was made with this --start.", metavar="SECONDS")] = None,
    end: Annotated[float | None, typer.Option(help="OUT was made with this --end.", metavar="SECONDS")] = None,
    every: Annotated[int, typer.Option(help="OUT was made with this --every.", metavar="N")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Prove that an output covers its source: every frame, at its time, with its picture; the sound; the length.

    Exit codes: 0 proven, 1 something is wrong, 2 usage, 3 a file can't be read, 5 something of the source is missing.
    """
    from rich.console import Console

    from streamdet.video.checking.check import check_video

    with _progress(output) as tick:
        if output.suffix.lower() == ".jsonl":
            checked = _check_lines(output, against, start, end, every, tick)
        else:
            checked = check_video(output, against, start_s=start, end_s=end, every=every, tick=tick)
    exit_code = EXIT_COMPLETE
    if checked.faults:
        exit_code = EXIT_PARTIAL if checked.is_loss_only else EXIT_WRONG
    if as_json:
        typer.echo(json.dumps({"exit_code": exit_code, **asdict(checked)}, indent=2, ensure_ascii=False))
    else:
        Console(stderr=True).print(_panel(output, against, checked, exit_code))
    raise typer.Exit(exit_code)


def _check_lines(
    output: Path, against: Path, start: float | None, end: float | None, every: int, tick: Tick
) -> Checked:
    """Check the frames of JSON lines. Raises SourceError, UsageError or DataError."""
    from fractions import Fraction

    from streamdet.errors import UsageError
    from streamdet.results.jsonl_reading import read_jsonl
    from streamdet.video.checking.check import check_frames
    from streamdet.video.checking.faults import Fault
    from streamdet.video.checking.pictures import Glance
    from streamdet.video.sources import open_source

    _, lines = read_jsonl(output)
    times_s = []
    for line in lines:
        if line.stream is not None:
            raise UsageError(f"{output} is about live cameras: there is no file that it could be checked against")
        times_s.append(line.pts * line.time_base)
    found = (Glance(moment, None) for moment in times_s)
    with open_source(against, start_s=start, end_s=end, every=every) as source:
        checked = check_frames(
            source, found, times_s, allowed_s=Fraction(0), is_shifted=False, pictures=False, tick=tick
        )
    if lines.flaw is not None:
        checked.faults.append(Fault("cut off", lines.flaw, True))
    return checked


def _panel(output: Path, against: Path, checked: Checked, exit_code: int) -> Panel:
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    from streamdet.video.base import printable

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", justify="right")
    grid.add_column(overflow="fold")
    grid.add_row("output", Text(printable(str(output))))
    grid.add_row("source", Text(printable(str(against))))
    shift = f", {checked.shift_s:+d} s as meant" if checked.shift_s else ""
    grid.add_row("frames", f"{checked.found_frames} of {checked.expected_frames}")
    grid.add_row("times", f"{checked.largest_drift_s * 1000:.3f} ms off at most{shift}")
    grid.add_row("last frame", f"at {checked.found_end_s:.3f} s, the source's at {checked.expected_end_s:.3f} s")
    if checked.pictures_compared:
        grid.add_row("pictures", f"{checked.pictures_compared} compared")
    for line in checked.audio:
        grid.add_row("sound", line)
    for note in checked.notes:
        grid.add_row("note", Text(printable(note), style="yellow"))
    for fault in checked.faults:
        grid.add_row("fault", Text(printable(fault.sentence), style="red"))
    style = {EXIT_COMPLETE: "green", EXIT_PARTIAL: "yellow"}.get(exit_code, "red")
    word = {EXIT_COMPLETE: "proven", EXIT_PARTIAL: "incomplete"}.get(exit_code, "wrong")
    said = {
        EXIT_COMPLETE: "every frame of the source is there, at its time",
        EXIT_PARTIAL: "something of the source is missing",
    }.get(exit_code, "the output is not what it should be")
    grid.add_row("verdict", Text(f"{said} (exit code {exit_code})", style=style))
    return Panel(
        grid, title=Text(f" {word} ", style=f"bold {style}"), title_align="left", border_style=style, expand=False
    )


@contextlib.contextmanager
def _progress(path: Path) -> Iterator[Tick]:
    """A count of frames on a terminal."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    from streamdet.cli.figures import cut_middle

    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("checking {task.description}", markup=False),
        TextColumn("{task.completed} frames"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(cut_middle(str(path), 40), total=None)
        yield lambda frames: progress.update(task, completed=frames)
