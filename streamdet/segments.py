"""Files that follow one another through the day: when the next one is due, and what each is called.

A name is `STEM_YYYY-MM-DDTHH-MM-SSZ.ENDING`, the time being the wall clock in UTC (Z) of the first frame, to the
second. UTC never repeats an hour, sorts by itself, and a colon is left out as Windows forbids it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from streamdet.errors import OutputError

_STAMP = "%Y-%m-%dT%H-%M-%SZ"
_STAMP_PATTERN = r"(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ)(?:_(\d{1,4}))?"
_MOST_NAME_BYTES = 100
_MOST_OF_ONE_SECOND = 9999
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.I)
"""Names that Windows keeps for devices."""


class Schedule:
    """When a segment is over: at whole multiples of its length on the wall clock, in UTC."""

    def __init__(self, length_s: float | None) -> None:
        """`length_s`: seconds of a segment; None = one that never ends."""
        self._length_s = length_s
        self._number: int | None = None

    def begin(self, utc_s: float) -> None:
        """A segment begins at this time."""
        self._number = self._number_at(utc_s)

    def is_over(self, utc_s: float) -> bool:
        """Whether the segment that began does not hold this time any more.

        A clock that was set back by less than a segment's length does not end it: it would be cut to pieces.
        """
        if self._length_s is None or self._number is None:
            return False
        number = self._number_at(utc_s)
        return number > self._number or number < self._number - 1

    def _number_at(self, utc_s: float) -> int:
        return int(utc_s // self._length_s) if self._length_s else 0


def utc_stamp(utc_s: float) -> str:
    """Seconds since 1970 as in a segment's name: `2026-11-25T22-10-00Z`."""
    return datetime.fromtimestamp(int(utc_s), UTC).strftime(_STAMP)


def new_segment_path(folder: Path, stem: str, utc_s: float, ending: str) -> Path:
    """A name in `folder` that is not taken; the second one of the same second gets `_2`, and so on.

    Raises:
        OutputError: there are thousands of that second already.
    """
    stamp = utc_stamp(utc_s)
    for number in range(1, _MOST_OF_ONE_SECOND):
        path = folder / (f"{stem}_{stamp}{ending}" if number == 1 else f"{stem}_{stamp}_{number}{ending}")
        if not path.exists():
            return path
    raise OutputError(f"{folder} holds {_MOST_OF_ONE_SECOND} files {stem}_{stamp}*{ending}; choose another folder")


def segment_pattern(stem: str, ending: str) -> re.Pattern[str]:
    """Matches the whole names of segments; group 1 is the time, group 2 the number within a second."""
    return re.compile(re.escape(stem) + "_" + _STAMP_PATTERN + re.escape(ending))


def safe_stem(name: str) -> str:
    """A camera's name as every file system takes it: letters, digits, `.`, `_` and `-`, at most 100 bytes."""
    text = unicodedata.normalize("NFC", name)
    text = re.sub(r"^\w+://", "", text)
    text = re.sub(r"[^\w.-]+", "-", text)
    text = re.sub(r"-{2,}", "-", text).strip(".-")
    text = text.encode()[:_MOST_NAME_BYTES].decode(errors="ignore").rstrip(".-")
    if not text:
        return "camera"
    return f"camera-{text}" if _RESERVED.fullmatch(text) else text


def free_stem(name: str, others: Iterable[str]) -> str:
    """A stem unlike all `others`, even where upper and lower case are the same: the later gets `-2`, and so on."""
    taken = {other.casefold() for other in others}
    stem = base = safe_stem(name)
    number = 1
    while stem.casefold() in taken:
        number += 1
        stem = f"{base}-{number}"
    return stem
