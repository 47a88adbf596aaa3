"""The stages of a run and their threads: decode, detect and write overlap, each hand-over bounded by bytes.

    source thread -> Channel[Frame] -> detect thread, steps -> Channel[DetectedFrame] -> write thread -> sinks

The first error of any stage ends the run and reaches the caller; no thread is left behind.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from streamdet.channel import Channel, ChannelClosedError
from streamdet.errors import StreamdetError
from streamdet.report import RunReport, StageTimes
from streamdet.types import DetectedFrame, Detections, Frame

if TYPE_CHECKING:
    from streamdet.detection.detector import Detector

QUEUE_BYTES = 128 << 20
"""Most bytes of pictures that wait between two stages."""


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
        self._frames: Channel[Frame] = Channel(QUEUE_BYTES, _frame_bytes)
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


def _frame_bytes(frame: Frame) -> int:
    return frame.nbytes


def _detected_bytes(detected: DetectedFrame) -> int:
    return detected.frame.nbytes


class BatchReport(Protocol):
    """The part of a report that a batch is told to."""

    batch: int
    notes: list[str]
    input_size_wh: tuple[int, int] | None
    precision: str
    engine: str

    def stage(self, name: str) -> StageTimes:
        """Times of a stage."""


def detect_batch(detector: Detector, frames: list[Frame], report: BatchReport) -> list[Detections]:
    """Detections of `frames`. When memory runs out the batch is halved, for good and with a note, and tried again.

    Raises StreamdetError when memory does not even suffice for one frame.
    """
    from streamdet.detection.detector import is_out_of_memory

    try:
        found = detector([frame.picture for frame in frames])
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        if len(frames) == 1:
            raise StreamdetError(
                f"out of memory on {detector.placement.device} with a single frame of "
                f"{frames[0].width}x{frames[0].height}; use a smaller --size or another --device"
            ) from error
    else:
        for name, seconds in detector.seconds.items():
            report.stage(name).record(seconds, frames=len(frames))
        report.input_size_wh = detector.input_size_wh
        if detector.engine is not None:
            report.engine, report.precision = detector.engine.name, detector.engine.precision
        report.notes += detector.notes
        detector.notes.clear()
        return found
    half = len(frames) // 2
    report.batch = max(1, min(report.batch, half))
    report.notes.append(f"out of memory with {len(frames)} frames at a time: went on with {report.batch}")
    return detect_batch(detector, frames[:half], report) + detect_batch(detector, frames[half:], report)


def detect(
    source: str | Path,
    *,
    model: str | Path | Detector = "street",
    conf: float | None = None,
    classes: Sequence[str] | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    every: int = 1,
    batch: int = 2,
    device: str = "auto",
) -> Iterator[DetectedFrame]:
    """Every frame of a video file, an image or a folder of images, with its detections, in order of time.

    `model`: what `Detector.load` takes, or a loaded Detector (then `conf`, `classes` and `device` are its own).
    `start_s`, `end_s`: seconds after the first frame; `every`: take every so many frames.
    Decoding runs ahead in a thread of its own, which ends with the iterator.

    Warns when the source ends before its declared length. Raises SourceError, ModelError, UsageError.
    """
    from streamdet.detection.detector import Detector
    from streamdet.video.sources import open_source

    if isinstance(model, Detector):
        detector = model
    else:
        detector = Detector.load(model, conf=conf, classes=classes, device=device)
    report = RunReport({}, batch=batch)
    with open_source(source, start_s=start_s, end_s=end_s, every=every) as opened:
        frames: Channel[Frame] = Channel(QUEUE_BYTES, _frame_bytes)
        failure: list[BaseException] = []

        def decode() -> None:
            try:
                for frame in opened:
                    frames.put(frame)
            except ChannelClosedError:
                pass
            except BaseException as error:
                failure.append(error)
            frames.end()

        thread = threading.Thread(target=decode, name="streamdet-decode")
        thread.start()
        try:
            while taken := frames.take(report.batch):
                for frame, detections in zip(taken, detect_batch(detector, taken, report), strict=True):
                    yield DetectedFrame(frame, detections)
        finally:
            frames.close()
            thread.join()
        if failure:
            raise failure[0]
        early = opened.ended_early()
        if early is not None:
            warnings.warn(f"{opened.info.name}: {early}", stacklevel=2)
