"""Runs a live source in a thread and waits for what it does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from streamdet.options import LiveOptions
from streamdet.types import Frame
from streamdet.video.live.source import LiveSource
from streamdet.video.live.status import SourceState
from streamdet.video.location import Location, parse_location

QUICK = LiveOptions(open_timeout_s=2, read_timeout_s=1, backoff_first_s=0.05, backoff_most_s=0.2)
"""A test need not wait for long."""
PATIENCE_S = 20.0


class Watched:
    """A live source whose frames are collected, as a context manager that stops it."""

    def __init__(self, where: str | Location, options: LiveOptions = QUICK, source: LiveSource | None = None) -> None:
        location = parse_location(where) if isinstance(where, str) else where
        self.source = source or LiveSource(location, options)
        self.frames: list[Frame] = []
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="watched")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.source.stop()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            for frame in self.source.frames():
                self.frames.append(frame)
        except BaseException as error:
            self.error = error

    def until(self, holds: Callable[[], object], within_s: float = PATIENCE_S) -> None:
        deadline_s = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < deadline_s, f"{self.source.status} {self.source.counts}"
            assert self.error is None, self.error
            time.sleep(0.01)

    def until_frames(self, count: int, session: int = 0) -> list[Frame]:
        """Wait for so many frames of a session."""
        self.until(lambda: sum(frame.session == session for frame in self.frames) >= count)
        return [frame for frame in self.frames if frame.session == session]

    def until_kind(self, kind: str) -> str:
        """Wait until a problem of this kind is shown; its sentence."""
        self.until(lambda: self.source.status.kind == kind)
        return self.source.status.problem

    def until_state(self, state: SourceState) -> None:
        self.until(lambda: self.source.status.state is state)
