"""What `streamdet bench` measures of our own work: the whole job, and each of its stages alone, on the same frames."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import av

    from streamdet.detection.detector import Detector
    from streamdet.types import Detections, Frame

STAGES = ("decode", "resize", "copy", "network", "postprocess", "draw", "encode")
"""In the order of a frame's trip. `copy`: from bytes to the network's input."""
DETECTING = ("resize", "copy", "network", "postprocess")


@dataclass
class StageCost:
    """A stage alone, frame by frame."""

    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: float = 0.0
    """Of all cores, per frame."""

    def percentile_ms(self, percent: float) -> float:
        """Wall time that so many of 100 frames did not exceed."""
        return float(np.percentile(self.wall_ms, percent)) if self.wall_ms else 0.0


@dataclass(frozen=True)
class Job:
    """One whole job: decode, detect, draw and encode overlap in threads of their own."""

    frames: int
    wall_s: float
    cpu_s: float
    """Of all cores."""
    busy: dict[str, float]
    """Share of the time that each stage was at work."""

    @property
    def fps(self) -> float:
        """Frames per second."""
        return self.frames / self.wall_s

    @property
    def limit(self) -> str:
        """The busiest stage."""
        return max(self.busy, key=lambda name: self.busy[name])


def read_frames(clip: Path, count: int) -> list[Frame]:
    """The first frames of a clip. Raises SourceError."""
    from streamdet.video.sources import open_source

    with open_source(clip) as source:
        return list(islice(source, count))


def run_job(clip: Path, detector: Detector, count: int, out: Path, batch: int) -> Job:
    """The whole job on the first `count` frames of a clip, as `streamdet run` does it."""
    from streamdet.pipeline import Pipeline
    from streamdet.report import RunReport
    from streamdet.video.annotated import AnnotatedVideo
    from streamdet.video.overlay import Overlay
    from streamdet.video.sources import open_source
    from streamdet.video.writer import VideoWriter

    report = RunReport({}, batch=batch)
    for name in STAGES:
        report.stage(name)
    with open_source(clip) as source:
        info = source.info
        writer = VideoWriter(out, info, width=info.width, height=info.height, overwrite=True)
        overlay = Overlay(detector.card.class_names)
        sink = AnnotatedVideo(writer, overlay, report.stage("draw"), report.stage("encode"))
        cpu = time.process_time()
        Pipeline(islice(source, count), detector, [sink], report).run()
        cpu_s = time.process_time() - cpu
    busy = {name: times.busy_s / report.wall_s for name, times in report.stages.items()}
    return Job(report.frames.detected, report.wall_s, cpu_s, busy)


def measure_stages(clip: Path, detector: Detector, count: int, out: Path) -> dict[str, StageCost]:
    """Each stage alone, one after the other, so that the time of all its threads is its own."""
    costs = {name: StageCost() for name in STAGES}
    frames = _measure_decoding(clip, count, costs["decode"])
    found = _measure_detecting(detector, frames, costs)
    drawn = _measure_drawing(detector, frames, found, costs["draw"])
    _measure_encoding(clip, frames, drawn, out, costs["encode"])
    return costs


@contextmanager
def _processor(cost: StageCost, frames: int) -> Iterator[None]:
    started = time.process_time()
    yield
    cost.cpu_ms = (time.process_time() - started) * 1000 / frames


def _timed(cost: StageCost, work: Callable[[], None]) -> None:
    started = time.perf_counter()
    work()
    cost.wall_ms.append((time.perf_counter() - started) * 1000)


def _measure_decoding(clip: Path, count: int, cost: StageCost) -> list[Frame]:
    from streamdet.video.sources import open_source

    frames: list[Frame] = []
    with open_source(clip) as source, _processor(cost, count):
        pictures = iter(source)
        while len(frames) < count:
            started = time.perf_counter()
            frame = next(pictures, None)
            if frame is None:
                break
            cost.wall_ms.append((time.perf_counter() - started) * 1000)
            frames.append(frame)
    return frames


def _measure_detecting(detector: Detector, frames: list[Frame], costs: dict[str, StageCost]) -> list[Detections]:
    found = []
    for frame in frames:
        found += detector([frame.picture])
        for name in DETECTING:
            costs[name].wall_ms.append(detector.seconds[name] * 1000)
    clock, detector.clock = detector.clock, time.process_time
    for frame in frames:
        detector([frame.picture])
        for name in DETECTING:
            costs[name].cpu_ms += detector.seconds[name] * 1000 / len(frames)
    detector.clock = clock
    return found


def _measure_drawing(
    detector: Detector, frames: list[Frame], found: list[Detections], cost: StageCost
) -> list[av.VideoFrame]:
    from streamdet.types import DetectedFrame
    from streamdet.video.overlay import Overlay

    overlay = Overlay(detector.card.class_names)
    drawn: list[av.VideoFrame] = []
    with _processor(cost, len(frames)):
        for frame, detections in zip(frames, found, strict=True):
            detected = DetectedFrame(frame, detections)
            _timed(cost, lambda detected=detected: drawn.append(overlay.draw_frame(detected)))  # type: ignore[misc]
    return drawn


def _measure_encoding(clip: Path, frames: list[Frame], drawn: list[av.VideoFrame], out: Path, cost: StageCost) -> None:
    from streamdet.video.sources import open_source
    from streamdet.video.writer import VideoWriter

    with open_source(clip) as source:
        info = source.info
    writer = VideoWriter(out, info, width=info.width, height=info.height, overwrite=True)
    with _processor(cost, len(frames)):
        for frame, picture in zip(frames, drawn, strict=True):
            _timed(
                cost,
                lambda frame=frame, picture=picture: writer.write(picture, frame.pts, frame.time_base),  # type: ignore[misc]
            )
        writer.close()


def peak_memory_bytes() -> int:
    """The most memory that this process ever held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
