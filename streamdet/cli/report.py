"""`streamdet report`: one HTML page about files of detections."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamdet.errors import DataError, OutputError, UsageError

if TYPE_CHECKING:
    from streamdet.results.jsonl_reading import FrameLine
    from streamdet.results.page.gather import Gathered, View
    from streamdet.results.page.scenes import Still
    from streamdet.types import Frame

DETECTIONS_SUFFIX = ".jsonl"
PICTURE_PX = 960


def report(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="DETECTIONS.jsonl... [CLIP]",
            help="Files that run --jsonl wrote; then, for pictures, the video or folder that they are about.",
            show_default=False,
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="The page. Default: NAME.report.html here.", metavar="FILE")] = None,
    receipt: Annotated[
        Path | None, typer.Option(help="The receipt of the run (run --report), to be shown too.", metavar="FILE")
    ] = None,
    blur: Annotated[
        str | None,
        typer.Option(
            help="Make these unrecognisable in the pictures, such as person. A run with --blur tells of itself.",
            metavar="NAMES",
        ),
    ] = None,
    utc: Annotated[bool, typer.Option("--utc", help="Times of day in UTC, not in this machine's zone.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Write one HTML page about detections: counts over time, busiest minutes, places, gaps, what was covered."""
    from datetime import UTC

    from streamdet.results.page.build import build_page
    from streamdet.video.palette import class_colours
    from streamdet.video.targets import check_target

    detections, clips = _sorted(files)
    target = out if out is not None else Path(f"{detections[0].stem}.report.html")
    check_target(target, detections[0], overwrite=overwrite)
    run = None if receipt is None else _read_receipt(receipt)
    gathered = _gather(detections)
    still, notes = _stills(gathered, clips, _blurred(gathered, blur))
    page = build_page(gathered, colours=class_colours, still=still, zone=UTC if utc else None, run=run)
    _write(target, page)
    for sentence in [*gathered.flaws, *notes]:
        typer.echo(f"note: {sentence}", err=True)
    frames = sum(view.coverage.frames for view in gathered.views)
    typer.echo(f"wrote {target}: {frames:,} frames, {len(page) / 1e6:.1f} MB", err=True)


def _sorted(files: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The files of detections, and the clips. The first file is one of detections, whatever its name."""
    detections = [path for place, path in enumerate(files) if not place or path.suffix.lower() == DETECTIONS_SUFFIX]
    clips = [path for path in files if path not in detections]
    if len(clips) > 1:
        raise UsageError(f"{clips[0]} and {clips[1]} are two clips; give one, after the .jsonl files")
    return detections, clips


def _gather(detections: Sequence[Path]) -> Gathered:
    from rich.console import Console

    from streamdet.results.page.gather import gather

    console = Console(stderr=True)
    if not console.is_terminal:
        return gather(detections)
    with console.status("reading") as status:
        return gather(detections, lambda frames: status.update(f"reading: {frames:,} frames"))


def _blurred(gathered: Gathered, names: str | None) -> tuple[str, ...]:
    """Classes to blur: those that the run blurred, and those that are asked for. Raises UsageError for unknown ones."""
    told = gathered.header.get("blur")
    asked = [name.strip() for name in names.split(",") if name.strip()] if names else []
    for name in asked:
        if name not in gathered.class_names:
            raise UsageError(
                f"--blur {name}: the detections know {', '.join(gathered.class_names)}; choose among these"
            )
    return tuple(dict.fromkeys([*(told if isinstance(told, list) else []), *asked]))


def _stills(gathered: Gathered, clips: Sequence[Path], blurred: tuple[str, ...]) -> tuple[Still, list[str]]:
    """What gives pictures, and a list that gets a sentence when some are missing.

    Objects of the classes `blurred` are made unrecognisable in them.

    Raises UsageError when the clip is not the one of the detections, SourceError when it can't be read.
    """
    from streamdet.video.stills import Stills

    notes: list[str] = []
    if not clips:
        return (lambda view, line: None), notes
    clip = clips[0]
    of = [view for view in gathered.views if len(gathered.views) == 1 or view.name == clip.name]
    if not of:
        raise UsageError(
            f"none of the detections is about {clip.name}; they are about {', '.join(v.name for v in gathered.views)}"
        )
    stills = Stills(clip, most_px=PICTURE_PX)
    if of[0].size_wh is not None and of[0].size_wh != (stills.info.width, stills.info.height):
        width, height = of[0].size_wh
        raise UsageError(
            f"{clip} is {stills.info.width}x{stills.info.height} and the detections are of a video of "
            f"{width:g}x{height:g}; give the clip that they were made from"
        )
    taken: dict[tuple[int, int], bytes | None] = {}

    def still(view: View, line: FrameLine) -> bytes | None:
        if view is not of[0] or view.live:
            return None
        key = line.index, line.pts
        if key not in taken:
            taken[key] = stills.at(
                line.pts * line.time_base,
                view.coverage.usual_interval_s / 2,
                lambda frame: _blur(frame, line, blurred),
            )
            if taken[key] is None and not notes:
                notes.append(f"{clip} has no picture at {line.time_s:.3f} s; is it the clip that was detected in?")
        return taken[key]

    return still, notes


def _blur(frame: Frame, line: FrameLine, classes: tuple[str, ...]) -> Frame:
    """The frame, with what the line says of these classes made unrecognisable; all of it where it is damaged."""
    from dataclasses import replace

    from streamdet.types import DetectedFrame
    from streamdet.video.blur import Blur

    if not classes:
        return frame
    frame = replace(frame, damaged=frame.damaged or line.damaged)
    return Blur(classes)(DetectedFrame(frame, line.detections, line.shown_mask)).frame


def _read_receipt(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot read the receipt {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}); give the file that run --report wrote") from error
    if not isinstance(content, dict) or "verdict" not in content:
        raise DataError(f"{path} is no receipt; give the file that run --report wrote")
    return content


def _write(path: Path, page: str) -> None:
    aside = path.with_name(path.name + ".part")
    try:
        aside.write_text(page, encoding="utf-8", errors="backslashreplace")
        aside.replace(path)
    except OSError as error:
        with suppress(OSError):
            aside.unlink()
        raise OutputError(f"cannot write the page {path}: {error.strerror or error}; choose another place") from error
