"""`streamdet data`: looks at labelled pictures before any training, splits them by clip, and takes frames to label."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from streamdet.errors import DataError, UsageError
from streamdet.options import parse_size

if TYPE_CHECKING:
    from streamdet.training.checking.parts import Part
    from streamdet.training.problems import Problem

data_app = typer.Typer(
    help="Look at labelled pictures before training: check them, split them by clip, take frames to label.",
    no_args_is_help=True,
)
FolderArgument = Annotated[
    Path,
    typer.Argument(
        metavar="DIR",
        help="Folder with labels and pictures (COCO, YOLO, Pascal VOC, CSV, streamdet's JSON lines), or a label file.",
        show_default=False,
    ),
]


@data_app.command()
def check(
    folder: FolderArgument,
    model: Annotated[
        str, typer.Option(help="Model to be trained further: its input size and anchors are looked at.")
    ] = "street",
    size: Annotated[
        str | None,
        typer.Option(help="Short x long side of the input, such as 480x800. Default: the model's.", metavar="SIZE"),
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Draw pictures with their labels into this .png.", metavar="FILE")
    ] = None,
    fix: Annotated[
        Path | None,
        typer.Option(help="Write a clean copy into this new folder, in the same format.", metavar="OUT"),
    ] = None,
    show_all: Annotated[bool, typer.Option("--all", help="List every problem, not only the first of each kind.")] = (
        False
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Check labelled pictures: faults by file and line, copies across the split, objects, anchor coverage.

    Exit codes: 0 fit for training (or the copy of --fix is), 1 errors, 2 usage, 4 model.
    """
    from dataclasses import replace

    from streamdet.cli.data_report import show_problems, show_repair, show_verdict, watched
    from streamdet.detection.models import find_model
    from streamdet.training.checking.glances import look_at
    from streamdet.training.checking.parts import images_of
    from streamdet.training.checking.repair import repair
    from streamdet.training.checking.verdict import judge

    _refuse_existing(fix, "--fix")
    card = find_model(model).card
    short_side, long_side = parse_size(size) or (card.input_rule.short_side, card.input_rule.long_side)
    input_rule = replace(card.input_rule, short_side=short_side, long_side=long_side)
    kind, parts, problems = _read(folder)
    glances = [look_at(image) for image in watched(images_of(parts), "looking at pictures", len(images_of(parts)))]
    verdict = judge(folder, kind, parts, glances, problems, card.config.anchors, input_rule)
    if sheet is not None:
        faulty = {id(i) for i, glance in zip(images_of(parts), glances, strict=True) if glance.problem is not None}
        _draw(sheet, parts, faulty)
    repaired = None if fix is None else repair(parts, glances)
    if repaired is not None and fix is not None:
        lost = _write(kind, repaired.parts, fix)
    if as_json:
        typer.echo(json.dumps(verdict.to_json(), indent=2))
    else:
        show_problems(verdict, show_all=show_all)
        show_verdict(verdict, card.name)
    if repaired is not None and fix is not None:
        show_repair(repaired, fix, lost, show_all=show_all)
    raise typer.Exit(1 if verdict.errors and repaired is None else 0)


@data_app.command()
def split(
    folder: FolderArgument,
    out: Annotated[Path, typer.Option(help="New folder for the two sets, in the same format.", show_default=False)],
    val: Annotated[float, typer.Option(help="Share of the pictures for validation.", metavar="SHARE")] = 0.2,
    by: Annotated[
        Literal["auto", "group", "folder", "name", "look"],
        typer.Option(
            help="What tells clips apart: the labels' groups, folders, file names without frame numbers, looks."
        ),
    ] = "auto",
    seed: Annotated[int, typer.Option(help="Of the random choice among equally good ones.")] = 0,
) -> None:
    """Split labelled pictures into train and val by camera or clip: frames of one clip never are in both."""
    from streamdet.cli.data_report import show_split, watched
    from streamdet.training.checking.duplicates import fingerprints
    from streamdet.training.checking.glances import look_at
    from streamdet.training.checking.groups import find_groups
    from streamdet.training.checking.parts import Part, images_of
    from streamdet.training.checking.split import split as split_by_groups

    if not 0 < val < 1:
        raise UsageError(f"--val is {val}; give a share between 0 and 1, such as 0.2")
    _refuse_existing(out, "--out")
    kind, parts, problems = _read(folder)
    images = images_of(parts)
    glances = [look_at(image) for image in watched(images, "looking at pictures", len(images))]
    problems += [glance.problem for glance in glances if glance.problem is not None]
    errors = [problem for problem in problems if problem.is_error]
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise DataError(f"{errors[0]}{more}; `streamdet data check {folder} --fix OUT` writes a clean copy to split")
    grouping = find_groups(images, fingerprints(glances), by)
    result = split_by_groups(images, parts[0].dataset.class_names, grouping, val, seed)
    lost = _write(kind, (Part("train", result.training), Part("val", result.validation)), out)
    show_split(result, grouping, out, lost)


