"""What a run over a file writes, and what its frames go through before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from streamdet.cli.analysing import Scores, by_class, make_analysis, told_kept, told_tracking
from streamdet.cli.eventing import Events
from streamdet.cli.resuming import PassOver, Resumption, check_header
from streamdet.errors import UsageError
from streamdet.options import CommonOptions, RunOptions
from streamdet.results.places import PlaceRules, Places
from streamdet.results.tally import Tally

if TYPE_CHECKING:
    from streamdet.detection.detector import Detector
    from streamdet.pipeline import Sink, Step
    from streamdet.report import RunReport
    from streamdet.video.base import Source


@dataclass(frozen=True)
class Setup:
    """What a run was made ready with."""

    detector: Detector
    scores: Scores
    rules: PlaceRules
    events: Events | None
    found: Resumption | None
    """What it goes on with."""


def check_targets(options: RunOptions, source: Path, *, overwrite: bool) -> None:
    """Find out before any work that a file can't be written. Raises UsageError or OutputError."""
    from streamdet.video.targets import check_target, muxer_for

    common = options.common
    if common.report == Path("-"):
        raise UsageError("--report - is no file: give a file, as standard output is for --jsonl")
    if options.video_path is not None:
        muxer_for(options.video_path)
    for path in (options.video_path, common.report, common.counts):
        if path is not None:
            check_target(path, source, overwrite=overwrite)
    if common.jsonl not in (None, "-"):
        check_target(Path(str(common.jsonl)), source, overwrite=overwrite, may_be_pipe=True)


class Steps:
    """What each frame goes through between the detector and the outputs, and what that amounts to."""

    def __init__(self, options: CommonOptions, setup: Setup, report: RunReport) -> None:
        from streamdet.pipeline import timed
        from streamdet.video.blur import Blur

        names, tracks = setup.detector.card.class_names, options.tracks
        analysis = make_analysis(setup.scores, names, setup.rules, tracks=tracks)
        self._tally = Tally() if tracks else None
        self._blur = Blur(options.analysis.blur) if options.analysis.blur else None
        self.steps: list[Step] = [timed(analysis, report.stage("track")) if tracks else analysis]
        self.steps += [] if self._tally is None else [self._tally]
        self.steps += [] if self._blur is None else [timed(self._blur, report.stage("blur"))]

    def tell(self, report: RunReport) -> None:
        """Put what was counted and blurred into the receipt."""
        if self._tally is not None:
            report.places = self._tally.to_dict()
        if self._blur is not None:
            report.blurring, report.blurred = self._blur.account.as_dict(), self._blur.account.told()


def open_sinks(options: RunOptions, source: Source, setup: Setup, report: RunReport) -> list[Sink]:
    """Everything that frames are written to. Raises UsageError or OutputError."""
    from streamdet.results.counts import CountsCsv
    from streamdet.results.jsonl import JsonlWriter
    from streamdet.video.annotated import AnnotatedVideo
    from streamdet.video.encoding import choose_encoder
    from streamdet.video.overlay import Overlay
    from streamdet.video.writer import VideoWriter

    common, info, card, found = options.common, source.info, setup.detector.card, setup.found
    encoder, note = choose_encoder(options.encode, info.width, info.height, common.quality)
    header = header_of(options, source, setup, encoder)
    check_header(found, header)
    told = 0 if found is None else found.lines.frames
    overwrite = common.overwrite or found is not None
    sinks: list[Sink] = []
    overlay = Overlay(card.class_names)
    path = options.video_path
    if path is not None:
        report.notes += [] if note is None else [note]
        kept = None if found is None else found.video
        writer = VideoWriter(
            path,
            info,
            width=info.width,
            height=info.height,
            overwrite=overwrite,
            quality=common.quality,
            kept=kept,
            encoder=encoder,
        )
        video = AnnotatedVideo(writer, overlay, report.stage("draw"), report.stage("encode"))
        sinks.append(PassOver(video, 0 if kept is None else kept.frames))
        report.frames.written = 0
        report.outputs.append(str(path))
    if setup.events is not None:  # before the JSON lines: these never say more than was told
        events = setup.events.file_sink(info, overlay, common.analysis, again=found is not None)
        sinks.append(PassOver(events, told, events.recorder.replay))
    if common.jsonl is not None:
        after = None if found is None else found.after()
        sinks.append(PassOver(JsonlWriter(common.jsonl, header=header, overwrite=overwrite, after=after), told))
        report.outputs.append(common.jsonl)
    if common.counts is not None:
        sinks.append(CountsCsv(common.counts, overwrite=overwrite))  # all that happened happens again
        report.outputs.append(str(common.counts))
    return sinks


def header_of(options: RunOptions, source: Source, setup: Setup, encoder: str) -> dict[str, object]:
    """The first of the JSON lines."""
    from streamdet.video.encoding import ENCODER

    info, card, scores = source.info, setup.detector.card, setup.scores
    header: dict[str, object] = {
        "source": info.name,
        "model": card.name,
        "model_sha256": setup.detector.sha256,
        "classes": list(card.class_names),
        "thresholds": by_class(scores.shown, card.class_names),
        **told_kept([scores]),
        "width": info.width,
        "height": info.height,
    }
    encoding = (encoder, options.common.quality)
    if options.video and encoding != (ENCODER, "balanced"):
        header["encoder"] = " ".join(encoding)  # none can go on with another's video: --resume compares this
    if options.common.tracks:
        header["tracking"] = told_tracking(scores, card.class_names)
    if setup.rules:
        header["places"] = Places.of(setup.rules).geometry((info.width, info.height))
    if options.common.analysis.blur:
        header["blur"] = list(options.common.analysis.blur)
    return header
