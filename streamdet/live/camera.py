"""One camera in a live run: its reader and its writer thread, its outputs and its account."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Protocol

from streamdet.channel import ChannelClosedError, Exchange, Lane
from streamdet.errors import OutputError
from streamdet.live.report import CameraReport, LiveInput
from streamdet.live.selection import Selection
from streamdet.options import LiveOptions
from streamdet.pipeline import Step
from streamdet.scene import Happening
from streamdet.types import DetectedFrame, Detections, Frame
from streamdet.video.live.status import LOST, OUTPUT_FAILED, SourceState, SourceStatus

LANE_BYTES = 256 << 20
"""Most bytes of pictures that wait in one lane."""
OUTPUT_FRAMES = 30
"""Most detected frames of a camera that wait to be written."""
PATIENT_FRAMES = 8
"""With so many waiting there, a source that can wait is read no further: the detector must not wait for its output."""
GONE_EVERY_S = 1.0
"""The outputs of a camera that is gone are told so this often."""

NEWER, TOO_OLD, QUEUE_FULL, STOPPED = "a newer one came", "too old", "queue full", "run stopped"
BEHIND = "output behind"


class LiveSink(Protocol):
    """Where a camera's detected frames go."""

    notes: list[str]
    refusal: str
    """Why `write` said False the last time, in a few words."""
    lost: int
    """Frames that `write` took and that got no further."""

    def write(self, detected: DetectedFrame) -> bool:
        """Take the next frame; False when it was left out (no room, nobody listening)."""

    def gone(self, status: SourceStatus, now_s: float) -> None:
        """The camera gives no frames; `now_s`: monotonic clock."""

    def finish(self, *, complete: bool) -> None:
        """End cleanly."""

    def close(self) -> None:
        """Stop without finishing; what was written stays usable."""


class LiveSourceLike(LiveInput, Protocol):
    """A live source as its reader thread sees it."""

    def frames(self) -> Iterator[Frame]:
        """Every decoded frame, over all connections, until `stop`."""

    def stop(self) -> None:
        """End soon, from any thread."""

    @property
    def patient(self) -> bool:
        """Reading slowly misses nothing: its frames wait, and have no age."""


class Notes:
    """Carries what outputs say into a report as soon as they say it: a run may go on for weeks."""

    def __init__(self, into: list[str]) -> None:
        self._into = into
        self._taken: dict[LiveSink, int] = {}

    def take(self, sinks: Sequence[LiveSink]) -> None:
        """Add what `sinks` have said since the last time."""
        for sink in sinks:
            new = sink.notes[self._taken.get(sink, 0) :]
            self._taken[sink] = self._taken.get(sink, 0) + len(new)
            self._into += new


