"""YOLO: a data.yaml, and for each picture a text file with a line per object: class x_center y_center width height.

The values are shares of the picture's sides. The labels of `images/a/b.jpg` are in `labels/a/b.txt` (the last
`images` of the path is replaced), those of pictures in other folders beside them. A picture without a label file is
empty. Of a polygon (class x1 y1 x2 y2 x3 y3 ...) the box around it is taken, of a pose its box.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml

from streamdet.errors import DataError
from streamdet.training.dataset import Dataset, LabelledImage
from streamdet.training.formats.boxes import Box, Sheet
from streamdet.training.formats.pictures import Folders, is_picture, picture_size
from streamdet.training.formats.text_files import read_text
from streamdet.training.formats.wording import clause, listed, shown
from streamdet.training.problems import Complain, Problem, raise_errors

NORMALISED_LIMIT = 1.01
"""A larger value is no share of the picture's side, however it was rounded."""


def read_yolo(
    path: Path, split: Literal["train", "val"] = "train", *, complain: Complain = raise_errors
) -> tuple[Dataset, ...]:
    """The data sets that a data.yaml names under `train` or `val`: one for each folder or list of pictures.

    Raises:
        DataError: the file can't be read, or has no usable `names`.
    """
    reader = _Reader(path, complain)
    sets = (reader.read(entry, split) for entry in reader.entries(split))
    return tuple(dataset for dataset in sets if dataset)


class _Reader:
    def __init__(self, path: Path, complain: Complain) -> None:
        self.path = path
        self._complain = complain
        self._text, self._content = _load(path)
        self.class_names = _class_names(path, self._content.get("names"))
        self._pose = "kpt_shape" in self._content
        self._folders = Folders()

    def entries(self, split: str) -> list[str]:
        """What data.yaml gives for a split: folders, or lists of pictures."""
        value = self._content.get(split)
        entries = value if isinstance(value, list) else [] if value in (None, "") else [value]
        good = [entry for entry in entries if isinstance(entry, str) and entry.isprintable() and entry]
        if len(good) < len(entries):
            self._say(split, "folder", f"{split} is {shown(value)}; give a folder of pictures or a list of folders")
        return good

    def read(self, entry: str, split: str) -> Dataset | None:
        """The data set of a folder of pictures, or of a .txt file that lists them."""
        place = self._resolve(entry)
        if place is None:
            sentence = f"{split} is {shown(entry)}, which is not there; it is looked for from `path`, then from here"
            self._say(split, "missing folder", sentence)
            return None
        name = next((part for part in reversed(Path(entry).parts) if part not in ("images", ".", "..", "/")), split)
        name = name.removesuffix(".txt")
        pictures = self._listed(place) if place.is_file() else sorted(_pictures_below(place))
        if not pictures:
            self._say(split, "no pictures", f"{split} is {shown(entry)}, which holds no picture")
        if pictures and place.is_dir():
            self._check_labels(pictures)
        images = (self._image(picture, name) for picture in pictures)
        return Dataset(name, self.class_names, tuple(image for image in images if image))

    def _say(self, key: str, kind: str, sentence: str) -> None:
        match = re.search(rf"^{key}\s*:", self._text, re.MULTILINE)
        line = self._text.count("\n", 0, match.start()) + 1 if match else None
        self._complain(Problem(self.path, line, kind, sentence))

    def _resolve(self, entry: str) -> Path | None:
        """A folder or file named in data.yaml: from `path` if that is there, else from the file's own folder."""
        here, root = self.path.parent, self._content.get("path")
        roots = [here / root, here] if isinstance(root, str) and root.isprintable() else [here]
        places = [root / entry for root in roots]
        if entry.startswith("../"):
            places.append(here / entry[3:])  # Roboflow's exports say ../train/images and mean train/images
        try:
            return next((place for place in places if place.exists()), None)
        except OSError:
            return None

    def _listed(self, path: Path) -> list[Path]:
        """The pictures that a text file lists, one a line, from its own folder or from that of data.yaml."""
        pictures = []
        for number, line in enumerate(read_text(path).split("\n"), start=1):
            if name := line.strip():
                places = (path.parent / name, self.path.parent / name)
                found = next((place for place in places if self._folders.has(place)), None)
                if found:
                    pictures.append(found)
                else:
                    sentence = f"the picture {shown(name)} is missing; add it, or remove the line"
                    self._complain(Problem(path, number, "missing picture", sentence))
        return pictures

    def _check_labels(self, pictures: list[Path]) -> None:
        """Complain when there is no labels folder at all, and about label files without a picture."""
        labels_of: dict[Path, set[str]] = {}
        for picture in pictures:
            label_path = _label_path(picture)
            labels_of.setdefault(label_path.parent, set()).add(label_path.name)
        separate = [folder for folder in labels_of if folder != pictures[0].parent and folder.is_dir()]
        if not separate and not any(self._folders.has(_label_path(picture)) for picture in pictures):
            folder = next(iter(labels_of))
            sentence = f"there are no labels in {folder}: its {len(pictures)} pictures would all count as empty"
            self._complain(Problem(self.path, None, "no labels", sentence))
        for folder, expected in labels_of.items():
            for name in self._folders.names(folder):
                if name.endswith(".txt") and name not in expected and name != "classes.txt":
                    sentence = "the picture of this label file is missing; add it, or remove the file"
                    self._complain(Problem(folder / name, None, "missing picture", sentence, is_error=False))

    def _image(self, picture: Path, source: str) -> LabelledImage | None:
        label_path = _label_path(picture)
        try:
            text = read_text(label_path) if self._folders.has(label_path) else ""
        except DataError as error:
            self._complain(Problem(label_path, None, "unreadable labels", clause(error, label_path)))
            return None
        try:
            sheet = Sheet(*picture_size(picture))
        except DataError as error:
            self._complain(Problem(picture, None, "unreadable picture", clause(error, picture)))
            return None
        for number, line in enumerate(text.split("\n"), start=1):
            for kind, sentence, is_error in self._add(sheet, line):
                self._complain(Problem(label_path, number, kind, sentence, is_error))
        return sheet.image(picture, np.ones(len(self.class_names), np.bool_), source)

    def _add(self, sheet: Sheet, line: str) -> Iterator[tuple[str, str, bool]]:
        """Take a line's box; gives kind, sentence and whether it is an error of what is wrong with it."""
        words = line.split()
        if not words:
            return
        says = f"the label is {shown(' '.join(words))}"
        try:
            values = [float(word) for word in words]
        except ValueError:
            yield "not a number", f"{says}; it must be numbers: class x_center y_center width height", True
            return
        count = len(values) - 1
        if self._pose and count > 4:
            values, count = values[:5], 4
        if count == 5:
            yield "sixth value", f"{says}; the sixth value looks like a detection's confidence, labels have none", True
        elif count < 4 or count % 2:
            yield "count", f"{says}; it must be class x_center y_center width height, or a polygon's points", True
        elif not all(math.isfinite(value) for value in values):
            yield "not finite", f"{says}; its numbers must be finite", True
        elif values[0] != int(values[0]) or not 0 <= values[0] < len(self.class_names):
            known = f"0 to {len(self.class_names) - 1}: {listed(self.class_names)}"
            yield "unknown class", f"{says}; class {words[0][:20]} is not in {self.path.name} ({known})", True
        elif max(values[1:]) > NORMALISED_LIMIT:
            yield "looks like pixels", f"{says}; that looks like pixels, it must be shares of the picture, 0 to 1", True
        elif fault := sheet.add(_in_pixels(values[1:], sheet.width, sheet.height), int(values[0])):
            yield fault.kind, f"{says}; {fault.clause}", fault.is_error


