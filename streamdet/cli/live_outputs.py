"""What a live run writes: recordings, pushed streams, a window, JSON lines; made from the options."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from streamdet.cli.cameras import NAME, CameraOptions
from streamdet.errors import OutputError, UsageError
from streamdet.options import LiveRunOptions
from streamdet.report import StageTimes
from streamdet.results.counts import CountsCsv
from streamdet.results.rotating import LiveJsonl
from streamdet.segments import free_stem
from streamdet.video.base import SourceInfo
from streamdet.video.live.drawing import Painter
from streamdet.video.live.push import PushedStream, check_push_target
from streamdet.video.live.recorder import Recorder
from streamdet.video.live.retention import Retention
from streamdet.video.live.status import SourceStatus
from streamdet.video.live.window import Window
from streamdet.video.location import Location, parse_location
from streamdet.video.overlay import Overlay
from streamdet.video.targets import check_target, muxer_for

if TYPE_CHECKING:
    from streamdet.cli.eventing import Events
    from streamdet.events.ring import PacketRing
    from streamdet.live.camera import LiveSink

DEFAULT_FOLDER = "recordings"
DEFAULT_SEGMENT_S = 600.0
"""Of recordings in a folder: a run of weeks in one file is no use to anybody."""


class Outputs:
    """Makes each camera's outputs; those that cameras share, such as a folder's rules, are made once."""

    def __init__(self, options: LiveRunOptions, cameras: Sequence[CameraOptions], events: Events | None = None) -> None:
        """Find out before any work what can't be written. Raises UsageError or OutputError."""
        self._options = options
        self.events = events
        self._notes: list[str] = []
        self._told: set[str] = set()
        self._retentions: dict[Path, Retention] = {}
        self._stems: dict[str, str] = {}
        self._written: set[Path] = set()
        """Files of the run's own: they replace nothing, and nothing replaces them."""
        self._journal: LiveJsonl | None = None
        self._folders: set[Path] = set()
        """Folders that are recorded into: made when they are missing."""
        self.check(cameras)
        if options.common.report == Path("-"):
            raise UsageError("--report - is no file: give a file, as standard output is for --jsonl")
        journal = None if options.common.jsonl in (None, "-") else Path(str(options.common.jsonl))
        if (
            journal is not None
            and options.common.report is not None
            and journal.resolve() == options.common.report.resolve()
        ):
            raise UsageError(f"--jsonl and --report are both {journal}; give each a file of its own")
        for path in (options.common.report, journal if self._journal_segment_s() is None else None):
            if path is not None:
                check_target(path, Path(), overwrite=options.common.overwrite)
        self._window = self._open_window(cameras) if options.show else None

    def check(self, cameras: Sequence[CameraOptions]) -> None:
        """Find out what of the cameras' own outputs can't be written. Raises UsageError or OutputError."""
        for camera in cameras:
            self._check(camera, alone=len(cameras) == 1)

    def painter(self, class_names: tuple[str, ...], stages: Mapping[str, StageTimes]) -> Painter:
        """Draws one camera's pictures, for all of its outputs."""
        return Painter(Overlay(class_names), stages["draw"])

    def viewers(self, camera: CameraOptions, painter: Painter, status: Callable[[], SourceStatus]) -> list[LiveSink]:
        """The camera's part of the window, if there is one."""
        return [] if self._window is None else [self._window.add(camera.name, painter, status)]

    def ring(self) -> PacketRing | None:
        """To be told of a camera's packets; None where nobody wants them."""
        return None if self.events is None else self.events.ring()

    def event_sinks(self, camera: CameraOptions, painter: Painter, ring: PacketRing | None) -> list[LiveSink]:
        """What tells of the camera's events, if there are rules for some."""
        return [] if self.events is None else [self.events.live_sink(camera.name, painter, ring, camera.analysis)]

    def sinks(
        self,
        camera: CameraOptions,
        painter: Painter,
        stages: Mapping[str, StageTimes],
        info: Callable[[], SourceInfo | None],
    ) -> list[LiveSink]:
        """What the camera is recorded or pushed to; `stages`: times of "encode"; `info`: of its present connection.

        Raises UsageError or OutputError.
        """
        out = self._out(camera)
        if out is None:
            return []
        if (target := self._push_target(out, camera)) is not None:
            return [PushedStream(target, painter)]
        folder, file = _folder_and_file(out)
        # a camera that was changed begins a new file, and its old one stays
        first = file if self._options.segment_s is None and file not in self._written else None
        self._written |= {first} if first else set()
        return [
            Recorder(
                folder,
                file.stem if file else self._stem(camera.name),
                painter,
                self._retention(folder),
                segment_s=self._options.segment_s or (None if file else DEFAULT_SEGMENT_S),
                encode_times=stages["encode"],
                info=info,
                quality=self._options.common.quality,
                ending=file.suffix if file else ".mp4",
                first=first,
            )
        ]

    def places(self, camera: CameraOptions) -> list[str]:
        """Where the camera's outputs are, printable."""
        out = self._out(camera)
        if out is None:
            return []
        target = self._push_target(out, camera)
        return [out if target is None else target.name]

    def journals(self, header: Mapping[str, object]) -> list[LiveSink]:
        """The outputs that all cameras share; `header`: of the JSON lines. Raises UsageError or OutputError."""
        options = self._options
        counts, overwrite = options.common.counts, options.common.overwrite
        shared: list[LiveSink] = [] if counts is None else [CountsCsv(counts, overwrite=overwrite)]
        if options.common.jsonl is None:
            return shared
        segment_s = self._journal_segment_s()
        if segment_s is not None and Path(options.common.jsonl).parent in self._folders:
            Path(options.common.jsonl).parent.mkdir(parents=True, exist_ok=True)  # the recorder would, a moment later
        self._journal = LiveJsonl(
            options.common.jsonl,
            header=header,
            segment_s=segment_s,
            overwrite=options.common.overwrite,
            keeper=None if segment_s is None else self._retention(Path(options.common.jsonl).parent),
        )
        return [self._journal, *shared]

    def _journal_segment_s(self) -> float | None:
        """JSON lines are cut with the recordings where these are cut, or deleted, as asked; None: one file."""
        options = self._options
        if options.common.jsonl in (None, "-"):
            return None
        limited = options.keep_s is not None or options.max_bytes is not None
        return options.segment_s or (DEFAULT_SEGMENT_S if limited else None)

    def changed(self, header: Mapping[str, object]) -> None:
        """The cameras are others now: the headers of files that begin from now on tell."""
        if self._journal is not None:
            self._journal.header = header

    def _check(self, camera: CameraOptions, *, alone: bool) -> None:
        out = self._out(camera)
        if out is None:
            return
        target = self._push_target(out, camera)
        if target is not None:
            check_push_target(target)
            if not alone and camera.out is None and NAME not in out:
                raise UsageError(f"--out {target.name} is one stream for several cameras; put {NAME} into the address")
            return
        folder, file = _folder_and_file(out)
        self._folders.add(folder)
        if file is not None:
            muxer_for(file)
            if self._options.segment_s is None and file not in self._written:
                check_target(file, Path(), overwrite=self._options.common.overwrite)
            if not alone and camera.out is None:
                raise UsageError(f"--out {out} is one file for several cameras; give a folder, such as --out rec/")

    def _out(self, camera: CameraOptions) -> str | None:
        """Where the camera is recorded or pushed to; None: nowhere."""
        options = self._options
        if camera.out is not None:
            return camera.out
        if not options.video:
            return None
        if options.out is None:
            return None if options.show else DEFAULT_FOLDER + os.sep
        return options.out

    def _push_target(self, out: str, camera: CameraOptions) -> Location | None:
        """The address to push to; None for a folder or file."""
        if "://" not in out:
            return None
        return parse_location(out.replace(NAME, self._stem(camera.name)))

    def _stem(self, name: str) -> str:
        if name not in self._stems:
            self._stems[name] = free_stem(name, self._stems.values())
        return self._stems[name]

    def _retention(self, folder: Path) -> Retention:
        options = self._options
        return self._retentions.setdefault(
            folder,
            Retention(folder, keep_s=options.keep_s, max_bytes=options.max_bytes, reserve_bytes=options.reserve_bytes),
        )

    def _open_window(self, cameras: Sequence[CameraOptions]) -> Window | None:
        """The window of `--show`; without a screen the run goes on, unless nothing else was asked for."""
        options = self._options
        try:
            return Window("streamdet")
        except OutputError as error:
            common = options.common
            targets = (options.out, common.jsonl, common.report, common.counts, common.events)
            nothing_else = all(target is None for target in targets)
            if nothing_else and all(camera.out is None for camera in cameras):
                raise
            self._notes.append(str(error))
            return None

    @property
    def tick_s(self) -> float:
        """How often `refresh` wants to be called."""
        return 0.2 if self._window is None else 0.04

    def refresh(self) -> str | None:
        """Show what is new in the window; why the run should end, if so."""
        return None if self._window is None else self._window.refresh()

    def news(self) -> list[str]:
        """What the user should know, and was not told before."""
        notes = list(self._notes)
        if self._window is not None:
            notes += self._window.notes
        if self.events is not None:
            notes += self.events.news()
        for retention in self._retentions.values():
            notes += retention.problems
        new = [note for note in dict.fromkeys(notes) if note not in self._told]
        self._told.update(new)
        return new

    def close(self) -> None:
        """Close the window."""
        if self._window is not None:
            self._window.close()


def _folder_and_file(out: str) -> tuple[Path, Path | None]:
    """The folder to record into; the file when one is meant."""
    path = Path(out)
    if out.endswith(os.sep) or os.path.isdir(out) or not path.suffix:  # noqa: PTH112 - see places_of
        return path, None
    return path.parent, path
