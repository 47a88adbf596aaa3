"""Deletes old snapshots, clips and files of the journal, as the user asked."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from streamdet.events.journal import file_numbers, path_of

SWEEP_EVERY_S = 60.0
_PICTURES = re.compile(r"[^.].*_\d+\.(jpg|mp4|mkv)")
"""What events make, and nothing else that may lie in the folder."""


class Housekeeping:
    """Watches over a folder of events."""

    def __init__(
        self, folder: Path, keep_s: float | None, max_bytes: int | None, clock: Callable[[], float] = time.time
    ) -> None:
        """Set the rules.

        Args:
            folder: of the events.
            keep_s: what is older is deleted; None = never.
            max_bytes: the oldest snapshots and clips are deleted when all take more; None = no limit.
            clock: the wall clock, seconds since 1970.
        """
        self._folder = folder
        self._keep_s = keep_s
        self._max_bytes = max_bytes
        self._clock = clock
        self._swept_s: float | None = None

    def sweep(self, needed_file: int) -> None:
        """Delete, but not oftener than once a minute; of the journal only what stands before file `needed_file`."""
        now_s = self._clock()
        if self._keep_s is None and self._max_bytes is None:
            return
        if self._swept_s is not None and 0 <= now_s - self._swept_s < SWEEP_EVERY_S:
            return
        self._swept_s = now_s
        with suppress(OSError):  # of an old file that can't be deleted events must not die; the next sweep tries again
            self._sweep_pictures(now_s)
            self._sweep_journal(now_s, needed_file)

    def _sweep_pictures(self, now_s: float) -> None:
        files = [(path.stat(), path) for path in self._folder.iterdir() if _PICTURES.fullmatch(path.name)]
        files.sort(key=lambda file: file[0].st_mtime)
        held = sum(status.st_size for status, _ in files)
        for status, path in files:
            too_old = self._keep_s is not None and status.st_mtime < now_s - self._keep_s
            if not too_old and (self._max_bytes is None or held <= self._max_bytes):
                break
            path.unlink(missing_ok=True)
            held -= status.st_size

    def _sweep_journal(self, now_s: float, needed_file: int) -> None:
        if self._keep_s is None:
            return
        for number in file_numbers(self._folder):
            path = path_of(self._folder, number)
            if number >= needed_file or path.stat().st_mtime >= now_s - self._keep_s:
                break
            path.unlink()
