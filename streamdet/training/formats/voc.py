"""Pascal VOC: an XML file for each picture, with the objects' corners as pixels that count from 1.

A box from xmin to xmax covers both of these pixel columns: its edges are xmin - 1 and xmax. `difficult` objects are
ignored regions, as in VOC's own evaluation. The format has no list of classes: `classes.txt` (a name a line) gives
it, or else the names that occur make it, in the order of the alphabet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from streamdet.errors import DataError
from streamdet.training.dataset import Dataset
from streamdet.training.formats.boxes import Box, Sheet, looks_normalised
from streamdet.training.formats.classes import find_class_names, in_order
from streamdet.training.formats.pictures import Folders, picture_size
from streamdet.training.formats.text_files import read_text
from streamdet.training.formats.wording import clause, listed, shown
from streamdet.training.problems import Complain, Problem, raise_errors

CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_voc(path: Path, *, complain: Complain = raise_errors) -> Dataset:
    """The data set of a folder of XML files, of one such file, or of a list like ImageSets/Main/train.txt.

    Pictures lie beside the XML files, or in JPEGImages/ (or images/) beside their folder.

    Raises:
        DataError: the folder or the list can't be read.
    """
    if path.suffix == ".txt":
        annotations, name = path.parent.parent.parent / "Annotations", path.stem
        xml_paths = list(_listed(path, annotations, complain))
    elif path.is_dir():
        annotations, name = path, path.parent.name if path.name == "Annotations" else path.name
        xml_paths = sorted(p for p in path.glob("*.xml") if not p.name.startswith("."))
    else:
        annotations, name, xml_paths = path.parent, path.stem, [path]
    given = find_class_names((annotations, annotations.parent))
    folders = Folders()
    sheets = [sheet for path in xml_paths if (sheet := _read_one(path, folders, given, complain))]
    class_names = given or in_order(drawn.name for sheet in sheets for drawn in sheet.objects)
    images = []
    for sheet in sheets:
        gathered = Sheet(*sheet.size)
        for drawn in sheet.objects:
            fault = gathered.add(drawn.box_xyxy, class_names.index(drawn.name), ignored=drawn.difficult)
            if fault:
                sentence = f"{drawn.says}; {fault.clause}"
                complain(Problem(sheet.path, drawn.line, fault.kind, sentence, fault.is_error))
        images.append(gathered.image(sheet.picture, np.ones(len(class_names), np.bool_), name))
    return Dataset(name, class_names, tuple(images))


@dataclass(frozen=True)
class _Object:
    name: str
    box_xyxy: Box
    difficult: bool
    line: int | None
    says: str
    """The name and the numbers as the file gives them."""


@dataclass(frozen=True)
class _Annotation:
    path: Path
    picture: Path
    size: tuple[int, int]
    objects: tuple[_Object, ...]


def _listed(path: Path, annotations: Path, complain: Complain) -> Iterator[Path]:
    """The XML files of the pictures that an ImageSets list names."""
    folders = Folders()
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if stem := line.strip():
            xml_path = annotations / f"{stem}.xml"
            if folders.has(xml_path):
                yield xml_path
            else:
                sentence = f"{shown(stem)} has no {shown(str(xml_path))}; add it, or remove the line"
                complain(Problem(path, number, "missing label file", sentence))


def _read_one(
    path: Path, folders: Folders, class_names: Iterable[str] | None, complain: Complain
) -> _Annotation | None:
    """What an XML file says, or None when it can't be used at all."""
    try:
        root, lines = _parse(path)
    except DataError as error:
        complain(Problem(path, None, "unreadable labels", clause(error, path)))
        return None
    picture = _picture(path, root, folders)
    if picture is None:
        named = shown(_text(root, "filename") or f"{path.stem}.jpg")
        complain(Problem(path, None, "missing picture", f"its picture {named} is missing; add it, or remove the file"))
        return None
    size = _size(root)
    try:
        size = size or picture_size(picture)
    except DataError as error:
        complain(Problem(picture, None, "unreadable picture", clause(error, picture)))
        return None
    objects = []
    for element in root.iterfind("object"):
        line = lines.get(element)
        says, values = _described(element)
        kind, fault = _object_fault(element, values, class_names)
        if fault:
            complain(Problem(path, line, kind, f"{says}; {fault}"))
        else:
            x1, y1, x2, y2 = values
            box_xyxy = (x1 - 1, y1 - 1, x2, y2)
            difficult = (_text(element, "difficult") or "0").strip() == "1"
            objects.append(_Object(_text(element, "name"), box_xyxy, difficult, line, says))
    return _Annotation(path, picture, size, tuple(objects))


