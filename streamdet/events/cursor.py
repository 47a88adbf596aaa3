"""How far one receiver has got in the journal: reads what it has not had yet, and remembers across runs what it has."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from streamdet.errors import OutputError
from streamdet.events.journal import Journal, Place, file_numbers, parse_line, path_of

_WIDTH = 48
"""Bytes of the record, always written whole and at once: a kill -9 leaves the old one or the new one."""


class Entry(NamedTuple):
    """A message on its way to a receiver."""

    content: bytes
    """The line of the journal, without its newline."""
    fields: dict[str, Any]
    """The same, parsed."""
    end: Place
    """Where the next one begins."""


class Cursor:
    """One receiver's place in the journal; used by one thread."""

    def __init__(self, journal: Journal, path: Path) -> None:
        """Take up the place remembered at `path`; a receiver that is new begins with what happens from now on.

        A record that can't be read means the oldest event: told twice is better than not at all. Raises OutputError.
        """
        self._journal = journal
        self._file: IO[bytes] | None = None
        self._file_number = 0
        self._done = 0
        try:
            is_new = not path.exists()
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            self._place = journal.end if is_new else self._remembered()
            self._remember()
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise OutputError(f"cannot write {path}: {why}; choose another folder for events") from error

    @property
    def place(self) -> Place:
        """Of the first message that the receiver has not had."""
        return self._place

    def next(self) -> Entry | None:
        """The next message, None when there is none yet. The same again until `done`. Raises OSError."""
        while self._place < self._journal.end:
            line = self._line()
            if not line:
                numbers = [number for number in file_numbers(self._journal.folder) if number > self._place.file]
                self._place = Place(numbers[0], 0) if numbers else self._journal.end
                continue
            end = Place(self._place.file, self._place.offset + len(line))
            fields = parse_line(line)
            if fields.get("number") is not None and fields.get("type") != "begin":
                return Entry(line.rstrip(b"\n"), fields, end)
            self._place = end
        return None

    def done(self, entry: Entry) -> None:
        """The receiver has it, or won't ever get it."""
        self._place = entry.end
        with suppress(OSError):  # a disk that fails may bring repetitions, and must not stop the messages
            self._remember()

    def close(self) -> None:
        """Close the files."""
        if self._file is not None:
            self._file.close()
        os.close(self._handle)

    def _line(self) -> bytes:
        if self._file is None or self._file_number != self._place.file:
            if self._file is not None:
                self._file.close()
            self._file = None
            try:
                self._file = path_of(self._journal.folder, self._place.file).open("rb")
            except FileNotFoundError:  # too old, and deleted
                return b""
            self._file_number = self._place.file
        self._file.seek(self._place.offset)
        line = self._file.readline()
        return line if line.endswith(b"\n") else b""

    def _remembered(self) -> Place:
        words = os.pread(self._handle, _WIDTH, 0).split()
        if len(words) == 2 and all(word.isdigit() for word in words):
            return min(Place(int(words[0]), int(words[1])), self._journal.end)
        return Place(0, 0)

    def _remember(self) -> None:
        record = f"{self._place.file} {self._place.offset}".ljust(_WIDTH - 1) + "\n"
        os.pwrite(self._handle, record.encode(), 0)
