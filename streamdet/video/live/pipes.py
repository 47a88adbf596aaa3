"""A FIFO, a device or standard input as a file that can be given up at any time."""

from __future__ import annotations

import os
import select
import threading
from pathlib import Path

LOOK_S = 0.2
"""How often a silent pipe is asked whether it was given up meanwhile."""


class PipeFile:
    """Has the part of a binary file that PyAV needs for reading.

    Opening a FIFO normally blocks until somebody writes into it, and reading until something was written; here
    neither does, so that `given_up` ends both.
    """

    name = "pipe"
    """PyAV puts it into its errors."""

    def __init__(self, path: Path | None, given_up: threading.Event) -> None:
        """Open `path`; None is standard input.

        Raises:
            OSError: it can't be opened.
        """
        self._given_up = given_up
        self._descriptor = 0 if path is None else os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._owned = path is not None

    def read(self, size: int) -> bytes:
        """What is there, at most `size` bytes, waiting for the first; nothing when all writers have closed it."""
        while not self._given_up.is_set():
            if select.select([self._descriptor], [], [], LOOK_S)[0]:
                try:
                    return os.read(self._descriptor, size)
                except BlockingIOError:
                    continue
        return b""

    def close(self) -> None:
        """Close what was opened; may be called twice."""
        if self._owned:
            self._owned = False
            os.close(self._descriptor)
