"""Reads files of detections once, frame by frame, and keeps what a page shows of each view."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from streamdet.errors import DataError
from streamdet.results.jsonl_reading import FrameLine, read_jsonl
from streamdet.results.page.coverage import Coverage
from streamdet.results.page.heat import HeatGrid
from streamdet.results.page.objects import Objects
from streamdet.results.page.places import Places
from streamdet.results.page.series import Series

CELLS = 160
"""Of the heat map, along the longer side of a picture whose size is known."""
UNKNOWN_CELL_PX = 8
TELL_EVERY = 1000
"""Frames between two calls of `watch`."""


class View:
    """One camera, or one recording.

    Attributes:
        name: of the camera or recording.
        live: its moments are seconds since 1970; otherwise those of the recording.
        pictures: it is a folder of pictures; its moments are their places.
        size_wh: of its pictures, in pixels; None where the file does not tell.
        geometry: "lines", "zones" and "bays", by name their points in pixels.
        counts: objects that count, per class.
        quietest: a frame with as few objects as any, for a background.
    """

    def __init__(self, name: str, class_names: tuple[str, ...], header: Mapping[str, Any], *, live: bool) -> None:
        """`header` is that of the first file that has it."""
        self.name = name
        self.class_names = class_names
        self.live = live
        self.pictures = False
        self.size_wh = _size(header)
        self.geometry = _geometry(header, name)
        self.counts = Series(len(class_names))
        cell_px = UNKNOWN_CELL_PX if self.size_wh is None else max(1, round(max(self.size_wh) / CELLS))
        self.heat = HeatGrid(len(class_names), cell_px)
        self.coverage = Coverage()
        self.objects = Objects()
        self.places = Places()
        self.quietest: FrameLine | None = None
        self._fewest = 0

    def add(self, line: FrameLine) -> None:
        """Take in one frame."""
        time_s = moment_of(line)
        shown = line.shown
        # what happened at places is gathered below; a frame that is kept as an example goes without
        kept = line if not line.scene_line else replace(line, scene_line={})
        self.pictures |= line.picture is not None
        self.coverage.add(line, shown, time_s)
        counts = np.bincount(shown.class_ids, minlength=len(self.class_names)).astype(np.int64)
        self.counts.add(time_s, counts, kept)
        self.heat.add(shown.boxes_xyxy, shown.class_ids)
        if len(shown) and bool((shown.track_ids >= 0).any()):
            self.objects.add(shown, time_s)
        if line.scene_line:
            self.places.add(line, time_s)
        if self.quietest is None or (len(shown) < self._fewest and not line.damaged):
            self.quietest, self._fewest = kept, len(shown)

    def finish(self) -> None:
        """After the last frame."""
        self.objects.finish()

    @property
    def canvas_wh(self) -> tuple[float, float]:
        """Width and height of the pictures, or what the boxes reach."""
        if self.size_wh is not None:
            return self.size_wh
        self.heat.covering()
        right, low = self.heat.reach_xy
        return max(right, 64.0), max(low, 36.0)


@dataclass
class Gathered:
    """What the files tell."""

    paths: tuple[Path, ...]
    header: Mapping[str, Any]
    """Of the first file."""
    class_names: tuple[str, ...]
    views: list[View]
    complete: int = 0
    """Files whose run came to its end."""
    flaws: list[str] = field(default_factory=list)
    """A sentence for each other one."""


def moment_of(line: FrameLine) -> float:
    """A frame's time: the time of day in seconds since 1970 where there is one, else that of the recording."""
    return line.time_s if line.utc_s is None else line.utc_s


def gather(paths: Sequence[Path], watch: Callable[[int], None] = lambda frames: None) -> Gathered:
    """Read the files, one after the other; `watch` is told now and then how many frames are read.

    Live frames of one name are one view, whatever file they are in; each recording is a view.

    Raises:
        DataError: a file can't be read, is no such file, or its classes are others than those of the first one.
    """
    views: dict[tuple[str, bool], View] = {}
    gathered: Gathered | None = None
    frames = 0
    for path in paths:
        header, lines = read_jsonl(path)
        class_names = tuple(header["classes"])
        if gathered is None:
            gathered = Gathered(tuple(paths), header, class_names, [])
        elif class_names != gathered.class_names:
            raise DataError(
                f"{path} knows the classes {', '.join(class_names)}, and {paths[0]} {', '.join(gathered.class_names)}; "
                "report on them apart"
            )
        recording: View | None = None
        for line in lines:
            if line.stream is None:
                if recording is None:
                    recording = _new(views, str(header.get("source") or path.name), class_names, header)
                recording.add(line)
            else:
                key = line.stream, True
                if key not in views:
                    views[key] = View(line.stream, class_names, header, live=True)
                views[key].add(line)
            frames += 1
            if frames % TELL_EVERY == 0:
                watch(frames)
        gathered.complete += lines.complete
        gathered.flaws += [] if lines.flaw is None else [lines.flaw]
    assert gathered is not None
    gathered.views = list(views.values())
    for view in gathered.views:
        view.finish()
    return gathered


def _new(
    views: dict[tuple[str, bool], View], source: str, class_names: tuple[str, ...], header: Mapping[str, Any]
) -> View:
    """A view of a recording; of two that have the same name the second gets a number."""
    name, number = source, 1
    while (name, False) in views:
        number += 1
        name = f"{source} ({number})"
    view = views[name, False] = View(name, class_names, header, live=False)
    return view


def _size(header: Mapping[str, Any]) -> tuple[float, float] | None:
    width, height = header.get("width"), header.get("height")
    if isinstance(width, (int, float)) and isinstance(height, (int, float)) and width > 0 and height > 0:
        return float(width), float(height)
    return None


def _geometry(header: Mapping[str, Any], name: str) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Points by kind and name of place. Headers of live runs hold them by camera."""
    places = header.get("places")
    if isinstance(places, dict) and isinstance(places.get(name), dict):
        places = places[name]
    found: dict[str, dict[str, list[tuple[float, float]]]] = {"lines": {}, "zones": {}, "bays": {}}
    if not isinstance(places, dict):
        return found
    for kind, named in found.items():
        shapes = places.get(kind)
        if isinstance(shapes, dict):
            named |= {str(place): points for place, shape in shapes.items() if (points := _points(shape))}
    return found


def _points(shape: Any) -> list[tuple[float, float]]:
    """`[[x, y], ...]`, or `[x, y, x, y, ...]`; empty when it is neither."""
    try:
        return [(float(x), float(y)) for x, y in np.array(shape, float).reshape(-1, 2)]
    except (TypeError, ValueError):
        return []
