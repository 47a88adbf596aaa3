"""The events of one source as an output of its run: snapshots and clips are made, events go to the desk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from streamdet.events.desk import EventDesk
from streamdet.events.event import Event
from streamdet.events.rules import ClipSpan, Rule
from streamdet.events.snapshots import Snapshots
from streamdet.results.analysis import clock_s
from streamdet.types import DetectedFrame
from streamdet.video.live.status import SourceStatus

if TYPE_CHECKING:
    import av

MOST_NOTES = 100


class Clipper(Protocol):
    """Makes the clips of one source."""

    notes: list[str]

    def see(self, detected: DetectedFrame) -> None:
        """The next frame, whether or not there is an event."""

    def plan(self, event: Event, span: ClipSpan, at_s: float) -> str | None:
        """Have a clip made around `at_s`; its name in the folder of events, None when there can't be one."""

    def finished(self, now_s: float | None) -> list[dict[str, object]]:
        """Messages on the clips that were completed meanwhile; `now_s` None: the source is over, end them all."""


class EventRecorder:
    """Makes the events of one source; used by one thread.

    Attributes:
        notes: what a user should know, a sentence each.
    """

    def __init__(
        self,
        desk: EventDesk,
        source: str,
        draw: Callable[[DetectedFrame], av.VideoFrame],
        *,
        clipper: Clipper | None = None,
        again: bool = False,
    ) -> None:
        """Begin to watch.

        Args:
            desk: where the events go.
            source: printable name, as rules call it.
            draw: the picture of a snapshot, with its boxes.
            clipper: makes clips; None: none are made.
            again: a stopped run of a file goes on: its frames up to there come again through `replay`.
        """
        self.notes: list[str] = []
        self._desk = desk
        self._source = source
        self._again = again
        self._engine = desk.engine(source, again=again)
        self._rules = {rule.name: rule for rule in self._engine.rules}
        self._snapshots = Snapshots(desk.options.folder, source, draw)
        self._clipper = clipper

    def replay(self, detected: DetectedFrame) -> None:
        """A frame of the stopped run: what came of it was told then."""
        self._engine.update(detected)

    def update(self, detected: DetectedFrame) -> None:
        """Tell what comes of the next frame."""
        if self._clipper is not None:
            self._clipper.see(detected)
        with self._desk.turn(self._source):
            self._take_up_number()
            events = self._engine.update(detected)
            if events:
                self._desk.tell([self._illustrated(event, detected) for event in events])
        self._end_clips(clock_s(detected.frame))

    def gone(self, status: SourceStatus, now_s: float) -> None:
        """Tell what comes of the silence of a camera."""
        with self._desk.turn(self._source):
            self._take_up_number()
            self._desk.tell(self._engine.gone(status, now_s))
        self._end_clips(now_s)

    def end(self) -> None:
        """No more frames: what clips have is all that they get."""
        self._end_clips(None)
        self._take_notes()

    def _take_up_number(self) -> None:
        """Go on behind the events of another camera of this name; a stopped run counts anew what is there already."""
        if not self._again:
            self._engine.number = self._desk.journal.last_number(self._source)

    def _illustrated(self, event: Event, detected: DetectedFrame) -> Event:
        if self._desk.knows(event):
            return event
        rule: Rule = self._rules[event.rule]
        if rule.snapshot:
            event = replace(event, snapshot=self._snapshots.take(event, detected))
        if rule.clip is not None and self._clipper is not None:
            event = replace(event, clip=self._clipper.plan(event, rule.clip, clock_s(detected.frame)))
        self._take_notes()
        return event

    def _end_clips(self, now_s: float | None) -> None:
        if self._clipper is not None and (messages := self._clipper.finished(now_s)):
            self._desk.write(messages)
            self._take_notes()

    def _take_notes(self) -> None:
        for notes in (self._snapshots.notes, *([] if self._clipper is None else [self._clipper.notes])):
            self.notes += notes
            notes.clear()
        del self.notes[MOST_NOTES:]  # of a run of weeks


class EventSink:
    """Events of a file: a sink of `streamdet.pipeline`. To stand before the JSON lines: these must not say more."""

    def __init__(self, recorder: EventRecorder) -> None:
        """`recorder`: of this source."""
        self.recorder = recorder

    def write(self, detected: DetectedFrame) -> None:
        """See `pipeline.Sink`."""
        self.recorder.update(detected)

    def finish(self, *, complete: bool) -> None:
        """End clips."""
        self.recorder.end()

    def close(self) -> None:
        """What is in the journal stays there."""


class LiveEventSink:
    """Events of a camera: a sink of `streamdet.live`; as a viewer it does not count as a recording."""

    refusal = "events"
    lost = 0

    def __init__(self, recorder: EventRecorder) -> None:
        """`recorder`: of this camera."""
        self._recorder = recorder
        self.notes = recorder.notes

    def write(self, detected: DetectedFrame) -> bool:
        """See `LiveSink`."""
        self._recorder.update(detected)
        return True

    def gone(self, status: SourceStatus, now_s: float) -> None:
        """The camera gives no frames."""
        self._recorder.gone(status, now_s)

    def finish(self, *, complete: bool) -> None:
        """End clips."""
        self._recorder.end()

    def close(self) -> None:
        """What is in the journal stays there."""
