from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
import pytest

from streamdet.errors import OutputError
from streamdet.live.camera import NEWER, STOPPED, TOO_OLD, LiveCamera
from streamdet.live.pipeline import LivePipeline
from streamdet.live.report import LiveReport
from streamdet.live.selection import Selection
from streamdet.options import LiveOptions
from streamdet.types import DetectedFrame, Detections, Frame
from streamdet.video.base import SourceInfo
from streamdet.video.live.status import NOT_CONNECTED_YET, LiveCounts, SourceState, SourceStatus

EVERYTHING = Selection(np.zeros(1, np.float32))
RELAXED = LiveOptions(max_age_s=60)  # a busy machine changes nothing
EVERY_FRAME = LiveOptions(every_frame=True)


class FakeSource:
    """Gives frames at a rate; `fails_after` frames it raises."""

    info: SourceInfo | None = None
    patient = False

    def __init__(self, name: str, frames: int | None, rate: float, *, age_s: float = 0.0) -> None:
        self.name = name
        self.counts = LiveCounts()
        self.state = SourceState.CONNECTING
        self._frames, self._rate, self._age_s = frames, rate, age_s
        self._stopped = threading.Event()

    @property
    def status(self) -> SourceStatus:
        return SourceStatus(self.state, 0.0)

    def frames(self) -> Iterator[Frame]:
        picture = av.VideoFrame(64, 48, "yuv420p")
        self.state = SourceState.LIVE
        for index in itertools.count() if self._frames is None else range(self._frames):
            if self._stopped.wait(1 / self._rate):
                break
            self.counts.decoded += 1
            yield Frame(picture, self.name, index, index, Fraction(1, 25), time.monotonic() - self._age_s)
        self.state = SourceState.ENDED

    def stop(self) -> None:
        self._stopped.set()


class FakeDetector:
    """One box per picture; takes a while."""

    class placement:  # noqa: N801
        device = "cpu"

    seconds: dict[str, float] = {}  # noqa: RUF012
    input_size_wh = (64, 64)
    engine = None

    def __init__(self, takes_s: float = 0.0) -> None:
        self.takes_s = takes_s
        self.batches: list[int] = []
        self.notes: list[str] = []

    def __call__(self, pictures: list[av.VideoFrame]) -> list[Detections]:
        time.sleep(self.takes_s)
        self.batches.append(len(pictures))
        one = (np.array([[1, 2, 30, 40]], np.float32), np.array([0.9], np.float32), np.zeros(1, np.int64), ("car",))
        return [Detections(*one) for _ in pictures]


class Kept:
    """A sink that keeps what it got."""

    refusal = "output failed"
    lost = 0

    def __init__(self, fails_at: int | None = None, takes_s: float = 0.0) -> None:
        self.notes: list[str] = []
        self.frames: list[Frame] = []
        self.gone_calls = 0
        self.finished: bool | None = None
        self.fails_at, self.takes_s = fails_at, takes_s

    def write(self, detected: DetectedFrame) -> bool:
        time.sleep(self.takes_s)
        if len(self.frames) == self.fails_at:
            raise OutputError("the disk is full: make room")
        self.frames.append(detected.frame)
        return True

    def gone(self, status: SourceStatus, now_s: float) -> None:
        self.gone_calls += 1

    def finish(self, *, complete: bool) -> None:
        self.finished = complete

    def close(self) -> None:
        pass


def run(pipeline: LivePipeline, seconds: float | None = None) -> None:
    ends = None if seconds is None else time.monotonic() + seconds

    def tick() -> None:
        if ends is not None and time.monotonic() > ends:
            pipeline.stop("the test")

    pipeline.run(tick, 0.02)


def assert_accounted(pipeline: LivePipeline) -> None:
    for camera in pipeline.report.cameras:
        assert camera.discrepancies() == []


