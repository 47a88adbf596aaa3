"""`streamdet draw`: the annotated video once more, from a clip and the detections in it, without any network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from streamdet.errors import UsageError
from streamdet.options import AnalysisOptions, Quality, parse_classes

if TYPE_CHECKING:
    from streamdet.cli.draw_lines import LinedFrames
    from streamdet.detection.detector import Detector
    from streamdet.report import RunReport
    from streamdet.results.jsonl_reading import FrameLines
    from streamdet.video.annotated import AnnotatedVideo
    from streamdet.video.base import Source

WHAT, MADE, WHERE = "What to draw", "What to make of it", "What to write"


@dataclass(frozen=True)
class DrawOptions:
    """The choices of `streamdet draw`."""

    conf: Mapping[str, float]
    """Least score by class, "*" for all others; where nothing is said as the run had it."""
    classes: tuple[str, ...] | None
    colours: Mapping[str, tuple[int, int, int]]
    """RGB, 0..255, by class."""
    analysis: AnalysisOptions
    out: Path
    quality: Quality
    overwrite: bool

    @property
    def counts_anew(self) -> bool:
        """Something is asked for that may change what lines, zones and bays count."""
        return bool(self.conf) or self.classes is not None or self.analysis.has_places


def draw(
    clip: Annotated[str, typer.Argument(metavar="CLIP", help="The video, unannotated.", show_default=False)],
    detections: Annotated[
        Path, typer.Argument(metavar="DETECTIONS", help="What run --jsonl found in it.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Annotated video (.mp4 or .mkv). Default: NAME.annotated.mp4 here.",
            metavar="FILE",
            rich_help_panel=WHERE,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files.", rich_help_panel=WHERE)] = False,
    quality: Annotated[Quality, typer.Option(help="File size against fidelity.", rich_help_panel=WHERE)] = "balanced",
    conf: Annotated[
        str | None,
        typer.Option(
            help="Least score to show: 0.4, or by class: person=0.6,car=0.4. Default: as the run had it.",
            metavar="SCORE",
            rich_help_panel=WHAT,
        ),
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Only these, such as car,person.", metavar="NAMES", rich_help_panel=WHAT)
    ] = None,
    colour: Annotated[
        list[str] | None,
        typer.Option(
            help="Of a class, such as car=#ff8800. Several at once.", metavar="CLASS=#RRGGBB", rich_help_panel=WHAT
        ),
    ] = None,
    start: Annotated[
        float | None, typer.Option(help="Begin at this second.", metavar="SECONDS", rich_help_panel=WHAT)
    ] = None,
    end: Annotated[
        float | None, typer.Option(help="Stop at this second.", metavar="SECONDS", rich_help_panel=WHAT)
    ] = None,
    every: Annotated[int, typer.Option(help="As the run had it.", metavar="N", rich_help_panel=WHAT)] = 1,
    track: Annotated[
        bool, typer.Option("--track", help="Follow objects: numbers and trails.", rich_help_panel=MADE)
    ] = False,
    line: Annotated[
        list[str] | None,
        typer.Option(
            help="Lines, as for run. Instead of those of the run.", metavar="NAME:X1,Y1,X2,Y2", rich_help_panel=MADE
        ),
    ] = None,
    zone: Annotated[
        list[str] | None,
        typer.Option(help="Zones, as for run.", metavar="NAME:X,Y,X,Y,...", rich_help_panel=MADE),
    ] = None,
    bays: Annotated[Path | None, typer.Option(help="Parking bays.", metavar="FILE", rich_help_panel=MADE)] = None,
    places: Annotated[
        Path | None, typer.Option(help="Lines, zones and bays from a TOML file.", metavar="FILE", rich_help_panel=MADE)
    ] = None,
    blur: Annotated[
        str | None,
        typer.Option(
            help="Make these unrecognisable, such as person. Default: as the run had it.",
            metavar="NAMES",
            rich_help_panel=MADE,
        ),
    ] = None,
) -> None:
    """Draw detections over their clip again: other thresholds, classes, colours, lines, zones; no network is needed.

    Exit codes: 0 done, 1 failed, 2 usage, 3 source, 5 output covers only part of the source, 130 interrupted.
    """
    from streamdet.cli.run_parsing import parse_conf
    from streamdet.results.jsonl_reading import read_jsonl
    from streamdet.video.sources import open_source
    from streamdet.video.targets import check_target, muxer_for

    options = DrawOptions(
        parse_conf(conf),
        parse_classes(classes),
        parse_colours(colour or ()),
        AnalysisOptions(
            track=track,
            lines=tuple(line or ()),
            zones=tuple(zone or ()),
            bays=bays,
            places=places,
            blur=parse_classes(blur, "--blur") or (),
        ),
        out or Path(f"{Path(clip).stem or Path(clip).resolve().name}.annotated.mp4"),
        quality,
        overwrite,
    )
    muxer_for(options.out)
    header, lines = read_jsonl(detections)
    with open_source(clip, start_s=start, end_s=end, every=every) as source:
        for path in (source.info.path, detections):
            check_target(options.out, path, overwrite=overwrite)
        raise typer.Exit(_draw(options, header, lines, detections, source))


def parse_colours(texts: list[str] | tuple[()]) -> dict[str, tuple[int, int, int]]:
    """RGB, 0..255, by class from "car=#ff8800". Raises UsageError."""
    colours = {}
    for text in texts:
        match = re.fullmatch(r"(.+)=#?([0-9a-fA-F]{6})", text.strip())
        if match is None:
            raise UsageError(f"--colour is {text!r}; give a class and a colour, such as car=#ff8800")
        red, green, blue = bytes.fromhex(match[2])
        colours[match[1].strip()] = (red, green, blue)
    return colours


def _draw(options: DrawOptions, header: Mapping[str, object], lines: FrameLines, path: Path, source: Source) -> int:
    from streamdet.cli.draw_lines import LinedFrames
    from streamdet.cli.draw_steps import DrawSteps
    from streamdet.cli.file_run import stop_on_signals, take_account
    from streamdet.cli.receipt import RunDisplay
    from streamdet.pipeline import Pipeline
    from streamdet.report import RunReport

    report = RunReport({"name": source.info.name}, model=str(header.get("model", "")))
    for name in ("decode", "draw", "encode"):
        report.stage(name)
    frames = LinedFrames(source, lines, path)
    steps = DrawSteps(options, header, frames, report)
    sink = _sink(options, header, source, report)

    def ended_early() -> str | None:
        if frames.beyond:
            return f"{path} has {frames.beyond} more frames than the clip"
        return source.ended_early() or lines.flaw

    # every frame's detections are known: no detector is ever called
    pipeline = Pipeline(
        frames,
        cast("Detector", None),
        [sink],
        report,
        steps=steps.steps,
        known=frames.detections,
        ended_early=ended_early,
    )
    error: BaseException | None = None
    with RunDisplay(report, source) as display, stop_on_signals(pipeline):
        try:
            pipeline.run(display.update)
        except BaseException as failure:
            error = failure
    steps.tell(report)
    take_account(report, source, to_its_end=error is None and pipeline.stop_reason is None)
    report.notes += sink.writer.notes
    if error is None and not report.frames.detected:
        error = UsageError(f"no frame of {source.info.name} has a line in {path}: give the clip they are from")
    interrupted = pipeline.stop_reason if error is None else None
    report.conclude(error=error, interrupted_by=interrupted, ended_early=ended_early())
    if error is not None:
        raise error
    exit_code = report.exit_code()
    _show(report, frames, exit_code)
    return exit_code


def _sink(options: DrawOptions, header: Mapping[str, object], source: Source, report: RunReport) -> AnnotatedVideo:
    from streamdet.cli.analysing import check_known
    from streamdet.video.annotated import AnnotatedVideo
    from streamdet.video.overlay import Overlay
    from streamdet.video.writer import VideoWriter

    names, info = tuple(cast("list[str]", header["classes"])), source.info
    check_known("--colour", options.colours, names, "the file of detections")
    writer = VideoWriter(
        options.out, info, width=info.width, height=info.height, overwrite=options.overwrite, quality=options.quality
    )
    report.frames.written = 0
    report.outputs.append(str(options.out))
    overlay = Overlay(names, options.colours)
    return AnnotatedVideo(writer, overlay, report.stage("draw"), report.stage("encode"))


def _show(report: RunReport, frames: LinedFrames, exit_code: int) -> None:
    """Print the receipt."""
    from rich.console import Console
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    from streamdet.cli.places_receipt import place_rows
    from streamdet.cli.receipt import VERDICT_STYLES
    from streamdet.video.base import printable

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", justify="right")
    grid.add_column(overflow="fold")
    counts = report.frames
    parts = [f"{counts.decoded} decoded", f"{counts.written} drawn"]
    parts += [f"{frames.unlined} without a line left out"] * bool(frames.unlined)
    parts += [f"{counts.lost} lost to damage"] * bool(counts.lost)
    grid.add_row("frames", " · ".join(parts))
    grid.add_row("time", f"{report.media_s:.2f} s of video in {report.wall_s:.2f} s: {report.fps:.1f} frames/s")
    for heading, content in place_rows(report.places):
        grid.add_row(heading, content)
    if report.blurred:
        grid.add_row("blurred", Text(printable(report.blurred)))
    for note in report.notes:
        grid.add_row("note", Text(printable(note), style="yellow"))
    for output in report.outputs:
        grid.add_row("written", Text(printable(output), style="bold"))
    style = VERDICT_STYLES[report.verdict]
    reason = f"{counts.written} frames drawn" if report.verdict == "complete" else printable(report.reason)
    grid.add_row("verdict", Text(f"{reason} (exit code {exit_code})", style=style))
    title = Text(f" {report.verdict} ", style=f"bold {style}")
    Console(stderr=True).print(Panel(grid, title=title, title_align="left", border_style=style, expand=False))
