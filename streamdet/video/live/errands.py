"""Work that may take a while and nobody waits for, in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable


class Errands:
    """Runs what it is given, one after the other. What is run must not raise."""

    def __init__(self, name: str) -> None:
        """`name` of the thread, which begins with the first errand."""
        self._name = name
        self._waiting: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def run(self, errand: Callable[[], None]) -> None:
        """Have it done soon; returns at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name)
            self._thread.start()
        self._waiting.put(errand)

    def end(self) -> None:
        """Wait until everything is done, and end the thread; may be called twice."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        while (errand := self._waiting.get()) is not None:
            errand()
