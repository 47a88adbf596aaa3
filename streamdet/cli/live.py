"""A run over cameras and streams: its sources, its detector and its outputs, until it is stopped."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamdet.cli.live_crew import Crew, cameras_of
from streamdet.errors import SourceError, StreamdetError, UsageError
from streamdet.options import LiveRunOptions
from streamdet.video.live.status import SourceState
from streamdet.video.location import parse_location

if TYPE_CHECKING:
    from streamdet.cli.live_outputs import Outputs
    from streamdet.detection.checkpoint import Model
    from streamdet.live.pipeline import LivePipeline


def is_live(sources: Sequence[str], *, follow: bool = False) -> bool:
    """True when the sources are cameras, streams or pipes; with `follow` folders that are being filled too.

    Raises UsageError when files are among them.
    """
    locations = [parse_location(source) for source in sources]
    live = [location.is_live or (follow and location.kind == "folder") for location in locations]
    if follow and not all(live):
        raise UsageError("--follow is for folders that are being filled: leave it out for files")
    if any(live) and not all(live):
        raise UsageError("files and live sources don't go together: run the files on their own")
    return any(live)


def run_live(options: LiveRunOptions, environment: Mapping[str, str]) -> int:
    """Run until stopped; the exit code. Raises StreamdetError when nothing could be started, or the run failed."""
    from streamdet.video.live.memory import limit_heaps

    limit_heaps()
    with reload_on_hangup(options) as hangup:  # from the very beginning: loading a model takes seconds
        return _run(options, environment, hangup)


def _run(options: LiveRunOptions, environment: Mapping[str, str], hangup: Hangup) -> int:
    from streamdet.cli.eventing import Events
    from streamdet.cli.live_outputs import Outputs

    cameras = cameras_of(options, environment)
    outputs = Outputs(options, cameras)
    crew = Crew(options, environment, cameras, load_model(options))
    asked = crew.check_events(cameras)
    if asked is None or options.common.events is None:
        return _watch(options, crew, outputs, hangup)
    outputs.events = Events(options.common.events, asked)
    try:
        return _watch(options, crew, outputs, hangup)
    finally:
        outputs.events.desk.close()


def _watch(options: LiveRunOptions, crew: Crew, outputs: Outputs, hangup: Hangup) -> int:
    from streamdet.cli.file_run import stop_on_signals
    from streamdet.cli.live_display import LiveDisplay
    from streamdet.cli.live_receipt import show_live_receipt

    report = crew.report()
    pipeline = crew.pipeline(report, outputs)
    started = time.monotonic()
    error: BaseException | None = None
    ends: list[str] = []  # as asked
    has_started = False
    with LiveDisplay(report) as display, stop_on_signals(pipeline):

        def tick() -> None:
            nonlocal has_started
            report.notes.extend(outputs.news())
            display.update()
            has_started = has_started or check_start(pipeline, require_all=options.require_all)
            if hangup.came:
                hangup.came = False
                crew.reload(pipeline, outputs)
            if (wish := outputs.refresh()) is not None:
                ends.append(wish)
                pipeline.stop(wish)
            if options.common.end_s is not None and time.monotonic() - started >= options.common.end_s:
                ends.append("--end")
                pipeline.stop("--end")

        try:
            display.wait_for_detector()
            pipeline.warm_up()
            started = time.monotonic()
            if pipeline.stop_reason is None:
                made = [crew.camera(camera, outputs) for camera in crew.cameras]  # none starts if one can't be made
                for camera in made:
                    pipeline.add(camera)
            pipeline.run(tick, outputs.tick_s)
            if outputs.events is not None:
                outputs.events.desk.finish()
        except BaseException as failure:
            error = failure
        outputs.close()
        report.notes += outputs.news()
    if outputs.events is not None:
        report.events = outputs.events.told()
        report.outputs.append(outputs.events.folder)
    reason = pipeline.stop_reason
    report.conclude(error=error, stopped_by=reason, as_asked=reason is None or reason in ends)
    exit_code = report.exit_code(options.common.strict)
    if options.common.report is not None:
        try:
            report.write(options.common.report)
            report.outputs.append(str(options.common.report))
        except StreamdetError as failure:
            error, exit_code = error or failure, failure.exit_code
    if error is None or any(camera.detected for camera in report.cameras):
        show_live_receipt(report, exit_code)
    if error is not None:
        raise error
    return exit_code


def load_model(options: LiveRunOptions) -> Model:
    """The model that the options ask for. Raises ModelError."""
    from streamdet.cli.receipt import FetchDisplay
    from streamdet.detection.models import find_model

    with FetchDisplay(options.common.model) as display:
        return find_model(options.common.model, progress=display.update)


def check_start(pipeline: LivePipeline, *, require_all: bool) -> bool:
    """Whether it is known by now which sources answered at first.

    Ends the run when none did, or with `require_all` when one didn't.
    """
    cameras = [camera for camera in pipeline.report.cameras if camera.status.state is not SourceState.STOPPED]
    answered = [camera for camera in cameras if camera.counts.decoded]
    if answered and not require_all:
        return True
    over = (SourceState.WAITING, SourceState.ENDED)
    silent = [
        camera
        for camera in cameras
        if not camera.counts.decoded and (camera.status.state in over or camera.counts.attempts > 1)
    ]
    if len(answered) + len(silent) < len(cameras):
        return False
    if silent:
        why = "; ".join(camera.status.problem or f"{camera.name} does not answer" for camera in silent)
        pipeline.fail(SourceError(why))
    return True


@dataclass
class Hangup:
    """Whether SIGHUP came: the file of cameras is to be read again."""

    came: bool = False


@contextlib.contextmanager
def reload_on_hangup(options: LiveRunOptions) -> Iterator[Hangup]:
    """Take SIGHUP as the wish to read the file of cameras again, where the system knows that signal."""
    hangup = Hangup()
    if not hasattr(signal, "SIGHUP") or options.config is None:
        yield hangup
        return

    def handle(_: int, __: object) -> None:
        hangup.came = True

    before = signal.signal(signal.SIGHUP, handle)
    try:
        yield hangup
    finally:
        signal.signal(signal.SIGHUP, before)
