"""Labels in the form of `streamdet run --jsonl`: what a model found, once somebody has corrected it.

A folder holds one or more .jsonl files and `images/`. Which picture a line labels: the one that its key "picture"
names (a path in `images/`), or else the one named by the source and the frame's index: line 123 of `clip.mp4` labels
`images/clip_000123.jpg` (any number of leading zeros, any kind of picture). Lines of frames that were not extracted
are passed over. A box with `"ignore": true` is an ignored region; scores and tracks mean nothing here, and boxes
added by hand need none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from streamdet.errors import DataError
from streamdet.results.jsonl_reading import read_jsonl
from streamdet.training.dataset import Dataset, LabelledImage
from streamdet.training.formats.boxes import Sheet, looks_normalised, numbers
from streamdet.training.formats.pictures import Folders, is_picture, picture_size
from streamdet.training.formats.wording import clause, listed, one_line, shown
from streamdet.training.problems import Complain, Problem, raise_errors


def read_detections(path: Path, *, complain: Complain = raise_errors) -> Dataset:
    """The data set of a .jsonl file and the `images/` beside it.

    A file of a killed run is read as far as it goes, less the line that was cut.

    Raises:
        DataError: the file can't be read, or is no file of detections.
    """
    return _Reader(path, complain).read()


class _Reader:
    def __init__(self, path: Path, complain: Complain) -> None:
        self.path = path
        self._complain = complain
        try:
            self._header, _ = read_jsonl(path)
        except RecursionError as error:
            raise DataError(f"{path}, line 1: not JSON that can be read, it is nested too deeply") from error
        except DataError as error:
            raise DataError(one_line(str(error))) from error
        self.class_names = tuple(self._header["classes"])
        if not self.class_names or len(set(self.class_names)) < len(self.class_names):
            raise DataError(f"{path} has the classes {listed(self.class_names)}; each needs a name of its own")
        self._folder = path.parent / "images"
        self._folders = Folders()
        self._extracted = self._by_index()

    def read(self) -> Dataset:
        """Build the data set."""
        images: dict[Path, LabelledImage] = {}
        for number, line in self._frames():
            picture = self._picture(number, line)
            if picture in images:
                self._say(number, "labelled twice", f"{shown(picture.name)} has a line already; keep one of them")
            elif picture and (image := self._image(number, line, picture)):
                images[picture] = image
        if not images:
            stem = shown(Path(str(self._header.get("source"))).stem)
            sentence = f"none of its frames is in {self._folder}; name their pictures {stem}_000000.jpg and so on"
            self._say(1, "no pictures", sentence)
        for picture in self._extracted.values():
            if picture not in images:
                sentence = f"it has no line in {self.path.name} and is not used"
                self._complain(Problem(picture, None, "no labels", sentence, is_error=False))
        return Dataset(self.path.stem, self.class_names, tuple(images.values()))

    def _say(self, line: int, kind: str, sentence: str, is_error: bool = True) -> None:
        self._complain(Problem(self.path, line, kind, sentence, is_error))

    def _by_index(self) -> dict[int, Path]:
        """The extracted frames of this file's source."""
        stem = Path(str(self._header.get("source"))).stem
        matches = (re.fullmatch(rf"{re.escape(stem)}_(\d{{1,15}})\.\w+", name) for name in self._names())
        return {int(match[1]): self._folder / match[0] for match in matches if match}

    def _names(self) -> Iterator[str]:
        return (name for name in self._folders.names(self._folder) if is_picture(name))

    def _frames(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The lines of frames that can be read, by number."""
        try:
            lines = self.path.read_bytes().split(b"\n")
        except OSError as error:
            raise DataError(f"{self.path} can't be read: {error.strerror}") from error
        for number, text in enumerate(lines, start=1):
            if number == 1 or not text.strip():
                continue
            try:
                line = json.loads(text)
            except (ValueError, RecursionError) as error:
                cut = number == len(lines)  # a whole file ends with a line feed
                self._say(number, "not JSON", f"the line is not JSON ({error}); mend or remove it", is_error=not cut)
                continue
            if not isinstance(line, dict):
                self._say(number, "no object", f"the line is {shown(line)}; it must be a JSON object")
            elif line.get("type") == "frame":
                yield number, line

    def _picture(self, number: int, line: dict[str, Any]) -> Path | None:
        """The picture that a line labels; None when there is none."""
        if "picture" in line:
            name = line["picture"]
            if not isinstance(name, str) or not name.isprintable() or not name:
                self._say(number, "picture", f"picture is {shown(name)}; it must be a path in images/")
            elif self._folders.has(self._folder / name):
                return self._folder / name
            else:
                sentence = f"the picture {shown(name)} is missing in {self._folder}; add it, or remove the line"
                self._say(number, "missing picture", sentence)
            return None
        index = line.get("index")
        if type(index) is not int:
            self._say(number, "index", f"the frame's index is {shown(index)}; it must be a whole number")
            return None
        return self._extracted.get(index)

    def _image(self, number: int, line: dict[str, Any], picture: Path) -> LabelledImage | None:
        try:
            size = picture_size(picture)
        except DataError as error:
            self._complain(Problem(picture, None, "unreadable picture", clause(error, picture)))
            return None
        source_size = self._header.get("width"), self._header.get("height")
        if "picture" not in line and source_size != size and None not in source_size:
            sentence = (
                f"{shown(picture.name)} has {size[0]}x{size[1]} pixels and the boxes are for "
                f"{shown(source_size[0])}x{shown(source_size[1])}; extract the frames at full size"
            )
            self._say(number, "wrong size", sentence)
            return None
        boxes = line.get("boxes")
        if not isinstance(boxes, list):
            self._say(number, "boxes", f"boxes is {shown(boxes)}; it must be a list")
            return None
        sheet = Sheet(*size)
        for place, box in enumerate(boxes):
            for kind, sentence, is_error in self._add(sheet, box):
                self._say(number, kind, f"box {place} of {shown(picture.name)}: {sentence}", is_error)
        labelled = np.ones(len(self.class_names), np.bool_)
        return sheet.image(picture, labelled, Path(str(self._header.get("source"))).stem)

    def _add(self, sheet: Sheet, box: Any) -> Iterator[tuple[str, str, bool]]:
        """Take a box; gives kind, sentence and whether it is an error of what is wrong with it."""
        if not isinstance(box, dict):
            yield "no object", f"it is {shown(box)}; it must be an object", True
            return
        says = f"box_xyxy is {shown(box.get('box_xyxy'))}"
        box_xyxy, name = numbers(box.get("box_xyxy")), box.get("class")
        if box_xyxy is None or len(box_xyxy) != 4:
            yield "box_xyxy", f"{says}; it must be [x1, y1, x2, y2]", True
        elif name not in self.class_names:
            yield "unknown class", f"the class {shown(name)} is not in the header ({listed(self.class_names)})", True
        elif box.get("ignore", False) not in (True, False):
            yield "ignore", f"ignore is {shown(box['ignore'])}; it must be true or false", True
        elif looks_normalised(box_xyxy):
            yield "normalised", f"{says}; that looks like shares of the picture, it must be pixels", True
        elif fault := sheet.add(box_xyxy, self.class_names.index(name), ignored=bool(box.get("ignore"))):
            yield fault.kind, f"{says}; {fault.clause}", fault.is_error
