"""JSON lines, written from frames that were read elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from streamdet.results.exchange.targets import failed
from streamdet.results.jsonl import JsonlWriter, box_fields
from streamdet.results.jsonl_reading import FrameLine


class JsonLinesWriter:
    """Writes frames as `streamdet run --jsonl` does; a file read and written again is the same, byte for byte."""

    def __init__(self, path: Path, header: Mapping[str, object]) -> None:
        """Raises OutputError when it can't be written."""
        self._path = path
        self._aside = path.with_name(path.name + ".part")
        self._writer = JsonlWriter("-" if str(path) == "-" else self._aside, header=header, overwrite=True)
        self._is_over = False

    def write(self, line: FrameLine) -> None:
        """Add a frame. Raises OutputError."""
        self._writer.write_fields(fields_of(line))

    def finish(self, *, complete: bool) -> None:
        """Add the end line and give the file its name. Raises OutputError."""
        self._is_over = True
        self._writer.finish(complete=complete)
        if str(self._path) != "-":
            try:
                self._aside.replace(self._path)
            except OSError as error:
                raise failed(self._path, error) from error

    def close(self) -> None:
        """Stop; the half-written file goes away."""
        if self._is_over:
            return
        self._is_over = True
        self._writer.close()
        if str(self._path) != "-":
            with suppress(OSError):
                self._aside.unlink()


def fields_of(line: FrameLine) -> dict[str, object]:
    """A frame's fields, in the order of `streamdet.results.jsonl`."""
    fields: dict[str, object] = {"type": "frame"}
    if line.stream is not None:
        fields |= {"stream": line.stream, "session": line.session}
    fields |= {
        "index": line.index,
        "pts": line.pts,
        "time_base": f"{line.time_base.numerator}/{line.time_base.denominator}",
        "time_s": round(line.time_s, 6),
        "damaged": line.damaged,
    }
    optional = {
        "picture": line.picture,
        "utc_s": line.utc_s,
        "camera_utc_s": line.camera_utc_s,
        "age_ms": line.age_ms,
    }
    fields |= {name: value for name, value in optional.items() if value is not None}
    return fields | {"boxes": box_fields(line.detections, line.shown_mask, line.seen_class_ids)} | dict(line.scene_line)
