"""Text files that appear under their name when they are whole."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from streamdet.errors import OutputError

BUFFER_BYTES = 1 << 20


class TextTarget:
    """A file written aside and renamed by `finish`; "-" is standard output."""

    def __init__(self, path: Path) -> None:
        """Raises OutputError when it can't be written."""
        self.path = path
        self._aside = path.with_name(path.name + ".part")
        self._is_over = False
        try:
            self._stream: TextIO = (
                sys.stdout
                if str(path) == "-"
                else self._aside.open("w", encoding="utf-8", newline="", buffering=BUFFER_BYTES)
            )
        except OSError as error:
            raise failed(path, error) from error

    def write(self, text: str) -> None:
        """Add text. Raises OutputError."""
        try:
            self._stream.write(text)
        except OSError as error:
            raise failed(self.path, error) from error

    def finish(self) -> None:
        """The file is whole: give it its name. Raises OutputError."""
        self._is_over = True
        try:
            if self._stream is sys.stdout:
                self._stream.flush()
                return
            self._stream.close()
            self._aside.replace(self.path)
        except OSError as error:
            raise failed(self.path, error) from error

    def close(self) -> None:
        """Stop; the half-written file goes away. Does nothing after `finish`."""
        if self._is_over or self._stream is sys.stdout:
            return
        self._is_over = True
        with suppress(OSError):
            self._stream.close()
        with suppress(OSError):
            self._aside.unlink()


def failed(path: Path, error: OSError) -> OutputError:
    """The error of a file that can't be written."""
    return OutputError(f"cannot write {path}: {error.strerror or error}; make room or choose another place for --out")
