"""How long recordings are kept, how much room they may take, and when the disk is too full to record."""

from __future__ import annotations

import re
import shutil
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from streamdet.options import DISK_RESERVE_BYTES
from streamdet.segments import segment_pattern

SWEEP_EVERY_S = 10.0
LOOK_EVERY_S = 1.0
"""How often the disk is asked for its room."""
RESUME_SHARE = 1.2
"""Recording goes on when there is this many times the reserve, so that it doesn't stop and start with every frame."""
LEFTOVER_S = 3600.0
"""A half-made file of a run that was killed is taken away when nobody has touched it for so long."""


def free_bytes(folder: Path) -> int:
    """Room on the disk that holds `folder`, for this user."""
    return shutil.disk_usage(folder).free


class _Segment(NamedTuple):
    stamp: str
    number: int
    path: Path
    size: int
    ended_utc_s: float


class Retention:
    """Watches over one folder of segments for all the cameras that write into it; may be used from any thread.

    Only files that carry the name of a registered camera and a segment's time are ever counted or deleted, and none
    that is being written.

    Attributes:
        deleted: segments deleted so far.
        problems: a sentence for each kind of trouble met, for the notes.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keep_s: float | None = None,
        max_bytes: int | None = None,
        reserve_bytes: int = DISK_RESERVE_BYTES,
        free: Callable[[Path], int] = free_bytes,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Set the rules; nothing is deleted yet.

        Args:
            folder: where the segments are.
            keep_s: segments that ended longer ago than this are deleted; None = kept for ever.
            max_bytes: the oldest are deleted when all together take more; None = no limit.
            reserve_bytes: when the disk has less room than this, nothing is recorded.
            free: tells the room on the disk of a folder, in bytes.
            clock: the wall clock, seconds since 1970.
        """
        self.folder = folder
        self.deleted = 0
        self.problems: list[str] = []
        self._keep_s = keep_s
        self._max_bytes = max_bytes
        self._reserve_bytes = reserve_bytes
        self._free = free
        self._clock = clock
        self._patterns: list[re.Pattern[str]] = []
        self._in_use: set[str] = set()
        self._has_room = True
        self._looked_s = self._swept_s = float("-inf")
        self._lock = threading.Lock()
        self._sweeping = threading.Lock()

    @property
    def reserve_bytes(self) -> int:
        """Room that must stay on the disk."""
        return self._reserve_bytes

    def register(self, stem: str, ending: str) -> None:
        """Segments of this name are ours."""
        with self._lock:
            self._patterns.append(segment_pattern(stem, ending))

    def began(self, path: Path) -> None:
        """This segment is being written: it stays."""
        with self._lock:
            self._in_use.add(path.name)

    def ended(self, path: Path) -> None:
        """Nobody writes this segment any more."""
        with self._lock:
            self._in_use.discard(path.name)

    def has_room(self) -> bool:
        """Whether the disk has room enough to record. It is asked once a second; between, the last answer holds."""
        with self._lock:
            now_s = time.monotonic()
            if now_s - self._looked_s >= LOOK_EVERY_S:
                self._looked_s = now_s
                try:
                    free = self._free(self.folder)
                except OSError:
                    return self._has_room  # the folder is gone: writing will say so
                limit = self._reserve_bytes if self._has_room else self._reserve_bytes * RESUME_SHARE
                self._has_room = free >= limit
            return self._has_room

    def has_room_for(self, size: int) -> bool:
        """Whether `size` more bytes would leave at least half of the reserve."""
        try:
            return self._free(self.folder) - size >= self._reserve_bytes // 2
        except OSError:
            return False

    def is_sweep_due(self) -> bool:
        """Whether it is time for `sweep`; True for one of those who ask, and then not for a while."""
        with self._lock:
            now_s = time.monotonic()
            due = now_s - self._swept_s >= SWEEP_EVERY_S
            if due:
                self._swept_s = now_s
            return due

    def sweep(self) -> list[Path]:
        """Delete what is too old or too much, the oldest first; the deleted segments."""
        with self._sweeping:
            segments = self._segments()
            deleted = []
            taken = sum(segment.size for segment in segments)
            now_s = self._clock()
            for segment in segments:
                too_old = self._keep_s is not None and segment.ended_utc_s < now_s - self._keep_s
                too_much = self._max_bytes is not None and taken > self._max_bytes
                if (too_old or too_much) and self._delete(segment.path):
                    taken -= segment.size
                    deleted.append(segment.path)
            self.deleted += len(deleted)
            return deleted

    def _segments(self) -> list[_Segment]:
        """Ours in the folder, the oldest first."""
        with self._lock:
            patterns = list(self._patterns)
        found = []
        try:
            entries = list(self.folder.iterdir())
        except OSError as error:
            self._trouble(f"cannot look into {self.folder}: {error.strerror or error}")
            return []
        for path in entries:
            name = path.name
            is_leftover = name.startswith(".") and name.endswith(".finishing")
            match = _match(patterns, name.removeprefix(".").removesuffix(".finishing") if is_leftover else name)
            if match is None:
                continue
            try:
                status = path.lstat()
            except OSError:
                continue  # just finished or deleted by somebody else
            if not stat.S_ISREG(status.st_mode):
                continue
            if is_leftover:
                if status.st_mtime < self._clock() - LEFTOVER_S:
                    self._delete(path)
                continue
            found.append(_Segment(match[1], int(match[2] or 1), path, status.st_size, status.st_mtime))
        return sorted(found)

    def _delete(self, path: Path) -> bool:
        with self._lock:
            if path.name in self._in_use:
                return False
        try:
            path.unlink()
        except FileNotFoundError:
            return True
        except OSError as error:
            self._trouble(f"old recordings can't be deleted from {self.folder}: {error.strerror or error}")
            return False
        return True

    def _trouble(self, sentence: str) -> None:
        if sentence not in self.problems:
            self.problems.append(sentence)


def _match(patterns: list[re.Pattern[str]], name: str) -> re.Match[str] | None:
    return next((match for pattern in patterns if (match := pattern.fullmatch(name))), None)
