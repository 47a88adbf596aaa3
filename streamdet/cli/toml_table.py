"""Reads values out of a TOML file; each mistake becomes one sentence that names file, line, table, key and value."""

from __future__ import annotations

import contextlib
import difflib
import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from streamdet.cli.quantities import parse_seconds
from streamdet.errors import UsageError
from streamdet.video.base import printable

LONGEST_VALUE = 60
"""Most characters of a wrong value that an error shows."""

_HEADER = re.compile(r"\s*\[[^\[\]].*\]\s*(#.*)?$")


class TomlFile:
    """A parsed TOML file that still knows on which lines its keys stand."""

    def __init__(self, path: Path, *, of: str = "cameras") -> None:
        """Read `path`, a file `of` something. Raises UsageError when it can't be read or is not TOML."""
        self.path = path
        self.name = printable(path.name)
        try:
            text = path.read_text(encoding="utf-8")
            self.values: dict[str, Any] = tomllib.loads(text)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise UsageError(f"cannot read {printable(str(path))}: {reason}; give a TOML file of {of}") from None
        except UnicodeDecodeError:
            raise UsageError(f"{self.name} is not UTF-8 text; save it as UTF-8") from None
        except tomllib.TOMLDecodeError as error:
            wrong, _, place = str(error).partition(" (at ")
            line = f", {place.rstrip(')').split(',')[0]}" if place.startswith("line") else ""
            raise UsageError(f'{self.name}{line}: not TOML ({wrong}); texts need quotes, as in url = "0"') from None
        self._lines = text.splitlines()

    def table(self, *place: str) -> Table:
        """The table at `place`, such as "camera", "gate"; an empty place is the head of the file.

        Raises UsageError when it is no table.
        """
        values: Any = self.values
        for depth, key in enumerate(place):
            values = values.get(key, {})
            if not isinstance(values, dict):
                outer = Table(self, place[:depth], {})
                raise outer.error(key, values, f"is no table; write [{'.'.join(place[: depth + 1])}] on its own line")
        return Table(self, place, values)

    def line_of(self, place: tuple[str, ...], key: str) -> int | None:
        """Number of the line on which `key` of the table at `place` stands, or its table begins; None if not found."""
        at: tuple[str, ...] = ()
        pattern = re.compile(rf"""\s*(["']?){re.escape(key)}\1\s*[.=]""")
        for number, line in enumerate(self._lines, 1):
            if _HEADER.match(line):
                at = _place_of(line) or at
                if at[: len(place) + 1] == (*place, key):
                    return number
            elif at == place and pattern.match(line):
                return number
        return None


class Table:
    """One table of a TOML file."""

    def __init__(self, file: TomlFile, place: tuple[str, ...], values: Mapping[str, Any]) -> None:
        self.file = file
        self.place = place
        self.values = values

    def __contains__(self, key: str) -> bool:
        return key in self.values

    @property
    def title(self) -> str:
        """Where it is, such as `in [camera.gate]` behind a space; empty for the head of the file."""
        parts = (part if re.fullmatch(r"[\w-]+", part) else json.dumps(part, ensure_ascii=False) for part in self.place)
        return f" in [{printable('.'.join(parts))}]" if self.place else ""

    def error(self, key: str, value: object, wrong: str, *, secret: bool = False) -> UsageError:
        """A sentence about a value; `wrong` tells what it is not, and what to do. A `secret` value isn't shown."""
        shown = "" if secret else f" = {shortened(value)}"
        return UsageError(f"{self._where(key)}{printable(key)}{shown}{self.title} {wrong}")

    def check_keys(self, known: Iterable[str]) -> None:
        """Raises UsageError for a key that is not `known`, and names the closest one that is."""
        known = list(known)
        for key in self.values:
            if key not in known:
                close = difflib.get_close_matches(key.lower(), known, 1, 0.6)
                hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
                raise UsageError(f"{self._where(key)}unknown key {printable(key)!r}{self.title}; {hint}")

    def text(self, key: str, *, secret: bool = False) -> str:
        """A text of at least one character."""
        value = self.values[key]
        if not isinstance(value, str) or not value:
            raise self.error(key, value, "is no text; write it in quotes", secret=secret)
        return value

    def switch(self, key: str) -> bool:
        """`true` or `false`."""
        value = self.values[key]
        if not isinstance(value, bool):
            raise self.error(key, value, "is neither true nor false; write one of them, without quotes")
        return value

    def choice(self, key: str, allowed: tuple[str, ...]) -> str:
        """One of `allowed`."""
        value = self.values[key]
        if value not in allowed:
            raise self.error(key, value, f"is unknown; give {' or '.join(json.dumps(each) for each in allowed)}")
        return str(value)

    def seconds(self, key: str) -> float:
        """A time above 0: a number of seconds, or a text such as "500ms" or "2m"."""
        value = self.values[key]
        seconds = float(value) if is_number(value) else math.nan
        if isinstance(value, str):
            with contextlib.suppress(UsageError):
                seconds = parse_seconds(value, key)
        if not 0 < seconds < math.inf:
            raise self.error(key, value, 'is no time above 0; give seconds, or a text such as "500ms"')
        return seconds

    def names(self, key: str) -> tuple[str, ...]:
        """A list of texts, each kept once; a single text counts as a list of one."""
        value = self.values[key]
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list) or not listed or not all(isinstance(name, str) and name for name in listed):
            raise self.error(key, value, 'is no list of names; write one such as ["person", "car"]')
        return tuple(dict.fromkeys(listed))

    def _where(self, key: str) -> str:
        line = self.file.line_of(self.place, key)
        return f"{self.file.name}, line {line}: " if line else f"{self.file.name}: "


def is_number(value: object) -> bool:
    """True for a number of TOML (`true` and `false` are none)."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def shortened(value: object) -> str:
    """A value as TOML has it, about, on one line and not too long."""
    shown = printable(json.dumps(value, ensure_ascii=False, default=str))
    return shown if len(shown) <= LONGEST_VALUE else f"{shown[: LONGEST_VALUE - 1]}…"


def _place_of(header: str) -> tuple[str, ...]:
    """The keys in a table's header, () when it is none after all."""
    try:
        values = tomllib.loads(header)
    except tomllib.TOMLDecodeError:
        return ()
    place: list[str] = []
    while values:
        [(key, values)] = values.items()
        place.append(key)
    return tuple(place)
