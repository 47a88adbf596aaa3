"""The forms a file of detections may have, and what each can't hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, Protocol

from streamdet.errors import UsageError
from streamdet.results.jsonl_reading import FrameLine

Form = Literal["jsonl", "coco", "csv", "yolo", "mot", "parquet"]

ENDINGS: dict[str, Form] = {
    ".jsonl": "jsonl",
    ".json": "coco",
    ".csv": "csv",
    ".txt": "mot",
    ".parquet": "parquet",
    "": "yolo",
}
NAMES: dict[Form, str] = {
    "jsonl": "JSON lines",
    "coco": "COCO results",
    "csv": "CSV",
    "yolo": "YOLO text",
    "mot": "MOT text",
    "parquet": "Parquet",
}
TELLS_WHAT_IS_SHOWN: frozenset[Form] = frozenset({"jsonl", "coco", "csv", "parquet"})
"""The others get the boxes that are shown, and no weak ones."""
TELLS_STREAMS: frozenset[Form] = frozenset({"jsonl", "csv", "parquet"})
"""The others hold the frames of one camera."""
TELLS_FRAMES: frozenset[Form] = frozenset({"jsonl", "csv", "parquet"})
"""They have a row for each frame, and its time; the others need them from elsewhere on the way back."""
TELLS_PLACES: frozenset[Form] = frozenset({"jsonl", "parquet"})
"""They keep what happened at lines, zones and bays."""


class LineWriter(Protocol):
    """Where converted frames go."""

    def write(self, line: FrameLine) -> None:
        """Add a frame."""

    def finish(self, *, complete: bool) -> None:
        """The file is whole; `complete`: and so is what it tells about."""

    def close(self) -> None:
        """Stop and leave nothing half-written behind. Does nothing after `finish`."""


class Lines(Iterator[FrameLine], Protocol):
    """Frames that are read; once they are through, `complete` and `flaw` say whether that was all."""

    complete: bool
    """The run that found the detections covered its source in full."""
    flaw: str | None
    """None, or a sentence about why the file is not complete."""


class ReadLines(Iterator[FrameLine]):
    """Frames from an iterator."""

    def __init__(self, lines: Iterator[FrameLine], flaw_at_end: Callable[[], str | None]) -> None:
        """`flaw_at_end` tells, once all are read, why they are not complete."""
        self.complete = False
        self.flaw: str | None = "not read to its end yet"
        self._lines = lines
        self._flaw_at_end = flaw_at_end

    def __next__(self) -> FrameLine:
        try:
            return next(self._lines)
        except StopIteration:
            self.flaw = self._flaw_at_end()
            self.complete = self.flaw is None
            raise


def form_of(path: Path, option: str) -> Form:
    """The form that a file's name stands for; a folder is YOLO's. `option`: what names it outright.

    Raises:
        UsageError: it stands for none.
    """
    if path.is_dir():
        return "yolo"
    form = ENDINGS.get(path.suffix.lower())
    if form is None:
        endings = ", ".join(ending for ending in ENDINGS if ending)
        raise UsageError(
            f"{path} ends in {path.suffix}: choose {endings}, or a folder for YOLO, or name the form with {option}"
        )
    return form
