"""What a run needs for its events, `--events FILE`: the desk where they come together, and a sink for each source."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from streamdet.cli.events_file import notes_on_events, read_events
from streamdet.events.clips import RingClips, ring_seconds
from streamdet.events.desk import EventDesk, EventOptions
from streamdet.events.file_clips import FileClips
from streamdet.events.ring import PacketRing
from streamdet.events.rules import Rule, check_rules
from streamdet.events.sink import Clipper, EventRecorder, EventSink, LiveEventSink
from streamdet.options import AnalysisOptions
from streamdet.results.places import PlaceRules

if TYPE_CHECKING:
    from streamdet.video.base import SourceInfo
    from streamdet.video.live.drawing import Painter
    from streamdet.video.overlay import Overlay


def check_events(
    path: Path | None,
    environment: Mapping[str, str],
    places: Mapping[str, PlaceRules],
    classes: Collection[str] | None = None,
) -> EventOptions | None:
    """What the file says, before any work; None without a file. `places`: of each source, by its name.

    Raises UsageError.
    """
    if path is None:
        return None
    options = read_events(path, environment)
    _check_places(options.rules, places, classes)
    return options


def _check_places(rules: Sequence[Rule], places: Mapping[str, PlaceRules], classes: Collection[str] | None) -> None:
    for rule in rules:  # a rule for some sources may only name what these have
        own = [each for name, each in places.items() if rule.sources is None or name in rule.sources]
        check_rules(
            [rule],
            lines=[line.name for each in own for line in each.lines],
            zones=[zone.name for each in own for zone in each.zones],
            bays=[bay.name for each in own for bay in each.bays],
            classes=classes,
        )


class Events:
    """The events of one run."""

    def __init__(self, path: Path, options: EventOptions) -> None:
        """Open the desk: what waits from an earlier run goes out at once. Raises UsageError or OutputError."""
        self.desk = EventDesk(options)
        self._notes = notes_on_events(path)

    @property
    def folder(self) -> str:
        """Where they are kept."""
        return f"{self.desk.options.folder}/"

    def file_sink(self, info: SourceInfo, overlay: Overlay, analysis: AnalysisOptions, *, again: bool) -> EventSink:
        """Of a file; `again`: as `EventRecorder` takes it."""
        seconds = ring_seconds(self.desk.options.rules)
        clipper: Clipper | None = None
        has_packets = info.container not in ("image", "folder")
        if seconds is not None and has_packets and not analysis.blur_only:
            clipper = FileClips(info.path, self.desk.options.folder)
        elif seconds is not None:
            clipper = RingClips(PacketRing(seconds), self.desk.options.folder, encode=True)
        return EventSink(EventRecorder(self.desk, info.name, overlay.draw_frame, clipper=clipper, again=again))

    def ring(self) -> PacketRing | None:
        """For the packets of a camera, to be its tap; None where no rule wants clips."""
        seconds = ring_seconds(self.desk.options.rules)
        return None if seconds is None else PacketRing(seconds)

    def live_sink(
        self, name: str, painter: Painter, ring: PacketRing | None, analysis: AnalysisOptions
    ) -> LiveEventSink:
        """Of a camera, whose packets come into `ring`."""
        clipper = None
        if ring is not None:
            clipper = RingClips(ring, self.desk.options.folder, encode=analysis.blur_only)
        return LiveEventSink(EventRecorder(self.desk, name, painter.draw, clipper=clipper))

    def news(self) -> list[str]:
        """What the user should know, and was not told before."""
        notes, self._notes = self._notes, []
        return notes + self.desk.news()

    def told(self) -> dict[str, object]:
        """For the receipt, once the desk has finished; ready for JSON."""
        return {
            "told": self.desk.told,
            "folder": self.folder,
            "delivered": {courier.receiver.shown: courier.delivered for courier in self.desk.couriers},
            "refused": {courier.receiver.shown: courier.set_aside for courier in self.desk.couriers},
        }
