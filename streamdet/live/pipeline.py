"""Many live sources through one detector, each with a reader and a writer thread of its own.

    reader of a camera -> its lane (newest frame) -> detect thread -> its lane (a few frames) -> writer of the camera

The detector takes what is ready, at most one frame of each camera at a time, so that a camera that is slow, dead or
fast changes nothing for the others. Every frame that a source gives out is detected, or dropped for a reason that is
counted; every detected frame is written, or left out for a reason that is counted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Protocol

from streamdet.channel import ChannelClosedError, Exchange, Lane
from streamdet.errors import OutputError, StreamdetError
from streamdet.live.report import CameraReport, LiveInput, LiveReport
from streamdet.live.selection import Selection
from streamdet.options import LiveOptions
from streamdet.pipeline import detect_batch
from streamdet.types import DetectedFrame, Frame
from streamdet.video.live.memory import give_back_free_memory
from streamdet.video.live.status import LOST, OUTPUT_FAILED, SourceState, SourceStatus

if TYPE_CHECKING:
    from streamdet.detection.detector import Detector

LANE_BYTES = 256 << 20
"""Most bytes of pictures that wait in one lane."""
OUTPUT_FRAMES = 30
"""Most detected frames of a camera that wait to be written."""
PATIENT_FRAMES = 8
"""With so many waiting there, a source that can wait is read no further: the detector must not wait for its output."""
TIDY_EVERY_S = 30.0
"""Free memory is given back to the system this often."""
GONE_EVERY_S = 1.0
"""The outputs of a camera that is gone are told so this often."""
MEMORY_OF_PACE = 0.8
"""Weight of the past in the moving average of the time that the detector takes."""

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
    ) -> None:
        """`sinks`: the recording or the pushed stream; `every`: take every so many frames.

        `viewers` show and keep nothing: what they take doesn't count as written.
        """
        self.source = source
        self.selection = selection
        self.options = options
        self.every = every
        self.report = CameraReport(source, written=0 if sinks else None)
        self.outbox: Exchange[DetectedFrame] = Exchange()
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

    def take_over(self, detected: DetectedFrame, detected_at_s: float) -> None:
        """Count a detected frame and hand it to the writer thread."""
        self.report.detected += 1
        self.report.age_detected.record(max(0.0, detected_at_s - detected.frame.arrival_s))
        if self._has_outputs:
            try:
                self._leave_out(BEHIND, len(self._out.put(detected)))
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
                elif now_s - last_told_s >= GONE_EVERY_S and self.report.detected:
                    last_told_s = now_s
                    self._tell_gone(status)
                self._notes.take(self._sinks)
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

    def _write(self, detected: DetectedFrame) -> None:
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


class LivePipeline:
    """One run over live sources."""

    def __init__(self, detector: Detector, report: LiveReport, journals: Sequence[LiveSink] = ()) -> None:
        """`journals`: outputs that all cameras share, such as JSON lines; written by the detect thread."""
        self._detector = detector
        self.report = report
        self._journals = list(journals)
        self._notes = Notes(report.notes)
        self._frames: Exchange[tuple[LiveCamera, Frame]] = Exchange()
        self._cameras: dict[LiveCamera, Lane[tuple[LiveCamera, Frame]]] = {}
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._stop_reason: str | None = None
        self._failure: BaseException | None = None
        self._pace_s = 0.0

    @property
    def cameras(self) -> list[LiveCamera]:
        """Those that are in the run now."""
        with self._lock:
            return list(self._cameras)

    @property
    def stop_reason(self) -> str | None:
        """What stopped the run; None if nothing did."""
        return self._stop_reason

    def stop(self, reason: str) -> None:
        """End soon and cleanly. Safe to call from a signal handler."""
        self._stop_reason = self._stop_reason or reason

    def fail(self, error: BaseException) -> None:
        """End the run with `error`, unless something failed before."""
        self._failure = self._failure or error

    def add(self, camera: LiveCamera) -> None:
        """Take a camera in and start it; also while the run goes on."""
        depth = camera.options.queue_frames if camera.options.every_frame else 1
        lane = self._frames.lane(depth, LANE_BYTES, _frame_bytes, waits=lambda: camera.source.patient)
        with self._lock:
            self._cameras[camera] = lane
            self.report.cameras.append(camera.report)
        self._start(lambda: camera.read(lane), f"streamdet-read {camera.source.name}")
        self._start(lambda: camera.write(self._ended_well), f"streamdet-write {camera.source.name}")

    def remove(self, camera: LiveCamera) -> None:
        """Let a camera go; its outputs are finished, its account stays in the report."""
        camera.source.stop()

    def run(self, tick: Callable[[], None], tick_s: float = 0.2) -> None:
        """Run until `stop`, or until every source has ended; calls `tick` from the caller's thread.

        Raises the first error, after the outputs were ended. Call `report.conclude` afterwards.
        """
        started = time.perf_counter()
        self.report.started_utc_s = time.time()
        detecting = threading.Thread(target=self._guard, args=(self._detect,), name="streamdet-detect")
        detecting.start()
        tidied_s = started
        try:
            while detecting.is_alive() and self._stop_reason is None and self._failure is None:
                detecting.join(tick_s)
                tick()
                if time.perf_counter() - tidied_s > TIDY_EVERY_S:
                    tidied_s = time.perf_counter()
                    give_back_free_memory()
        except BaseException as error:
            self.fail(error)
        finally:
            self._end(detecting)
            self.report.wall_s = time.perf_counter() - started
        if self._failure is not None:
            raise self._failure

    def _end(self, detecting: threading.Thread) -> None:
        for camera in self.cameras:
            camera.source.stop()
        self._frames.close()
        detecting.join()
        for camera, lane in self._cameras.items():
            camera.end_output()
            camera.drop(STOPPED, len(lane.give_up()))
        for thread in self._threads:
            thread.join()
        for journal in self._journals:
            try:
                journal.finish(complete=self._ended_well())
            except StreamdetError as error:
                self.fail(error)
        self._notes.take(self._journals)

    def _ended_well(self) -> bool:
        return self._failure is None

    def _start(self, work: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=self._guard, args=(work,), name=name)
        self._threads.append(thread)
        thread.start()

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self.fail(error)

    def _detect(self) -> None:
        while not self._frames.over:
            taken = [item for _, item in self._frames.take(self.report.batch, GONE_EVERY_S)]
            fresh = [(camera, frame) for camera, frame in taken if self._is_fresh(camera, frame)]
            if fresh:
                started = time.monotonic()
                found = detect_batch(self._detector, [frame for _, frame in fresh], self.report)
                ended = time.monotonic()
                self._pace_s += (1 - MEMORY_OF_PACE) * (ended - started - self._pace_s)
                for (camera, frame), detections in zip(fresh, found, strict=True):
                    detected = DetectedFrame(frame, camera.selection(detections, frame.width, frame.height))
                    for journal in self._journals:
                        self.report.unlogged += not journal.write(detected)
                    camera.take_over(detected, ended)
            self._notes.take(self._journals)
            self._end_outputs()

    def _is_fresh(self, camera: LiveCamera, frame: Frame) -> bool:
        """False, and counted, for a frame that would be older than allowed when its detections are there."""
        age_s, most_s = time.monotonic() - frame.arrival_s, camera.options.max_age_s
        if age_s + self._pace_s <= most_s or camera.options.every_frame or camera.source.patient:
            return True
        if age_s <= most_s:
            # a pace that is never measured anew would keep a slow detector (or a first, slow pass) from all frames
            self._pace_s *= MEMORY_OF_PACE
        camera.drop(TOO_OLD)
        return False

    def _end_outputs(self) -> None:
        """Of cameras whose source has ended, and whose last frame went through."""
        with self._lock:
            over = [camera for camera, lane in self._cameras.items() if lane.ended and not lane.items]
            for camera in over:
                camera.end_output()
                del self._cameras[camera]


def _frame_bytes(item: tuple[LiveCamera, Frame]) -> int:
    return item[1].nbytes


def _detected_bytes(detected: DetectedFrame) -> int:
    return detected.frame.nbytes
