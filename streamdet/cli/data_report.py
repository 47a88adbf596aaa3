"""What `streamdet data` shows: problems first, then tables of what is there and how the anchors fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from streamdet.training.checking.coverage import Row
from streamdet.training.checking.groups import Grouping
from streamdet.training.checking.repair import Repair
from streamdet.training.checking.split import Split
from streamdet.training.checking.suggestion import ENOUGH
from streamdet.training.checking.verdict import Verdict
from streamdet.training.dataset import Dataset

MOST_PER_KIND = 20
MOST_CLASSES = 20
MOST_GROUPS = 12
MOST_SIZES = 4
Item = TypeVar("Item")


def watched(items: Iterable[Item], what: str, total: int | None) -> Iterator[Item]:
    """The items, with a bar on standard error that shows how many of `total` are done (on a terminal only)."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(compact=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield from progress.track(items, total=total, description=what)


def show_problems(verdict: Verdict, *, show_all: bool) -> None:
    """Each problem by file and line, errors first, the first ones of every kind."""
    console = _console()
    kinds = Counter((problem.is_error, problem.kind) for problem in verdict.problems)
    for (is_error, kind), count in kinds.items():
        name, style = ("error", "bold red") if is_error else ("warning", "bold yellow")
        console.print(Text.assemble((name, style), "  ", (kind, "bold"), f"  ({count})" if count > 1 else ""))
        listed = [problem for problem in verdict.problems if (problem.is_error, problem.kind) == (is_error, kind)]
        for problem in listed if show_all else listed[:MOST_PER_KIND]:
            if console.is_terminal:
                console.print(Padding(Text(str(problem)), (0, 0, 0, 2)))
            else:  # a line each, for grep
                console.print(Text(f"  {problem}"), soft_wrap=True)
        if not show_all and count > MOST_PER_KIND:
            console.print(f"  ... and {count - MOST_PER_KIND} more (--all shows them)", style="dim")
    if kinds:
        console.print()


def show_verdict(verdict: Verdict, model: str) -> None:
    """The tables, and the verdict in one line."""
    console = _console()
    parts: list[RenderableType] = [
        *_contents(verdict),
        Text(),
        *_coverage(verdict, model),
        Text(),
        _conclusion(verdict),
    ]
    console.print(Group(*parts))


def show_repair(repaired: Repair, out: Path, lost: str | None, *, show_all: bool) -> None:
    """What the clean copy leaves out."""
    console = _console(stderr=True)
    for what, images in (("can't be used", repaired.unreadable), ("is a copy of another", repaired.copies)):
        for image in images if show_all else images[:MOST_PER_KIND]:
            console.print(Text(f"left out: {image.path} {what}"))
        if not show_all and len(images) > MOST_PER_KIND:
            console.print(f"... and {len(images) - MOST_PER_KIND} more (--all shows them)", style="dim")
    if repaired.clipped:
        console.print(f"{_many(repaired.clipped, 'box', 'boxes')} cut at the edge of the picture")
    pictures = sum(len(part.dataset.images) for part in repaired.parts)
    objects = sum(len(image.boxes_xyxy) for part in repaired.parts for image in part.dataset.images)
    console.print(Text(f"wrote {out}: {_many(pictures, 'picture')} with {_many(objects, 'object')}"))
    _show_lost(console, lost)


def show_split(result: Split, grouping: Grouping, out: Path, lost: str | None) -> None:
    """Which groups were found and where they went."""
    console = _console()
    sizes = Counter(grouping.names)
    console.print(Text(f"{_many(len(sizes), 'group')} by {grouping.how}, {sum(sizes.values()):,} pictures"))
    for names in grouping.joined[:MOST_GROUPS]:
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        console.print(Padding(Text(f"near-copies of each other, so kept together: {shown}"), (0, 0, 0, 2)))
    if len(grouping.joined) > MOST_GROUPS:
        console.print(f"  ... and {len(grouping.joined) - MOST_GROUPS} more that were joined", style="dim")
    groups = _table("group", "pictures", "goes to", numbers=("pictures",))
    chosen = set(result.validation_groups)
    for name, count in sizes.most_common(MOST_GROUPS):
        groups.add_row(
            Text(name or "(no name)"), f"{count:,}", Text("val", "cyan") if name in chosen else Text("train")
        )
    if len(sizes) > MOST_GROUPS:
        rest = sum(count for _, count in sizes.most_common()[MOST_GROUPS:])
        groups.add_row(Text(f"... and {len(sizes) - MOST_GROUPS:,} smaller ones", "dim"), f"{rest:,}", "")
    console.print(groups)
    console.print()
    balance = _table("", "train", "val", "share of val", numbers=("train", "val", "share of val"))
    sides = result.training, result.validation
    rows = [("groups", [len(result.training_groups), len(result.validation_groups)])]
    rows += [("pictures", [len(side.images) for side in sides])]
    rows += [("empty pictures", [sum(not len(image.boxes_xyxy) for image in side.images) for side in sides])]
    counts = [_objects(side) for side in sides]
    rows += [(name, [int(count[k]) for count in counts]) for k, name in enumerate(result.training.class_names)]
    for name, (first, second) in rows:
        share = f"{second / (first + second):.0%}" if first + second else "-"
        balance.add_row(Text(name), f"{first:,}", f"{second:,}", share)
    console.print(balance)
    console.print(Text(f"wrote {out}"))
    _show_lost(console, lost)


def _show_lost(console: Console, lost: str | None) -> None:
    if lost:
        console.print(
            Text.assemble(("warning", "bold yellow"), f"  written without {lost}: the format has no place for them")
        )


