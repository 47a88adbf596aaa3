"""Carries the journal to one receiver: one message after the other, each until the receiver has taken it."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from streamdet.events.cursor import Cursor, Entry
from streamdet.events.journal import Journal
from streamdet.video.live.backoff import Backoff
from streamdet.video.redaction import redact

TRIES_OF_A_REFUSED = 5
"""A message that the receiver itself calls wrong is set aside after so many tries: it must not stop all others."""
LOOK_S = 1.0
MOST_NOTES = 50


class NotDeliveredError(Exception):
    """The receiver has not taken a message; its text says why, in one clause, without passwords."""

    def __init__(
        self, why: str, *, refused: bool = False, wait_s: float | None = None, has_waited: bool = False
    ) -> None:
        """Say why.

        Args:
            why: one clause that follows on the receiver's name.
            refused: the receiver calls the message itself wrong.
            wait_s: it asks to be left alone for so many seconds.
            has_waited: there was a pause already: the next try may follow at once.
        """
        super().__init__(why)
        self.refused = refused
        self.wait_s = wait_s
        self.has_waited = has_waited


class Receiver(Protocol):
    """Where messages go."""

    name: str
    """As in the file of rules, such as "home"."""
    shown: str
    """What it is and where, without any secret: `webhook home (https://example.org)`."""

    def open(self) -> None:
        """Get ready; must not fail."""

    def deliver(self, entry: Entry, stopping: threading.Event) -> None:
        """Return when the receiver has it for certain; give up when `stopping` is set. Raises NotDeliveredError."""

    def close(self) -> None:
        """Let the connection go."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Pauses after a failure: they double from the first to the longest, and are longer or shorter by chance."""

    first_s: float = 0.5
    most_s: float = 60.0


class Courier:
    """A thread that brings every message of the journal to one receiver, in the journal's order, at least once.

    Attributes:
        delivered: messages that the receiver has taken, in this run.
        set_aside: messages that it called wrong again and again.
        notes: what a user should know, a sentence each.
    """

    def __init__(self, journal: Journal, folder: Path, receiver: Receiver, retry: Retry | None = None) -> None:
        """Start. `folder`: where its place in the journal is remembered. Raises OutputError."""
        self.delivered = self.set_aside = 0
        self.notes: list[str] = []
        self.receiver = receiver
        retry = retry or Retry()
        self._journal = journal
        self._most_s = retry.most_s
        self._backoff = Backoff(retry.first_s, retry.most_s, settled_after_s=0.0)
        self._aside = folder / f"refused-{receiver.name}.jsonl"
        self._cursor = Cursor(journal, folder / f"delivered-{receiver.name}.txt")
        self._stopping = threading.Event()
        self._draining = self._is_closed = False
        self._problem = ""
        self._thread = threading.Thread(target=self._run, name=f"streamdet-courier-{receiver.name}")
        self._thread.start()

    @property
    def is_behind(self) -> bool:
        """Messages are waiting."""
        return self._cursor.place < self._journal.end

    @property
    def cursor(self) -> Cursor:
        """Where it is in the journal."""
        return self._cursor

    def drain(self) -> None:
        """Nothing more will come: end when everything is delivered."""
        with self._journal.changed:
            self._draining = True
            self._journal.changed.notify_all()

    def stop(self) -> None:
        """End soon; what is not delivered goes out with the next run."""
        self._stopping.set()
        with self._journal.changed:
            self._journal.changed.notify_all()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for its end; True when it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Stop and let go of everything; may be called twice."""
        self.stop()
        self.join()
        if self._is_closed:
            return
        self._is_closed = True
        if self.is_behind:
            why = f" ({self._problem})" if self._problem else ""
            self.notes.append(f"{self.receiver.shown} has not got all events yet{why}: they go out with the next run")
        self._cursor.close()

    def _run(self) -> None:
        self.receiver.open()
        try:
            while not self._stopping.is_set():
                try:
                    entry = self._cursor.next()
                except OSError:  # what is on the disk can't be read for now
                    self._stopping.wait(LOOK_S)
                    continue
                if entry is not None:
                    self._carry(entry)
                elif self._draining:
                    break
                else:
                    with self._journal.changed:
                        if not (self.is_behind or self._draining or self._stopping.is_set()):
                            self._journal.changed.wait(LOOK_S)
        finally:
            self.receiver.close()

    def _carry(self, entry: Entry) -> None:
        """Bring one message, however long it takes."""
        wanted = entry.fields.get("send")
        if wanted is not None and self.receiver.name not in wanted:
            self._cursor.done(entry)
            return
        refusals = 0
        while not self._stopping.is_set():
            try:
                self.receiver.deliver(entry, self._stopping)
            except NotDeliveredError as error:
                if self._stopping.is_set():
                    return
                refusals += error.refused
                if refusals >= TRIES_OF_A_REFUSED:
                    self._put_aside(entry, str(error))
                    return
                self._failed(error)
            except Exception as error:  # nobody expected it: no event may be lost for it, and no other wait for ever
                self._failed(NotDeliveredError(f"fails in a way that nobody expected ({type(error).__name__})"))
            else:
                self.delivered += 1
                self._cursor.done(entry)
                self._worked()
                return

    def _failed(self, error: NotDeliveredError) -> None:
        if not self._problem:
            self._note(f"{redact(str(error))}: its events wait")
        self._problem = redact(str(error))
        if error.has_waited:
            return
        wait_s = self._backoff.failed()
        if error.wait_s is not None:
            wait_s = max(wait_s, min(error.wait_s, self._most_s))
        self._stopping.wait(wait_s)

    def _worked(self) -> None:
        now_s = time.monotonic()
        self._backoff.good(now_s)
        self._backoff.good(now_s)  # one message taken is proof enough
        if self._problem:
            self._problem = ""
            self._note("takes events again")

    def _note(self, what: str) -> None:
        """Keep it; a run of weeks must not fill the memory with them."""
        if len(self.notes) < MOST_NOTES:
            self.notes.append(f"{self.receiver.shown} {what}")
        elif len(self.notes) == MOST_NOTES:
            self.notes.append(f"{self.receiver.shown} came and went more often than is noted here")

    def _put_aside(self, entry: Entry, why: str) -> None:
        record = {"why": redact(why), "message": entry.fields}
        try:
            with self._aside.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
        except OSError:
            self._stopping.wait(LOOK_S)  # tried once more, then
            return
        if not self.set_aside:
            self._note(f"{redact(why)}: what it refuses is kept in {self._aside}")
        self.set_aside += 1
        self._cursor.done(entry)
