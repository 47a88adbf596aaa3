"""Detections of live sources as JSON lines: one file for all cameras, or one for each span of time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TextIO

from streamdet.errors import OutputError, UsageError
from streamdet.results.jsonl import JsonlWriter
from streamdet.segments import Schedule, new_segment_path
from streamdet.types import DetectedFrame

TRY_AGAIN_S = 10.0
"""After a file could not be written, a new one is tried after this time."""


class Keeper(Protocol):
    """Who deletes old files: see `streamdet.video.live.retention`."""

    def register(self, stem: str, ending: str) -> None:
        """Files of this name are among them."""

    def began(self, path: Path) -> None:
        """This file is being written: it stays."""

    def ended(self, path: Path) -> None:
        """It is not written any more."""

    def sweep(self) -> list[Path]:
        """Delete what is too old or too much."""


class LiveJsonl:
    """A live sink for the frames of all cameras of a run; to be used from one thread.

    Without segments: one file, and what can't be written ends the run. With them, `boxes.jsonl` becomes
    `boxes_2026-11-25T22-10-00Z.jsonl` and so on, cut at whole multiples of the length on the wall clock (UTC) like the
    recordings. Each is a whole file with header and end line; when one can't be written, frames are left out (and
    counted) until a new one can.

    Attributes:
        notes: what a user should know, a sentence each.
        refusal: why a frame was left out.
        lost: none, ever.
        frames: frames written.
        left_out: frames that could not be written.
        files: files begun.
        header: of the files that begin from now on; any thread may put another one here.
    """

    refusal = "output failed"
    lost = 0

    def __init__(
        self,
        target: str | Path | TextIO,
        *,
        header: Mapping[str, object],
        segment_s: float | None = None,
        overwrite: bool = False,
        keeper: Keeper | None = None,
    ) -> None:
        """Without segments the file is made now, with them when there is a frame.

        Args:
            target: the file; "-" = standard output, or an open text stream (neither can be cut).
            header: as `JsonlWriter` takes it.
            segment_s: seconds of a segment; None = one file.
            overwrite: replace a file that exists. Segments never replace one.
            keeper: told of each file, so that old ones can be deleted; its folder is that of `target`.

        Raises:
            UsageError: the file exists, or standard output is to be cut.
            OutputError: the file can't be written, or its folder is missing.
        """
        self.notes: list[str] = []
        self.frames = self.left_out = self.files = 0
        self.header = header
        self._schedule = Schedule(segment_s)
        self._keeper = keeper
        self._writer: JsonlWriter | None = None
        self._path: Path | None = None
        self._folder: Path | None = None
        self._failed_at_s: float | None = None
        self._is_over = False
        if segment_s is None:
            self._writer = JsonlWriter(target, header=header, overwrite=overwrite)
            self.files = 1
            return
        if target == "-" or not isinstance(target, (str, Path)):
            raise UsageError("standard output can't be cut into segments; give --jsonl a file name")
        path = Path(target)
        self._folder, self._stem, self._ending = path.parent, path.stem, path.suffix
        if not self._folder.is_dir():
            raise OutputError(f"there is no folder {self._folder} to write {path.name} in: make it first")
        if keeper is not None:
            keeper.register(self._stem, self._ending)

    def write(self, detected: DetectedFrame) -> bool:
        """Add the line of one frame; False when it was left out.

        Raises:
            OutputError: without segments: the line can't be written.
        """
        if self._folder is None:
            assert self._writer is not None
            self._writer.write(detected)
            self.frames += 1
            return True
        try:
            written = self._write(self._folder, detected)
        except (OutputError, UsageError) as error:
            self._fail(error)
            written = False
        self.frames += written
        self.left_out += not written
        return written

    def gone(self, status: object, now_s: float) -> None:
        """No frame, no line."""

    def finish(self, *, complete: bool) -> None:
        """Write the last end line; `complete`: the run came to its end as it should.

        Raises:
            OutputError: the line can't be written.
        """
        if self._is_over:
            return
        self._is_over = True
        if self.left_out:
            self.notes.append(f"{self.left_out} frames are missing in the JSON lines: they could not be written")
        self._end_file(complete=complete)

    def close(self) -> None:
        """Stop; the end line says that the run did not come to its end. Does nothing after `finish`."""
        with suppress(OutputError):  # every line before was flushed
            self.finish(complete=False)

    def _write(self, folder: Path, detected: DetectedFrame) -> bool:
        frame = detected.frame
        utc_s = frame.utc_s if frame.utc_s is not None else time.time()
        if self._schedule.is_over(utc_s):
            self._end_file(complete=True)
            if self._keeper is not None:
                self._keeper.sweep()
        if self._writer is None:
            if self._failed_at_s is not None and time.monotonic() - self._failed_at_s < TRY_AGAIN_S:
                return False
            self._begin_file(folder, utc_s)
        assert self._writer is not None
        self._writer.write(detected)
        return True

    def _begin_file(self, folder: Path, utc_s: float) -> None:
        path = new_segment_path(folder, self._stem, utc_s, self._ending)
        if self._keeper is not None:
            self._keeper.began(path)
        self._path = path
        self._writer = JsonlWriter(path, header=self.header)
        self._schedule.begin(utc_s)
        self.files += 1
        if self._failed_at_s is not None:
            self._failed_at_s = None
            self.notes.append(f"JSON lines go on in {path}")

    def _end_file(self, *, complete: bool) -> None:
        writer, self._writer = self._writer, None
        try:
            if writer is not None:
                writer.finish(complete=complete)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        if self._keeper is not None and self._path is not None:
            self._keeper.ended(self._path)
        self._path = None

    def _fail(self, error: OutputError | UsageError) -> None:
        if self._failed_at_s is None:
            self.notes.append(str(error))
        self._failed_at_s = time.monotonic()
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        self._let_go()
