"""The other end of `push_process`: starts it, feeds it, and kills it when it is stuck."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from typing import IO, Any

import av
import numpy.typing as npt

from streamdet.errors import OutputError
from streamdet.video.live.push_process import HEADER, OPEN, PushRequest

_LOOK_EVERY_S = 0.2
_END_S = 3.0
"""Time to say goodbye to the receiver."""
_MOST_WORDS = 2000


class PushProcess:
    """One connection to a receiver."""

    def __init__(self, request: PushRequest, *, open_timeout_s: float, is_over: Callable[[], bool]) -> None:
        """Start the process and wait until the receiver has agreed.

        Args:
            request: what to push where.
            open_timeout_s: the most to wait for the receiver.
            is_over: asked while waiting; True gives up.

        Raises:
            OutputError: the receiver can't be reached, refuses, or doesn't answer in time. The words may hold secrets.
        """
        self._is_over = is_over
        self._process = subprocess.Popen(
            [sys.executable, "-m", "streamdet.video.live.push_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is for the run: it ends its connections itself
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._input, False)
        os.set_blocking(self._output, False)
        self._words = b""
        try:
            self._feed(request.to_line(), open_timeout_s)
            self._await_open(open_timeout_s)
        except BaseException:
            self.kill()
            raise

    def send(self, picture: av.VideoFrame, pts: int, *, is_key: bool, timeout_s: float) -> None:
        """Send one picture of the size that was asked for, yuv420p.

        Raises:
            OutputError: the receiver went away, or took nothing for `timeout_s`. The words may hold secrets.
        """
        self._feed(HEADER.pack(pts, is_key), timeout_s)
        pixels: npt.NDArray[Any] = picture.to_ndarray()
        self._feed(pixels.data, timeout_s)

    def end(self) -> None:
        """Let the receiver have what was sent, then close the connection."""
        with contextlib.suppress(OSError):
            self._pipes()[0].close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        self.kill()

    def kill(self) -> None:
        """Drop the connection; may be called twice."""
        self._process.kill()
        self._process.wait()
        for pipe in self._pipes():
            with contextlib.suppress(OSError):
                pipe.close()

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout

    def _feed(self, content: bytes | memoryview, timeout_s: float) -> None:
        left = memoryview(content).cast("B")
        deadline_s = time.monotonic() + timeout_s
        while left:
            _, ready, _ = select.select([], [self._input], [], _LOOK_EVERY_S)
            try:
                sent = os.write(self._input, left) if ready else 0
            except BlockingIOError:
                sent = 0
            except BrokenPipeError:
                raise self._failure("the receiver closed the connection") from None
            left = left[sent:]
            if sent:
                deadline_s = time.monotonic() + timeout_s
            elif time.monotonic() > deadline_s:
                raise OutputError(f"the receiver took nothing for {timeout_s:g} s")
            elif self._is_over():
                raise OutputError("the run ended")

    def _await_open(self, timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not self._words.startswith(OPEN):
            if not self._listen(_LOOK_EVERY_S):
                raise self._failure("the connection failed")
            if time.monotonic() > deadline_s:
                raise OutputError(f"the receiver did not answer within {timeout_s:g} s")
            if self._is_over():
                raise OutputError("the run ended")

    def _listen(self, wait_s: float) -> bool:
        """Take in what the process says; False when it has ended."""
        ready, _, _ = select.select([self._output], [], [], wait_s)
        if not ready:
            return True
        words = os.read(self._output, _MOST_WORDS)
        self._words = (self._words + words)[-_MOST_WORDS:] if len(self._words) > len(OPEN) else self._words + words
        return bool(words)

    def _failure(self, otherwise: str) -> OutputError:
        """What the process said before it ended."""
        deadline_s = time.monotonic() + 1
        while time.monotonic() < deadline_s and self._listen(_LOOK_EVERY_S):
            pass
        with contextlib.suppress(ValueError, KeyError, TypeError, IndexError):
            return OutputError(str(json.loads(self._words.removeprefix(OPEN).splitlines()[0])["error"]).lower())
        return OutputError(otherwise)
