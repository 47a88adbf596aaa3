"""Pictures and label files of a data set that is written: names for them, and how they come into their place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath

from streamdet.errors import OutputError
from streamdet.training.dataset import LabelledImage

Place = Callable[[Path, Path], None]
"""Brings the picture at the first path to the second."""


def copy_picture(source: Path, target: Path) -> None:
    """Copy a picture. Raises OutputError when another file is there, or when it can't be written."""
    _place(source, target, lambda: shutil.copy2(source, target))


def link_picture(source: Path, target: Path) -> None:
    """Give a picture a second name, which takes no space; copy it where the file system can't do that.

    Raises OutputError when another file is there, or when it can't be written.
    """

    def link() -> None:
        try:
            os.link(source, target)
        except OSError:
            shutil.copy2(source, target)

    _place(source, target, link)


def _place(source: Path, target: Path, bring: Callable[[], object]) -> None:
    try:
        if target.exists():
            if not target.samefile(source):
                raise OutputError(f"{target} is there already; write into a new folder")
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        bring()
    except OSError as error:
        raise OutputError(f"{source} can't be brought to {target}: {error.strerror}") from error


def names_below(images: Sequence[LabelledImage], *, flat: bool = False) -> list[str]:
    """A name for each picture's file: its path below the folder that all have in common, without folders `images`.

    No two pictures get names that differ in their endings or in upper and lower case only. `flat`: no folders.
    """
    if not images:
        return []
    paths = [PurePath(os.path.abspath(image.path)) for image in images]  # noqa: PTH100 links stay what they are
    common = os.path.commonpath([path.parent for path in paths])
    taken: dict[str, PurePath] = {}
    names: dict[PurePath, str] = {}
    for path in paths:
        if path in names:
            continue
        parts = [part for part in path.relative_to(common).parts if part != "images"]
        stem = PurePath(("_" if flat else "/").join(parts)).with_suffix("").as_posix()
        free, number = stem, 2
        while free.lower() in taken:
            free, number = f"{stem}_{number}", number + 1
        taken[free.lower()] = path
        names[path] = free + path.suffix
    return [names[path] for path in paths]
