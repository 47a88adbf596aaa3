"""The stages of a run and their threads: decode, detect and write overlap, each hand-over bounded by bytes.

    source thread -> Channel[Frame] -> detect thread, steps -> Channel[DetectedFrame] -> write thread -> sinks

The first error of any stage ends the run and reaches the caller; no thread is left behind.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from streamdet.channel import Channel, ChannelClosedError
from streamdet.detecting import QUEUE_BYTES, detect_batch, frame_bytes
from streamdet.errors import StreamdetError
from streamdet.report import RunReport, StageTimes
from streamdet.types import DetectedFrame, Detections, Frame

if TYPE_CHECKING:
    from streamdet.detection.detector import Detector


def most_at_once(width: int, height: int) -> int:
    """How many pictures (yuv420p, sides in pixels) can be waiting when a batch is taken: larger ones never fill."""
    return max(1, QUEUE_BYTES // 2 // max(1, width * height * 3 // 2))


class Sink(Protocol):
    """Where detected frames go."""

    def write(self, detected: DetectedFrame) -> object:
        """Take the next frame."""

    def finish(self, *, complete: bool) -> None:
        """End cleanly; `complete`: the source was covered in full."""

    def close(self) -> None:
        """Stop without finishing; what was written stays usable. Does nothing after `finish`."""


Step = Callable[[DetectedFrame], DetectedFrame]
"""What is made of a detected frame before it goes to the sinks; called with every frame in order."""


def timed(step: Step, times: StageTimes) -> Step:
    """`step`, its time recorded in `times`."""

    def call(detected: DetectedFrame) -> DetectedFrame:
        started = time.perf_counter()
        done = step(detected)
        times.record(time.perf_counter() - started)
        return done

    return call


class Pipeline:
    """One run over one source."""

    def __init__(
        self,
        source: Iterable[Frame],
        detector: Detector,
        sinks: Sequence[Sink],
        report: RunReport,
        *,
        steps: Sequence[Step] = (),
        known: Callable[[Frame], Detections | None] | None = None,
        ended_early: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Connect the stages.

        `report.batch` is the batch to start with; counts, times and notes are kept in `report` as the run goes.
        `steps`, in their order, make of each detected frame what the sinks get. `known` may give the detections of the
        first frames, until it gives None: these need no detector.
        `ended_early` tells, once the source is exhausted, why it does not count as complete.
        """
        self._source = source
        self._detector = detector
        self._steps = steps
        self._known = known
        self._sinks = sinks
        self.report = report
        self._frames: Channel[Frame] = Channel(QUEUE_BYTES, frame_bytes)
        self._detected: Channel[DetectedFrame] = Channel(QUEUE_BYTES, _detected_bytes)
        self._ended_early = ended_early
        self._stop_reason: str | None = None
        self._failure: BaseException | None = None
        self._failed_in_writing = False
        self._lock = threading.Lock()
        self._first_s: float | None = None

    @property
    def stop_reason(self) -> str | None:
        """What stopped the run before its end, None if nothing did."""
        return self._stop_reason

    def stop(self, reason: str) -> None:
        """End soon and cleanly: frames already detected are written, those waiting for detection are given up.

        Safe to call from a signal handler.
        """
        self._stop_reason = self._stop_reason or reason

    def run(self, tick: Callable[[], None] | None = None, tick_s: float = 0.1) -> None:
        """Run to the end; calls `tick` about every `tick_s` seconds from the caller's thread.

        Raises the first error of any stage, after the sinks were ended. Call `report.conclude` afterwards.
        """
        started = time.perf_counter()
        threads = [
            threading.Thread(target=self._guard, args=(stage,), name=f"streamdet-{stage.__name__.strip('_')}")
            for stage in (self._decode, self._detect, self._write)
        ]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                threads[-1].join(tick_s)
                if self._stop_reason is not None and self._failure is None:
                    self._give_up_waiting_frames()
                if tick is not None:
                    tick()
        except BaseException:
            self.stop("an error in the caller")
            self._give_up_waiting_frames()
            raise
        finally:
            for thread in threads:
                thread.join()
            self._end_sinks()
            self.report.wall_s = time.perf_counter() - started
        if self._failure is not None:
            raise self._failure

    def _guard(self, stage: Callable[[], None]) -> None:
        """Run a stage; its failure, if it is the first, becomes the run's, and wakes the other stages."""
        try:
            stage()
        except ChannelClosedError:
            pass
        except BaseException as error:
            with self._lock:
                if self._failure is None:
                    self._failure = error
                    self._failed_in_writing = stage == self._write
            self.report.frames.dropped += self._frames.close()
            self._detected.close()

    def _decode(self) -> None:
        times = self.report.stage("decode")
        frames = iter(self._source)
        while self._stop_reason is None:
            started = time.perf_counter()
            frame = next(frames, None)
            times.record(time.perf_counter() - started, frames=0 if frame is None else 1)
            if frame is None:
                break
            try:
                self._frames.put(frame)
            except ChannelClosedError:
                self.report.frames.dropped += 1
                raise
        self._frames.end()

    def _detect(self) -> None:
        while True:
            try:
                frames = self._frames.take(self.report.batch)
            except ChannelClosedError:
                if self._failure is None:  # stopped: what was detected goes on to be written
                    break
                raise
            if not frames:
                break
            for detected in self._found(frames):
                for step in self._steps:
                    detected = step(detected)
                self._detected.put(detected)
        self._detected.end()

    def _found(self, frames: list[Frame]) -> Iterator[DetectedFrame]:
        while self._known is not None and frames:
            detections = self._known(frames[0])
            if detections is None:
                self._known = None
                break
            yield DetectedFrame(frames[0], detections)
            frames = frames[1:]
        if frames:
            for frame, detections in zip(frames, detect_batch(self._detector, frames, self.report), strict=True):
                yield DetectedFrame(frame, detections)

    def _write(self) -> None:
        counts = self.report.frames
        while taken := self._detected.take(1):
            for detected in taken:
                for sink in self._sinks:
                    sink.write(detected)
                counts.detected += 1
                if counts.written is not None:
                    counts.written += 1
                if self._first_s is None:
                    self._first_s = detected.frame.time_s
                self.report.media_s = detected.frame.time_s - self._first_s

    def _give_up_waiting_frames(self) -> None:
        self.report.frames.dropped += self._frames.close()

    def _end_sinks(self) -> None:
        """Finish every sink, or only close it when writing was what failed; the first error of this is kept."""
        complete = self._failure is None and self._stop_reason is None and self._ended_early() is None
        for sink in self._sinks:
            try:
                if self._failed_in_writing:
                    sink.close()
                else:
                    sink.finish(complete=complete)
            except StreamdetError as error:
                self._failure = self._failure or error


def _detected_bytes(detected: DetectedFrame) -> int:
    return detected.frame.nbytes
