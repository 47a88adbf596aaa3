"""The cameras of a live run: what is to be done with each, and what changes when their file is read again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from streamdet.cli.analysing import check_known
from streamdet.options import AnalysisOptions, LiveOptions
from streamdet.results.places import PlaceRules
from streamdet.video.base import printable
from streamdet.video.location import Location

NAME = "{name}"
"""In an address to push to: the camera's name."""


@dataclass(frozen=True, slots=True)
class CameraOptions:
    """What is to be done with one camera."""

    name: str
    location: Location
    """Where it is, with its credentials; never shows them."""
    roi: tuple[float, float, float, float] | None = None
    """x1, y1, x2, y2 of the part to look at: pixels, or shares of width and height where none is above 1."""
    classes: tuple[str, ...] | None = None
    """Report only these; None: all."""
    conf: Mapping[str, float] = field(default_factory=dict)
    """Least score by class, "*" for all others; where nothing is said the model's own."""
    analysis: AnalysisOptions = field(default_factory=AnalysisOptions)
    """What is made of its detections; its places are in `places`."""
    places: PlaceRules = field(default_factory=PlaceRules)
    """Its lines, zones and bays."""
    out: str | None = field(default=None, repr=False)
    """File, folder or URL of its output; may hold a password."""
    live: LiveOptions = field(default_factory=LiveOptions)
    exposed_in: Path | None = field(default=None, compare=False)
    """The file in which its password stands, when other users may read that file."""

    @property
    def tracks(self) -> bool:
        """Objects are followed, asked for or needed."""
        return self.analysis.tracks or bool(self.places)


@dataclass(frozen=True, slots=True)
class CameraChanges:
    """What a new reading of the file has changed. Cameras are the same when their names are."""

    new: tuple[CameraOptions, ...] = ()
    gone: tuple[CameraOptions, ...] = ()
    """As they were."""
    changed: tuple[CameraOptions, ...] = ()
    """As they are now."""
    unchanged: tuple[CameraOptions, ...] = ()


def compare_cameras(before: Sequence[CameraOptions], after: Sequence[CameraOptions]) -> CameraChanges:
    """Which cameras are new, gone, changed or unchanged."""
    known = {camera.name: camera for camera in before}
    kept = {camera.name for camera in after}
    return CameraChanges(
        new=tuple(camera for camera in after if camera.name not in known),
        gone=tuple(camera for camera in before if camera.name not in kept),
        changed=tuple(camera for camera in after if camera.name in known and camera != known[camera.name]),
        unchanged=tuple(camera for camera in after if camera == known.get(camera.name)),
    )


def notes_on(cameras: Iterable[CameraOptions]) -> list[str]:
    """What the user should know about these cameras: passwords in a file that others may read."""
    exposed = [camera for camera in cameras if camera.exposed_in is not None]
    if not exposed:
        return []
    file = printable(str(exposed[0].exposed_in))
    whose = ", ".join(camera.name for camera in exposed[:3]) + f" and {len(exposed) - 3} more" * (len(exposed) > 3)
    return [f"{file} holds passwords ({whose}) and other users may read it: chmod 600 it, or use password_env"]


def check_classes(cameras: Iterable[CameraOptions], known: Sequence[str], model: str) -> None:
    """Raises UsageError when a camera's `classes` or `conf` name a class that `model` doesn't know."""
    for camera in cameras:
        named = (("classes", camera.classes or ()), ("conf", camera.conf), ("blur", camera.analysis.blur))
        for key, names in named:
            check_known(f"{key} of camera {camera.name}", names, known, model)
