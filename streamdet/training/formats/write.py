"""Data sets written in each format: a folder with labels and pictures that `find_sets` reads back.

Every writer takes the sets by name: one that begins with "train" is for training, one that begins with "val" for
validation. All have the same classes. No writer overwrites a file.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import yaml

from streamdet import __version__
from streamdet.results.jsonl import SCHEMA
from streamdet.training.dataset import Dataset, LabelledImage
from streamdet.training.formats.find import COCO, CSV, JSONL, VOC, YOLO
from streamdet.training.formats.placing import Place, copy_picture, names_below
from streamdet.training.formats.text_files import write_new
from streamdet.types import Float32Array

Sets = Mapping[str, Dataset]


def write_sets(kind: str, sets: Sets, folder: Path, *, place: Place = copy_picture) -> None:
    """Write data sets in the format of this name, as `FoundSets.format` gives it.

    Raises:
        OutputError: a file is there already, or can't be written.
    """
    writers = {COCO: write_coco, YOLO: write_yolo, VOC: write_voc, CSV: write_csv, JSONL: write_detections}
    writers[kind](sets, folder, place=place)


def what_is_lost(kind: str, sets: Sets) -> str | None:
    """What the format of this name can't say of these data sets, in words that follow "without"; None if all stays."""
    images = [image for dataset in sets.values() for image in dataset.images]
    ignored = sum(len(image.ignored_xyxy) for image in images) if kind in (YOLO, CSV) else 0
    partly = sum(not image.labelled.all() for image in images) if kind != COCO else 0
    grouped = sum(image.group != "" for image in images) if kind != COCO else 0
    losses = (
        (ignored, "ignored regions, which become background"),
        (partly, "lists of labelled classes, whose other classes become background"),
        (grouped, "groups"),
    )
    return " and ".join(f"{count} {what}" for count, what in losses if count) or None


def write_coco(sets: Sets, folder: Path, *, place: Place = copy_picture) -> None:
    """NAME.json and images/; everything is kept, boxes to 0.001 px."""
    class_names = _class_names(sets)
    names = iter(_place_all(sets, folder, place))
    for set_name, dataset in sets.items():
        records: list[dict[str, object]] = []
        annotations: list[dict[str, object]] = []
        for image_id, (image, name) in enumerate(zip(dataset.images, names, strict=False), start=1):
            record: dict[str, object] = {"id": image_id, "file_name": name}
            record |= {"width": image.width, "height": image.height, "source": image.source}
            if image.group:
                record["group"] = image.group
            if not image.labelled.all():
                record["labelled_category_ids"] = [int(index) + 1 for index in image.labelled.nonzero()[0]]
            records.append(record)
            for place_in_image, (box, class_id, ignored) in enumerate(_objects(image)):
                x1, y1, x2, y2 = box
                width, height = round(x2 - x1, 3), round(y2 - y1, 3)
                annotation: dict[str, object] = {"id": len(annotations) + 1, "image_id": image_id}
                annotation |= {"category_id": class_id + 1, "bbox": [round(x1, 3), round(y1, 3), width, height]}
                area = width * height if ignored or image.areas is None else float(image.areas[place_in_image])
                annotations.append(annotation | {"area": round(area, 3), "iscrowd": int(ignored)})
        categories = [{"id": index, "name": name} for index, name in enumerate(class_names, start=1)]
        content = {"images": records, "annotations": annotations, "categories": categories}
        lines = (f'"{key}": [\n' + ",\n".join(map(_json, entries)) + "\n]" for key, entries in content.items())
        write_new(folder / f"{set_name}.json", "{\n" + ",\n".join(lines) + "\n}\n")


