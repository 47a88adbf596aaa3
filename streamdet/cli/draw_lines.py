"""Brings the lines of a file of detections together with the frames of their clip, for `streamdet draw`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from streamdet.cli.analysing import Scores, check_known
from streamdet.errors import DataError, UsageError
from streamdet.options import OTHERS
from streamdet.results.analysis import SCORE_DECIMALS
from streamdet.results.places import BayRule, LineRule, PlaceRules, ZoneRule
from streamdet.results.tracks import TrackRule
from streamdet.scene import BayState, LineState, Scene, ZoneState
from streamdet.types import DetectedFrame, Detections, Frame

if TYPE_CHECKING:
    from streamdet.results.jsonl_reading import FrameLine, FrameLines
    from streamdet.video.base import Source


class LinedFrames:
    """The frames of a clip that have a line; to be read once, by one thread, while another asks for the lines.

    Attributes:
        unlined: frames of the clip that have none.
        beyond: lines for which the clip holds no frame, once all is read.
    """

    def __init__(self, source: Source, lines: FrameLines, path: Path) -> None:
        self.unlined = self.beyond = 0
        self._source, self._lines, self._path = source, lines, path
        self._waiting: deque[FrameLine] = deque()
        self._current: FrameLine | None = None

    def __iter__(self) -> Iterator[Frame]:
        """Raises DataError when the lines are about another video."""
        line = self._next_line()
        for frame in self._source:
            time_s = frame.pts * frame.time_base
            if line is not None and line.pts * line.time_base < time_s:
                raise DataError(
                    f"{self._path} is about another video: it has a frame at {line.time_s:.3f} s, and the clip "
                    f"has none there, but at {frame.time_s:.3f} s; give the clip that the detections are from"
                )
            if line is None or line.pts * line.time_base > time_s:
                self.unlined += 1
                self._source.counts.yielded -= 1
                self._source.counts.skipped += 1
                continue
            self._waiting.append(line)
            yield replace(frame, index=line.index, damaged=frame.damaged or line.damaged)
            line = self._next_line()
        self.beyond = 0 if line is None else 1 + sum(1 for _ in self._lines)

    def _next_line(self) -> FrameLine | None:
        line = next(self._lines, None)
        if line is not None and line.stream is not None:
            raise UsageError(
                f"{self._path} is about live cameras, whose recordings are drawn already: give the detections of a file"
            )
        return line

    def detections(self, frame: Frame) -> Detections:
        """What the detector saw in a frame that was given out, in their order."""
        self._current = self._waiting.popleft()
        return self._current.seen

    def scene_line(self) -> Mapping[str, Any]:
        """What the line says about lines, zones and bays whose detections were asked for last."""
        return {} if self._current is None else self._current.scene_line


def scores_of(
    header: Mapping[str, Any],
    *,
    conf: Mapping[str, float],
    classes: Sequence[str] | None,
    blur: Sequence[str],
    tracks: bool,
) -> Scores:
    """What counts of the detections in a file: as the run had it, unless the user says otherwise.

    Raises:
        UsageError: a class is not in the file.
    """
    names = tuple(header["classes"])
    thresholds = header.get("thresholds") or dict.fromkeys(names, 0.0)
    starts_before = (header.get("tracking") or {}).get("start_score") or thresholds
    known = [name for name in names if name in thresholds or name in starts_before]
    for option, asked in (("--conf", conf), ("--classes", classes or ()), ("--blur", blur)):
        check_known(option, asked, known, "the file of detections")
    shown, start = [], []
    for name in names:
        score = conf.get(name, conf.get(OTHERS, thresholds.get(name, starts_before.get(name, np.inf))))
        is_shown = name in thresholds if classes is None else name in classes
        shown.append(score if is_shown and name in known else np.inf)
        start.append(
            shown[-1] if np.isfinite(shown[-1]) else starts_before.get(name, np.inf) if name in blur else np.inf
        )
    starts = np.round(start, SCORE_DECIMALS)
    kept = np.where(np.isfinite(starts), np.minimum(starts, TrackRule().low_score if tracks else np.inf), np.inf)
    return Scores(
        np.round(shown, SCORE_DECIMALS).astype(np.float32), starts.astype(np.float32), kept.astype(np.float32)
    )


def missing_below(header: Mapping[str, Any], scores: Scores) -> str | None:
    """A sentence when weaker objects are asked for than the file holds."""
    names = tuple(header["classes"])
    thresholds = header.get("thresholds") or {}
    for name, wanted in zip(names, scores.kept.tolist(), strict=True):
        held = min(thresholds.get(name, np.inf), header.get("kept", np.inf))
        if np.isfinite(held) and wanted < held - 1e-6:
            return (
                f"the file holds no {name} below {held:g}, and from {wanted:g} on they are wanted: "
                f"detect with --keep {wanted:g} to have them"
            )
    return None


class Kept:
    """A step that lets through what a run with these scores would have detected."""

    def __init__(self, scores: Scores) -> None:
        self._kept = scores.kept

    def __call__(self, detected: DetectedFrame) -> DetectedFrame:
        """The frame with fewer detections."""
        found = detected.detections
        return replace(detected, detections=found[found.scores >= self._kept[found.class_ids]])


class ToldPlaces:
    """A step that puts lines, zones and bays onto a frame as the file tells of them, without counting again."""

    def __init__(self, geometry: Mapping[str, Mapping[str, Any]], frames: LinedFrames) -> None:
        """`geometry`: the header's "places"."""
        self._lines, self._zones, self._bays = (geometry.get(kind) or {} for kind in ("lines", "zones", "bays"))
        self._frames = frames

    def __call__(self, detected: DetectedFrame) -> DetectedFrame:
        """The frame with its scene."""
        told = self._frames.scene_line()
        lines, zones, bays = (told.get(kind) or {} for kind in ("lines", "zones", "bays"))
        scene = Scene(
            lines=tuple(
                LineState(name, _ends(points), lines.get(name, {}).get("in", {}), lines.get(name, {}).get("out", {}))
                for name, points in self._lines.items()
            ),
            zones=tuple(
                ZoneState(name, np.array(corners, np.float32), zones.get(name, {}))
                for name, corners in self._zones.items()
            ),
            bays=tuple(
                BayState(name, np.array(corners, np.float32), bays.get(name)) for name, corners in self._bays.items()
            ),
            trails={} if detected.scene is None else detected.scene.trails,
        )
        return replace(detected, scene=scene)


def told_rules(geometry: Mapping[str, Mapping[str, Any]]) -> PlaceRules:
    """The places of a header as rules to count with anew; what it doesn't tell (classes, ground) is as usual."""
    return PlaceRules(
        lines=tuple(LineRule(name, _ends(points)) for name, points in (geometry.get("lines") or {}).items()),
        zones=tuple(
            ZoneRule(name, tuple((x, y) for x, y in corners)) for name, corners in (geometry.get("zones") or {}).items()
        ),
        bays=tuple(
            BayRule(name, tuple((x, y) for x, y in corners)) for name, corners in (geometry.get("bays") or {}).items()
        ),
    )


def _ends(points: Sequence[Sequence[float]]) -> tuple[tuple[float, float], tuple[float, float]]:
    (x1, y1), (x2, y2) = points
    return (x1, y1), (x2, y2)