def _parse(path: Path) -> tuple[Element, dict[Element, int]]:
    """The root element, and the line of each element. Raises DataError."""
    lines: dict[Element, int] = {}

    def made(tag: Any, attributes: Any) -> Element:
        element = Element(tag, attributes)
        lines[element] = parser.parser.CurrentLineNumber
        return element

    parser: Any = DefusedXMLParser(target=TreeBuilder(element_factory=made))
    try:
        parser.feed(path.read_bytes())
        root: Element = parser.close()
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}") from error
    except DefusedXmlException as error:
        raise DataError(f"{path} declares XML entities, which no label needs; remove its DOCTYPE") from error
    except (ParseError, ValueError, LookupError) as error:
        raise DataError(f"{path} is no XML that can be read: {shown(str(error))}") from error
    if root.tag != "annotation":
        raise DataError(f"{path} is no Pascal VOC file: its root is {shown(root.tag)}, not annotation")
    return root, lines


def _text(element: Element, tag: str) -> str:
    return (element.findtext(tag) or "").strip()


def _picture(path: Path, root: Element, folders: Folders) -> Path | None:
    """The picture of an XML file: by the name in it, else by the XML file's own."""
    name = re.split(r"[/\\]", _text(root, "filename"))[-1]
    places = [path.parent.parent / "JPEGImages", path.parent.parent / "images", path.parent]
    for folder in places:
        if name and folders.has(folder / name):
            return folder / name
    return next((picture for folder in places if (picture := folders.picture(folder, path.stem))), None)


def _size(root: Element) -> tuple[int, int] | None:
    """Width and height in pixels, None when they are missing or 0, as some tools leave them."""
    texts = _text(root, "size/width"), _text(root, "size/height")
    if not all(text.isascii() and text.isdecimal() and len(text) < 6 and int(text) > 0 for text in texts):
        return None
    return int(texts[0]), int(texts[1])


def _described(element: Element) -> tuple[str, list[float]]:
    """The object's name and corners in words, and the corners; an empty list when they aren't four numbers."""
    texts = [_text(element, f"bndbox/{corner}") for corner in CORNERS]
    says = f"the object {shown(_text(element, 'name'))} has {' '.join(CORNERS)} = {' '.join(map(shown, texts))}"
    try:
        return says, [float(text) for text in texts]
    except ValueError:
        return says, []


def _object_fault(element: Element, values: list[float], class_names: Iterable[str] | None) -> tuple[str, str | None]:
    """The kind of what is wrong with an object, and a clause about it."""
    name, difficult = _text(element, "name"), _text(element, "difficult")
    if not name or not name.isprintable():
        return "no name", "it needs a name"
    if class_names is not None and name not in class_names:
        return "unknown class", f"the class is not in the list of classes ({listed(class_names)})"
    if difficult not in ("", "0", "1"):
        return "difficult", f"its difficult is {shown(difficult)}; it must be 0 or 1"
    if not values:
        return "bndbox", "its bndbox must hold four numbers"
    if looks_normalised(values):
        return "normalised", "its corners look like shares of the picture, and Pascal VOC's are pixels: multiply them"
    return "", None
