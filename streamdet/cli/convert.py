"""`streamdet convert`: detections from one form of file into another."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamdet.errors import UsageError
from streamdet.options import OTHERS, parse_classes
from streamdet.report import EXIT_COMPLETE, EXIT_PARTIAL

if TYPE_CHECKING:
    from streamdet.results.exchange.forms import Form, Lines
    from streamdet.results.jsonl_reading import FrameLine
    from streamdet.types import BoolArray

FORMS = "jsonl, coco, csv, yolo, mot, parquet"


@dataclass
class Tally:
    """What went through."""

    frames: int = 0
    boxes: int = 0
    hidden: int = 0
    """Boxes left out because the form can't say that they are not shown."""
    has_places: bool = False
    bridged: int = 0


def convert(
    detections: Annotated[
        Path,
        typer.Argument(metavar="DETECTIONS", help="JSON lines, or a file that they became.", show_default=False),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help=".jsonl, .json (COCO results), .csv, .txt (MOT), .parquet, or a folder (YOLO); - is standard output.",
            metavar="FILE",
            show_default=False,
        ),
    ],
    to: Annotated[
        str | None, typer.Option(help=f"Form of --out: {FORMS}. Default: by its ending.", metavar="FORM")
    ] = None,
    frames: Annotated[
        Path | None,
        typer.Option(
            help="The clip that the detections are from, or its JSON lines: where the input tells no times or size.",
            metavar="FILE",
        ),
    ] = None,
    names: Annotated[
        str | None, typer.Option(help="Names of all classes, in order, where the input tells none.", metavar="NAMES")
    ] = None,
    conf: Annotated[
        str | None,
        typer.Option(
            help="All boxes from this score on, and no others: 0.4, or by class: person=0.6,car=0.4.", metavar="SCORE"
        ),
    ] = None,
    classes: Annotated[str | None, typer.Option(help="Only these, such as car,person.", metavar="NAMES")] = None,
    stream: Annotated[str | None, typer.Option(help="Only this camera's frames.", metavar="NAME")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files.")] = False,
) -> None:
    """Convert detections: JSON lines to COCO results, CSV, YOLO, MOT or Parquet, and back. Takes files of any length.

    Exit codes: 0 done, 1 failed, 2 usage, 5 the detections cover only part of their source.
    """
    from streamdet.cli.convert_files import classes_of, open_lines, open_writer, told_frames
    from streamdet.cli.run_parsing import parse_conf
    from streamdet.results.exchange.forms import form_of

    source_form, form = form_of(detections, "another name"), _asked_form(out, to)
    _check_out(out, detections, form, overwrite=overwrite)
    tally = Tally()
    with contextlib.ExitStack() as stack:
        told = None if frames is None else stack.enter_context(told_frames(frames))
        header, lines = open_lines(detections, source_form, told, parse_classes(names))
        choice = _Choice(form, parse_conf(conf), parse_classes(classes), stream, classes_of(header))
        writer = open_writer(out, form, choice.header(header), told)
        stack.callback(writer.close)
        for line in _watched(choice.of(lines, detections, tally)):
            writer.write(line)
        writer.finish(complete=lines.complete)
    _say(out, form, tally, lines.flaw)
    raise typer.Exit(EXIT_COMPLETE if lines.complete else EXIT_PARTIAL)


