"""Detections as a flat table: a row for each box, and one with empty box columns for a frame without any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from streamdet.errors import DataError
from streamdet.results.exchange.boxes import Boxes, edges_of
from streamdet.results.jsonl import box_fields
from streamdet.results.jsonl_reading import FrameLine
from streamdet.types import Detections

FRAME_COLUMNS = (
    "stream",
    "session",
    "index",
    "pts",
    "time_base",
    "time_s",
    "utc_s",
    "camera_utc_s",
    "age_ms",
    "damaged",
    "picture",
)
"""Of the frame: the same in all its rows. Their meaning is that of the JSON lines (`streamdet.results.jsonl`)."""
BOX_COLUMNS = ("class", "class_id", "score", "x1", "y1", "x2", "y2", "track", "seen_as", "bridged", "shown")
"""`class_id`: place in the list of classes, from 0. Edges in pixels. `track`, `seen_as`: empty where there is none."""
NEEDED = ("index", "pts", "time_base", "class", "score", "x1", "y1", "x2", "y2")


def rows_of(line: FrameLine) -> Iterator[tuple[object, ...]]:
    """The rows of a frame: FRAME_COLUMNS, then BOX_COLUMNS; None where there is nothing to say."""
    frame = (
        line.stream,
        line.session,
        line.index,
        line.pts,
        f"{line.time_base.numerator}/{line.time_base.denominator}",
        round(line.time_s, 6),
        line.utc_s,
        line.camera_utc_s,
        line.age_ms,
        line.damaged,
        line.picture,
    )
    boxes = box_fields(line.detections, line.shown_mask, line.seen_class_ids)
    for box, class_id in zip(boxes, line.detections.class_ids.tolist(), strict=True):
        yield (
            *frame,
            box["class"],
            class_id,
            box["score"],
            *edges_of(box),
            box.get("track"),
            box.get("seen_as"),
            box.get("bridged", False),
            box.get("shown", True),
        )
    if not boxes:
        yield (*frame, *[None] * len(BOX_COLUMNS))


def lines_of(
    rows: Iterator[tuple[int, Mapping[str, Any]]], class_names: tuple[str, ...], path: Path
) -> Iterator[FrameLine]:
    """The frames of a table. `rows`: number of the row, from 1, and its cells by column, None where one is empty.

    Raises:
        DataError: a cell is missing or wrong; by row.
    """
    class_ids = {name: class_id for class_id, name in enumerate(class_names)}
    current: tuple[object, ...] | None = None
    line, boxes = None, Boxes(class_names)
    for number, row in rows:
        where = f"{path}, row {number}"
        try:
            key = (row.get("stream"), row.get("session"), row["index"])
            if key != current:
                if line is not None:
                    yield boxes.put_into(line)
                current, line, boxes = key, _frame_of(row, class_names), Boxes(class_names)
            if row["class"] is not None:
                seen_as = row.get("seen_as")
                boxes.add(
                    (float(row["x1"]), float(row["y1"]), float(row["x2"]), float(row["y2"])),
                    float(row["score"]),
                    _class_id(row["class"], class_ids),
                    -1 if row.get("track") is None else int(row["track"]),
                    bridged=_truth(row.get("bridged"), usual=False),
                    shown=_truth(row.get("shown"), usual=True),
                    seen_class_id=None if seen_as is None else _class_id(seen_as, class_ids),
                )
        except KeyError as error:
            raise DataError(f"{where}: {error} is missing; add the column") from error
        except (ValueError, TypeError, ZeroDivisionError) as error:
            raise DataError(f"{where}: {error}; mend or remove the row") from error
    if line is not None:
        yield boxes.put_into(line)


def _class_id(name: str, class_ids: Mapping[str, int]) -> int:
    if name not in class_ids:
        raise ValueError(f"there is no class {name!r} among {', '.join(class_ids)}")
    return class_ids[name]


def _frame_of(row: Mapping[str, Any], class_names: tuple[str, ...]) -> FrameLine:
    def optional(column: str, kind: type) -> Any:
        value = row.get(column)
        return None if value is None else kind(value)

    return FrameLine(
        index=int(row["index"]),
        pts=int(row["pts"]),
        time_base=Fraction(row["time_base"]),
        damaged=_truth(row.get("damaged"), usual=False),
        detections=Detections.empty(class_names),
        stream=optional("stream", str),
        session=optional("session", int),
        utc_s=optional("utc_s", float),
        camera_utc_s=optional("camera_utc_s", float),
        age_ms=optional("age_ms", float),
        picture=optional("picture", str),
        scene_line=row.get("places") or {},
    )


def _truth(value: object, *, usual: bool) -> bool:
    if value is None:
        return usual
    known = {"true": True, "1": True, "false": False, "0": False}.get(str(value).lower())
    if known is None:
        raise ValueError(f"{value!r} is neither true nor false")
    return known
