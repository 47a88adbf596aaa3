"""Makes what the cameras of a live run need: the detector, the pipeline, each camera; at the start and on SIGHUP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from streamdet.cli.cameras import OTHERS, CameraOptions, check_classes, compare_cameras, notes_on, read_cameras
from streamdet.cli.redacting import PASSWORD_VARIABLE
from streamdet.errors import OutputError, UsageError
from streamdet.options import LiveRunOptions
from streamdet.types import Float32Array
from streamdet.video.location import Location, parse_location

if TYPE_CHECKING:
    from streamdet.cli.live_outputs import Outputs
    from streamdet.detection.checkpoint import Model
    from streamdet.detection.detector import Detector
    from streamdet.live.camera import LiveCamera
    from streamdet.live.pipeline import LivePipeline
    from streamdet.live.report import LiveReport

USER_VARIABLE = "STREAMDET_USER"
"""Environment variable with the user name of sources that have none in their address."""


def cameras_of(options: LiveRunOptions, environment: Mapping[str, str]) -> tuple[CameraOptions, ...]:
    """The cameras of the command line or of the file. Raises UsageError."""
    if options.config is not None:
        return read_cameras(options.config, environment, live=options.live, netrc=options.netrc)
    user, password = environment.get(USER_VARIABLE), environment.get(PASSWORD_VARIABLE)
    cameras: list[CameraOptions] = []
    for source in options.sources:
        location = parse_location(source, user=user, password=password, netrc=options.netrc)
        cameras.append(CameraOptions(_free_name(location, cameras), location, live=options.live))
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

        placement = choose_placement(self.options.device, self.options.precision)
        return LiveReport(
            model=self.model.card.name,
            model_sha256=self.model.sha256,
            device=str(placement.device),
            precision=placement.precision,
            batch=self.options.batch or (8 if placement.device.type == "cuda" else 1),
            notes=notes_on(self.cameras),
        )

    def thresholds(self, camera: CameraOptions) -> Float32Array:
        """(K,) least score per class for one camera; infinite for classes that it doesn't want."""
        card, options = self.model.card, self.options
        wanted = camera.classes or options.classes
        least = []
        for class_id, name in enumerate(card.class_names):
            score = camera.conf.get(name, camera.conf.get(OTHERS, options.conf))
            known = class_id not in card.hidden_class_ids and (wanted is None or name in wanted)
            least.append(np.inf if not known else card.threshold(name) if score is None else score)
        return np.array(least, np.float32)

    def known_classes(self) -> list[str]:
        """What can be asked for."""
        card = self.model.card
        return [name for class_id, name in enumerate(card.class_names) if class_id not in card.hidden_class_ids]

    def least(self) -> tuple[float, ...]:
        """Least score per class that any camera wants to know of."""
        return tuple(map(float, np.min([self.thresholds(camera) for camera in self.cameras], axis=0)))

    def make_detector(self) -> Detector:
        """One for all cameras: it reports what any of them wants. Raises UsageError for an unknown class."""
        from streamdet.detection.detector import Detector
        from streamdet.detection.precision import choose_placement

        card, options = self.model.card, self.options
        known, least = self.known_classes(), self.least()
        check_classes(self.cameras, known, card.name)
        for name in options.classes or ():
            if name not in known:
                raise UsageError(f"{card.name} knows no class {name!r}; it knows {', '.join(known)}")
        rule = card.input_rule
        if options.size is not None:
            rule = replace(rule, short_side=min(options.size), long_side=max(options.size))
        names = [name for name, score in zip(card.class_names, least, strict=True) if np.isfinite(score)]
        # with a file of cameras any class may be asked for later: none is silenced
        names = known if options.config is not None else names
        placement = choose_placement(options.device, options.precision)
        return Detector(self.model, placement, input_rule=rule, thresholds=least, class_names=names)

    def pipeline(self, report: LiveReport, outputs: Outputs) -> LivePipeline:
        """Without cameras yet. Raises UsageError or OutputError."""
        from streamdet.live.pipeline import LivePipeline

        self.detector = self.make_detector()
        return LivePipeline(self.detector, report, outputs.journals(self.model, self.told_thresholds()))

    def told_thresholds(self) -> dict[str, dict[str, float]]:
        """By camera and class, for the JSON lines."""
        names = self.model.card.class_names
        return {
            camera.name: {
                name: round(float(least), 4)
                for name, least in zip(names, self.thresholds(camera), strict=True)
                if np.isfinite(least)
            }
            for camera in self.cameras
        }

    def camera(self, camera: CameraOptions, outputs: Outputs) -> LiveCamera:
        """A camera, ready to be added to the pipeline. Raises UsageError or OutputError."""
        from streamdet.live.camera import LiveCamera
        from streamdet.live.selection import Selection
        from streamdet.report import StageTimes
        from streamdet.video.live.source import LiveSource

        source = LiveSource(camera.location, camera.live, name=camera.name)
        stages = {"draw": StageTimes(), "encode": StageTimes()}
        painter = outputs.painter(self.model.card.class_names, stages)
        made = LiveCamera(
            source,
            Selection(self.thresholds(camera), camera.roi),
            outputs.sinks(camera, painter, stages, lambda: source.info),
            camera.live,
            every=self.options.every,
            viewers=outputs.viewers(camera, painter, lambda: source.status),
        )
        made.report.stages = stages
        made.report.outputs += outputs.places(camera)
        return made

    def reload(self, pipeline: LivePipeline, outputs: Outputs) -> None:
        """Read the file of cameras again: new ones are added, those gone removed, the changed restarted.

        Cameras that did not change go on untouched. A file with a mistake changes nothing, and is told in a note.
        """
        try:
            after = cameras_of(self.options, self.environment)
            check_classes(after, self.known_classes(), self.model.card.name)
            outputs.check(after)
            changes = compare_cameras(self.cameras, after)
            made = [self.camera(camera, outputs) for camera in (*changes.changed, *changes.new)]
        except (UsageError, OutputError) as error:
            pipeline.report.notes.append(f"the cameras stay as they are: {error}")
            return
        self.cameras = after
        if self.detector is not None:
            self.detector.set_thresholds(self.least())
        outputs.changed(self.model, self.told_thresholds())
        running = {camera.source.name: camera for camera in pipeline.cameras}
        for camera in made:  # before others go: a run without a source is over
            pipeline.add(camera)
        for gone in (*changes.gone, *changes.changed):
            if gone.name in running:
                pipeline.remove(running[gone.name])
        told = {"new": changes.new, "changed": changes.changed, "gone": changes.gone}
        said = ", ".join(f"{len(some)} {word}" for word, some in told.items() if some) or "nothing changed"
        pipeline.report.notes.append(f"cameras read again: {said}")