@data_app.command()
def frames(
    clips: Annotated[list[str], typer.Argument(metavar="CLIP...", help="Video files.", show_default=False)],
    out: Annotated[Path, typer.Option(help="New folder for the pictures and labels.", show_default=False)],
    every: Annotated[int | None, typer.Option(help="Take every so many frames.", metavar="N")] = None,
    count: Annotated[
        int | None, typer.Option(help="Take so many of each clip, evenly spaced. Default: 50.", metavar="N")
    ] = None,
    model: Annotated[str, typer.Option(help="Model whose detections become the labels to correct.")] = "street",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Take frames of clips for labelling, with a model's detections as COCO labels to correct."""
    from streamdet.cli.data_frames import take_frames

    if every is not None and count is not None:
        raise UsageError("--every and --count contradict each other; leave one out")
    if (every is not None and every < 1) or (count is not None and count < 1):
        raise UsageError(
            f"--{'every' if every is not None else 'count'} is {count if every is None else every}; give 1 or more"
        )
    _refuse_existing(out, "--out")
    raise typer.Exit(take_frames(clips, out, every, count or 50, model, device))


def _refuse_existing(out: Path | None, option: str) -> None:
    """Find out before any work that the folder is taken. Raises UsageError."""
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{option} {out} is there already; give a new folder")


def _read(folder: Path) -> tuple[str, tuple[Part, ...], list[Problem]]:
    """The format of the labels, the sets, and what is wrong with them. Raises DataError when there are no pictures."""
    from streamdet.training.checking.parts import images_of, parts_of
    from streamdet.training.formats.find import find_sets

    problems: list[Problem] = []
    found = find_sets(folder, complain=problems.append)
    parts = parts_of(found)
    if not images_of(parts):
        reason = f"; the first problem is: {problems[0]}" if problems else "; add some"
        raise DataError(f"{folder} has no labelled picture that can be used{reason}")
    return found.format, parts, problems


def _write(kind: str, parts: tuple[Part, ...], out: Path) -> str | None:
    """Write the sets; what the format could not keep, in words. Raises DataError when nothing is left."""
    from streamdet.training.checking.parts import images_of, named_sets
    from streamdet.training.formats.write import what_is_lost, write_sets

    if not images_of(parts):
        raise DataError("no picture is left that could be written")
    sets = named_sets(parts)
    write_sets(kind, sets, out)
    return what_is_lost(kind, sets)


def _draw(path: Path, parts: tuple[Part, ...], faulty: set[int]) -> None:
    """Draw the contact sheet of pictures that can be read."""
    from streamdet.training.checking.choosing import choose_pictures
    from streamdet.training.checking.parts import images_of
    from streamdet.training.checking.sheet import COLUMNS, ROWS, draw_sheet
    from streamdet.video.palette import class_colours

    class_names = parts[0].dataset.class_names
    picks = choose_pictures([i for i in images_of(parts) if id(i) not in faulty], class_names, COLUMNS * ROWS)
    draw_sheet(picks, dict(zip(class_names, class_colours(len(class_names)), strict=True)), class_names, path)
    typer.echo(f"drew {len(picks)} pictures into {path}", err=True)
