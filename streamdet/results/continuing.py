"""Goes on with the JSON lines of a run that was stopped or killed: what of them is whole, and what it says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from streamdet.errors import DataError, UsageError
from streamdet.results.jsonl_reading import FrameLine, read_jsonl
from streamdet.types import Detections, Frame

UNIMPORTANT = ("type", "schema", "streamdet")
"""Of a header: they may differ."""


@dataclass(frozen=True, slots=True)
class KeptLines:
    """The frame lines that a stopped run wrote in full."""

    path: Path
    header: Mapping[str, Any]
    frames: int
    bytes: int
    """Length of the file up to the end of the last of them."""
    complete: bool
    """The run came to its end: there is nothing to go on with."""

    def lines(self) -> Iterator[FrameLine]:
        """All of them, also while more are being written. Raises DataError for one that is wrong."""
        return islice(read_jsonl(self.path)[1], self.frames)

    def check_header(self, header: Mapping[str, Any]) -> None:
        """Raises UsageError when a run with this header would say other things than the stopped one."""
        now = json.loads(json.dumps(dict(header)))
        keys = [key for key in {**self.header, **now} if key not in UNIMPORTANT]
        other = [key for key in keys if self.header.get(key) != now.get(key)]
        if other:
            raise UsageError(
                f"{self.path} comes from a run with other options (its {', '.join(other)} differ): give the same ones, "
                "or leave --resume out and add --overwrite to begin anew"
            )


def kept_lines(path: Path) -> KeptLines | None:
    """What there is to go on with; None where there is no file, or nothing whole in it.

    Raises:
        DataError: it is no file of detections, or can't be read.
    """
    if not path.is_file():
        return None
    with path.open("rb") as file:
        first = file.readline()
        if not first.endswith(b"\n"):
            return None
        header, _ = read_jsonl(path)
        frames, end, complete = 0, file.tell(), False
        for line in file:
            if not line.endswith(b"\n"):
                break
            if not line.startswith(b'{"type": "frame"'):
                complete = b'"complete": true' in line
                break
            frames += 1
            end += len(line)
    return KeptLines(path, header, frames, end, complete)


class Replay:
    """Gives frames of a stopped run the detections that it found in them, in the place of a detector."""

    def __init__(self, kept: KeptLines) -> None:
        self._kept = kept
        self._lines = kept.lines()

    def __call__(self, frame: Frame) -> Detections | None:
        """What the stopped run's detector saw in the next frame; None from the first frame on that it didn't come to.

        Raises DataError when it is not the frame that the next line is about.
        """
        line = next(self._lines, None)
        if line is None:
            return None
        if (line.index, line.pts, line.time_base) != (frame.index, frame.pts, frame.time_base):
            raise DataError(
                f"{self._kept.path} is about another video: frame {frame.index} at {frame.time_s:.3f} s has a line for "
                f"frame {line.index} at {line.time_s:.3f} s; leave --resume out and add --overwrite to begin anew"
            )
        return line.seen
