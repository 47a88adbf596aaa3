"""Where `streamdet report` takes its pictures from: the clip of the detections, or recordings of their cameras."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

from streamdet.errors import UsageError
from streamdet.results.jsonl_reading import FrameLine
from streamdet.results.page.gather import Gathered, View
from streamdet.results.page.scenes import Picture
from streamdet.segments import safe_stem, segment_pattern
from streamdet.types import DetectedFrame, Frame
from streamdet.video.stills import Stills

PICTURE_PX = 960
"""Longer side of the pictures in a page."""
RECORDED_WITHIN_S = 2.0
"""A recording's name tells its beginning to the second, and its frames may be some time apart."""


@dataclass(frozen=True)
class _Recording:
    begin_s: float
    """Wall clock of its first frame, seconds since 1970, to the second."""
    path: Path


class Pictures:
    """Finds the picture of a frame; `notes` tells why some are missing.

    A clip gives exactly the frame. A recording of a camera, which has its boxes drawn in already, gives the picture of
    the same second.
    """

    def __init__(self, gathered: Gathered, clips: Sequence[Path], blurred: Sequence[str]) -> None:
        """`blurred`: classes that are made unrecognisable in pictures of clips.

        Raises:
            UsageError: a clip is not one of those that the detections are about.
            SourceError: it can't be read.
        """
        self.notes: list[str] = []
        self._blurred = tuple(blurred)
        self._clips: dict[str, Stills] = {}
        self._recordings: dict[str, list[_Recording]] = {}
        self._taken: dict[tuple[str, int, int], Picture | None] = {}
        for clip in clips:
            self._add(clip, gathered.views)
        for view in gathered.views:
            if recordings := self._recordings.get(view.name):
                recordings.sort(key=lambda recording: recording.begin_s)
                info = Stills(recordings[0].path, most_px=PICTURE_PX).info
                view.size_wh = view.size_wh or (info.width, info.height)  # lines of cameras don't tell it
        if self._recordings and self._blurred:
            raise UsageError(
                "--blur can't reach into recordings of cameras; leave them out, or give streamdet run --blur"
            )

    def __call__(self, view: View, line: FrameLine) -> Picture | None:
        """The picture of a frame; None when there is none."""
        key = view.name, line.index, line.pts
        if key not in self._taken:
            self._taken[key] = self._recorded(view, line) if view.live else self._of_clip(view, line)
        return self._taken[key]

    def _add(self, clip: Path, views: Sequence[View]) -> None:
        for view in views:
            stamp = segment_pattern(safe_stem(view.name), clip.suffix).fullmatch(clip.name) if view.live else None
            if stamp is not None:
                begin = datetime.strptime(stamp[1], "%Y-%m-%dT%H-%M-%SZ").replace(tzinfo=UTC)
                self._recordings.setdefault(view.name, []).append(_Recording(begin.timestamp(), clip))
                return
        recorded = [view for view in views if not view.live]
        of = [view for view in recorded if view.name == clip.name] or recorded
        if len(of) != 1 or of[0].name in self._clips:
            raise UsageError(
                f"none of the detections is about {clip.name}; they are about {', '.join(view.name for view in views)}"
            )
        view, stills = of[0], Stills(clip, most_px=PICTURE_PX)
        if view.size_wh is not None and view.size_wh != (stills.info.width, stills.info.height):
            width, height = view.size_wh
            raise UsageError(
                f"{clip} is {stills.info.width}x{stills.info.height} and the detections are of a video of "
                f"{width:g}x{height:g}; give the clip that they were made from"
            )
        self._clips[view.name] = stills

    def _of_clip(self, view: View, line: FrameLine) -> Picture | None:
        stills = self._clips.get(view.name)
        if stills is None:
            return None
        within_s = view.coverage.usual_interval_s / 2
        jpeg = stills.at(line.pts * line.time_base, within_s, lambda frame: self._blur(frame, line))
        if jpeg is None and not self.notes:
            self.notes.append(
                f"{stills.info.name} has no picture at {line.time_s:.3f} s; is it the clip that was detected in?"
            )
        return None if jpeg is None else Picture(jpeg, drawn=False)

    def _blur(self, frame: Frame, line: FrameLine) -> Frame:
        """With what the line says of these classes made unrecognisable; all of it where the picture is damaged."""
        from streamdet.video.blur import Blur

        if not self._blurred:
            return frame
        frame = replace(frame, damaged=frame.damaged or line.damaged)
        return Blur(self._blurred)(DetectedFrame(frame, line.detections, line.shown_mask)).frame

    def _recorded(self, view: View, line: FrameLine) -> Picture | None:
        recordings = self._recordings.get(view.name, [])
        utc_s = line.utc_s or 0.0
        place = bisect_right([recording.begin_s for recording in recordings], utc_s) - 1
        if place < 0:
            return None
        recording = recordings[place]
        since_s = Fraction(max(0.0, utc_s - recording.begin_s - 0.5))  # it began somewhere in that second
        stills = Stills(recording.path, most_px=PICTURE_PX)
        jpeg = stills.at(stills.info.origin_s + since_s, RECORDED_WITHIN_S)
        return None if jpeg is None else Picture(jpeg, drawn=True)
