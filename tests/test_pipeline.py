"""The stages together, with a detector that needs no network: it finds the red corner of the test pictures."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
import torch

from streamdet.channel import Channel
from streamdet.detection.precision import Placement
from streamdet.errors import OutputError, SourceError
from streamdet.pipeline import Pipeline
from streamdet.report import RunReport
from streamdet.types import DetectedFrame, Detections, Frame


class CornerDetector:
    """Finds the red corner: a picture's upper left third. Can be told to run out of memory."""

    placement = Placement(torch.device("cpu"), torch.float32)
    input_size_wh = (64, 64)
    engine = None

    def __init__(self, most_frames: int = 1000) -> None:
        self.most_frames = most_frames
        self.batches: list[int] = []
        self.seconds = {"network": 0.0}
        self.notes: list[str] = []

    def __call__(self, pictures: Sequence[av.VideoFrame]) -> list[Detections]:
        if len(pictures) > self.most_frames:
            raise torch.OutOfMemoryError("no room")
        self.batches.append(len(pictures))
        return [
            Detections(
                np.array([[0, 0, picture.width / 3, picture.height / 3]], np.float32),
                np.array([0.9], np.float32),
                np.zeros(1, np.int64),
                ("corner",),
            )
            for picture in pictures
        ]


class Collector:
    """A sink that remembers; can be told to fail."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.frames: list[DetectedFrame] = []
        self.ended = ""
        self.fail_at = fail_at

    def write(self, detected: DetectedFrame) -> None:
        if len(self.frames) == self.fail_at:
            raise OutputError("the disk is full")
        self.frames.append(detected)

    def finish(self, *, complete: bool) -> None:
        self.ended = "complete" if complete else "incomplete"

    def close(self) -> None:
        self.ended = "closed"


def frames(count: int, fail_at: int | None = None) -> Iterator[Frame]:
    for index in range(count):
        if index == fail_at:
            raise SourceError("the cable was pulled")
        picture = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        yield Frame(picture, "test", index, index * 2, Fraction(1, 50), 0.0)


def make_pipeline(source: Any, sink: Collector, detector: Any = None, batch: int = 4) -> Pipeline:
    return Pipeline(source, detector or CornerDetector(), [sink], RunReport({}, batch=batch))


def test_every_frame_arrives_once_in_order() -> None:
    sink, detector = Collector(), CornerDetector()
    pipeline = make_pipeline(frames(30), sink, detector)
    pipeline.run()
    assert [detected.frame.index for detected in sink.frames] == list(range(30))
    assert [len(detected.detections) for detected in sink.frames] == [1] * 30
    assert sink.ended == "complete"
    assert pipeline.report.frames.detected == 30
    assert pipeline.report.media_s == pytest.approx(29 * 0.04)
    assert sum(detector.batches) == 30
    assert max(detector.batches) == 4


def test_a_failing_source_ends_the_run_and_keeps_what_was_detected() -> None:
    sink = Collector()
    pipeline = make_pipeline(frames(30, fail_at=10), sink)
    with pytest.raises(SourceError, match="cable"):
        pipeline.run()
    assert sink.ended == "incomplete"
    assert len(sink.frames) + pipeline.report.frames.dropped <= 10


def test_a_failing_sink_ends_the_run_and_is_only_closed() -> None:
    sink = Collector(fail_at=5)
    with pytest.raises(OutputError, match="disk is full"):
        make_pipeline(frames(10_000), sink).run()
    assert sink.ended == "closed"
    assert len(sink.frames) == 5


def test_a_failing_detector_ends_the_run() -> None:
    def broken(pictures: Any) -> Any:
        raise ValueError("weights are cats")

    sink = Collector()
    with pytest.raises(ValueError, match="cats"):
        make_pipeline(frames(100), sink, broken).run()
    assert sink.ended == "incomplete"


def test_stop_ends_cleanly_and_accounts_for_the_frames_given_up() -> None:
    sink = Collector()
    produced = []

    def endless() -> Iterator[Frame]:
        for frame in frames(1_000_000):
            produced.append(frame.index)
            yield frame

    pipeline = make_pipeline(endless(), sink)

    def tick() -> None:
        if len(sink.frames) > 20:
            pipeline.stop("a test")

    pipeline.run(tick, tick_s=0.01)
    counts = pipeline.report.frames
    assert sink.ended == "incomplete"
    assert [detected.frame.index for detected in sink.frames] == list(range(len(sink.frames)))
    assert len(produced) == counts.detected + counts.dropped
    pipeline.report.conclude(interrupted_by=pipeline.stop_reason)
    assert pipeline.report.exit_code() == 130


def test_an_error_in_the_caller_stops_all_threads() -> None:
    before = threading.active_count()
    with pytest.raises(KeyError):
        make_pipeline(frames(1_000_000), Collector()).run(lambda: {}["no such key"], tick_s=0.01)
    assert threading.active_count() == before


def test_out_of_memory_halves_the_batch_and_goes_on() -> None:
    sink, detector = Collector(), CornerDetector(most_frames=2)
    pipeline = make_pipeline(frames(20), sink, detector, batch=8)
    pipeline.run()
    assert len(sink.frames) == 20
    assert pipeline.report.batch <= 2
    assert any("out of memory with 8 frames" in note for note in pipeline.report.notes)


def test_what_the_detector_has_to_say_is_told_once() -> None:
    sink, detector = Collector(), CornerDetector()
    detector.notes.append("no CUDA graph could be recorded")
    pipeline = make_pipeline(frames(20), sink, detector, batch=4)
    pipeline.run()
    assert pipeline.report.notes.count("no CUDA graph could be recorded") == 1


def test_waiting_pictures_are_bounded_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamdet.pipeline.QUEUE_BYTES", 100_000)
    waiting: list[int] = []
    original = Channel.put

    def put(self: Channel[Any], item: Any) -> None:
        original(self, item)
        waiting.append(self._bytes)

    monkeypatch.setattr(Channel, "put", put)
    make_pipeline(frames(200), Collector()).run()
    assert 0 < max(waiting) <= 100_000
