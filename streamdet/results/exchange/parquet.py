"""Detections as Parquet, for DuckDB, pandas, Polars, Spark: the columns of `streamdet.results.exchange.table`.

One more column, `places`, has what happened at lines, zones and bays as JSON, in the first row of a frame. The file's
metadata hold the header of the JSON lines under `streamdet.header`, and whether the run covered its source in full
under `streamdet.complete`: nothing is lost on the way here and back. Needs pyarrow.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from streamdet.errors import DataError, UsageError
from streamdet.results.exchange.forms import ReadLines
from streamdet.results.exchange.table import BOX_COLUMNS, FRAME_COLUMNS, NEEDED, lines_of, rows_of
from streamdet.results.exchange.targets import failed
from streamdet.results.jsonl_reading import FrameLine

ROWS_IN_GROUP = 1 << 16
"""Rows that are held in memory and written together."""
HEADER, COMPLETE = b"streamdet.header", b"streamdet.complete"
_TYPES = {
    "stream": "string",
    "time_base": "string",
    "picture": "string",
    "class": "string",
    "seen_as": "string",
    "session": "int32",
    "index": "int64",
    "pts": "int64",
    "class_id": "int32",
    "track": "int64",
    "damaged": "bool",
    "bridged": "bool",
    "shown": "bool",
    "places": "string",
}
"""All others are float64: a float32 of 0.7 is below 0.7."""


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError("Parquet needs the package pyarrow: pip install 'streamdet[parquet]'") from error
    return pyarrow


class ParquetWriter:
    """Writes a group of rows at a time."""

    def __init__(self, path: Path, header: Mapping[str, object]) -> None:
        """Raises UsageError without pyarrow, OutputError when the file can't be written."""
        self._pyarrow = _pyarrow()
        self._path = path
        self._aside = path.with_name(path.name + ".part")
        self._is_over = False
        self._columns = (*FRAME_COLUMNS, *BOX_COLUMNS, "places")
        types = {name: self._pyarrow.type_for_alias(_TYPES.get(name, "float64")) for name in self._columns}
        self._schema = self._pyarrow.schema(list(types.items()))
        self._rows: list[tuple[object, ...]] = []
        try:
            self._file = self._pyarrow.parquet.ParquetWriter(str(self._aside), self._schema, compression="zstd")
        except OSError as error:
            raise failed(path, error) from error
        self._file.add_key_value_metadata({HEADER: json.dumps(dict(header), ensure_ascii=False)})

    def write(self, line: FrameLine) -> None:
        """Add the rows of a frame. Raises OutputError."""
        places = json.dumps(dict(line.scene_line), ensure_ascii=False) if line.scene_line else None
        for row in rows_of(line):
            self._rows.append((*row, places))
            places = None
        if len(self._rows) >= ROWS_IN_GROUP:
            self._flush()

    def finish(self, *, complete: bool) -> None:
        """Write what is left and give the file its name. Raises OutputError."""
        self._flush()
        self._is_over = True
        try:
            self._file.add_key_value_metadata({COMPLETE: json.dumps(complete)})
            self._file.close()
            self._aside.replace(self._path)
        except OSError as error:
            raise failed(self._path, error) from error

    def close(self) -> None:
        """Stop; the half-written file goes away."""
        if self._is_over:
            return
        self._is_over = True
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._aside.unlink()

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        if not rows:
            return
        arrays = [
            self._pyarrow.array(cells, type=field.type)
            for cells, field in zip(zip(*rows, strict=True), self._schema, strict=True)
        ]
        try:
            self._file.write_batch(self._pyarrow.record_batch(arrays, schema=self._schema))
        except OSError as error:
            raise failed(self._path, error) from error


def read_parquet(path: Path) -> tuple[dict[str, Any], ReadLines]:
    """The header and the frames.

    Raises:
        DataError: it is no such file; the iterator raises it for a wrong row.
        UsageError: pyarrow is missing.
    """
    pyarrow = _pyarrow()
    try:
        # with pre_buffer all that was read stays in memory: half a gigabyte for ten hours
        file = pyarrow.parquet.ParquetFile(str(path), pre_buffer=False)
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise DataError(f"cannot read {path}: {error}; give a Parquet file that is whole") from error
    missing = [column for column in NEEDED if column not in file.schema_arrow.names]
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}; add it")
    metadata = file.metadata.metadata or {}
    if HEADER not in metadata:
        raise DataError(f"{path} was not written by streamdet convert: its metadata lack {HEADER.decode()}")
    header: dict[str, Any] = json.loads(metadata[HEADER])
    complete = metadata.get(COMPLETE) == b"true"
    flaw = None if complete else f"{path} covers only a part of its source"
    return header, ReadLines(lines_of(_rows(file, path), tuple(header["classes"]), path), lambda: flaw)


def _rows(file: Any, path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    number = 0
    try:
        for batch in file.iter_batches(batch_size=ROWS_IN_GROUP // 8, use_threads=False):
            for row in batch.to_pylist():
                number += 1
                if row.get("places") is not None:
                    row["places"] = json.loads(row["places"])
                yield number, row
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}") from error
