"""A run over a file, an image or a folder of images: its stages, its progress, its receipt."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from streamdet.errors import StreamdetError, UsageError
from streamdet.options import RunOptions

if TYPE_CHECKING:
    from streamdet.detection.detector import Detector
    from streamdet.pipeline import Sink
    from streamdet.report import RunReport
    from streamdet.video.base import Source


def run_file(options: RunOptions) -> int:
    """Run over one source; the exit code. Raises StreamdetError when nothing could be started."""
    from streamdet.video.sources import open_source

    with open_source(options.source, start_s=options.start_s, end_s=options.end_s, every=options.every) as source:
        check_targets(options, source.info.path)
        detector = load_detector(options)
        return _run(options, source, detector)


def _run(options: RunOptions, source: Source, detector: Detector) -> int:
    from streamdet.cli.receipt import RunDisplay, show_receipt, stage_names
    from streamdet.pipeline import Pipeline
    from streamdet.report import RunReport

    info = source.info
    report = RunReport(
        {
            "name": info.name,
            "container": info.container,
            "codec": info.codec,
            "width": info.width,
            "height": info.height,
            "average_rate": float(info.average_rate) if info.average_rate else None,
            "declared_frames": info.declared_frames,
            "declared_duration_s": info.declared_duration_s,
            "rotation": info.rotation,
            "window_s": [info.start_s, info.end_s] if info.start_s or info.end_s else None,
            "every": info.every,
        },
        model=detector.card.name,
        model_sha256=detector.sha256,
        device=str(detector.placement.device),
        precision=detector.placement.precision,
        batch=options.batch or (8 if detector.placement.device.type == "cuda" else 2),
    )
    for name in stage_names(options):
        report.stage(name)
    sinks = open_sinks(options, source, detector, report)
    pipeline = Pipeline(source, detector, sinks, report, ended_early=source.ended_early)
    error: BaseException | None = None
    with RunDisplay(report, source) as display, stop_on_signals(pipeline):
        try:
            pipeline.run(display.update)
        except BaseException as failure:
            error = failure
    take_account(report, source, to_its_end=error is None and pipeline.stop_reason is None)
    for sink in sinks:
        report.notes += getattr(getattr(sink, "writer", None), "notes", [])
    interrupted = pipeline.stop_reason if error is None else None
    report.conclude(error=error, interrupted_by=interrupted, ended_early=source.ended_early())
    exit_code = report.exit_code(options.strict)
    if options.report is not None:
        try:
            report.write(options.report)
            report.outputs.append(str(options.report))
        except StreamdetError as failure:
            error, exit_code = error or failure, failure.exit_code
    if error is None or report.frames.detected:
        show_receipt(report, exit_code)
    if error is not None:
        raise error
    return exit_code


def check_targets(options: RunOptions, source: Path) -> None:
    """Find out before any work that a file can't be written. Raises UsageError or OutputError."""
    from streamdet.video.targets import check_target, muxer_for

    if options.report == Path("-"):
        raise UsageError("--report - is no file: give a file, as standard output is for --jsonl")
    if options.video_path is not None:
        muxer_for(options.video_path)
    for path in (options.video_path, options.report):
        if path is not None:
            check_target(path, source, overwrite=options.overwrite)
    if options.jsonl not in (None, "-"):
        check_target(Path(str(options.jsonl)), source, overwrite=options.overwrite, may_be_pipe=True)


def load_detector(options: RunOptions) -> Detector:
    """The detector that the options ask for. Raises ModelError or UsageError."""
    from streamdet.cli.receipt import FetchDisplay
    from streamdet.detection.detector import Detector

    with FetchDisplay(options.model) as display:
        return Detector.load(
            options.model,
            device=options.device,
            precision=options.precision,
            size=options.size,
            conf=options.conf,
            classes=options.classes,
            progress=display.update,
        )


def open_sinks(options: RunOptions, source: Source, detector: Detector, report: RunReport) -> list[Sink]:
    """Everything that frames are written to. Raises UsageError or OutputError."""
    from streamdet.results.jsonl import JsonlWriter
    from streamdet.video.annotated import AnnotatedVideo
    from streamdet.video.overlay import Overlay
    from streamdet.video.writer import VideoWriter

    sinks: list[Sink] = []
    path = options.video_path
    if path is not None:
        info = source.info
        writer = VideoWriter(
            path,
            info,
            width=info.width,
            height=info.height,
            overwrite=options.overwrite,
            quality=options.quality,
        )
        overlay = Overlay(detector.card.class_names)
        sinks.append(AnnotatedVideo(writer, overlay, report.stage("draw"), report.stage("encode")))
        report.frames.written = 0
        report.outputs.append(str(path))
    if options.jsonl is not None:
        shown = [name for name, least in zip(detector.card.class_names, detector.thresholds, strict=True) if least <= 1]
        header = {
            "source": source.info.name,
            "model": detector.card.name,
            "model_sha256": detector.sha256,
            "classes": list(detector.card.class_names),
            "thresholds": {
                name: round(float(least), 4)
                for name, least in zip(detector.card.class_names, detector.thresholds, strict=True)
                if name in shown
            },
            "width": source.info.width,
            "height": source.info.height,
        }
        sinks.append(JsonlWriter(options.jsonl, header=header, overwrite=options.overwrite))
        report.outputs.append(options.jsonl)
    return sinks


def take_account(report: RunReport, source: Source, *, to_its_end: bool) -> None:
    """Copy the source's counts into the receipt; `to_its_end`: the source was read to its end."""
    counts, frames = source.counts, report.frames
    # A run that was stopped leaves some packets in the decoder: they count as not read.
    frames.in_container = counts.packets - counts.hidden if to_its_end else counts.decoded + counts.lost
    frames.decoded = counts.decoded
    frames.lost = counts.lost
    report.lost_at_s = [float(pts * source.info.time_base) for pts in counts.lost_pts if pts is not None]
    frames.damaged = counts.damaged_marked
    frames.skipped = counts.skipped
    frames.times_repaired = counts.times_repaired
    if counts.unreadable:
        report.notes.append(
            f"unreadable: {', '.join(counts.unreadable[:5])}" + (", ..." if counts.unreadable[5:] else "")
        )
    interval_s = source.info.frame_interval_s
    if report.frames.detected and interval_s is not None:
        report.media_s += float(interval_s)


class Stoppable(Protocol):
    """A run that can be asked to end."""

    @property
    def stop_reason(self) -> str | None:
        """What stopped it."""

    def stop(self, reason: str) -> None:
        """End soon and cleanly."""


@contextlib.contextmanager
def stop_on_signals(pipeline: Stoppable) -> Iterator[None]:
    """The first SIGINT or SIGTERM ends the run cleanly, a second one at once (what is written still plays)."""

    def handle(number: int, _: object) -> None:
        terminal = os.isatty(sys.stderr.fileno())
        if pipeline.stop_reason is not None:
            os.write(sys.stderr.fileno(), b"\x1b[?25h" if terminal else b"")  # the display has hidden the cursor
            os._exit(130)
        pipeline.stop({signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}[signal.Signals(number)])
        told = b"streamdet: ending cleanly; once more to force"
        # in place of the display's last line: a new line would leave what is above it on the screen for good
        os.write(sys.stderr.fileno(), b"\r" + told + b"\x1b[K" if terminal else b"\n" + told + b"\n")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
