"""What scaling.py measures: the cost of a frame by streams, by size of the picture, by batch, and by boxes in it.

CPU time is that of the whole process. Torch has one thread: threads that wait for each other spin, and that would count
as work.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import torch
from clips import scaled_clip
from drawing import NAMES, Crowd

from streamdet.cli.bench_measure import measure_stages, read_frames
from streamdet.detection.anchors import AnchorRule, anchors_per_level
from streamdet.detection.boxes import encode
from streamdet.detection.detector import Detector
from streamdet.detection.postprocess import PostprocessRule, postprocess
from streamdet.detection.retinanet import HeadOutputs
from streamdet.live.camera import LiveCamera
from streamdet.live.pipeline import LivePipeline
from streamdet.live.report import LiveReport
from streamdet.live.selection import Selection
from streamdet.options import LiveOptions
from streamdet.types import DetectedFrame, Frame
from streamdet.video.base import SourceInfo
from streamdet.video.live.status import LiveCounts, SourceState, SourceStatus
from streamdet.video.overlay import Overlay
from streamdet.video.sources import open_source

CLASSES, POST_HW = 91, (480, 800)
"""Of post-processing."""
BOXES_WH = 1920, 1080
"""Of the picture that boxes are drawn on."""


@dataclass
class Cost:
    """Of a frame, for so much work."""

    work: str
    amount: float
    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: dict[str, float] = field(default_factory=dict)
    """By stage."""
    more: str = ""
    """What else there is to say."""

    @property
    def whole_cpu_ms(self) -> float:
        """Of all stages."""
        return sum(self.cpu_ms.values())

    def percentile_ms(self, percent: float) -> float:
        """Wall time that so many of 100 frames (of a batch case: passes) did not exceed."""
        return float(np.percentile(self.wall_ms, percent))


class FileCamera:
    """A file that is read as a camera whose frames wait: nothing is dropped."""

    info: SourceInfo | None = None
    patient = True

    def __init__(self, name: str, clip: Path) -> None:
        self.name, self._clip = name, clip
        self.counts = LiveCounts()
        self._state = SourceState.CONNECTING

    @property
    def status(self) -> SourceStatus:
        """What it is doing."""
        return SourceStatus(self._state, 0.0)

    def frames(self) -> Iterator[Frame]:
        """All of the file's; they arrive when they are decoded."""
        self._state = SourceState.LIVE
        with open_source(self._clip) as source:
            for frame in source:
                self.counts.decoded += 1
                yield Frame(
                    frame.picture, self.name, frame.index, frame.pts, frame.time_base, arrival_s=time.monotonic()
                )
        self._state = SourceState.ENDED

    def stop(self) -> None:
        """It ends by itself."""


class Drawn:
    """An output of a camera that draws each frame, and notes how old it is then."""

    refusal, lost = "", 0

    def __init__(self, class_names: tuple[str, ...]) -> None:
        self.notes: list[str] = []
        self.ages_ms: list[float] = []
        self._overlay = Overlay(class_names)

    def write(self, detected: DetectedFrame) -> bool:
        """Draw it."""
        self._overlay.draw_frame(detected)
        self.ages_ms.append((time.monotonic() - detected.frame.arrival_s) * 1000)
        return True

    def gone(self, status: SourceStatus, now_s: float) -> None:
        """Files are never gone."""

    def finish(self, *, complete: bool) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is kept."""


def by_streams(detector: Detector, counts: list[int], frames: int, folder: Path) -> Iterator[Cost]:
    """So many streams of 360p through one live pipeline: read, detected, drawn. The network's time is left out."""
    clip = scaled_clip(folder / "stream.mp4", (640, 360), frames)
    detector([read_frames(clip, 1)[0].picture])  # it warms up
    selection = Selection(detector.thresholds)
    for count in counts:
        report, outputs = LiveReport(batch=min(count, 8)), []
        pipeline = LivePipeline(detector, report)
        for place in range(count):
            outputs.append(Drawn(detector.card.class_names))
            camera = FileCamera(f"stream {place}", clip)
            pipeline.add(LiveCamera(camera, selection, [outputs[-1]], LiveOptions()))
        detector.clock = time.thread_time
        wall, cpu = time.perf_counter(), time.process_time()
        pipeline.run(lambda: None)
        wall_s, cpu_s = time.perf_counter() - wall, time.process_time() - cpu
        detector.clock = time.perf_counter
        network_s = report.stages["network"].busy_s
        ages_ms = [age for output in outputs for age in output.ages_ms]
        done = len(ages_ms)
        cpu_ms = {"all but the network": (cpu_s - network_s) / done * 1000}
        yield Cost(f"{count}", count, ages_ms, cpu_ms, f"{done / wall_s:.1f} frames/s in all")