def test_finite_sources_end_the_run_and_every_frame_is_accounted_for() -> None:
    pipeline = LivePipeline(FakeDetector(), LiveReport(batch=4))  # type: ignore[arg-type]
    sinks = [Kept(), Kept()]
    for place, sink in enumerate(sinks):
        source = FakeSource(f"cam{place}", 10 + place, 200)
        pipeline.add(LiveCamera(source, EVERYTHING, [sink], RELAXED))
    run(pipeline)
    pipeline.report.conclude(stopped_by=None, as_asked=True)
    assert pipeline.report.exit_code() == 0
    assert_accounted(pipeline)
    assert [sink.finished for sink in sinks] == [True, True]
    assert all(sink.frames for sink in sinks)


def test_the_newest_frame_wins_and_the_others_are_counted() -> None:
    pipeline = LivePipeline(FakeDetector(0.1), LiveReport())  # type: ignore[arg-type]
    pipeline.add(LiveCamera(FakeSource("fast", 60, 100), EVERYTHING, [], RELAXED))
    run(pipeline)
    [camera] = pipeline.report.cameras
    assert camera.dropped[NEWER] > camera.detected > 0
    assert_accounted(pipeline)


def test_every_frame_waits_its_turn_when_asked() -> None:
    pipeline = LivePipeline(FakeDetector(0.02), LiveReport(batch=8))  # type: ignore[arg-type]
    pipeline.add(LiveCamera(FakeSource("fast", 40, 200), EVERYTHING, [], EVERY_FRAME))
    run(pipeline)
    [camera] = pipeline.report.cameras
    assert camera.detected == 40
    assert not camera.dropped


def test_a_patient_source_waits_and_loses_nothing() -> None:
    pipeline = LivePipeline(FakeDetector(0.01), LiveReport())  # type: ignore[arg-type]
    source = FakeSource("folder", 30, 1000, age_s=9.0)
    source.patient = True
    pipeline.add(LiveCamera(source, EVERYTHING, [], RELAXED))
    run(pipeline)
    assert pipeline.report.cameras[0].detected == 30


def test_old_frames_are_dropped_for_their_age() -> None:
    pipeline = LivePipeline(FakeDetector(), LiveReport())  # type: ignore[arg-type]
    pipeline.add(LiveCamera(FakeSource("late", 5, 100, age_s=2.0), EVERYTHING, [], LiveOptions(max_age_s=0.5)))
    run(pipeline)
    [camera] = pipeline.report.cameras
    assert camera.detected == 0
    assert camera.dropped[TOO_OLD] + camera.dropped[NEWER] == 5
    assert camera.dropped[TOO_OLD] > 0


def test_a_detector_slower_than_the_greatest_age_still_detects_the_newest() -> None:
    pipeline = LivePipeline(FakeDetector(0.2), LiveReport())  # type: ignore[arg-type]
    pipeline.add(LiveCamera(FakeSource("cam", None, 100), EVERYTHING, [], LiveOptions(max_age_s=0.1)))
    [camera] = pipeline.report.cameras
    ends = time.monotonic() + 30

    def tick() -> None:
        if camera.detected > 5 or time.monotonic() > ends:
            pipeline.stop("the test")

    pipeline.run(tick, 0.02)
    assert camera.detected > 5
    assert_accounted(pipeline)


def test_a_fast_camera_does_not_starve_a_slow_one() -> None:
    pipeline = LivePipeline(FakeDetector(0.02), LiveReport())  # type: ignore[arg-type]
    pipeline.add(LiveCamera(FakeSource("fast", None, 500), EVERYTHING, [], RELAXED))
    pipeline.add(LiveCamera(FakeSource("slow", 10, 12), EVERYTHING, [], RELAXED))
    run(pipeline, 1.5)
    fast, slow = pipeline.report.cameras
    assert slow.detected + slow.dropped[NEWER] == 10
    assert slow.detected > 5
    assert fast.dropped[NEWER] > fast.detected
    assert_accounted(pipeline)