def _console(*, stderr: bool = False) -> Console:
    return Console(stderr=stderr, highlight=False, soft_wrap=False)


def _table(*columns: str, numbers: Sequence[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left")
    return table


def _contents(verdict: Verdict) -> list[RenderableType]:
    """Pictures and objects of each set."""
    sets = verdict.sets
    pictures = sum(summary.pictures for summary in sets)
    title = Text(f"{verdict.folder}: {verdict.format}, {_many(pictures, 'picture')}", "bold")
    table = _table("", *(summary.name for summary in sets), numbers=[summary.name for summary in sets])
    optional = (
        ("empty pictures", [summary.empty for summary in sets]),
        ("labelled for some classes", [summary.partly_labelled for summary in sets]),
        ("groups (cameras, clips)", [summary.groups for summary in sets]),
        ("ignored regions", [summary.ignored for summary in sets]),
    )
    rows = [("pictures", [summary.pictures for summary in sets]), *((n, c) for n, c in optional if any(c))]
    for name, counts in rows:
        table.add_row(name, *(f"{count:,}" for count in counts))
    names = list(sets[0].objects)
    shown = sorted(names, key=lambda name: -sum(summary.objects[name] for summary in sets))[:MOST_CLASSES]
    totals = [sum(summary.objects.values()) for summary in sets]
    table.add_row("objects", *(f"{count:,}" for count in totals), style="bold")
    for name in [name for name in names if name in shown]:
        counts = [summary.objects[name] for summary in sets]
        table.add_row(Text(f"  {name}"), *(Text(f"{count:,}", "" if count else "dim") for count in counts))
    if len(names) > len(shown):
        rest = [total - sum(summary.objects[n] for n in shown) for total, summary in zip(totals, sets, strict=True)]
        table.add_row(f"  {len(names) - len(shown)} more classes", *(f"{count:,}" for count in rest))
    return [title, table]


def _coverage(verdict: Verdict, model: str) -> list[RenderableType]:
    """How large objects are for the network, and how its anchors fit them."""
    sizes: Counter[str] = Counter()
    for summary in verdict.sets:
        sizes.update(summary.sizes)
    listed = ", ".join(f"{size} ({count:,})" for size, count in sizes.most_common(MOST_SIZES))
    rest = f" and {len(sizes) - MOST_SIZES:,} other sizes" if len(sizes) > MOST_SIZES else ""
    coverage = verdict.coverage
    if not len(coverage.best_iou):
        return [Text(f"sizes of pictures: {listed}{rest}"), Text("no objects, so there is nothing for anchors to fit")]
    rule = coverage.input_rule
    title = f"Best IoU of the objects with an anchor, for {model} at {rule.short_side}x{rule.long_side}"
    shares = ("objects", "0.5 or more", "0.4 to 0.5", "below 0.4")
    table = _table("", *shares, numbers=shares)
    classes = sorted(coverage.by_class, key=lambda row: -row.objects)[:MOST_CLASSES]
    groups: tuple[Sequence[Row], ...] = (
        (coverage.total,),
        coverage.by_size,
        [r for r in coverage.by_class if r in classes],
    )
    for number, rows in enumerate(groups):
        for row in rows:
            style = "bold" if number == 0 else ""
            table.add_row(Text(row.name if number == 0 else f"  {row.name}", style), *_shares(row))
    low, middle, high = verdict.shortest_sides_px
    lines: list[RenderableType] = [
        Text(f"sizes of pictures: {listed}{rest}"),
        Text(
            f"shorter sides of the objects at {rule.short_side}x{rule.long_side}: "
            f"half of them {middle:.0f} px or less, 90% from {low:.0f} to {high:.0f} px"
        ),
        Text(),
        Text(title, "bold"),
        table,
        Text("small: below 32x32 px at the input, large: 96x96 or more; below 0.4 only one anchor learns it", "dim"),
    ]
    if verdict.suggestions:
        lines += [Text(), Text("The anchors would fit more objects (0.5 or more) with")]
        lines += [Padding(Text(f"- {suggestion}"), (0, 0, 0, 2)) for suggestion in verdict.suggestions]
    elif coverage.total.good < ENOUGH:
        lines.append(Text("No larger input (up to twice) and no other anchors would fit them better."))
    return lines


def _shares(row: Row) -> list[Text]:
    if not row.objects:
        return [Text("0", "dim"), *[Text("-", "dim")] * 3]
    style = "green" if row.good >= ENOUGH else "yellow" if row.good >= 0.8 else "red"
    return [
        Text(f"{row.objects:,}"),
        Text(f"{row.good:.1%}", style),
        Text(f"{row.between:.1%}"),
        Text(f"{row.poor:.1%}"),
    ]


def _conclusion(verdict: Verdict) -> Text:
    warnings = len(verdict.problems) - verdict.errors
    if verdict.errors:
        counts = f"{_many(verdict.errors, 'error')}, {_many(warnings, 'warning')}"
        return Text(f"{counts}: mend the labels, or let --fix OUT leave them out", "bold red")
    if warnings:
        return Text(f"no errors, {_many(warnings, 'warning')}: fit for training", "bold yellow")
    return Text("no errors, no warnings: fit for training", "bold green")


def _objects(dataset: Dataset) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    counts = np.zeros(len(dataset.class_names), np.int64)
    for image in dataset.images:
        counts += np.bincount(image.class_ids, minlength=len(counts))
    return counts


def _many(count: int, noun: str, plural: str | None = None) -> str:
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
