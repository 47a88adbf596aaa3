"""Reads the files that `streamdet.results.jsonl` writes; its head tells their form."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from streamdet import __version__
from streamdet.errors import DataError
from streamdet.results.jsonl import SCHEMA
from streamdet.types import BoolArray, Detections, Int64Array

T = TypeVar("T")
SCENE_KEYS = ("lines", "zones", "bays", "happenings")


@dataclass(frozen=True, slots=True)
class FrameLine:
    """One frame's line as read back: all of a `DetectedFrame` but the picture."""

    index: int
    pts: int
    """Presentation time in units of `time_base`."""
    time_base: Fraction
    """Seconds per unit of `pts`."""
    damaged: bool
    detections: Detections
    stream: str | None = None
    """Name of the live source; None in a file about a recording. The same holds for what follows."""
    session: int | None = None
    """Number of its connection, from 0."""
    utc_s: float | None = None
    """Wall clock when it arrived, seconds since 1970."""
    camera_utc_s: float | None = None
    """The camera's wall clock when it took the picture; None where it didn't tell."""
    age_ms: float | None = None
    """Milliseconds from the arrival to the writing of the line."""
    shown_mask: BoolArray | None = None
    """(N,) which of the detections are drawn and counted; None: all."""
    scene_line: Mapping[str, Any] = field(default_factory=dict)
    """As the line has them, where there are any: lines, zones, bays, happenings (see `streamdet.results.jsonl`)."""
    picture: str | None = None
    """Of a picture file: its name in its folder."""
    seen_class_ids: Int64Array | None = None
    """(N,) what the detector called them in this frame, where tracks have changed a class; None: as in `detections`."""

    @property
    def shown(self) -> Detections:
        """Those that are drawn and counted."""
        return self.detections if self.shown_mask is None else self.detections[self.shown_mask]

    @property
    def seen(self) -> Detections:
        """What the detector saw in this frame: without tracks and what they added or changed."""
        seen = self.detections
        class_ids = seen.class_ids if self.seen_class_ids is None else self.seen_class_ids
        return replace(seen, class_ids=class_ids, track_ids=np.full(len(seen), -1, np.int64))[~seen.bridged]

    @property
    def time_s(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)


class FrameLines(Iterator[FrameLine]):
    """The frame lines of a file in order; once they are through, `complete` and `flaw` say whether that was all."""

    def __init__(self, path: Path, class_names: tuple[str, ...]) -> None:
        self.complete = False
        """True after the last line when the run that wrote the file covered its source in full."""
        self.flaw: str | None = "not read to its end yet"
        """After the last line: None, or a sentence about why the file is not complete."""
        self._path = path
        self._class_names = class_names
        self._lines = self._read()

    def __next__(self) -> FrameLine:
        return next(self._lines)

    def _read(self) -> Iterator[FrameLine]:
        frames = 0
        self.flaw = f"{self._path} has no end line: the run that wrote it was killed"
        for number, text in _lines_of(self._path):
            if number == 1:
                continue
            where = f"{self._path}, line {number}"
            try:
                line = _parse(text, where)
            except DataError:
                if text.endswith(b"\n"):
                    raise
                self.flaw = f"{where} is cut: the run that wrote it was killed"
                return
            if line.get("type") == "end":
                if line.get("frames") != frames:
                    raise DataError(
                        f"{where}: the end line counts {line.get('frames')} frames and the file holds {frames}; "
                        "lines were removed or added: write the file anew"
                    )
                self.complete = line.get("complete") is True
                self.flaw = None if self.complete else f"{self._path} covers only a part of its source"
                return
            yield _frame_line(line, self._class_names, where)
            frames += 1


def read_jsonl(path: str | Path) -> tuple[dict[str, Any], FrameLines]:
    """The header of a file of detections, and an iterator over its frames that reads as it goes.

    A file that ends in the middle of a line is read up to there: `FrameLines.flaw` tells.

    Raises:
        DataError: the file can't be read or isn't such a file; the iterator raises it for a wrong line, by number.
    """
    path = Path(path)
    first = next(_lines_of(path), None)
    where = f"{path}, line 1"
    header = _parse(first[1], where) if first else {}
    if header.get("type") != "header":
        raise DataError(f"{where}: no header; this is not a file that streamdet --jsonl wrote")
    if header.get("schema") != SCHEMA:
        raise DataError(
            f"{where}: schema {header.get('schema')}, and this streamdet {__version__} reads {SCHEMA}; "
            "use the version that wrote the file"
        )
    classes = header.get("classes")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise DataError(f"{where}: classes is {classes!r}, expected a list of names")
    return header, FrameLines(path, tuple(classes))


def _lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """Numbered lines, as bytes: a cut may go through the middle of a character."""
    try:
        with path.open("rb") as file:
            yield from enumerate(file, start=1)
    except OSError as error:
        raise DataError(f"cannot read detections from {path}: {error.strerror or error}") from error


def _parse(text: bytes, where: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except ValueError as error:  # UnicodeDecodeError is one too
        raise DataError(f"{where}: not JSON ({error}); remove the line or write the file anew") from error
    if not isinstance(line, dict):
        raise DataError(f"{where}: {line!r} is not a JSON object; remove the line or write the file anew")
    return line


def _frame_line(line: dict[str, Any], class_names: tuple[str, ...], where: str) -> FrameLine:
    try:
        boxes = line["boxes"]
        detections = Detections(
            boxes_xyxy=np.array([box["box_xyxy"] for box in boxes], np.float32).reshape(len(boxes), 4),
            scores=np.array([box["score"] for box in boxes], np.float32),
            class_ids=np.array([class_names.index(box["class"]) for box in boxes], np.int64),
            class_names=class_names,
            track_ids=np.array([box.get("track", -1) for box in boxes], np.int64),
            bridged=np.array([box.get("bridged", False) for box in boxes], np.bool_),
        )
        shown = np.array([box.get("shown", True) for box in boxes], np.bool_)
        seen_class_ids = None
        if any("seen_as" in box for box in boxes):
            seen_class_ids = np.array([class_names.index(box.get("seen_as", box["class"])) for box in boxes], np.int64)
        return FrameLine(
            index=int(line["index"]),
            pts=int(line["pts"]),
            time_base=Fraction(line["time_base"]),
            damaged=bool(line["damaged"]),
            detections=detections,
            stream=_optional(str, line.get("stream")),
            session=_optional(int, line.get("session")),
            utc_s=_optional(float, line.get("utc_s")),
            camera_utc_s=_optional(float, line.get("camera_utc_s")),
            age_ms=_optional(float, line.get("age_ms")),
            shown_mask=None if shown.all() else shown,
            scene_line={key: line[key] for key in SCENE_KEYS if key in line},
            picture=_optional(str, line.get("picture")),
            seen_class_ids=seen_class_ids,
        )
    except KeyError as error:
        raise DataError(f"{where}: {error} is missing; remove the line or write the file anew") from error
    except (ValueError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise DataError(f"{where}: {error}; mend or remove the line") from error


def _optional(kind: Callable[[Any], T], value: Any) -> T | None:
    return None if value is None else kind(value)
