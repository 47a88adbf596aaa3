"""Many live sources through one detector, each with a reader and a writer thread of its own.

    reader of a camera -> its lane (newest frame) -> detect thread -> its lane (a few frames) -> writer of the camera

The detector takes what is ready, at most one frame of each camera at a time, so that a camera that is slow, dead or
fast changes nothing for the others. Every frame that a source gives out is detected, or dropped for a reason that is
counted; every detected frame is written, or left out for a reason that is counted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np

from streamdet.channel import Exchange, Lane
from streamdet.detecting import detect_batch
from streamdet.errors import StreamdetError
from streamdet.live.camera import GONE_EVERY_S, LANE_BYTES, STOPPED, TOO_OLD, LiveCamera, LiveSink, Notes
from streamdet.live.report import LiveReport
from streamdet.report import RunReport
from streamdet.types import Frame
from streamdet.video.live.memory import give_back_free_memory

if TYPE_CHECKING:
    from streamdet.detection.detector import Detector

TIDY_EVERY_S = 30.0
"""Free memory is given back to the system this often."""
LIKELY_SIZE_WH = 1920, 1080
"""Of a camera that has not been seen yet."""
MEMORY_OF_PACE = 0.8
"""Weight of the past in the moving average of the time that the detector takes."""


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

    def warm_up(self) -> None:
        """Show the detector a grey picture, before the first camera is added.

        It chooses its engine then, which takes seconds the first time, and every first pass is slow: frames that came
        meanwhile would be dropped. For cameras that aren't 16:9 an engine may have to be made ready again.

        Raises StreamdetError where the memory does not suffice.
        """
        width, height = LIKELY_SIZE_WH
        grey = av.VideoFrame.from_ndarray(np.full((height * 3 // 2, width), 128, np.uint8), format="yuv420p")
        warm = RunReport({})
        detect_batch(self._detector, [Frame(grey, "", 0, 0, Fraction(1), 0.0)], warm)
        self.report.engine, self.report.precision = warm.engine, warm.precision
        self.report.notes += warm.notes

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
                    detected = camera.analysed(frame, detections)
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
