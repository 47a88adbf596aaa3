"""CSV with a row per object: path,x1,y1,x2,y2,class (Keras-RetinaNet), or with a header that names the columns.

A row without box and class (path,,,,,) makes its picture an empty one. Boxes are in pixels, counted from 0. Paths are
relative to the file, or to `images/` beside it. Classes come from `classes.csv` (name,id), or else from the names
that occur, in the order of the alphabet.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from streamdet.errors import DataError
from streamdet.training.dataset import Dataset
from streamdet.training.formats.boxes import Sheet, looks_normalised
from streamdet.training.formats.classes import find_class_names, in_order
from streamdet.training.formats.pictures import Folders, picture_size
from streamdet.training.formats.text_files import read_text
from streamdet.training.formats.wording import clause, listed, shown
from streamdet.training.problems import Complain, Problem, raise_errors

COLUMNS = ("path", "x1", "y1", "x2", "y2", "class")
_OTHER_NAMES = {
    "path": ("filename", "filepath", "file", "image", "imagepath", "imagename", "img", "imgpath"),
    "x1": ("xmin", "left"),
    "y1": ("ymin", "top"),
    "x2": ("xmax", "right"),
    "y2": ("ymax", "bottom"),
    "class": ("label", "classname", "name", "category"),
    "width": ("imagewidth", "imgwidth"),
    "height": ("imageheight", "imgheight"),
}


def read_csv(path: Path, *, complain: Complain = raise_errors) -> Dataset:
    """The data set in a CSV file.

    Raises:
        DataError: the file can't be read, or its header lacks a column.
    """
    pictures = _gathered(path, complain)
    given = find_class_names((path.parent, path.parent.parent))
    class_names = given or in_order(row.name for picture in pictures for row in picture.rows)
    images = []
    for picture in pictures:
        sheet = Sheet(*picture.size)
        for row in picture.rows:
            if row.name not in class_names:
                sentence = f"{row.says}; the class is not in the list of classes ({listed(class_names)})"
                complain(Problem(path, row.line, "unknown class", sentence))
            elif fault := sheet.add(row.box_xyxy, class_names.index(row.name)):
                complain(Problem(path, row.line, fault.kind, f"{row.says}; {fault.clause}", fault.is_error))
        images.append(sheet.image(picture.path, np.ones(len(class_names), np.bool_), path.stem))
    return Dataset(path.stem, class_names, tuple(images))


@dataclass(frozen=True)
class _Row:
    name: str
    box_xyxy: list[float]
    line: int
    says: str
    """The row as the file gives it."""


@dataclass(frozen=True)
class _Picture:
    path: Path
    size: tuple[int, int]
    rows: list[_Row] = field(default_factory=list)


def _gathered(path: Path, complain: Complain) -> list[_Picture]:
    """The pictures of a file in the order in which they come up, each with its rows."""
    pictures: dict[str, _Picture | None] = {}
    folders = Folders()
    table = _table(path)
    columns = _columns(path, table[0][1]) if table else {}
    for line, cells in table:
        named = {name: cells[place].strip() for name, place in columns.items() if place < len(cells)}
        if line == table[0][0] and not _is_data(cells):
            continue  # the header
        says = f"the row is {shown(','.join(cells))}"
        file_name = named.get("path", "")
        if len(named) < len(columns) or not file_name or not file_name.isprintable():
            complain(Problem(path, line, "columns", f"{says}; it must have {listed(columns)}"))
            continue
        if file_name not in pictures:
            pictures[file_name] = _picture(path, line, file_name, named, folders, complain)
        picture = pictures[file_name]
        texts = [named[column] for column in COLUMNS[1:]]
        if picture is None or not any(texts):
            continue
        try:
            box_xyxy = [float(text) for text in texts[:4]]
        except ValueError:
            complain(Problem(path, line, "not a number", f"{says}; x1, y1, x2 and y2 must be numbers"))
            continue
        if not texts[4] or not texts[4].isprintable():
            complain(Problem(path, line, "no name", f"{says}; it needs a class"))
        elif looks_normalised(box_xyxy):
            sentence = f"{says}; its box looks like shares of the picture, it must be in pixels: multiply it"
            complain(Problem(path, line, "normalised", sentence))
        else:
            picture.rows.append(_Row(texts[4], box_xyxy, line, says))
    return [picture for picture in pictures.values() if picture]


def _picture(
    path: Path, line: int, file_name: str, named: dict[str, str], folders: Folders, complain: Complain
) -> _Picture | None:
    places = (path.parent / file_name, path.parent / "images" / file_name)
    found = next((place for place in places if folders.has(place)), None)
    if found is None:
        sentence = f"the picture {shown(file_name)} is missing; add it, or remove its rows"
        complain(Problem(path, line, "missing picture", sentence))
        return None
    sides = [named.get("width", ""), named.get("height", "")]
    if all(side.isascii() and side.isdecimal() and len(side) < 6 and int(side) > 0 for side in sides):
        return _Picture(found, (int(sides[0]), int(sides[1])))
    try:
        return _Picture(found, picture_size(found))
    except DataError as error:
        complain(Problem(found, None, "unreadable picture", clause(error, found)))
        return None


def _table(path: Path) -> list[tuple[int, list[str]]]:
    """The rows that hold something, each with the line it ends on."""
    reader = csv.reader(io.StringIO(read_text(path)))
    try:
        return [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise DataError(f"{path} is no CSV that can be read: {shown(str(error))}") from error


def _is_data(cells: Sequence[str]) -> bool:
    """Whether a file's first row is an object's or an empty picture's, without a header before it."""
    corners = [cell.strip() for cell in cells[1:5]]
    return len(cells) == len(COLUMNS) and (not any(corners) or any(_is_number(corner) for corner in corners))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _columns(path: Path, first: Sequence[str]) -> dict[str, int]:
    """Place of each column that is used. Raises DataError when the header lacks one."""
    if _is_data(first):
        return {name: place for place, name in enumerate(COLUMNS)}
    header = [re.sub(r"[^a-z0-9]", "", cell.lower()) for cell in first]
    found = {}
    for name, others in _OTHER_NAMES.items():
        places = [place for place, cell in enumerate(header) if cell in (name, *others)]
        if places:
            found[name] = places[0]
    missing = [name for name in COLUMNS if name not in found]
    if missing:
        raise DataError(
            f"{path} begins with {shown(','.join(first))}, where {listed(missing)} is missing; "
            f"it must be a header with these columns, or rows of {','.join(COLUMNS)}"
        )
    return found
