"""A run over a file, an image or a folder of images: its stages, its progress, its receipt."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import typer

from streamdet.cli.analysing import Scores, known_classes, place_rules, scores_for
from streamdet.cli.eventing import Events, check_events
from streamdet.cli.file_outputs import Setup, Steps, check_targets, open_sinks
from streamdet.cli.resuming import resumption
from streamdet.errors import StreamdetError
from streamdet.options import CommonOptions, RunOptions
from streamdet.results.analysis import HALF_STEP
from streamdet.results.places import Places

if TYPE_CHECKING:
    from streamdet.detection.detector import Detector
    from streamdet.report import RunReport
    from streamdet.video.base import Source


def run_file(options: RunOptions) -> int:
    """Run over one source; the exit code. Raises StreamdetError when nothing could be started."""
    from streamdet.video.sources import open_source

    common = options.common
    found = resumption(options)
    if found is not None and found.lines.complete:
        typer.echo(f"{common.jsonl} is complete: there is nothing to go on with", err=True)
        return 0
    with open_source(
        options.source, start_s=options.start_s, end_s=common.end_s, every=common.every, decode=options.decode
    ) as source:
        check_targets(options, source.info.path, overwrite=common.overwrite or found is not None)
        rules = place_rules(common.analysis)
        Places.of(rules).geometry((source.info.width, source.info.height))  # raises where they lie outside
        detector, scores = load_detector(common)
        asked = check_events(common.events, os.environ, {source.info.name: rules}, known_classes(detector.card))
        events = None if common.events is None or asked is None else Events(common.events, asked)
        try:
            return _run(options, source, Setup(detector, scores, rules, events, found))
        finally:
            if events is not None:
                events.desk.close()


def _run(options: RunOptions, source: Source, setup: Setup) -> int:
    from streamdet.cli.receipt import RunDisplay, show_receipt, stage_names
    from streamdet.detection.batching import batch_for
    from streamdet.pipeline import Pipeline, most_at_once
    from streamdet.report import RunReport

    common, detector, info = options.common, setup.detector, source.info
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
        batch=common.batch or batch_for(detector, info.width, info.height, most_at_once(info.width, info.height)),
    )
    for name in stage_names(options):
        report.stage(name)
    steps = Steps(common, setup, report)
    sinks = open_sinks(options, source, setup, report)
    report.notes += source.notes
    known = None if setup.found is None else setup.found.replay()
    report.notes += [] if setup.found is None else [setup.found.note()]
    pipeline = Pipeline(source, detector, sinks, report, steps=steps.steps, known=known, ended_early=source.ended_early)
    error: BaseException | None = None
    with RunDisplay(report, source) as display, stop_on_signals(pipeline):
        try:
            pipeline.run(display.update)
            if setup.events is not None:
                setup.events.desk.finish()
        except BaseException as failure:
            error = failure
    steps.tell(report)
    if setup.events is not None:
        report.events = setup.events.told()
        report.notes += setup.events.news()
        report.outputs.append(setup.events.folder)
    take_account(report, source, to_its_end=error is None and pipeline.stop_reason is None)
    for sink in sinks:
        inner = getattr(sink, "inner", sink)
        report.notes += getattr(getattr(inner, "writer", None) or getattr(inner, "recorder", None), "notes", [])
    interrupted = pipeline.stop_reason if error is None else None
    report.conclude(error=error, interrupted_by=interrupted, ended_early=source.ended_early())
    exit_code = report.exit_code(common.strict)
    if common.report is not None:
        try:
            report.write(common.report)
            report.outputs.append(str(common.report))
        except StreamdetError as failure:
            error, exit_code = error or failure, failure.exit_code
    if error is None or report.frames.detected:
        show_receipt(report, exit_code)
    if error is not None:
        raise error
    return exit_code


def load_detector(options: CommonOptions) -> tuple[Detector, Scores]:
    """The detector that the options ask for, and what counts of what it finds. Raises ModelError or UsageError."""
    from streamdet.cli.receipt import FetchDisplay
    from streamdet.detection.detector import Detector

    wanted = options.classes
    if wanted is not None:
        wanted = tuple(dict.fromkeys((*wanted, *options.analysis.blur)))
    with FetchDisplay(options.model) as display:
        detector = Detector.load(
            options.model,
            device=options.device,
            precision=options.precision,
            size=options.size,
            engine=options.engine,
            classes=wanted,
            progress=display.update,
        )
    scores = scores_for(
        detector.card, options.analysis, tracks=options.tracks, conf=options.conf, classes=options.classes
    )
    detector.set_thresholds((scores.kept - HALF_STEP).tolist())
    return detector, scores


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