def test_a_stop_counts_what_was_waiting() -> None:
    pipeline = LivePipeline(FakeDetector(0.05), LiveReport())  # type: ignore[arg-type]
    sink = Kept()
    pipeline.add(LiveCamera(FakeSource("cam", None, 300), EVERYTHING, [sink], EVERY_FRAME))
    run(pipeline, 0.4)
    pipeline.report.conclude(stopped_by=pipeline.stop_reason, as_asked=False)
    assert pipeline.report.exit_code() == 130
    assert pipeline.report.cameras[0].dropped[STOPPED] > 0
    assert len(sink.frames) == pipeline.report.cameras[0].detected
    assert_accounted(pipeline)


def test_a_failing_output_is_closed_and_the_rest_goes_on() -> None:
    pipeline = LivePipeline(FakeDetector(), LiveReport())  # type: ignore[arg-type]
    bad, good = Kept(fails_at=3), Kept()
    pipeline.add(LiveCamera(FakeSource("bad", 20, 100), EVERYTHING, [bad], RELAXED))
    pipeline.add(LiveCamera(FakeSource("good", 20, 100), EVERYTHING, [good], RELAXED))
    run(pipeline)
    pipeline.report.conclude(stopped_by=None, as_asked=True)
    assert pipeline.report.exit_code() == 5
    assert "of bad are not in its output" in pipeline.report.reason
    assert "the disk is full" in pipeline.report.cameras[0].notes[0]
    assert pipeline.report.cameras[1].written == pipeline.report.cameras[1].detected
    assert_accounted(pipeline)


class Connecting(Kept):
    """It takes nothing before its third frame."""

    asked = 0

    def write(self, detected: DetectedFrame) -> bool:
        self.asked += 1
        self.refusal = NOT_CONNECTED_YET
        return self.asked > 2 and super().write(detected)


@pytest.mark.parametrize(("frames", "exit_code"), [(20, 0), (2, 5)])
def test_what_came_before_an_output_could_connect_is_counted_and_no_fault(frames: int, exit_code: int) -> None:
    pipeline = LivePipeline(FakeDetector(), LiveReport())  # type: ignore[arg-type]
    pipeline.add(LiveCamera(FakeSource("cam", frames, 100), EVERYTHING, [Connecting()], EVERY_FRAME))
    run(pipeline)
    pipeline.report.conclude(stopped_by=None, as_asked=True)
    assert pipeline.report.cameras[0].unwritten == {NOT_CONNECTED_YET: 2}
    assert pipeline.report.exit_code() == exit_code
    assert_accounted(pipeline)


def test_frames_that_an_output_took_and_lost_do_not_count_as_written() -> None:
    pipeline = LivePipeline(FakeDetector(), LiveReport())  # type: ignore[arg-type]
    sink = Kept()
    sink.lost = 3
    pipeline.add(LiveCamera(FakeSource("cam", 20, 100), EVERYTHING, [sink], EVERY_FRAME))
    run(pipeline)
    pipeline.report.conclude(stopped_by=None, as_asked=True)
    [camera] = pipeline.report.cameras
    assert (camera.written, camera.unwritten) == (17, {"lost on its way": 3})
    assert pipeline.report.exit_code() == 5
    assert_accounted(pipeline)


def test_an_output_that_is_too_slow_loses_frames_and_says_so() -> None:
    pipeline = LivePipeline(FakeDetector(), LiveReport())  # type: ignore[arg-type]
    pipeline.add(LiveCamera(FakeSource("cam", 60, 300), EVERYTHING, [Kept(takes_s=0.02)], RELAXED))
    run(pipeline)
    assert pipeline.report.cameras[0].unwritten["output behind"] > 0
    assert_accounted(pipeline)


def test_a_camera_can_be_added_and_removed_while_the_run_goes_on() -> None:
    pipeline = LivePipeline(FakeDetector(), LiveReport())  # type: ignore[arg-type]
    first, sink = FakeSource("first", None, 100), Kept()
    pipeline.add(LiveCamera(first, EVERYTHING, [sink], RELAXED))
    began = time.monotonic()
    added = False

    def tick() -> None:
        nonlocal added
        if not added and time.monotonic() - began > 0.2:
            added = True
            pipeline.add(LiveCamera(FakeSource("second", 10, 100), EVERYTHING, [], RELAXED))
            pipeline.remove(pipeline.cameras[0])

    pipeline.run(tick, 0.02)
    assert [camera.name for camera in pipeline.report.cameras] == ["first", "second"]
    assert pipeline.report.cameras[1].detected > 0
    assert sink.finished is True
    assert_accounted(pipeline)


