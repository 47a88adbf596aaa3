"""Detections without sinks: of a batch of frames, and of a whole file as an iterator."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Sequence
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


def frame_bytes(frame: Frame) -> int:
    """Bytes of the picture."""
    return frame.nbytes


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
        frames: Channel[Frame] = Channel(QUEUE_BYTES, frame_bytes)
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