def _in_pixels(values: list[float], width: int, height: int) -> Box:
    """The box of centre and size, or around the points of a polygon; values are shares of the picture."""
    if len(values) == 4:
        x, y, w, h = values
        return (x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height
    return min(values[::2]) * width, min(values[1::2]) * height, max(values[::2]) * width, max(values[1::2]) * height


def _label_path(picture: Path) -> Path:
    parts = list(picture.parts)
    for place in reversed(range(len(parts) - 1)):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _pictures_below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if is_picture(path.name))


def _load(path: Path) -> tuple[str, dict[Any, Any]]:
    """The text of a YAML file and the mapping in it."""
    text = read_text(path)
    try:
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise DataError(f"{path}{line} is no YAML that can be read: {shown(error.problem)}") from error
    except Exception as error:  # PyYAML's constructors raise anything on odd dates, numbers and tags
        raise DataError(f"{path} is no YAML that can be read: {shown(str(error))}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds {shown(content)}; a data.yaml has the keys train, val and names")
    return text, content


def _class_names(path: Path, names: Any) -> tuple[str, ...]:
    """`names` of a data.yaml, a list or a mapping from 0, 1, ... to names."""
    if isinstance(names, dict):
        if not all(type(key) is int for key in names) or sorted(names) != list(range(len(names))):
            raise DataError(f"{path} numbers its classes {listed(names)}; number them 0, 1, 2, ... without a gap")
        names = [names[index] for index in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DataError(f"{path} has the names {shown(names)}; list the classes' names in the order of their numbers")
    for index, name in enumerate(names):
        # YAML reads a bare yes, no, on, off as a truth value, and 2024-01-01 as a date
        if not (isinstance(name, str) and name.strip() and name.isprintable()) and type(name) is not int:
            raise DataError(f"{path} gives class {index} the name {shown(name)}; put a text in quotes there")
    texts = tuple(shown(name) for name in names)
    if len(set(texts)) < len(texts):
        raise DataError(f"{path} has the names {listed(texts)}; each class needs a name of its own")
    return texts