def test_a_slow_output_of_a_patient_source_holds_up_nobody_else() -> None:
    pipeline = LivePipeline(FakeDetector(), LiveReport(batch=8))  # type: ignore[arg-type]
    source, slow = FakeSource("folder", 60, 1000), Kept(takes_s=0.1)
    source.patient = True
    pipeline.add(LiveCamera(source, EVERYTHING, [slow], RELAXED))
    pipeline.add(LiveCamera(FakeSource("cam", None, 50), EVERYTHING, [], RELAXED))
    began = time.monotonic()

    def tick() -> None:
        if len(slow.frames) == 60:
            pipeline.stop("the test")

    pipeline.run(tick, 0.02)
    patient, live = pipeline.report.cameras
    assert patient.written == 60
    assert live.detected > 25 * (time.monotonic() - began)
    assert_accounted(pipeline)


def test_what_an_output_says_is_noted_while_the_run_goes_on() -> None:
    pipeline = LivePipeline(FakeDetector(), LiveReport(), [journal := Kept()])  # type: ignore[arg-type]
    sink = Kept()
    pipeline.add(LiveCamera(FakeSource("cam", None, 50), EVERYTHING, [sink], RELAXED))
    sink.notes.append("the disk is full")
    journal.notes.append("so it is")
    [camera] = pipeline.report.cameras
    seen = False

    def tick() -> None:
        nonlocal seen
        seen = seen or (camera.notes == ["the disk is full"] and pipeline.report.notes == ["so it is"])
        if seen:
            pipeline.stop("the test")

    pipeline.run(tick, 0.02)
    assert camera.notes == ["the disk is full"]
    assert pipeline.report.notes == ["so it is"]


def test_an_unexpected_error_of_an_output_ends_a_run_that_waits_for_it() -> None:
    class Broken(Kept):
        def write(self, detected: DetectedFrame) -> bool:
            raise RuntimeError("a bug")

    pipeline = LivePipeline(FakeDetector(), LiveReport())  # type: ignore[arg-type]
    source = FakeSource("folder", None, 1000)
    source.patient = True
    pipeline.add(LiveCamera(source, EVERYTHING, [Broken()], RELAXED))
    with pytest.raises(RuntimeError, match="a bug"):
        pipeline.run(lambda: time.sleep(0.3), 0.02)


def test_an_unexpected_error_of_a_source_ends_the_run() -> None:
    class Broken(FakeSource):
        def frames(self) -> Iterator[Frame]:
            yield from super().frames()
            raise RuntimeError("a bug")

    pipeline = LivePipeline(FakeDetector(), LiveReport())  # type: ignore[arg-type]
    pipeline.add(LiveCamera(Broken("cam", 3, 100), EVERYTHING, [], RELAXED))
    pipeline.add(LiveCamera(FakeSource("other", None, 100), EVERYTHING, [], RELAXED))
    with pytest.raises(RuntimeError, match="a bug"):
        run(pipeline)


def test_selection_takes_thresholds_and_the_region() -> None:
    boxes = np.array([[0, 0, 10, 10], [40, 20, 60, 40], [40, 20, 60, 40]], np.float32)
    found = Detections(boxes, np.array([0.9, 0.8, 0.3], np.float32), np.array([0, 0, 1]), ("car", "bus"))
    thresholds = np.array([0.5, 0.5], np.float32)
    assert len(Selection(thresholds)(found, 100, 60)) == 2
    assert Selection(thresholds, (0.3, 0.3, 1, 1))(found, 100, 60).boxes_xyxy.tolist() == [[40, 20, 60, 40]]
    assert len(Selection(thresholds, (0, 0, 20, 20))(found, 100, 60)) == 1
    assert len(Selection(np.array([np.inf, 0.2], np.float32))(found, 100, 60)) == 1
