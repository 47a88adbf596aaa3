"""Makes what the cameras of a live run need: the detector, the pipeline, each camera; at the start and on SIGHUP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from streamdet.cli.analysing import (
    Scores,
    by_class,
    known_classes,
    make_analysis,
    place_rules,
    scores_for,
    told_kept,
    told_places,
    told_tracking,
)
from streamdet.cli.cameras import CameraOptions, check_classes, compare_cameras, notes_on
from streamdet.cli.cameras_file import read_cameras
from streamdet.cli.eventing import check_events
from streamdet.cli.redacting import PASSWORD_VARIABLE
from streamdet.errors import DataError, OutputError, UsageError
from streamdet.options import OTHERS, LiveRunOptions
from streamdet.video.location import Location, parse_location

if TYPE_CHECKING:
    from streamdet.cli.live_outputs import Outputs
    from streamdet.detection.checkpoint import Model
    from streamdet.detection.detector import Detector
    from streamdet.events.desk import EventOptions
    from streamdet.live.camera import LiveCamera
    from streamdet.live.pipeline import LivePipeline
    from streamdet.live.report import LiveReport

USER_VARIABLE = "STREAMDET_USER"
"""Environment variable with the user name of sources that have none in their address."""


def cameras_of(options: LiveRunOptions, environment: Mapping[str, str]) -> tuple[CameraOptions, ...]:
    """The cameras of the command line or of the file. Raises UsageError or DataError."""
    analysis = options.common.analysis
    places = place_rules(analysis)
    # events look at tracks
    track = options.common.tracks
    analysis = replace(analysis, track=track, lines=(), zones=(), bays=None, places=None)
    if options.config is not None:
        return read_cameras(
            options.config, environment, live=options.live, netrc=options.netrc, analysis=analysis, places=places
        )
    user, password = environment.get(USER_VARIABLE), environment.get(PASSWORD_VARIABLE)
    cameras: list[CameraOptions] = []
    for source in options.sources:
        location = parse_location(source, user=user, password=password, netrc=options.netrc)
        name = _free_name(location, cameras)
        cameras.append(CameraOptions(name, location, analysis=analysis, places=places, live=options.live))
    return tuple(cameras)


def _free_name(location: Location, others: Sequence[CameraOptions]) -> str:
    taken = {other.name for other in others}
    names = [location.name, *(f"{location.name} ({number})" for number in range(2, len(others) + 3))]
    return next(name for name in names if name not in taken)


@dataclass
class Crew:
    """Makes what the cameras of a run need, at the start and when the file of cameras is read again."""

    options: LiveRunOptions
    environment: Mapping[str, str]
    cameras: tuple[CameraOptions, ...]
    model: Model
    detector: Detector | None = None

    def report(self) -> LiveReport:
        """An empty one that says what computes."""
        from streamdet.detection.precision import choose_placement
        from streamdet.live.report import LiveReport

        placement = choose_placement(self.options.common.device, self.options.common.precision)
        return LiveReport(
            model=self.model.card.name,
            model_sha256=self.model.sha256,
            device=str(placement.device),
            precision=placement.precision,
            batch=self.options.common.batch or (8 if placement.device.type == "cuda" else 1),
            notes=notes_on(self.cameras),
        )

    def scores(self, camera: CameraOptions) -> Scores:
        """What counts of the detections for one camera. Raises UsageError for a class that isn't known."""
        common = self.options.common
        conf = camera.conf if OTHERS in camera.conf else {**common.conf, **camera.conf}
        return scores_for(
            self.model.card,
            camera.analysis,
            tracks=camera.tracks,
            conf=conf,
            classes=camera.classes or common.classes,
        )

    def least(self) -> tuple[float, ...]:
        """Least score per class that any camera wants to know of."""
        return tuple(map(float, np.min([self.scores(camera).kept for camera in self.cameras], axis=0)))

    def check_events(self, cameras: Sequence[CameraOptions]) -> EventOptions | None:
        """What the file of events says, if there is one. Raises UsageError where it doesn't go with the cameras."""
        places = {camera.name: camera.places for camera in cameras}
        return check_events(self.options.common.events, self.environment, places, known_classes(self.model.card))

    def make_detector(self) -> Detector:
        """One for all cameras: it reports what any of them wants. Raises UsageError for an unknown class."""
        from streamdet.detection.detector import Detector
        from streamdet.detection.precision import choose_placement

        card, options = self.model.card, self.options
        known = known_classes(card)
        check_classes(self.cameras, known, card.name)
        least = self.least()
        rule = card.input_rule
        if options.common.size is not None:
            rule = replace(rule, short_side=min(options.common.size), long_side=max(options.common.size))
        names = [name for name, score in zip(card.class_names, least, strict=True) if np.isfinite(score)]
        # with a file of cameras any class may be asked for later: none is silenced
        names = known if options.config is not None else names
        placement = choose_placement(options.common.device, options.common.precision)
        engine = options.common.engine
        return Detector(self.model, placement, input_rule=rule, thresholds=least, class_names=names, engine=engine)

    def pipeline(self, report: LiveReport, outputs: Outputs) -> LivePipeline:
        """Without cameras yet. Raises UsageError or OutputError."""
        from streamdet.live.pipeline import LivePipeline

        self.detector = self.make_detector()
        return LivePipeline(self.detector, report, outputs.journals(self.header()))

    def header(self) -> dict[str, object]:
        """The first of the JSON lines: what holds for the cameras of now."""
        card, cameras = self.model.card, self.cameras
        scores = {camera.name: self.scores(camera) for camera in cameras}
        tracking = {
            camera.name: told_tracking(scores[camera.name], card.class_names) for camera in cameras if camera.tracks
        }
        places = {camera.name: told_places(camera.places) for camera in cameras if camera.places}
        header: dict[str, object] = {
            "sources": [camera.name for camera in cameras],
            "model": card.name,
            "model_sha256": self.model.sha256,
            "classes": list(card.class_names),
            "thresholds": {name: by_class(each.shown, card.class_names) for name, each in scores.items()},
            **told_kept(list(scores.values())),
        }
        return header | ({"tracking": tracking} if tracking else {}) | ({"places": places} if places else {})

    def camera(self, camera: CameraOptions, outputs: Outputs) -> LiveCamera:
        """A camera, ready to be added to the pipeline. Raises UsageError or OutputError."""
        from streamdet.live.camera import LiveCamera
        from streamdet.live.selection import Selection
        from streamdet.pipeline import timed
        from streamdet.report import StageTimes
        from streamdet.results.tally import Tally
        from streamdet.video.blur import Blur
        from streamdet.video.live.opening import connect
        from streamdet.video.live.source import LiveSource

        ring = outputs.ring()
        tap = None if camera.analysis.blur_only else ring  # what comes from the camera shows all clearly
        source = LiveSource(camera.location, camera.live, name=camera.name, connect=partial(connect, tap=tap))
        scores, names = self.scores(camera), self.model.card.class_names
        stages = {name: StageTimes() for name in ("track", "blur", "draw", "encode")}
        painter = outputs.painter(names, stages)

        def tell(problem: str) -> None:
            made.report.notes.append(f"nothing is counted at its places: {problem}")

        analysis = make_analysis(scores, names, camera.places, tracks=camera.tracks, on_problem=tell)
        tally = Tally()
        blur = Blur(camera.analysis.blur) if camera.analysis.blur else None
        made = LiveCamera(
            source,
            Selection(scores.kept, camera.roi),
            outputs.sinks(camera, painter, stages, lambda: source.info),
            camera.live,
            every=self.options.common.every,
            viewers=[
                *outputs.event_sinks(camera, painter, ring),
                *outputs.viewers(camera, painter, lambda: source.status),
            ],
            analyse=[timed(analysis, stages["track"]), tally] if camera.tracks else [analysis],
            finish=[] if blur is None else [timed(blur, stages["blur"])],
        )
        made.report.stages = stages
        made.report.tally = tally if camera.tracks else None
        made.report.blurred = None if blur is None else blur.account
        made.report.outputs += outputs.places(camera)
        return made

    def reload(self, pipeline: LivePipeline, outputs: Outputs) -> None:
        """Read the file of cameras again: new ones are added, those gone removed, the changed restarted.

        Cameras that did not change go on untouched. A file with a mistake changes nothing, and is told in a note.
        """
        try:
            after = cameras_of(self.options, self.environment)
            check_classes(after, known_classes(self.model.card), self.model.card.name)
            self.check_events(after)
            outputs.check(after)
            changes = compare_cameras(self.cameras, after)
            made = [self.camera(camera, outputs) for camera in (*changes.changed, *changes.new)]
        except (UsageError, OutputError, DataError) as error:
            pipeline.report.notes.append(f"the cameras stay as they are: {error}")
            return
        self.cameras = after
        if self.detector is not None:
            self.detector.set_thresholds(self.least())
        outputs.changed(self.header())
        running = {camera.source.name: camera for camera in pipeline.cameras}
        for camera in made:  # before others go: a run without a source is over
            pipeline.add(camera)
        for gone in (*changes.gone, *changes.changed):
            if gone.name in running:
                pipeline.remove(running[gone.name])
        told = {"new": changes.new, "changed": changes.changed, "gone": changes.gone}
        said = ", ".join(f"{len(some)} {word}" for word, some in told.items() if some) or "nothing changed"
        pipeline.report.notes.append(f"cameras read again: {said}")