@dataclass(frozen=True)
class _Choice:
    """Which frames and boxes are wanted."""

    form: Form
    conf: Mapping[str, float]
    """Least score by class, "*" for all others; empty: what is shown, or all where a form can tell."""
    classes: tuple[str, ...] | None
    stream: str | None
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        for option, names in (("--conf", self.conf), ("--classes", self.classes or ())):
            for name in names:
                if name not in (*self.class_names, OTHERS):
                    known = ", ".join(self.class_names)
                    raise UsageError(f"{option}: there is no class {name!r} in the file; it knows {known}")

    def header(self, header: dict[str, object]) -> dict[str, object]:
        """The header with the least score that is left."""
        return header | {"kept": min(self.conf.values())} if OTHERS in self.conf else header

    def of(self, lines: Lines, path: Path, tally: Tally) -> Iterator[FrameLine]:
        """The chosen boxes of the chosen frames. Raises UsageError where frames of several cameras would be mixed."""
        from streamdet.results.exchange.forms import NAMES, TELLS_STREAMS

        streams: dict[str | None, None] = {}
        for line in lines:
            streams[line.stream] = None
            if self.stream is not None and line.stream != self.stream:
                continue
            if self.stream is None and len(streams) > 1 and self.form not in TELLS_STREAMS:
                first, second, *_ = streams
                raise UsageError(
                    f"{path} holds frames of several cameras ({first}, {second}), and {NAMES[self.form]} can't tell "
                    f"them apart: choose one with --stream {first!r}"
                )
            chosen = self._boxes(line, tally)
            tally.frames += 1
            tally.boxes += len(chosen.detections)
            tally.bridged += int(chosen.detections.bridged.sum())
            tally.has_places |= bool(line.scene_line)
            yield chosen
        if self.stream is not None and not tally.frames:
            known = ", ".join(str(name) for name in streams if name is not None) or "it names none"
            raise UsageError(f"--stream: there is no camera {self.stream!r} in {path}: {known}")

    def _boxes(self, line: FrameLine, tally: Tally) -> FrameLine:
        import numpy as np

        from streamdet.results.exchange.forms import TELLS_WHAT_IS_SHOWN

        detections = line.detections
        mask: BoolArray = np.ones(len(detections), np.bool_)
        if self.conf:
            least = np.array([self.conf.get(name, self.conf.get(OTHERS, 0.0)) for name in self.class_names])
            # as they are written, to four decimals: 0.4 in float32 is above 0.4
            mask &= np.round(detections.scores.astype(np.float64), 4) >= least[detections.class_ids]
        elif self.form not in TELLS_WHAT_IS_SHOWN and line.shown_mask is not None:
            mask &= line.shown_mask
            tally.hidden += int((~mask).sum())
        if self.classes is not None:
            wanted = np.array([name in self.classes for name in self.class_names], np.bool_)
            mask &= wanted[detections.class_ids]
        if mask.all():
            return line
        return replace(
            line,
            detections=detections[mask],
            shown_mask=None if line.shown_mask is None else line.shown_mask[mask],
            seen_class_ids=None if line.seen_class_ids is None else line.seen_class_ids[mask],
        )


def _asked_form(out: Path, to: str | None) -> Form:
    from streamdet.results.exchange.forms import NAMES, form_of

    if to is None:
        if str(out) == "-":
            raise UsageError(f"standard output has no ending: name the form with --to, one of {FORMS}")
        return form_of(out, "--to")
    for form in NAMES:
        if form == to.lower():
            return form
    raise UsageError(f"--to is {to!r}; give one of {FORMS}")


def _check_out(out: Path, detections: Path, form: Form, *, overwrite: bool) -> None:
    """Find out before any work that the output can't be written. Raises UsageError or OutputError."""
    from streamdet.results.exchange.yolo import CLASSES_FILE
    from streamdet.video.targets import check_target

    if str(out) == "-":
        if form in ("yolo", "parquet"):
            raise UsageError(f"--to {form} can't go to standard output: give --out a name")
        return
    if form != "yolo":
        check_target(out, detections, overwrite=overwrite)
    elif out.exists():
        if not out.is_dir():
            raise UsageError(f"--out {out} is a file: YOLO text takes a folder")
        if any(out.iterdir()) and not (overwrite and (out / CLASSES_FILE).is_file()):
            raise UsageError(
                f"--out {out} is there already: give a new folder, or replace one of YOLO text with --overwrite"
            )
    elif not out.parent.is_dir():
        raise UsageError(f"there is no folder {out.parent} to make {out.name} in: make it first, or choose another")


def _watched(lines: Iterator[FrameLine]) -> Iterator[FrameLine]:
    """`lines`, counted on a terminal."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    console = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("{task.completed:,.0f} frames")
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        for number, line in enumerate(lines, start=1):
            if number % 1000 == 0:
                progress.update(task, completed=number)
            yield line


def _say(out: Path, form: Form, tally: Tally, flaw: str | None) -> None:
    """One line of what was written, and a note for each thing that was not."""
    from streamdet.results.exchange import forms
    from streamdet.video.base import printable

    target = "standard output" if str(out) == "-" else printable(str(out))
    name = forms.NAMES[form]
    typer.echo(f"{target}: {tally.frames} frames, {tally.boxes} boxes as {name}", err=True)
    notes = []
    if tally.hidden:
        notes.append(f"{tally.hidden} boxes that are not shown were left out; --conf SCORE takes all from a score on")
    if tally.has_places and form not in forms.TELLS_PLACES:
        notes.append(f"what happened at lines, zones and bays is not kept: {name} has no place for it")
    if tally.bridged and form == "yolo":
        notes.append(f"{tally.bridged} boxes bridge a gap, which {name} can't tell")
    if form not in forms.TELLS_FRAMES:
        notes.append("times are not kept: on the way back --frames CLIP tells them")
    if flaw is not None:
        notes.append(printable(flaw))
    for note in notes:
        typer.echo(f"note: {note}", err=True)
