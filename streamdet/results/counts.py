"""What happens at lines, zones and bays as a table (CSV): a row for each happening, written as it happens."""

from __future__ import annotations

import csv
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from streamdet.errors import OutputError, UsageError
from streamdet.results.scene_fields import happening_fields
from streamdet.types import DetectedFrame

COLUMNS = (
    "time_s",
    "utc",
    "stream",
    "index",
    "kind",
    "place",
    "direction",
    "class",
    "track",
    "lasted_s",
    "speed_m_per_s",
)
"""`time_s`: of the frame, on its own clock; `utc`: when it arrived, of live sources."""


class CountsCsv:
    """A sink for files and, as one that all cameras share, for live runs.

    Attributes:
        notes: what a user should know, a sentence each.
        refusal: why a frame was left out.
        lost: none, ever.
        rows: happenings written.
    """

    refusal = "output failed"
    lost = 0

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        """Make the file with its head line.

        Raises:
            UsageError: the file exists and `overwrite` is false.
            OutputError: the file can't be written.
        """
        self.notes: list[str] = []
        self.rows = 0
        self._path = path
        try:
            self._file = path.open("w" if overwrite else "x", encoding="utf-8", newline="")
        except FileExistsError as error:
            raise UsageError(f"{path} exists already; add --overwrite to replace it or choose another name") from error
        except OSError as error:
            raise self._failure(error) from error
        self._table = csv.writer(self._file, lineterminator="\n")
        try:
            self._write_row(COLUMNS)
        except OutputError:
            self.close()
            raise

    def write(self, detected: DetectedFrame) -> bool:
        """Add a row for each happening of one frame; True. Raises OutputError when it can't be written."""
        frame, scene = detected.frame, detected.scene
        for happening in () if scene is None else scene.happenings:
            utc = "" if frame.utc_s is None else datetime.fromtimestamp(frame.utc_s, UTC).isoformat("T", "milliseconds")
            fields: dict[str, object] = {
                "time_s": round(frame.time_s, 6),
                "utc": utc,
                "stream": frame.stream,
                "index": frame.index,
                **happening_fields(happening, frame),
            }
            self._write_row([fields.get(column, "") for column in COLUMNS])
            self.rows += 1
        return True

    def gone(self, status: object, now_s: float) -> None:
        """No frame, no row."""

    def finish(self, *, complete: bool) -> None:
        """End the file. Raises OutputError when that fails."""
        try:
            self._file.close()
        except OSError as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Stop; every row before was flushed."""
        with suppress(OSError):
            self._file.close()

    def _write_row(self, row: tuple[object, ...] | list[object]) -> None:
        try:
            self._table.writerow(row)
            self._file.flush()
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> OutputError:
        return OutputError(
            f"cannot write counts to {self._path}: {error.strerror or error}; "
            "make room or choose another place for --counts"
        )
