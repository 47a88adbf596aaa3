"""Class lists: read from a file where a format has one, and brought into one order where only the names agree."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from streamdet.errors import DataError
from streamdet.training.dataset import Dataset, LabelledImage
from streamdet.training.formats.text_files import read_text
from streamdet.training.formats.wording import listed, shown


def find_class_names(folders: Iterable[Path]) -> tuple[str, ...] | None:
    """The class list of the first folder that has one: classes.txt (a name a line) or classes.csv (name,id).

    Raises DataError when it can't be read or has no usable names.
    """
    for folder in folders:
        for path in (folder / "classes.txt", folder / "classes.csv"):
            if path.is_file():
                names = _names_of_lines(path) if path.suffix == ".txt" else _names_of_table(path)
                if not names or len(set(names)) < len(names) or not all(name.isprintable() for name in names):
                    raise DataError(
                        f"{path} has the classes {listed(names)}; each needs a name of its own, in plain text"
                    )
                return names
    return None


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """The order of classes that were found in labels only: the alphabet's."""
    return tuple(sorted(set(names)))


def with_classes(dataset: Dataset, class_names: Sequence[str]) -> Dataset:
    """The same labels with another class list, which holds all names of the present one.

    New classes count as labelled: nothing says that they were not looked for.
    """
    if dataset.class_names == tuple(class_names):
        return dataset
    new_ids = np.array([class_names.index(name) for name in dataset.class_names], np.int64)

    def moved(image: LabelledImage) -> LabelledImage:
        labelled = np.ones(len(class_names), np.bool_)
        labelled[new_ids] = image.labelled
        return replace(
            image,
            class_ids=new_ids[image.class_ids],
            ignored_class_ids=new_ids[image.ignored_class_ids],
            labelled=labelled,
        )

    return replace(dataset, class_names=tuple(class_names), images=tuple(moved(image) for image in dataset.images))


def _names_of_lines(path: Path) -> tuple[str, ...]:
    return tuple(line.strip() for line in read_text(path).split("\n") if line.strip())


def _names_of_table(path: Path) -> tuple[str, ...]:
    """Names in the order of their ids, which are 0, 1, 2, ..."""
    try:
        rows = [row for row in csv.reader(read_text(path).splitlines()) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise DataError(f"{path} is no CSV that can be read: {error}") from error
    for row in rows:
        if len(row) != 2 or not row[1].strip().isdecimal() or not row[0].strip():
            raise DataError(f"{path} has the row {shown(','.join(row))}; each must be name,id")
    rows.sort(key=lambda row: (len(row[1].strip().lstrip("0")), row[1].strip().lstrip("0")))
    if [row[1].strip() for row in rows] != [str(number) for number in range(len(rows))]:
        ids = listed(row[1].strip() for row in rows)
        raise DataError(f"{path} numbers its classes {ids}; number them 0, 1, 2, ... without a gap")
    return tuple(row[0].strip() for row in rows)
