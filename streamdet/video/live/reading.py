"""Opens and reads one connection in a thread of its own, so that nothing in it can hold up the supervisor."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from streamdet.video.live.connection import Connection, Description, Step
from streamdet.video.live.failures import SourceGoneError

STEPS_AHEAD = 8
"""Most steps that wait to be taken: then the reader waits, and the source with it."""
LOOK_S = 0.2
JOIN_S = 0.5


class End(NamedTuple):
    """The connection is closed; `error` says why, None at the end of the stream."""

    error: BaseException | None


class Message(NamedTuple):
    """What a reader says."""

    reader: int
    """Its number: one that was given up may still have something to say."""
    content: Description | Step | End


Inbox: TypeAlias = "queue.SimpleQueue[Message | None]"
"""None only wakes. SimpleQueue, since a signal handler may put something in at any moment."""


class Reader:
    """A thread that opens a connection and puts what it reads into an inbox.

    FFmpeg can't be interrupted from outside: a silent camera holds a reading thread until its timeout, the name of a
    host that nobody knows for longer. So a reader is given up rather than waited for. It then says nothing more, and
    closes its connection and ends as soon as FFmpeg lets go of it.
    """

    def __init__(self, number: int, open_connection: Callable[[threading.Event], Connection], inbox: Inbox) -> None:
        """Start reading.

        Args:
            number: told in each message.
            open_connection: opens the connection; gets the event that tells that the reader was given up.
            inbox: receives one Description, then Steps, at last an End.
        """
        self._number = number
        self._open = open_connection
        self._inbox = inbox
        self._given_up = threading.Event()
        self._room = threading.Semaphore(STEPS_AHEAD)
        self._thread = threading.Thread(target=self._run, name=f"streamdet-reader-{number}", daemon=True)
        self._thread.start()

    def taken(self) -> None:
        """A step was taken out of the inbox."""
        self._room.release()

    def give_up(self) -> None:
        """Let the thread end; waits a moment for it."""
        self._given_up.set()
        self._thread.join(JOIN_S)

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            self._read()
        except SourceGoneError as gone:
            error = gone
        except BaseException as unexpected:
            error = unexpected
        self._say(End(error))

    def _read(self) -> None:
        connection = self._open(self._given_up)
        try:
            self._say(connection.description)
            for step in connection.steps():
                while not self._room.acquire(timeout=LOOK_S):
                    if self._given_up.is_set():
                        return
                if self._given_up.is_set():
                    return
                self._say(step)
        finally:
            connection.close()

    def _say(self, content: Description | Step | End) -> None:
        if not self._given_up.is_set():
            self._inbox.put(Message(self._number, content))