class LiveCamera:
    """One camera in a run: its source, what counts of its detections, its outputs and its account."""

    def __init__(
        self,
        source: LiveSourceLike,
        selection: Selection,
        sinks: Sequence[LiveSink],
        options: LiveOptions,
        *,
        every: int = 1,
        viewers: Sequence[LiveSink] = (),
        analyse: Sequence[Step] = (),
        finish: Sequence[Step] = (),
    ) -> None:
        """Nothing is read yet.

        Args:
            source: the camera.
            selection: what counts of the detections.
            sinks: the recording or the pushed stream.
            options: how it is read.
            every: take every so many frames.
            viewers: outputs that keep no recording: what they take doesn't count as written.
            analyse: what is made of each detected frame, in the detect thread.
            finish: the same for the frames that get to the outputs, in the writer thread.
        """
        self.source = source
        self.selection = selection
        self.options = options
        self.every = every
        self.report = CameraReport(source, written=0 if sinks else None)
        self.outbox: Exchange[DetectedFrame] = Exchange()
        self._analyse, self._finish = analyse, finish
        self._missed: list[Happening] = []
        self._sinks = list(sinks)
        self._viewers = list(viewers)
        self._has_outputs = bool(sinks or viewers)
        self._notes = Notes(self.report.notes)
        self._lock = threading.Lock()
        self._out = self.outbox.lane(OUTPUT_FRAMES, LANE_BYTES, _detected_bytes, waits=lambda: source.patient)

    def drop(self, reason: str, frames: int = 1) -> None:
        """Count frames that were given up; from any thread."""
        if frames:
            with self._lock:
                self.report.dropped[reason] += frames

    def read(self, lane: Lane[tuple[LiveCamera, Frame]]) -> None:
        """The reader thread: hand over every so many frames of the source."""
        reason = QUEUE_FULL if self.options.every_frame else NEWER
        try:
            with closing(self.source.frames()) as frames:  # type: ignore[type-var]  # a generator
                for number, frame in enumerate(frames):
                    if number % self.every:
                        self.report.skipped += 1
                        continue
                    if self.source.patient:
                        self._out.wait_below(PATIENT_FRAMES)
                    try:
                        self.drop(reason, len(lane.put((self, frame))))
                    except ChannelClosedError:
                        self.drop(STOPPED)
        finally:
            lane.end()

    def analysed(self, frame: Frame, detections: Detections) -> DetectedFrame:
        """What is made of a frame and what the detector found in it; in the detect thread."""
        size_wh = frame.width, frame.height
        detected = DetectedFrame(
            frame, self.selection(detections, *size_wh), outside=self.selection.outside(detections, *size_wh)
        )
        for step in self._analyse:
            detected = step(detected)
        return detected

    def take_over(self, detected: DetectedFrame, detected_at_s: float) -> None:
        """Count a detected frame and hand it to the writer thread."""
        self.report.detected += 1
        self.report.age_detected.record(max(0.0, detected_at_s - detected.frame.arrival_s))
        if self._has_outputs:
            try:
                passed_over = self._out.put(detected)
                self._leave_out(BEHIND, len(passed_over))
                self._miss(passed_over)
            except ChannelClosedError:
                self._leave_out(OUTPUT_FAILED)

    def end_output(self) -> None:
        """Nothing more will be handed to the writer thread."""
        self._out.end()

    def write(self, is_complete: Callable[[], bool]) -> None:
        """The writer thread: all outputs of this camera, one frame after the other, to their end."""
        last_told_s = 0.0
        try:
            while True:
                taken = self.outbox.take(1, GONE_EVERY_S)
                for _, detected in taken:
                    self._write(detected)
                now_s = time.monotonic()
                status = self.source.status
                if taken or status.state is SourceState.LIVE:
                    last_told_s = now_s
                elif now_s - last_told_s >= GONE_EVERY_S:
                    last_told_s = now_s
                    self._tell_gone(status)
                self._notes.take((*self._sinks, *self._viewers))
                if not taken and self.outbox.over:
                    break
            for sink in (*self._sinks, *self._viewers):
                self._ask(sink, lambda sink: sink.finish(complete=is_complete()))
            self._take_back(sum(sink.lost for sink in self._sinks))
        finally:
            self._leave_out(OUTPUT_FAILED, len(self._out.give_up()))  # nothing, but after an error that nobody expected
            for sink in (*self._sinks, *self._viewers):
                sink.close()
            self._notes.take((*self._sinks, *self._viewers))

    def _miss(self, passed_over: Sequence[DetectedFrame]) -> None:
        """What happened in frames that no output gets is told with the next one: an event must not get lost."""
        happenings = [each for frame in passed_over if frame.scene is not None for each in frame.scene.happenings]
        if happenings:
            with self._lock:
                self._missed += happenings

    def _with_missed(self, detected: DetectedFrame) -> DetectedFrame:
        with self._lock:
            missed, self._missed = self._missed, []
        if not missed or detected.scene is None:
            return detected
        return replace(detected, scene=replace(detected.scene, happenings=(*missed, *detected.scene.happenings)))

    def _write(self, detected: DetectedFrame) -> None:
        detected = self._with_missed(detected)
        for step in self._finish:
            detected = step(detected)
        for viewer in list(self._viewers):
            self._ask(viewer, lambda sink: sink.write(detected))
        if self.report.written is None:
            return
        took = [self._ask(sink, lambda sink: sink.write(detected)) for sink in list(self._sinks)]
        if any(took):
            self.report.written += 1
            self.report.age_written.record(max(0.0, time.monotonic() - detected.frame.arrival_s))
        else:
            self._leave_out(self._sinks[0].refusal if self._sinks else OUTPUT_FAILED)

    def _take_back(self, lost: int) -> None:
        if self.report.written is not None:
            lost = min(lost, self.report.written)
            self.report.written -= lost
            self._leave_out(LOST, lost)

    def _leave_out(self, reason: str, frames: int = 1) -> None:
        if frames and self.report.written is not None:
            with self._lock:
                self.report.unwritten[reason] += frames

    def _tell_gone(self, status: SourceStatus) -> None:
        for sink in (*self._sinks, *self._viewers):
            self._ask(sink, lambda sink: sink.gone(status, time.monotonic()))

    def _ask(self, sink: LiveSink, ask: Callable[[LiveSink], bool | None]) -> bool | None:
        """Ask one output; one that fails is closed and noted, the others go on."""
        try:
            return ask(sink)
        except OutputError as error:
            self.report.notes.append(f"stopped writing: {error}")
            for sinks in (self._sinks, self._viewers):
                if sink in sinks:
                    sinks.remove(sink)
            sink.close()
            self._notes.take([sink])
            return False


def _detected_bytes(detected: DetectedFrame) -> int:
    return detected.frame.nbytes
