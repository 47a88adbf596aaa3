"""A folder that is being filled: each image becomes a frame as soon as it is completely written."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from streamdet.video.base import printable
from streamdet.video.live.connection import MICROSECONDS, Description, Step
from streamdet.video.live.failures import Kind, failure
from streamdet.video.live.packets import Taken
from streamdet.video.location import Location
from streamdet.video.pictures import pictures_in, read_picture

LOOK_S = 0.25
"""How often the folder is looked at; a file whose size and time stay the same from one look to the next is complete."""
SETTLED_S = 2.0
"""A file that was last changed longer ago is complete at first sight."""
GIVEN_UP_AFTER_S = 5.0
"""A file that can't be read, or is cut off, may still be being written this long after its last change."""

_Stamp = tuple[int, int]
"""Size in bytes and time of the last change in nanoseconds."""


class FolderConnection:
    """Gives the images of a folder: first those that are there, in natural order, then new ones as they appear.

    A file that is written over counts as a new image. It never ends.
    """

    def __init__(self, location: Location, given_up: threading.Event) -> None:
        """Look whether the folder is there.

        Raises:
            SourceGoneError: there is no such folder.
        """
        self._location = location
        self._folder = location.path or Path()
        self._given_up = given_up
        self._done: dict[Path, _Stamp] = {}
        if not self._folder.is_dir():
            raise failure(location, Kind.MISSING)
        self.description = Description(
            codec="image", container="folder", rate=None, time_base=MICROSECONDS, patient=True
        )

    def steps(self) -> Iterator[Step]:
        """A step per image."""
        began_s = time.monotonic()
        before: dict[Path, _Stamp] = {}
        while not self._given_up.is_set():
            seen = self._look()
            self._done = {path: stamp for path, stamp in self._done.items() if path in seen}
            # in order of appearance: what was there at an earlier look comes before what is new
            known = [path for path in before if path in seen]
            seen = {path: seen[path] for path in dict.fromkeys([*known, *seen])}
            for path, stamp in seen.items():
                if self._done.get(path) == stamp or not (before.get(path) == stamp or _age_s(stamp) > SETTLED_S):
                    continue
                step = self._read(path, stamp, began_s)
                if step is not None:
                    self._done[path] = stamp
                    yield step
                if self._given_up.is_set():
                    return
            before = seen
            self._given_up.wait(LOOK_S)

    def close(self) -> None:
        """Nothing is held open."""

    def _look(self) -> dict[Path, _Stamp]:
        found: dict[Path, _Stamp] = {}
        try:
            paths = pictures_in(self._folder)
        except FileNotFoundError:
            raise failure(self._location, Kind.MISSING) from None
        except OSError:
            raise failure(self._location, Kind.NOT_ALLOWED) from None
        for path in paths:
            with suppress(FileNotFoundError):  # gone since
                status = path.stat()
                found[path] = status.st_size, status.st_mtime_ns
        return found

    def _read(self, path: Path, stamp: _Stamp, began_s: float) -> Step | None:
        """The image, an empty step for one that is no image, None for one that may still grow."""
        now_s = time.monotonic()
        read = read_picture(path)
        if (read is None or read[1]) and _age_s(stamp) < GIVEN_UP_AFTER_S:
            return None
        pts = round((now_s - began_s) / MICROSECONDS)
        if read is None:
            return Step(now_s, pts, stamp[0], True, 1, ())
        picture, damaged = read
        taken = Taken(picture, pts, now_s, time.time(), None, damaged, printable(path.name))
        return Step(now_s, pts, stamp[0], True, 0, (taken,))


def _age_s(stamp: _Stamp) -> float:
    """Seconds since the last change."""
    return time.time() - stamp[1] / 1e9
