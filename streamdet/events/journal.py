"""The journal of events: JSON lines, each safe on disk before anybody is told of it; the queue of all receivers.

Files `events-000001.jsonl`, `events-000002.jsonl`, ... in one folder; the higher number is always the later one. The
first line of each is a header with the number of every source's last event so far. A line counts once it ends in a
newline: what a kill -9 left half written is cut off with the next start, and nobody has ever been told of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from streamdet import __version__
from streamdet.errors import OutputError

FILE_BYTES = 16 << 20
"""A new file begins when the present one is larger."""
MOST_WAITING = 10_000
"""Lines kept in memory while the disk refuses them."""
EVENT = "event"
"""The type of messages that count."""
_NAME = re.compile(r"events-(\d{6,})\.jsonl")


class Place(NamedTuple):
    """A place in the journal."""

    file: int
    """Number of the file."""
    offset: int
    """Bytes from its beginning."""


class Journal:
    """Appends events; may be used from any thread. One process at a time writes into a folder: see `EventDesk`.

    Attributes:
        name: an id of this journal, made with it; part of every event's id.
    """

    def __init__(self, folder: Path, *, file_bytes: int = FILE_BYTES) -> None:
        """Open or make the journal in `folder`, which must exist. Raises OutputError."""
        self.folder = folder
        self.changed = threading.Condition()
        """Notified when there is more to read."""
        self._file_bytes = file_bytes
        self._numbers: dict[str, int] = {}
        self._begins: dict[str, int] = {}
        self._waiting: list[bytes] = []
        self._lost = 0
        self._handle = -1
        self._end = Place(0, 0)
        self.name = ""
        try:
            numbers = file_numbers(folder)
            if numbers:
                self._reopen(numbers[-1])
            else:
                self.name = secrets.token_hex(8)
                self._begin_file(1)
        except OSError as error:
            raise OutputError(_refused(folder, error)) from error

    @property
    def end(self) -> Place:
        """Behind the last line that is safe on disk."""
        return self._end

    @property
    def waiting(self) -> int:
        """Lines that the disk refuses; they are tried again with each that follows."""
        return len(self._waiting)

    @property
    def lost(self) -> int:
        """Lines that had no room in memory either while the disk refused them."""
        return self._lost

    def last_number(self, source: str) -> int:
        """Of the last event of `source`; 0 before the first."""
        return self._numbers.get(source, 0)

    def begin(self, source: str, *, again: bool = False) -> int:
        """A run begins to watch `source`: the number of the last event before it.

        `again`: the run goes on with one that was stopped and makes its events anew; those that are in the journal
        already are not written a second time.
        """
        with self.changed:
            if again and source in self._begins:
                return self._begins[source]
            number = self._begins[source] = self._numbers.get(source, 0)
            self._write([{"type": "begin", "source": source, "number": number}])
            return number

    def append(self, messages: Sequence[Mapping[str, object]]) -> bool:
        """Write messages to the disk, with an id for each. They have a "type", a "source" and the "number" of an event.

        Events whose numbers are there already are left out; other messages, such as of a finished clip, only speak of
        one. False when the disk refuses them for now: they are kept in memory and tried again with the next ones.
        """
        with self.changed:
            new = []
            for message in messages:
                source, number, kind = str(message["source"]), message["number"], message["type"]
                assert isinstance(number, int)
                if kind != EVENT:
                    new.append({"id": f"{self.id_of(source, number)}-{kind}", **message})
                elif number > self._numbers.get(source, 0):
                    self._numbers[source] = number
                    new.append({"id": self.id_of(source, number), **message})
            return self._write(new)

    def id_of(self, source: str, number: int) -> str:
        """An event's id: the same however often it is told."""
        return hashlib.sha256(f"{self.name}\0{source}\0{number}".encode()).hexdigest()[:32]

    def close(self) -> None:
        """Close the file; raises OutputError when lines are still waiting for the disk."""
        with self.changed:
            if self._handle < 0:
                return
            self._write([])
            os.close(self._handle)
            self._handle = -1
        if self._waiting:
            raise OutputError(
                f"{len(self._waiting)} events could not be written to {self.folder}: make room on its disk"
            )

    def _write(self, messages: Sequence[Mapping[str, object]]) -> bool:
        lines = [json.dumps(message, ensure_ascii=False, allow_nan=False).encode() + b"\n" for message in messages]
        room = MOST_WAITING - len(self._waiting)
        self._lost += max(0, len(lines) - room)
        self._waiting += lines[:room]
        if not self._waiting:
            return True
        try:
            if self._end.offset > self._file_bytes:
                self._begin_file(self._end.file + 1)
            self._put(b"".join(self._waiting))
        except OSError:
            return False
        self._waiting.clear()
        self.changed.notify_all()
        return True

    def _put(self, content: bytes) -> None:
        """All of it, safe on the disk, or nothing."""
        try:
            written = 0
            while written < len(content):
                written += os.pwrite(self._handle, content[written:], self._end.offset + written)
            os.fsync(self._handle)
        except OSError:
            os.ftruncate(self._handle, self._end.offset)
            raise
        self._end = Place(self._end.file, self._end.offset + len(content))

    def _begin_file(self, number: int) -> None:
        header: dict[str, object] = {"type": "header", "streamdet": __version__, "journal": self.name}
        header |= {"numbers": self._numbers, "begins": self._begins}
        path = path_of(self.folder, number)
        content = json.dumps(header, ensure_ascii=False).encode() + b"\n"
        aside = path.with_suffix(".new")
        aside.unlink(missing_ok=True)
        handle = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            os.write(handle, content)
            os.fsync(handle)
            aside.rename(path)
            _folder_to_disk(self.folder)
        except OSError:
            os.close(handle)
            aside.unlink(missing_ok=True)
            raise
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = handle
        self._end = Place(number, len(content))

    def _reopen(self, number: int) -> None:
        path = path_of(self.folder, number)
        self._handle = os.open(path, os.O_RDWR)
        whole = 0
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                self._learn(line)
        if not self.name:
            raise OutputError(f"{path} does not begin with a header: move it away, or choose another folder for events")
        os.ftruncate(self._handle, whole)
        os.fsync(self._handle)
        self._end = Place(number, whole)

    def _learn(self, line: bytes) -> None:
        """Take over what a line of an earlier run says of numbers."""
        message = parse_line(line)
        match message.get("type"):
            case "header":
                self.name = str(message["journal"])
                self._numbers = {str(source): int(number) for source, number in message["numbers"].items()}
                self._begins = {str(source): int(number) for source, number in message["begins"].items()}
            case "begin":
                self._begins[str(message["source"])] = int(message["number"])
            case "event":
                self._numbers[str(message["source"])] = int(message["number"])


def file_numbers(folder: Path) -> list[int]:
    """Numbers of the journal's files, ascending."""
    found = [_NAME.fullmatch(path.name) for path in folder.iterdir()]
    return sorted(int(match[1]) for match in found if match)


def path_of(folder: Path, number: int) -> Path:
    """Of the journal's file with that number."""
    return folder / f"events-{number:06d}.jsonl"


def parse_line(line: bytes) -> dict[str, Any]:
    """A line's fields; empty for one that is damaged."""
    try:
        content = json.loads(line)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _folder_to_disk(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refused(folder: Path, error: OSError) -> str:
    return f"cannot keep events in {folder}: {(error.strerror or str(error)).lower()}; choose another folder"
