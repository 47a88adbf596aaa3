"""Values from label files, as they can stand in a message: short, on one line, whatever they are."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_LONGEST = 120
_LONGEST_MESSAGE = 600


def shown(value: Any) -> str:
    """Text as it is when it fits on a line; everything else as Python writes it, cut where it is deep or long."""
    if isinstance(value, str) and value.isprintable() and 0 < len(value) <= _LONGEST:
        return value
    short = reprlib.Repr()  # aliases of YAML make values whose whole repr would fill the memory
    short.maxlevel, short.maxstring, short.maxother, short.maxlong = 2, 60, 60, 40
    try:
        return " ".join(short.repr(value).split())
    except (ValueError, RecursionError):  # integers with too many digits to print
        return f"a {type(value).__name__} too large to show"


def one_line(text: str) -> str:
    """A message on one line of bearable length, whatever was quoted in it."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return line if len(line) <= _LONGEST_MESSAGE else f"{line[:_LONGEST_MESSAGE]} ..."


def clause(error: Exception, path: Path) -> str:
    """What an error that begins with the path says, for a problem that names the path already."""
    return f"it {str(error).removeprefix(f'{path} ')}"


def listed(values: Iterable[Any], most: int = 20) -> str:
    """Values with commas between, "(none)" for none; beyond `most` they are only counted."""
    texts = [shown(value) for value in values]
    rest = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + rest or "(none)"
