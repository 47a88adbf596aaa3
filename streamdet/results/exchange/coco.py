"""COCO results: a JSON list of boxes, as pycocotools' `loadRes` and COCO's servers take it.

    {"image_id": 0, "category_id": 2, "bbox": [10.25, 20.0, 40.25, 21.0], "score": 0.8712}

`image_id` is the frame's index, `category_id` the class's place in the list of classes, counted from 1. A tracked box
has "track_id" and perhaps "seen_as", a bridged one "bridged", one that is not shown "shown", as in the JSON lines:
COCO's tools pass them over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from streamdet.errors import DataError
from streamdet.results.exchange.boxes import DECIMALS, Boxes, edges_of
from streamdet.results.exchange.targets import TextTarget
from streamdet.results.jsonl import box_fields
from streamdet.results.jsonl_reading import FrameLine

CHUNK_CHARACTERS = 1 << 20
LONGEST_MEMBER = 16 << 20
"""Characters after which what can't be read is no member that goes on in the next piece, but no JSON."""
_BETWEEN = re.compile(r"[\s,]*")


class CocoWriter:
    """Writes results as it goes."""

    def __init__(self, path: Path) -> None:
        """Raises OutputError when it can't be written."""
        self._target = TextTarget(path)
        self._separator = "[\n"

    def write(self, line: FrameLine) -> None:
        """Add the boxes of a frame. Raises OutputError."""
        fields = box_fields(line.detections, line.shown_mask, line.seen_class_ids)
        for box, class_id in zip(fields, line.detections.class_ids.tolist(), strict=True):
            x1, y1, x2, y2 = edges_of(box)
            del box["box_xyxy"], box["class"]
            record = {
                "image_id": line.index,
                "category_id": class_id + 1,
                "bbox": [x1, y1, round(x2 - x1, DECIMALS), round(y2 - y1, DECIMALS)],
            }
            if "track" in box:
                box["track_id"] = box.pop("track")
            self._target.write(self._separator + json.dumps(record | box))
            self._separator = ",\n"

    def finish(self, *, complete: bool) -> None:
        """End the list. Raises OutputError."""
        self._target.write("[]\n" if self._separator == "[\n" else "\n]\n")
        self._target.finish()

    def close(self) -> None:
        """Stop; the half-written file goes away."""
        self._target.close()


def read_coco_results(path: Path, class_names: tuple[str, ...]) -> Iterator[tuple[int, Boxes]]:
    """The boxes of image after image, by `image_id`.

    Raises:
        DataError: it is no such file, or not in the order of its images.
    """
    current, boxes = -1, Boxes(class_names)
    for number, record in enumerate(_objects_of(path), start=1):
        where = f"{path}, result {number}"
        try:
            image_id = record["image_id"]
            if type(image_id) is not int or image_id < 0:
                raise ValueError(f"image_id is {image_id!r}, expected the index of a frame")
            if image_id < current:
                raise ValueError(
                    f"image {image_id} comes after image {current}: sort the results by image_id, "
                    f"such as with jq 'sort_by(.image_id)'"
                )
            if image_id > current:
                if current >= 0:
                    yield current, boxes
                current, boxes = image_id, Boxes(class_names)
            left, top, width, height = (float(number) for number in record["bbox"])
            boxes.add(
                (left, top, round(left + width, DECIMALS), round(top + height, DECIMALS)),
                float(record["score"]),
                int(record["category_id"]) - 1,
                int(record.get("track_id", -1)),
                bridged=bool(record.get("bridged", False)),
                shown=bool(record.get("shown", True)),
                seen_class_id=class_names.index(record["seen_as"]) if "seen_as" in record else None,
            )
        except KeyError as error:
            raise DataError(f"{where}: {error} is missing; COCO results need it") from error
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(f"{where}: {error}") from error
    if current >= 0:
        yield current, boxes


def _objects_of(path: Path) -> Iterator[dict[str, Any]]:
    """The members of a JSON list of any length, a piece of the file at a time."""
    decoder = json.JSONDecoder()
    try:
        with path.open(encoding="utf-8") as file:
            text, begun = "", False
            while chunk := file.read(CHUNK_CHARACTERS):
                text += chunk
                if not begun:
                    text = text.lstrip("\ufeff \t\r\n")
                    if not text:
                        continue
                    if text[0] != "[":
                        raise DataError(
                            f"{path} is no list: COCO results are one, of objects with image_id, category_id, bbox "
                            "and score"
                        )
                    text, begun = text[1:], True
                position = 0
                while True:
                    position = _BETWEEN.match(text, position).end()  # type: ignore[union-attr]
                    if position >= len(text) or text[position] == "]":
                        break
                    try:
                        member, position = decoder.raw_decode(text, position)
                    except ValueError:
                        break  # it goes on in the next piece
                    yield member
                text = text[position:]
                if len(text) > LONGEST_MEMBER:
                    break
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text in UTF-8 ({error.reason}): give a JSON file") from error
    if text.strip(" \r\n\t") != "]":
        raise DataError(f"{path} is cut, or not JSON, at {text[:40]!r}; write it anew")
