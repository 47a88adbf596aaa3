"""Lines of a JSON file's entries, found only when there is a problem to place."""

from __future__ import annotations

import bisect
import json
import re
from collections.abc import Iterator
from functools import cached_property

_SPACE = re.compile(r"[ \t\n\r]*")


class JsonPositions:
    """Where the entries of the lists at the top level of a JSON object begin."""

    def __init__(self, content: bytes) -> None:
        """`content` is that of a file that `json.loads` has read without an error."""
        self._content = content

    def line(self, key: str, place: int) -> int | None:
        """Line, from 1, of entry number `place`, from 0, of the list under `key`; None when there is none."""
        starts, line_ends = self._starts
        offsets = starts.get(key, [])
        return bisect.bisect_left(line_ends, offsets[place]) + 1 if place < len(offsets) else None

    @cached_property
    def _starts(self) -> tuple[dict[str, list[int]], list[int]]:
        text = self._content.decode(json.detect_encoding(self._content), "surrogatepass")
        return dict(_lists_of(text)), [match.start() for match in re.finditer("\n", text)]


def _lists_of(text: str) -> Iterator[tuple[str, list[int]]]:
    """Each key of the object whose value is a list, and the offsets of the list's entries."""
    decode = json.JSONDecoder().raw_decode
    at = _after_space(text, 0)
    if text[at : at + 1] != "{":
        return
    at = _after_space(text, at + 1)
    while text[at] != "}":
        key, at = decode(text, at)
        at = _after_space(text, _after_space(text, at) + 1)  # the colon
        if text[at] == "[":
            offsets = []
            at = _after_space(text, at + 1)
            while text[at] != "]":
                offsets.append(at)
                _, at = decode(text, at)
                at = _after_comma(text, at)
            yield key, offsets
            at += 1
        else:
            _, at = decode(text, at)
        at = _after_comma(text, at)


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _after_comma(text: str, at: int) -> int:
    at = _after_space(text, at)
    return _after_space(text, at + 1) if text[at] == "," else at
