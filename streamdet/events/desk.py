"""Where all events of a run come together: the journal, and a courier for each receiver."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from streamdet.errors import OutputError, UsageError
from streamdet.events.courier import Courier, Receiver, Retry
from streamdet.events.engine import EventEngine
from streamdet.events.event import Event
from streamdet.events.housekeeping import Housekeeping
from streamdet.events.journal import Journal
from streamdet.events.mqtt import Mqtt, MqttOptions
from streamdet.events.rules import Rule
from streamdet.events.webhook import Webhook, WebhookOptions

DRAIN_S = 10.0
"""At the end of a run receivers get so much time for what is waiting; the rest goes out with the next run."""


@dataclass(frozen=True, slots=True)
class EventOptions:
    """The content of an events file."""

    rules: tuple[Rule, ...]
    folder: Path
    """Of the journal, the snapshots and the clips."""
    webhooks: tuple[WebhookOptions, ...] = ()
    mqtts: tuple[MqttOptions, ...] = ()
    keep_s: float | None = None
    """Snapshots and clips that are older are deleted, and of the journal what everybody has got; None: never."""
    max_bytes: int | None = None
    """The oldest snapshots and clips are deleted above this; None: no limit."""
    retry: Retry = field(default_factory=Retry)


class EventDesk:
    """One per run; its methods may be called from the threads of several cameras.

    Attributes:
        told: events of this run that are in the journal.
        couriers: one for each receiver.
    """

    def __init__(self, options: EventOptions) -> None:
        """Make the folder, open the journal and start the couriers: what waits from an earlier run goes out at once.

        Raises:
            UsageError: another run uses the folder, or an address of a receiver is wrong.
            OutputError: the folder can't be written.
        """
        self.options = options
        self.told = 0
        self.couriers: list[Courier] = []
        self._notes: list[str] = []
        self._given: dict[int, int] = {}
        self._was_refused = False
        self._turns: dict[str, threading.Lock] = {}
        self._turns_lock = threading.Lock()
        self._housekeeping = Housekeeping(options.folder, options.keep_s, options.max_bytes)
        self._mqtts = [Mqtt(each, options.folder, options.retry) for each in options.mqtts]
        receivers: list[Receiver] = [*map(Webhook, options.webhooks), *self._mqtts]
        try:
            options.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise OutputError(f"cannot make the folder of events {options.folder}: {why}; choose another") from error
        self._lock = FileLock(options.folder / ".lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(
                f"another run of streamdet writes events into {options.folder}; give this one a folder of its own"
            ) from None
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise OutputError(f"cannot write into {options.folder}: {why}; choose another folder") from error
        try:
            self.journal = Journal(options.folder)
            for receiver in receivers:
                self.couriers.append(Courier(self.journal, options.folder, receiver, options.retry))
        except BaseException:
            self.close()
            raise

    def engine(self, source: str, *, again: bool = False) -> EventEngine:
        """Watches over one source. `again`: its frames begin anew, as a stopped run of a file goes on."""
        engine = EventEngine(self.options.rules, source, self.journal.begin(source, again=again))
        for mqtt in self._mqtts:
            mqtt.announce(source, engine.rules)
        return engine

    def turn(self, source: str) -> AbstractContextManager[object]:
        """To be held while events of `source` are made and told: two cameras of one name must not both call one 17.

        A camera that was changed runs beside its successor for a moment.
        """
        with self._turns_lock:
            return self._turns.setdefault(source, threading.Lock())

    def knows(self, event: Event) -> bool:
        """Whether it is in the journal already, from before a run was stopped."""
        return event.number <= self.journal.last_number(event.source)

    def tell(self, events: Iterable[Event]) -> None:
        """Put events into the journal; their receivers get them from there."""
        messages = [event.to_dict() for event in events]
        if messages:
            self.told += len(messages)
            self.write(messages)

    def write(self, messages: Sequence[dict[str, object]]) -> None:
        """Put messages into the journal."""
        places = (self.journal.end, *(courier.cursor.place for courier in self.couriers))
        self._housekeeping.sweep(min(place.file for place in places))
        if self.journal.append(messages):
            if self._was_refused:
                self._was_refused = False
                self._notes.append(f"events are written to {self.options.folder} again")
        elif not self._was_refused:
            self._was_refused = True
            self._notes.append(f"{self.options.folder} can't be written: events wait in memory; make room on its disk")

    def news(self) -> list[str]:
        """What the user should know, and was not told before."""
        new, self._notes = self._notes, []
        for place, courier in enumerate(self.couriers):
            given = self._given.get(place, 0)
            told = courier.notes[given:]
            self._given[place] = given + len(told)
            new += told
        return new

    def finish(self, wait_s: float = DRAIN_S) -> None:
        """Give receivers some time for what is waiting, and close. Raises OutputError when events found no disk."""
        for courier in self.couriers:
            courier.drain()
        deadline_s = time.monotonic() + wait_s
        for courier in self.couriers:
            courier.join(max(0.0, deadline_s - time.monotonic()))
        self.close()
        if self.journal.waiting or self.journal.lost:
            lost = self.journal.waiting + self.journal.lost
            raise OutputError(f"{lost} events could not be written to {self.options.folder}: make room on its disk")

    def close(self) -> None:
        """Stop at once; what is in the journal and not delivered goes out with the next run. May be called twice."""
        for courier in self.couriers:
            courier.stop()
        for courier in self.couriers:
            courier.close()
        if hasattr(self, "journal"):
            self.journal.close()
        self._lock.release()