def by_size(detector: Detector, sizes: list[tuple[int, int]], frames: int, folder: Path) -> Iterator[Cost]:
    """The stages of a file's frame, one after the other; the network, whose input stays the same, is left out."""
    for width, height in sizes:
        clip = scaled_clip(folder / f"{height}.mp4", (width, height), frames)
        stages = measure_stages(clip, detector, frames, folder / "out.mp4")
        del stages["network"]
        wall_ms = np.sum([stage.wall_ms for stage in stages.values()], axis=0).tolist()
        resize = stages.pop("resize").cpu_ms + stages.pop("copy").cpu_ms
        names = {"decode": "decode", "postprocess": "post-process", "draw": "draw", "encode": "encode"}
        cpu_ms = {names[name]: stage.cpu_ms for name, stage in stages.items()} | {"resize": resize}
        order = ("decode", "resize", "post-process", "draw", "encode")
        yield Cost(f"{width}x{height}", width * height / 1e6, wall_ms, {name: max(0.0, cpu_ms[name]) for name in order})


def by_batch(detector: Detector, batches: list[int], passes: int) -> Iterator[Cost]:
    """Passes of so many pictures, from resizing to boxes, per picture."""
    noise = np.random.default_rng(0).integers(40, 200, (1080, 1280), np.uint8)
    picture = av.VideoFrame.from_ndarray(noise, format="yuv420p")
    for batch in batches:
        pictures = [picture] * batch
        detector(pictures)
        cost = Cost(f"{batch}", batch)
        cpu = time.process_time()
        for _ in range(passes):
            started = time.perf_counter()
            detector(pictures)
            cost.wall_ms.append((time.perf_counter() - started) / batch * 1000)
        cost.cpu_ms["detector"] = (time.process_time() - cpu) / passes / batch * 1000
        yield cost


def by_boxes(counts: list[int], frames: int) -> Iterator[Cost]:
    """Post-processing of the heads of 91 classes at 480x800, and drawing at 1080p, for so many objects in a frame."""
    width, height = BOXES_WH
    noise = np.random.default_rng(0).integers(40, 200, (height * 3 // 2, width), np.uint8)
    picture = av.VideoFrame.from_ndarray(noise, format="yuv420p")
    anchors = anchors_per_level(AnchorRule(), *POST_HW, torch.device("cpu"))
    for count in counts:
        heads, crowd, overlay = heads_with(count, anchors), Crowd(count, width, height), Overlay(NAMES)
        for moment in range(frames):  # labels that were never drawn before cost more: after a while there are few
            overlay.draw(picture, crowd.detections(moment, tracked=False))
        cost = Cost(f"{count}", count)
        spent = {"post-process": 0.0, "draw": 0.0}
        for moment in range(frames, 2 * frames):
            drawn = crowd.detections(moment, tracked=False)
            wall, cpu = time.perf_counter(), time.process_time()
            [found] = postprocess(heads, anchors, *POST_HW, PostprocessRule())
            between = time.process_time()
            overlay.draw(picture, drawn)
            cost.wall_ms.append((time.perf_counter() - wall) * 1000)
            spent["post-process"] += between - cpu
            spent["draw"] += time.process_time() - between
        cost.cpu_ms = {name: seconds / frames * 1000 for name, seconds in spent.items()}
        cost.more = f"{len(found.scores)} after NMS"
        yield cost


def heads_with(count: int, anchors: tuple[torch.Tensor, ...]) -> HeadOutputs:
    """Raw outputs of a picture in which all nine anchors of `count` cells see one object each, and the others none."""
    generator = torch.Generator().manual_seed(0)
    logits = [torch.randn(1, len(level), CLASSES, generator=generator) - 9 for level in anchors]
    deltas = [torch.randn(1, len(level), 4, generator=generator) * 0.2 for level in anchors]
    per_cell, finest = 9, anchors[0]
    cells = torch.randperm(len(finest) // per_cell, generator=generator)[:count]
    for number, cell in enumerate(cells.tolist()):
        rows = slice(cell * per_cell, (cell + 1) * per_cell)
        target = finest[rows][:1].expand(per_cell, 4)
        logits[0][0, rows, number % CLASSES] = torch.rand(per_cell, generator=generator) * 4
        deltas[0][0, rows] = encode(target, finest[rows])
    return HeadOutputs(logits, deltas)
