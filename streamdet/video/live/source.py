"""A live source: connects, gives out frames, tells stalls and failures apart, and connects anew until it is stopped."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import replace

from streamdet.options import LiveOptions
from streamdet.types import Frame
from streamdet.video.base import SourceInfo
from streamdet.video.live.backoff import Backoff
from streamdet.video.live.connection import Connection, Description, Step
from streamdet.video.live.failures import Kind, SourceGoneError, failure, stalled, unexpected
from streamdet.video.live.knocking import KNOCK_EVERY_S, door_of, opens
from streamdet.video.live.opening import Connect, connect
from streamdet.video.live.reading import End, Inbox, Message, Reader
from streamdet.video.live.session import Session
from streamdet.video.live.stalls import NO_PACKETS, StallWatch, fingerprint
from streamdet.video.live.status import LiveCounts, SourceState, SourceStatus
from streamdet.video.location import Location

LOOK_S = 0.25
"""How often a silent connection is looked at."""
PROBE_GRACE_S = 3.0
"""What finding out the reason of a failure may take beyond the open timeout."""


class LiveSource:
    """A camera or stream as an endless source of frames.

    `frames()` runs in one thread; everything else may be used from any other.
    """

    def __init__(
        self, location: Location, options: LiveOptions, *, name: str | None = None, connect: Connect = connect
    ) -> None:
        """Opens nothing yet.

        Args:
            location: where the source is.
            options: how to read it.
            name: printable name for `Frame.stream`; None: the location's.
            connect: opens a connection; another one is for tests.
        """
        self.name = name or location.name
        self.counts = LiveCounts()
        self._location = location
        self._options = options
        self._connect = connect
        self._info: SourceInfo | None = None
        self._status = SourceStatus(SourceState.CONNECTING, time.monotonic())
        self._stopping = False
        self._inbox: Inbox = queue.SimpleQueue()
        self._backoff = Backoff(options.backoff_first_s, options.backoff_most_s, options.settled_after_s)
        self._watch = StallWatch(options)
        self._last_arrival_s: float | None = None
        self._patient = False

    @property
    def info(self) -> SourceInfo | None:
        """What the present or last connection is; None before the first picture. Sizes may change."""
        return self._info

    @property
    def status(self) -> SourceStatus:
        """What the source is doing now."""
        return self._status

    @property
    def patient(self) -> bool:
        """True once it is known that reading slowly misses nothing: a video file on a web server, a folder, a pipe."""
        return self._patient

    def stop(self) -> None:
        """End `frames()` within about a second, whatever it waits for. From any thread or signal handler."""
        self._stopping = True
        self._inbox.put(None)

    def frames(self) -> Iterator[Frame]:
        """The frames as they come, over all connections, until `stop()` or the end of a finite source."""
        try:
            while not self._stopping:
                try:
                    gone = yield from self._connection()
                except Exception as error:  # told, and asked to be reported; the other cameras must not end for it
                    gone = self._failed(unexpected(self._location, error))
                if gone is None:
                    return
                self._wait(gone)
        finally:
            if self._status.state is not SourceState.ENDED:
                self._set(SourceState.STOPPED)

    def _connection(self) -> Generator[Frame, None, SourceGoneError | None]:
        """Connect and give out frames; why another attempt is needed, None when none is."""
        self.counts.attempts += 1
        self._set(SourceState.CONNECTING, self._status)
        reader = Reader(self.counts.attempts, self._open, self._inbox)
        try:
            found = self._opened()
            if isinstance(found, Description):
                return (yield from self._read(reader, found))
            return found
        finally:
            reader.give_up()

    def _open(self, given_up: threading.Event) -> Connection:
        return self._connect(self._location, self._options, given_up)

    def _opened(self) -> Description | SourceGoneError | None:
        """Wait until the connection is open; the reason when it doesn't come about, None when stopped."""
        # FFmpeg counts opening and looking at the streams as two
        limit_s = 2 * self._options.open_timeout_s + PROBE_GRACE_S
        deadline_s = time.monotonic() + limit_s
        while not self._stopping:
            content = self._next(LOOK_S)
            if isinstance(content, Description):
                return content
            if isinstance(content, End):
                return self._failed(self._reason(content))
            if time.monotonic() > deadline_s and self._location.kind not in ("pipe", "stdin"):
                return self._failed(failure(self._location, Kind.TIMEOUT, timeout_s=limit_s))
        return None

    def _read(self, reader: Reader, about: Description) -> Generator[Frame, None, SourceGoneError | None]:
        # who writes into a pipe waits for us: where every frame is wanted, none need be lost
        waits_for_us = self._options.every_frame and self._location.kind in ("pipe", "stdin")
        self._patient = about.patient or waits_for_us
        if about.finite and self.counts.sessions:
            # a live playlist that was closed meanwhile would be shown again from its beginning
            self._set(SourceState.ENDED)
            return None
        session = Session(self.counts.sessions, self.name, about)
        self._watch.connected(time.monotonic())
        while not self._stopping:
            content = self._next(LOOK_S)
            if isinstance(content, Step):
                reader.taken()
                yield from self._frames(content, session)
            elif isinstance(content, End):
                gone = None if about.finite and content.error is None else self._failed(self._reason(content))
                return self._over(gone, about)
            if (gone := self._stall(about, waiting=content is None)) is not None:
                return self._over(gone, about)
        return None

    def _frames(self, step: Step, session: Session) -> Iterator[Frame]:
        counts, info = self.counts, session.info
        counts.packets += step.size > 0
        counts.bytes += step.size
        counts.lost += step.lost
        pixels = info.width * info.height if info is not None else 0
        if step.size:
            self._watch.packet(step.arrival_s, step.pts, step.size, step.is_key, pixels)
        for taken in step.pictures:
            self._watch.picture(step.arrival_s, fingerprint(taken.picture), taken.damaged)
            if not taken.damaged:
                self._backoff.good(step.arrival_s)
            frame = session.frame(taken, counts.decoded)
            self._info = session.info
            if info is None:
                info = self._info
                counts.sessions += 1
                if self._last_arrival_s is not None:
                    counts.outages.record(frame.arrival_s - self._last_arrival_s)
                self._set(SourceState.LIVE)
            self._last_arrival_s = frame.arrival_s
            counts.decoded += 1
            counts.damaged += frame.damaged
            yield frame

    # What goes wrong.

    def _stall(self, about: Description, *, waiting: bool) -> SourceGoneError | None:
        """Look for a stall; the reason to connect anew, None to go on."""
        if self._location.kind == "folder":
            return None  # nobody knows when the next image comes
        stall = self._watch.look(time.monotonic())
        if stall is None or (stall.kind == NO_PACKETS and not waiting):
            if self._status.problem and self._status.state is SourceState.LIVE:
                self._status = replace(self._status, problem="", kind="")
            return None
        gone = stalled(self._location, stall)
        if stall.is_new:
            self.counts.stalls[stall.kind] = self.counts.stalls.get(stall.kind, 0) + 1
        self._status = replace(self._status, problem=str(gone), kind=stall.kind)
        # opening a pipe anew brings nothing back, and a file that shows one picture for long is no fault
        hopeless = self._location.kind in ("pipe", "stdin") or (about.finite and stall.kind != NO_PACKETS)
        if not stall.reconnect or hopeless:
            return None
        self._watch.reconnecting(stall.kind)
        return gone

    def _reason(self, end: End) -> SourceGoneError:
        if end.error is None:
            return failure(self._location, Kind.CLOSED)
        return end.error if isinstance(end.error, SourceGoneError) else unexpected(self._location, end.error)

    def _failed(self, gone: SourceGoneError) -> SourceGoneError:
        self.counts.failures[gone.kind] = self.counts.failures.get(gone.kind, 0) + 1
        return gone

    def _over(self, gone: SourceGoneError | None, about: Description) -> SourceGoneError | None:
        """What follows on the end of a connection: another one, or for a finite source nothing."""
        if not about.finite:
            return gone
        self._set(SourceState.ENDED, gone)  # with a reason it ended before its end
        return None

    def _wait(self, gone: SourceGoneError) -> None:
        """Sleep until the next attempt, until a port that was closed opens, or until `stop`."""
        wait_s = self._backoff.failed()
        deadline_s = time.monotonic() + wait_s
        self._set(SourceState.WAITING, gone, retry_at_s=deadline_s)
        door = door_of(self._location, gone.kind)
        while not self._stopping and (left_s := deadline_s - time.monotonic()) > 0:
            self._next(left_s if door is None else min(left_s, KNOCK_EVERY_S))
            if door is not None and not self._stopping and opens(door):
                return

    # Small things.

    def _next(self, timeout_s: float) -> Description | Step | End | None:
        """What the present reader says next; None when it says nothing, or something else woke us."""
        try:
            message: Message | None = self._inbox.get(timeout=timeout_s)
        except queue.Empty:
            return None
        # a reader that was given up may still have a last word in the inbox
        return message.content if message is not None and message.reader == self.counts.attempts else None

    def _set(
        self,
        state: SourceState,
        why: SourceGoneError | SourceStatus | None = None,
        *,
        retry_at_s: float | None = None,
    ) -> None:
        problem, kind = "", ""
        if isinstance(why, SourceGoneError):
            problem, kind = str(why), why.kind
        elif why is not None:
            problem, kind = why.problem, why.kind
        self._status = SourceStatus(state, time.monotonic(), problem, str(kind), retry_at_s)
