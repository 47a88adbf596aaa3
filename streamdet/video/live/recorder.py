"""The annotated recording of one camera, in segments."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import av

from streamdet.errors import OutputError, StreamdetError
from streamdet.report import StageTimes
from streamdet.segments import Schedule
from streamdet.types import DetectedFrame
from streamdet.video.base import SourceInfo
from streamdet.video.encoding import Quality
from streamdet.video.live.drawing import Painter, utc_of
from streamdet.video.live.retention import Retention
from streamdet.video.live.segmented import SegmentedVideo
from streamdet.video.live.status import DISK_FULL, OUTPUT_FAILED, SourceStatus
from streamdet.video.live.timeline import Timeline, fine_time_base
from streamdet.video.writer import KEY_FRAME_S

TRY_AGAIN_S = 10.0
"""After a segment could not be written, recording is tried again after this time."""
GONE_KEY_FRAME_S = Fraction(60)
"""A picture that stands still needs few key frames: they would fill the disk while a camera is gone."""
_GONE_S = Fraction(1)
_MOST_NOTES = 50


class Recorder:
    """A live sink: segments `STEM_2026-11-25T22-10-00Z.mp4`, the time being the wall clock (UTC) of the first frame.

    A segment ends at a whole multiple of its length on the wall clock, and when the picture's size changes. Each
    begins with a key frame at time 0 and holds the camera's own timing. All are fragmented while they are written and
    made plain files behind the camera's back, so that neither a kill -9 nor a slow disk loses frames.

    While the camera is gone, its last picture goes on with NO SIGNAL on it. While the disk is fuller than the reserve
    allows, or can't be written, nothing is recorded; that is noted, and tried again.

    Attributes:
        notes: what a user should know, a sentence each.
        frames: frames of the camera in the recording.
        gone_frames: pictures in the recording that say NO SIGNAL.
        left_out: frames that could not be recorded.
        refusal: why the last of them could not.
        lost: none, ever.
    """

    lost = 0

    def __init__(
        self,
        folder: Path,
        stem: str,
        painter: Painter,
        retention: Retention,
        *,
        segment_s: float | None,
        encode_times: StageTimes,
        info: Callable[[], SourceInfo | None] = lambda: None,
        quality: Quality = "balanced",
        ending: str = ".mp4",
        first: Path | None = None,
    ) -> None:
        """Make the folder; no file is made before the first frame.

        Args:
            folder: where the segments go.
            stem: how their names begin: see `free_stem`.
            painter: draws the camera's frames.
            retention: of `folder`; all recorders of the folder share it.
            segment_s: length of a segment in seconds; None = one file, but for changes of size and full disks.
            encode_times: the time is recorded here for each frame.
            info: of the camera's present connection, where known.
            quality: file size against fidelity.
            ending: `.mp4` or `.mkv`.
            first: in `folder`; the first file gets this very name, and replaces what is there.

        Raises:
            OutputError: the folder can't be made or written.
        """
        self.notes: list[str] = []
        self.frames = self.gone_frames = self.left_out = 0
        self._folder, self._stem = folder, stem
        self._painter = painter
        self._retention = retention
        self._encode_times = encode_times
        self._info = info
        self._timeline = Timeline()
        self._is_full = self._is_over = False
        self.refusal = OUTPUT_FAILED
        self._failed_at_s: float | None = None
        _make_folder(folder)
        self._video = SegmentedVideo(
            folder, stem, ending, retention, schedule=Schedule(segment_s), quality=quality, first=first
        )

    @property
    def segments(self) -> int:
        """Files begun."""
        return self._video.files

    def write(self, detected: DetectedFrame) -> bool:
        """Record one frame; False when it could not be."""
        frame = detected.frame
        moment_s = self._timeline.stamp(frame)
        picture = self._painter.draw(detected)
        duration_s = (frame.picture.duration or 0) * frame.time_base
        started = time.perf_counter()
        took = self._put(picture, moment_s, utc_of(frame), fine_time_base(frame.time_base), duration_s, KEY_FRAME_S)
        if took:
            self._encode_times.record(time.perf_counter() - started)
            self.frames += 1
        else:
            self.left_out += 1
        return took

    def gone(self, status: SourceStatus, now_s: float) -> None:
        """Record the last picture with NO SIGNAL on it; nothing before the first frame."""
        picture, last = self._painter.draw_gone(status, now_s), self._painter.last_frame
        if picture is None or last is None or not self._timeline.started:
            return
        moment_s, utc_s = self._timeline.at(now_s), utc_of(last) + (now_s - last.arrival_s)
        if self._put(picture, moment_s, utc_s, fine_time_base(last.time_base), _GONE_S, GONE_KEY_FRAME_S):
            self.gone_frames += 1

    def finish(self, *, complete: bool) -> None:
        """End the last segment and wait until all are plain files, whether the run is `complete` or not."""
        if not self._is_over:
            self._video.finish()
            self._end()

    def close(self) -> None:
        """Stop: the last segment plays, but stays in fragments. Does nothing after `finish`."""
        if not self._is_over:
            self._video.close()
            self._video.finish()
            self._end()

    def _end(self) -> None:
        self._is_over = True
        self._take_notes()
        if self._timeline.replaced:
            self._note(f"the clock of {self._stem} was set {self._timeline.replaced} times: times go on by arrival")
        if self.left_out:
            self._note(f"{self.left_out} frames of {self._stem} are not in the recording")

    def _put(
        self,
        picture: av.VideoFrame,
        moment_s: Fraction,
        utc_s: float,
        time_base: Fraction,
        duration_s: Fraction,
        key_frame_s: Fraction,
    ) -> bool:
        if not self._may_record(utc_s):
            return False
        try:
            self._video.write(
                picture,
                moment_s,
                utc_s,
                time_base=time_base,
                duration_s=duration_s,
                key_frame_s=key_frame_s,
                info=self._info(),
            )
        except StreamdetError as error:
            if self._failed_at_s is None:
                self._note(f"recording of {self._stem} stopped at {_clock(utc_s)}: {error}")
            self._failed_at_s = time.monotonic()
            return False
        self._take_notes()
        if self._failed_at_s is not None:
            self._failed_at_s = None
            self._note(f"recording of {self._stem} went on at {_clock(utc_s)}")
        return True

    def _may_record(self, utc_s: float) -> bool:
        has_room = self._retention.has_room()
        self.refusal = OUTPUT_FAILED if has_room else DISK_FULL
        if not has_room:
            if not self._is_full:
                self._is_full = True
                self._video.cut()
                room = f"{self._retention.reserve_bytes / 1e6:.0f} MB"
                self._note(
                    f"recording of {self._stem} stopped at {_clock(utc_s)}: less than {room} free for {self._folder}"
                )
            return False
        if self._is_full:
            self._is_full = False
            self._note(f"recording of {self._stem} went on at {_clock(utc_s)}: there is room again")
        if self._failed_at_s is None:
            return True
        if time.monotonic() - self._failed_at_s < TRY_AGAIN_S:
            return False
        try:
            _make_folder(self._folder)  # somebody may have taken it away
        except OutputError:
            self._failed_at_s = time.monotonic()
            return False
        return True

    def _take_notes(self) -> None:
        while self._video.notes:
            self._note(self._video.notes.pop(0))

    def _note(self, note: str) -> None:
        """Keep it; a run of weeks must not fill the memory with them."""
        if len(self.notes) < _MOST_NOTES:
            self.notes.append(note)
        elif len(self.notes) == _MOST_NOTES:
            self.notes.append(f"more happened to the recording of {self._stem} than is noted here")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise OutputError(f"{folder} is a file; choose a folder for the recordings") from None
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror or error}; choose another") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"the folder {folder} may not be written by this user; choose another")


def _clock(utc_s: float) -> str:
    return datetime.fromtimestamp(int(utc_s), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
