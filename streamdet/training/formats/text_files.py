"""Text files of labels, read and written."""

from __future__ import annotations

from pathlib import Path

from streamdet.errors import DataError, OutputError


def read_text(path: Path) -> str:
    """The text of a file in UTF-8; line ends are line feeds. Raises DataError when it can't be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} can't be read: it is no text in UTF-8; save it as UTF-8") from error


def write_new(path: Path, text: str) -> Path:
    """Write a text file. Raises OutputError when it is there already, or can't be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError as error:
        raise OutputError(f"{path} is there already; write into a new folder") from error
    except OSError as error:
        raise OutputError(f"{path} can't be written: {error.strerror}") from error
    return path
