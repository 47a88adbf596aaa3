"""Detections as CSV: the columns of `streamdet.results.exchange.table`, for spreadsheets and data frames."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from streamdet.errors import DataError
from streamdet.results.exchange.table import BOX_COLUMNS, FRAME_COLUMNS, NEEDED, lines_of, rows_of
from streamdet.results.exchange.targets import TextTarget
from streamdet.results.jsonl_reading import FrameLine

COLUMNS = FRAME_COLUMNS + BOX_COLUMNS
_WORDS = {True: "true", False: "false"}


class CsvWriter:
    """Writes rows as it goes; true and false in small letters."""

    def __init__(self, path: Path) -> None:
        """Raises OutputError when it can't be written."""
        self._target = TextTarget(path)
        self._csv = csv.writer(self._target, lineterminator="\n")
        self._csv.writerow(COLUMNS)

    def write(self, line: FrameLine) -> None:
        """Add the rows of a frame. Raises OutputError."""
        self._csv.writerows([_WORDS[cell] if isinstance(cell, bool) else cell for cell in row] for row in rows_of(line))

    def finish(self, *, complete: bool) -> None:
        """Give the file its name. Raises OutputError."""
        self._target.finish()

    def close(self) -> None:
        """Stop; the half-written file goes away."""
        self._target.close()


def read_csv(path: Path, class_names: tuple[str, ...] | None) -> tuple[tuple[str, ...], Iterator[FrameLine]]:
    """The classes and the frames. `class_names`: None = those in the file, in the order of `class_id`.

    Raises:
        DataError: it can't be read, or lacks columns; the iterator raises it for a wrong row.
    """
    if class_names is None:
        class_names = _classes_in(path)
    return class_names, lines_of(_rows(path), class_names, path)


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, str | None]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            columns = next(reader, [])
            missing = [column for column in NEEDED if column not in columns]
            if missing:
                raise DataError(f"{path}, line 1: there is no column {', '.join(missing)}; add it")
            for row in reader:
                if len(row) != len(columns):
                    if not row:
                        continue
                    raise DataError(
                        f"{path}, line {reader.line_num}: {len(row)} cells under {len(columns)} columns: the line is "
                        "cut, or a comma too many; mend it"
                    )
                yield reader.line_num, {column: cell or None for column, cell in zip(columns, row, strict=True)}
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


def _classes_in(path: Path) -> tuple[str, ...]:
    """Those that have boxes, in the order of their ids where the file has them; a gap is "class N"."""
    ids: dict[str, int] = {}
    for number, row in _rows(path):
        name = row["class"]
        if name is None or name in ids:
            continue
        given = row.get("class_id")
        try:
            ids[name] = len(ids) if given is None else int(given)
        except ValueError as error:
            raise DataError(f"{path}, line {number}: class_id is {given!r}, expected a whole number") from error
    names = {class_id: name for name, class_id in ids.items()}
    if len(names) < len(ids) or min(names, default=0) < 0 or max(names, default=0) > 100_000:
        raise DataError(f"{path}: class_id must give each class a number of its own, from 0; it says {ids}")
    return tuple(names.get(class_id, f"class {class_id}") for class_id in range(max(names, default=-1) + 1))
