"""COCO JSON, and LVIS, whose images tell for which classes they were labelled.

Ids may begin at 0 or at 1 and may have gaps; the classes are in the order of their ids. `iscrowd: 1` and `ignore: 1`
make a box an ignored region. An image's own keys `labelled_category_ids`, `source` and `group` are streamdet's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from streamdet.errors import DataError
from streamdet.training.dataset import BoolArray, Dataset, LabelledImage
from streamdet.training.formats.boxes import Sheet, looks_normalised, numbers
from streamdet.training.formats.pictures import Folders
from streamdet.training.formats.positions import JsonPositions
from streamdet.training.formats.wording import listed, shown
from streamdet.training.problems import Complain, Problem, raise_errors

LARGEST_SIDE_PX = 100_000
"""No picture has longer sides."""
RESTRICTIONS = {"labelled_category_ids", "neg_category_ids", "not_exhaustive_category_ids"}
"""Keys of images that are not labelled for all classes."""


def read_coco(
    path: Path,
    *,
    images_dir: Path | None = None,
    need_pictures: bool = False,
    complain: Complain = raise_errors,
) -> Dataset:
    """The data set in a COCO JSON file.

    Args:
        path: the file.
        images_dir: where the pictures lie; by default found: `images/` beside the file, the file's own folder, or
            `train2017/` and `images/train2017/` beside the folder of an `instances_train2017.json`.
        need_pictures: complain about pictures that are not there, and leave them out.
        complain: called with each problem of a label.

    Raises:
        DataError: the file can't be read, or is no COCO file.
    """
    return _Reader(path, complain).read(images_dir, need_pictures)


class _Reader:
    def __init__(self, path: Path, complain: Complain) -> None:
        self.path = path
        self._complain = complain
        self._dropped: set[Any] = set()  # ids of images with an error
        try:
            content = path.read_bytes()
            parsed = json.loads(content)
        except OSError as error:
            raise DataError(f"{path} can't be read: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise self._no_coco(f"it is not JSON: {error}") from error
        if not isinstance(parsed, dict):
            raise self._no_coco("it is not an object with images, annotations and categories")
        for key in ("images", "annotations", "categories"):
            if not isinstance(parsed.get(key), list):
                raise self._no_coco(f"its {key} are not a list" if key in parsed else f"it has no '{key}'")
        self._records, self._annotations = parsed["images"], parsed["annotations"]
        self._lines = JsonPositions(content)
        self.class_of, self.class_names = self._classes(parsed["categories"])

    def read(self, images_dir: Path | None, need_pictures: bool) -> Dataset:
        """Build the data set."""
        records = self._checked_records()
        folder = images_dir or _picture_folder(self.path, [record["file_name"] for _, record in records.values()])
        by_image: dict[Any, list[tuple[int, dict[str, Any]]]] = {image_id: [] for image_id in records}
        for place, annotation in enumerate(self._annotations):
            if self._belongs(place, annotation, records):
                by_image[annotation["image_id"]].append((place, annotation))
        folders, images = Folders(), []
        for image_id, (place, record) in records.items():
            picture = folder / record["file_name"]
            image = self._image(place, record, by_image[image_id], picture)
            if need_pictures and not folders.has(picture):
                what = f"the picture {shown(record['file_name'])} is missing in {folder}; add it, or remove its entry"
                self._say("images", place, "missing picture", what)
            elif image:
                images.append(image)
        return Dataset(self.path.stem, self.class_names, tuple(images))

    def _no_coco(self, why: str) -> DataError:
        return DataError(f"{self.path} is no COCO file that can be used: {' '.join(why.split())}")

    def _say(self, key: str, place: int, kind: str, sentence: str, is_error: bool = True) -> None:
        self._complain(Problem(self.path, self._lines.line(key, place), kind, sentence, is_error))

    def _classes(self, categories: list[Any]) -> tuple[dict[int, int], tuple[str, ...]]:
        """Class index by category id, and the names by index: in the order of the ids."""
        for category in categories:
            if not isinstance(category, dict) or not _is_id(category.get("id")) or not _is_name(category.get("name")):
                raise self._no_coco(f"its category {shown(category)} needs an id that is a whole number, and a name")
        categories = sorted(categories, key=lambda category: int(category["id"]))
        if _is_roboflow_project(categories, self._annotations):
            categories = categories[1:]
        names = tuple(str(category["name"]) for category in categories)
        class_of = {category["id"]: index for index, category in enumerate(categories)}
        if not names or len(set(names)) < len(names) or len(class_of) < len(names):
            raise DataError(f"{self.path} has the categories {listed(names)}; each needs a name and an id of its own")
        return class_of, names

    def _checked_records(self) -> dict[Any, tuple[int, dict[str, Any]]]:
        """The images that can be used, by id, each with its place in the file."""
        records: dict[Any, tuple[int, dict[str, Any]]] = {}
        names: set[str] = set()
        for place, record in enumerate(self._records):
            if not isinstance(record, dict):
                self._say("images", place, "no object", f"an image is {shown(record)}; it must be an object")
                continue
            image_id = record.get("id")
            if not isinstance(image_id, (int, str)):
                self._say("images", place, "image id", f"image {shown(record.get('file_name'))} needs an id of its own")
                continue
            sentence = _record_fault(record)
            if image_id in records or image_id in self._dropped:
                sentence = f"the file gives an image id to several images: {shown(image_id)}; each needs its own"
                self._say("images", place, "duplicate image id", sentence)
                continue
            if sentence:
                self._say("images", place, "image", sentence)
                self._dropped.add(image_id)
                continue
            if "file_name" not in record:
                record["file_name"] = "/".join(record["coco_url"].split("/")[-2:])  # LVIS 1.0
            if record["file_name"] in names:
                sentence = f"{shown(record['file_name'])} is listed twice; what one entry labels, the other one denies"
                self._say("images", place, "picture listed twice", sentence, is_error=False)
            names.add(record["file_name"])
            records[image_id] = (place, record)
        return records

    def _belongs(self, place: int, annotation: Any, records: Mapping[Any, object]) -> bool:
        """Whether an annotation has a class and an image of this file."""
        if not isinstance(annotation, dict):
            self._say("annotations", place, "no object", f"an annotation is {shown(annotation)}; it must be an object")
            return False
        image_id, category_id = annotation.get("image_id"), annotation.get("category_id")
        known_image = isinstance(image_id, (int, str)) and image_id in records
        if known_image and isinstance(category_id, (int, str)) and category_id in self.class_of:
            return True
        name = f"annotation {shown(annotation.get('id'))}"
        for key in ("image_id", "category_id"):
            if key not in annotation:
                self._say("annotations", place, f"no {key}", f"{name} has no '{key}'")
                return False
        if not known_image:
            if not isinstance(image_id, (int, str)) or image_id not in self._dropped:
                what = f"{name} has the image_id {shown(image_id)}, which is not among its images"
                self._say("annotations", place, "unknown image", what)
            return False
        what = f"{name} has the category_id {shown(category_id)}, which is not in its categories"
        self._say("annotations", place, "unknown class", f"{what} ({listed(self.class_of)})")
        return False

    def _image(
        self, place: int, record: dict[str, Any], annotations: list[tuple[int, dict[str, Any]]], picture: Path
    ) -> LabelledImage | None:
        labelled = self._labelled(place, record, [annotation["category_id"] for _, annotation in annotations])
        sheet = Sheet(int(record["width"]), int(record["height"]))
        for number, annotation in annotations:
            self._add(sheet, number, annotation, record["file_name"])
        if labelled is None:
            return None
        return sheet.image(picture, labelled, shown(record.get("source", self.path.stem)), _group(record))

    def _add(self, sheet: Sheet, place: int, annotation: dict[str, Any], file_name: str) -> None:
        def say(kind: str, clause: str, is_error: bool = True) -> None:
            name = f"annotation {shown(annotation.get('id'))} of {shown(file_name)}"
            sentence = f"{name} has the bbox {shown(annotation.get('bbox'))}; {clause}"
            self._say("annotations", place, kind, sentence, is_error)

        bbox = numbers(annotation.get("bbox"))
        if bbox is None or len(bbox) != 4:
            say("bbox", "it must be [x, y, width, height]")
            return
        x, y, width, height = bbox
        flags = annotation.get("iscrowd", 0), annotation.get("ignore", 0)
        if any(flag not in (0, 1) for flag in flags):
            say("iscrowd", f"its iscrowd (or ignore) is {shown(flags)}; it must be 0 or 1")
        elif not (width > 0 and height > 0):
            kind = "zero area" if width == 0 or height == 0 else "wrong order" if width == width else "not finite"
            say(kind, "it must be [x, y, width, height] with a positive width and height")
        elif looks_normalised((x, y, x + width, y + height)):
            say("normalised", "its values look like shares of the picture, and COCO's are pixels: multiply them")
        elif fault := sheet.add(
            (x, y, x + width, y + height),
            self.class_of[annotation["category_id"]],
            ignored=any(flags),
            area=_area(annotation, width * height),
        ):
            say(fault.kind, fault.clause, fault.is_error)

    def _labelled(self, place: int, record: dict[str, Any], annotated: Sequence[int]) -> BoolArray | None:
        """(K,) classes that were labelled in the picture: all, unless the record restricts them; None if in doubt.

        In LVIS, absent classes are known only as far as `neg_category_ids` lists them (Gupta et al. 2019, section 3.1).
        """
        if not RESTRICTIONS & record.keys():
            return np.ones(len(self.class_of), np.bool_)
        everywhere = [*annotated, *_ids(record, "neg_category_ids")] if "neg_category_ids" in record else self.class_of
        labelled_ids = _ids(record, "labelled_category_ids") if "labelled_category_ids" in record else everywhere
        doubtful = _ids(record, "not_exhaustive_category_ids")
        for category_id in chain(labelled_ids, doubtful):
            if not isinstance(category_id, int) or category_id not in self.class_of:
                sentence = (
                    f"{shown(record['file_name'])} names the category {shown(category_id)} as labelled or not "
                    f"exhaustive, which is not in its categories ({listed(self.class_of)})"
                )
                self._say("images", place, "unknown class", sentence)
                return None
        labelled = np.zeros(len(self.class_of), np.bool_)
        labelled[[self.class_of[category_id] for category_id in labelled_ids]] = True
        labelled[[self.class_of[category_id] for category_id in doubtful]] = False
        return labelled


def _area(annotation: dict[str, Any], of_box: float) -> float | None:
    """Pixels of the object's outline, as evaluation sorts it by; None where it is the box's, or no number."""
    area = annotation.get("area")
    is_number = isinstance(area, (int, float)) and not isinstance(area, bool) and math.isfinite(area)
    return float(area) if is_number and area > 0 and abs(area - of_box) > 1e-3 * of_box else None  # type: ignore[arg-type, operator]


def _group(record: dict[str, Any]) -> str:
    group = record.get("group")
    return "" if group in (None, "") else shown(group)


def _ids(record: dict[str, Any], key: str) -> list[Any]:
    """The list under the key; what is no list becomes the one entry of one, for the check to find."""
    value = record.get(key, [])
    return value if isinstance(value, list) else [value]


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_name(value: object) -> bool:
    return isinstance(value, (str, int)) and str(value).isprintable() and str(value).strip() != ""


def _is_roboflow_project(categories: Sequence[dict[str, Any]], annotations: Sequence[Any]) -> bool:
    """Whether the first category is the project's name, which Roboflow's exports put in front of the classes."""
    first, others = categories[:1], categories[1:]
    return (
        bool(others)
        and first[0].get("supercategory") == "none"
        and all(category.get("supercategory") == first[0]["name"] for category in others)
        and not any(isinstance(a, dict) and a.get("category_id") == first[0]["id"] for a in annotations)
    )


def _record_fault(record: dict[str, Any]) -> str | None:
    """What is wrong with an image's entry, in a sentence."""
    name = record.get("file_name", record.get("coco_url"))
    if name is None:
        return f"image {shown(record['id'])} has no 'file_name'"
    if not isinstance(name, str) or not name.isprintable() or not name:
        return f"image {shown(record['id'])} has the file_name {shown(name)}, which is none"
    for key in ("width", "height"):
        if key not in record:
            return f"{shown(name)} has no '{key}'; give it in pixels"
        value = record[key]
        if not isinstance(value, (int, float)) or not 0 < value <= LARGEST_SIDE_PX or value != int(value):
            return f"{shown(name)} has the {key} {shown(value)}; give it in pixels"
    return None


def _picture_folder(path: Path, file_names: Sequence[str]) -> Path:
    """The first of the usual places that holds one of the first pictures; `images/` beside the file if none does."""
    beside, above = path.parent, path.parent.parent
    split = path.stem.removeprefix("instances_")
    places = [beside / "images", beside, above / split, above / "images" / split, above / "images", above]
    folders = Folders()
    for folder in places:
        if any(folders.has(folder / name) for name in file_names[:3]):
            return folder
    return places[0]
