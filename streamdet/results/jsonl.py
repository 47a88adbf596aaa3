"""Detections as JSON lines: a header, one line per frame, and an end line that tells a whole file from a fragment.

    {"type": "header", "schema": 1, "streamdet": "0.1.0", "source": "clip.mp4", "classes": ["car"], ...}
    {"type": "frame", "index": 0, "pts": 512, "time_base": "1/12800", "time_s": 0.04, "damaged": false,
     "boxes": [{"box_xyxy": [10.25, 20.0, 50.5, 41.0], "class": "car", "score": 0.8712}]}
    {"type": "end", "frames": 1, "complete": true}

Boxes are in pixels of the source frame, to 0.01, best score first. `pts * time_base` is the exact time in seconds,
`time_s` the same to 1 µs. A line of a picture file has its name as "picture". Each line is flushed, so that a killed
run leaves complete lines, and no end.

A box that is tracked has "track", its number, and the class of its track; "seen_as" is what the detector called it in
this frame, where that is another one. `"bridged": true` marks a box that was not seen in this frame (a tracker put it
there), `"shown": false` one that is neither drawn nor counted: it is kept for later, or a second box of an object
that has a better one. Where there are lines, zones or bays a frame says how they stand (counts of lines are those since
the start), and what happened at them, if anything:

    "lines": {"gate": {"in": {"car": 3}, "out": {}}}, "zones": {"yard": {"car": 2}}, "bays": {"A1": true, "A2": null},
    "happenings": [{"kind": "crossed", "place": "gate", "direction": "in", "class": "car", "track": 7}]

A bay is occupied (true), free (false) or not known yet (null). A happening that began before it became certain tells
when, as `began_s` on the clock of `time_s` (live: `began_utc_s`); what ended with it took `lasted_s`.

Frames of live sources tell more, as one file may hold several cameras, and each connection counts its times anew:

    {"type": "frame", "stream": "front door", "session": 2, "index": 7, ..., "utc_s": 1795604404.253117,
     "camera_utc_s": 1795604404.1, "age_ms": 41.7, "boxes": []}

`index` counts the frames of a stream over all its connections, `session` the connections. `utc_s` is this machine's
clock when the frame arrived, `camera_utc_s` the camera's when it took the picture (only where it tells), both in
seconds since 1970 (UTC). `age_ms`: milliseconds from the arrival to the writing of the line.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TextIO

from streamdet import __version__
from streamdet.errors import OutputError, UsageError
from streamdet.results.scene_fields import scene_fields
from streamdet.types import BoolArray, DetectedFrame, Detections, Int64Array

SCHEMA = 1
"""Version of the form; grows when a field changes its meaning or goes away."""


class JsonlWriter:
    """A context manager that writes detections to a file, to an open text stream, or to standard output ("-").

    Left without an error it writes an end line with `complete: true`, otherwise `false`; `finish(complete=...)` says
    it outright. An open stream that was given stays open.
    """

    def __init__(
        self,
        target: str | Path | TextIO,
        *,
        header: Mapping[str, object],
        overwrite: bool = False,
        after: tuple[int, int] | None = None,
    ) -> None:
        """Open `target` and write the header line: type, schema and version, then `header` as given.

        `header` must hold "classes", the model's class names; useful too: source, model, model_sha256, thresholds
        (least score shown, by class), kept (least score written), tracking, places, blur (classes).

        `after`: the frames and the bytes (header included) of the file `target` that stay, in place of a new header.

        Raises:
            UsageError: the file exists and `overwrite` is false.
            OutputError: the file can't be written.
        """
        if "classes" not in header:
            raise ValueError('header needs "classes", the list of class names')
        self.frames = 0
        self._closed = False
        if after is not None and isinstance(target, (str, Path)):
            self.frames = after[0]
            self._stream, self._owned, self._name = _open_behind(Path(target), after[1]), True, str(target)
            return
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
        boxes = box_fields(detections, detected.shown_mask, detected.seen_class_ids)
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
        self.write_fields(line | {"boxes": boxes} | scene_fields(detected.scene, frame))

    def write_fields(self, line: Mapping[str, object]) -> None:
        """Add the line of one frame whose fields are all there already, in their order.

        Raises:
            OutputError: the line can't be written.
        """
        self._write_line(line)
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


def box_fields(
    detections: Detections, shown_mask: BoolArray | None, seen_class_ids: Int64Array | None = None
) -> list[dict[str, object]]:
    """A box's fields each; only those of "seen_as", "track", "bridged" and "shown" that are not as usual."""
    columns = (
        detections.boxes_xyxy.tolist(),
        detections.class_ids.tolist(),
        detections.scores.tolist(),
        detections.track_ids.tolist(),
        detections.bridged.tolist(),
        [True] * len(detections) if shown_mask is None else shown_mask.tolist(),
        detections.class_ids.tolist() if seen_class_ids is None else seen_class_ids.tolist(),
    )
    boxes: list[dict[str, object]] = []
    for box_xyxy, class_id, score, track_id, bridged, shown, seen_class_id in zip(*columns, strict=True):
        box: dict[str, object] = {
            "box_xyxy": [round(edge, 2) for edge in box_xyxy],
            "class": detections.class_names[class_id],
            "score": round(score, 4),
        }
        if seen_class_id != class_id:
            box["seen_as"] = detections.class_names[seen_class_id]
        if track_id >= 0:
            box["track"] = track_id
        if bridged:
            box["bridged"] = True
        if not shown:
            box["shown"] = False
        boxes.append(box)
    return boxes


def _open_behind(path: Path, length: int) -> TextIO:
    try:
        stream = path.open("r+", encoding="utf-8", newline="\n")
        stream.truncate(length)
        stream.seek(0, os.SEEK_END)
    except OSError as error:
        raise OutputError(f"cannot go on with {path}: {error.strerror or error}; check the file") from error
    return stream


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