def write_yolo(sets: Sets, folder: Path, *, place: Place = copy_picture) -> None:
    """data.yaml, images/NAME/ and labels/NAME/; boxes to a millionth of the picture, clipped to it.

    Not kept: ignored regions and lists of labelled classes (what they cover becomes background), sources and groups.
    """
    content: dict[str, object] = {}
    for split in ("train", "val"):
        folders = [f"images/{name}" for name in sets if name.startswith(split)]
        if folders:
            content[split] = folders[0] if len(folders) == 1 else folders
    content["names"] = dict(enumerate(_class_names(sets)))
    write_new(folder / "data.yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    for set_name, dataset in sets.items():
        for image, name in zip(dataset.images, names_below(dataset.images), strict=True):
            place(image.path, folder / "images" / set_name / name)
            lines = [
                f"{class_id} {_shares(box, image.width, image.height)}\n"
                for box, class_id, ignored in _objects(image)
                if not ignored
            ]
            write_new((folder / "labels" / set_name / name).with_suffix(".txt"), "".join(lines))


def write_voc(sets: Sets, folder: Path, *, place: Place = copy_picture) -> None:
    """Annotations/, JPEGImages/, ImageSets/Main/NAME.txt and classes.txt; boxes to 0.01 px.

    Ignored regions become `difficult` objects. Not kept: lists of labelled classes (the other classes become
    background), sources and groups.
    """
    class_names = _class_names(sets)
    write_new(folder / "classes.txt", "".join(f"{name}\n" for name in class_names))
    names = iter(_place_all(sets, folder, place, "JPEGImages", flat=True))
    written: set[str] = set()
    for set_name, dataset in sets.items():
        stems = []
        for image, name in zip(dataset.images, names, strict=False):
            root = Element("annotation")
            SubElement(root, "folder").text = "JPEGImages"
            SubElement(root, "filename").text = name
            size = SubElement(root, "size")
            for tag, value in (("width", image.width), ("height", image.height), ("depth", 3)):
                SubElement(size, tag).text = str(value)
            for (x1, y1, x2, y2), class_id, ignored in _objects(image):
                element = SubElement(root, "object")
                SubElement(element, "name").text = class_names[class_id]
                SubElement(element, "difficult").text = str(int(ignored))
                corners = SubElement(element, "bndbox")
                for tag, edge in (("xmin", x1 + 1), ("ymin", y1 + 1), ("xmax", x2), ("ymax", y2)):
                    SubElement(corners, tag).text = _short(edge)
            indent(root)
            stems.append(Path(name).stem)
            if name not in written:
                written.add(name)
                write_new(folder / "Annotations" / f"{stems[-1]}.xml", tostring(root, encoding="unicode") + "\n")
        write_new(folder / "ImageSets" / "Main" / f"{set_name}.txt", "".join(f"{stem}\n" for stem in stems))


def write_csv(sets: Sets, folder: Path, *, place: Place = copy_picture) -> None:
    """NAME.csv with rows of path,x1,y1,x2,y2,class, classes.csv and images/; boxes to 0.01 px.

    Not kept: ignored regions and lists of labelled classes (what they cover becomes background), sources and groups.
    """
    class_names = _class_names(sets)
    write_new(folder / "classes.csv", _rows((name, str(index)) for index, name in enumerate(class_names)))
    names = iter(_place_all(sets, folder, place))
    for set_name, dataset in sets.items():
        rows: list[tuple[str, ...]] = []
        for image, name in zip(dataset.images, names, strict=False):
            objects = [(box, class_id) for box, class_id, ignored in _objects(image) if not ignored]
            rows += [(f"images/{name}", *map(_short, box), class_names[class_id]) for box, class_id in objects]
            if not objects:
                rows.append((f"images/{name}", "", "", "", "", ""))
        write_new(folder / f"{set_name}.csv", _rows(rows))


def write_detections(sets: Sets, folder: Path, *, place: Place = copy_picture) -> None:
    """NAME.jsonl and images/, as `streamdet run --jsonl` writes them, a line a picture; boxes to 0.01 px.

    Not kept: lists of labelled classes (the other classes become background), sources and groups.
    """
    class_names = _class_names(sets)
    names = iter(_place_all(sets, folder, place))
    for set_name, dataset in sets.items():
        header = {"type": "header", "schema": SCHEMA, "streamdet": __version__, "source": set_name}
        lines = [_json(header | {"classes": list(class_names)})]
        for index, (image, name) in enumerate(zip(dataset.images, names, strict=False)):
            boxes = []
            for box_xyxy, class_id, ignored in _objects(image):
                box = {"box_xyxy": [round(edge, 2) for edge in box_xyxy], "class": class_names[class_id], "score": 1.0}
                boxes.append(box | {"ignore": True} if ignored else box)
            line = {"type": "frame", "index": index, "pts": index, "time_base": "1/1", "time_s": float(index)}
            lines.append(_json(line | {"damaged": False, "picture": name, "boxes": boxes}))
        lines.append(_json({"type": "end", "frames": len(dataset.images), "complete": True}))
        write_new(folder / f"{set_name}.jsonl", "".join(f"{line}\n" for line in lines))


def _class_names(sets: Sets) -> tuple[str, ...]:
    lists = {dataset.class_names for dataset in sets.values()}
    if len(lists) != 1:
        raise ValueError(f"data sets to write have {len(lists)} lists of classes; bring them into one first")
    wrong = [name for name in sets if not name.startswith(("train", "val"))]
    if wrong:
        raise ValueError(f"data sets to write are named {wrong}; let the names begin with train or val")
    return lists.pop()


def _place_all(
    sets: Sets, folder: Path, place: Place, pictures: str = "images", *, flat: bool = False
) -> Sequence[str]:
    """Bring the pictures of all sets into one folder; their names in it, in the order of the sets."""
    images = [image for dataset in sets.values() for image in dataset.images]
    names = names_below(images, flat=flat)
    for image, name in zip(images, names, strict=True):
        place(image.path, folder / pictures / name)
    return names


def _objects(image: LabelledImage) -> list[tuple[list[float], int, bool]]:
    """Box, class and whether it is an ignored region, of everything in the picture."""

    def listed(boxes_xyxy: Float32Array) -> list[list[float]]:
        return [[float(edge) for edge in box] for box in boxes_xyxy]

    objects = zip(listed(image.boxes_xyxy), image.class_ids.tolist(), strict=True)
    regions = zip(listed(image.ignored_xyxy), image.ignored_class_ids.tolist(), strict=True)
    return [(box, class_id, False) for box, class_id in objects] + [(box, class_id, True) for box, class_id in regions]


def _shares(box_xyxy: Sequence[float], width: int, height: int) -> str:
    """Centre and size as shares of the picture."""
    x1, x2 = (min(max(edge, 0), width) / width for edge in box_xyxy[::2])
    y1, y2 = (min(max(edge, 0), height) / height for edge in box_xyxy[1::2])
    return f"{(x1 + x2) / 2:.6f} {(y1 + y2) / 2:.6f} {x2 - x1:.6f} {y2 - y1:.6f}"


def _short(number: float) -> str:
    """To 0.01, without zeros at the end."""
    return f"{number:.2f}".rstrip("0").rstrip(".")


def _rows(rows: object) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)  # type: ignore[arg-type]
    return text.getvalue()


def _json(content: object) -> str:
    return json.dumps(content, ensure_ascii=False)
