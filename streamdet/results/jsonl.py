"""Detections as JSON lines: a header, one line per frame, and an end line that tells a whole file from a fragment.

    {"type": "header", "schema": 1, "streamdet": "0.1.0", "source": "clip.mp4", "classes": ["car"], ...}
    {"type": "frame", "index": 0, "pts": 512, "time_base": "1/12800", "time_s": 0.04, "damaged": false,
     "boxes": [{"box_xyxy": [10.25, 20.0, 50.5, 41.0], "class": "car", "score": 0.8712}]}
    {"type": "end", "frames": 1, "complete": true}

Boxes are in pixels of the source frame, to 0.01; a tracked one has "track" too. `pts * time_base` is the exact time
in seconds, `time_s` the same to 1 µs. A line of a picture file has its name as "picture". Each line is flushed, so
that a killed run leaves complete lines, and no end.

Frames of live sources tell more, as one file may hold several cameras, and each connection counts its times anew:

    {"type": "frame", "stream": "front door", "session": 2, "index": 7, ..., "utc_s": 1795604404.253117,
     "camera_utc_s": 1795604404.1, "age_ms": 41.7, "boxes": []}

`index` counts the frames of a stream over all its connections, `session` the connections. `utc_s` is this machine's
clock when the frame arrived, `camera_utc_s` the camera's when it took the picture (only where it tells), both in
seconds since 1970 (UTC). `age_ms`: milliseconds from the arrival to the writing of the line.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, TypeVar

import numpy as np

from streamdet import __version__
from streamdet.errors import DataError, OutputError, UsageError
from streamdet.types import DetectedFrame, Detections

T = TypeVar("T")

SCHEMA = 1
"""Version of the form; grows when a field changes its meaning or goes away."""


class JsonlWriter:
    """A context manager that writes detections to a file, to an open text stream, or to standard output ("-").

    Left without an error it writes an end line with `complete: true`, otherwise `false`; `finish(complete=...)` says
    it outright. An open stream that was given stays open.
    """

    def __init__(self, target: str | Path | TextIO, *, header: Mapping[str, object], overwrite: bool = False) -> None:
        """Open `target` and write the header line: type, schema and version, then `header` as given.

        `header` must hold "classes", the model's class names; useful too: source, model, model_sha256, thresholds.

        Raises:
            UsageError: the file exists and `overwrite` is false.
            OutputError: the file can't be written.
        """
        if "classes" not in header:
            raise ValueError('header needs "classes", the list of class names')
        self.frames = 0
        self._closed = False
        self._stream, self._owned, self._name = _open_for_writing(target, overwrite)
        try:
            self._write_line({"type": "header", "schema": SCHEMA, "streamdet": __version__, **header})
        except OutputError:
            self._close_stream()
            raise

    def write(self, detected: DetectedFrame) -> None:
        """Add the line of one frame.

        Raises:
            OutputError: the line can't be written, for example because the disk is full.
        """
        frame, detections = detected.frame, detected.detections
        boxes: list[dict[str, object]] = []
        for (box_xyxy, score, name), track_id in zip(detections, detections.track_ids, strict=True):
            box: dict[str, object] = {
                "box_xyxy": [round(float(edge), 2) for edge in box_xyxy],
                "class": name,
                "score": round(score, 4),
            }
            if track_id >= 0:
                box["track"] = int(track_id)
            boxes.append(box)
        line: dict[str, object] = {"type": "frame"}
        if frame.utc_s is not None:
            line |= {"stream": frame.stream, "session": frame.session}
        line |= {
            "index": frame.index,
            "pts": frame.pts,
            "time_base": f"{frame.time_base.numerator}/{frame.time_base.denominator}",
            "time_s": round(frame.time_s, 6),
            "damaged": frame.damaged,
        }
        if frame.file_name is not None:
            line["picture"] = frame.file_name
        if frame.utc_s is not None:
            line["utc_s"] = round(frame.utc_s, 6)
            if frame.camera_utc_s is not None:
                line["camera_utc_s"] = round(frame.camera_utc_s, 6)
            line["age_ms"] = round((time.monotonic() - frame.arrival_s) * 1000, 1)
        self._write_line(line | {"boxes": boxes})
        self.frames += 1

    def close(self) -> None:
        """Stop without finishing: the end line says that the source was not covered in full. Nothing after `finish`."""
        with suppress(OutputError):  # every line before it was flushed
            self.finish(complete=False)

    def finish(self, *, complete: bool) -> None:
        """Write the end line and close; a second call does nothing. `complete`: the source was covered in full.

        Raises:
            OutputError: the line can't be written.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._write_line({"type": "end", "frames": self.frames, "complete": complete})
        finally:
            self._close_stream()

    def __enter__(self) -> JsonlWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.finish(complete=error is None)
        except OutputError:
            if error is None:
                raise  # otherwise the first error is the one to show

    def _close_stream(self) -> None:
        if self._owned:
            with suppress(OSError):  # every line was flushed, or has raised already
                self._stream.close()

    def _write_line(self, content: Mapping[str, object]) -> None:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False)
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except OSError as error:
            raise OutputError(
                f"cannot write detections to {self._name}: {error.strerror or error}; "
                "make room or choose another place for --jsonl"
            ) from error


def _open_for_writing(target: str | Path | TextIO, overwrite: bool) -> tuple[TextIO, bool, str]:
    """The stream, whether it is ours to close, and its printable name."""
    if target == "-":
        return sys.stdout, False, "standard output"
    if not isinstance(target, (str, Path)):
        return target, False, str(getattr(target, "name", "the stream"))
    try:
        return open(target, "w" if overwrite else "x", encoding="utf-8", newline="\n"), True, str(target)  # noqa: PTH123
    except FileExistsError as error:
        raise UsageError(f"{target} exists already; add --overwrite to replace it or choose another name") from error
    except OSError as error:
        raise OutputError(
            f"cannot write detections to {target}: {error.strerror or error}; choose another place for --jsonl"
        ) from error


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
        )
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
        )
    except KeyError as error:
        raise DataError(f"{where}: {error} is missing; remove the line or write the file anew") from error
    except (ValueError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise DataError(f"{where}: {error}; mend or remove the line") from error


def _optional(kind: Callable[[Any], T], value: Any) -> T | None:
    return None if value is None else kind(value)
