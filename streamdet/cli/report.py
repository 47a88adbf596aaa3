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
    from streamdet.results.page.gather import Gathered

DETECTIONS_SUFFIX = ".jsonl"


def report(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="DETECTIONS.jsonl... [CLIP]...",
            help="Files that run --jsonl wrote; then, for pictures, the video that they are about (of cameras: their "
            "recordings).",
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

    from streamdet.cli.report_pictures import Pictures
    from streamdet.results.page.build import build_page
    from streamdet.video.palette import class_colours
    from streamdet.video.targets import check_target

    detections, clips = _sorted(files)
    target = out if out is not None else Path(f"{detections[0].stem}.report.html")
    check_target(target, detections[0], overwrite=overwrite)
    run = None if receipt is None else _read_receipt(receipt)
    gathered = _gather(detections)
    pictures = Pictures(gathered, clips, _blurred(gathered, blur))
    page = build_page(gathered, colours=class_colours, still=pictures, zone=UTC if utc else None, run=run)
    _write(target, page)
    for sentence in [*gathered.flaws, *pictures.notes]:
        typer.echo(f"note: {sentence}", err=True)
    frames = sum(view.coverage.frames for view in gathered.views)
    typer.echo(f"wrote {target}: {frames:,} frames, {len(page) / 1e6:.1f} MB", err=True)


def _sorted(files: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The files of detections, and the clips. The first file is one of detections, whatever its name."""
    detections = [path for place, path in enumerate(files) if not place or path.suffix.lower() == DETECTIONS_SUFFIX]
    return detections, [path for path in files if path not in detections]


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
