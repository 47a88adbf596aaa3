"""Pictures with times become a row of video files: begun, cut, and made plain files behind the writer's back."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av

from streamdet.errors import OutputError, StreamdetError
from streamdet.segments import Schedule, new_segment_path
from streamdet.video.base import SourceInfo
from streamdet.video.encoding import Quality
from streamdet.video.live.errands import Errands
from streamdet.video.live.retention import Retention
from streamdet.video.writer import KEY_FRAME_S, VideoWriter

_RATES = range(1, 241)
"""Frames per second that a camera can be believed to have."""
_BEGINNING = 1 << 16
"""Bytes of a file's header and first picture, at the least."""


class SegmentedVideo:
    """Writes one file after the other; each begins with a key frame at time 0.

    A file ends when the `schedule` says so, when the picture's size changes, and when `cut` is called.

    Attributes:
        notes: of the writers, a sentence each; the caller may empty it.
        files: files begun.
    """

    def __init__(
        self,
        folder: Path,
        stem: str,
        ending: str,
        retention: Retention,
        *,
        schedule: Schedule,
        quality: Quality,
        first: Path | None = None,
    ) -> None:
        """Prepare; nothing is written yet. `first`: the first file's very name, instead of one with a time."""
        self.notes: list[str] = []
        self.files = 0
        self._folder, self._stem, self._ending = folder, stem, ending
        self._retention = retention
        self._first = first
        self._schedule = schedule
        self._quality = quality
        self._errands = Errands(f"streamdet-finish {stem}")
        self._writer: VideoWriter | None = None
        self._size = (0, 0)
        self._begin_s = Fraction(0)
        self._time_base = Fraction(1, 1000)
        retention.register(stem, ending)

    def write(
        self,
        picture: av.VideoFrame,
        moment_s: Fraction,
        utc_s: float,
        *,
        time_base: Fraction,
        duration_s: Fraction,
        key_frame_s: Fraction = KEY_FRAME_S,
        info: SourceInfo | None = None,
    ) -> None:
        """Write one picture.

        Args:
            picture: upright, yuv420p; its times are set here.
            moment_s: its time in seconds, later than that of the one before.
            utc_s: wall clock, seconds since 1970.
            time_base: unit of the times in a file that begins with this picture.
            duration_s: how long it is shown if it is the last of a file; 0 = unknown.
            key_frame_s: how far key frames may lie apart, in seconds.
            info: of the camera, for a file that begins with this picture.

        Raises:
            StreamdetError: a file can't be made or written. What was written plays; the next picture begins a new one.
        """
        if self._retention.is_sweep_due():
            self._errands.run(self._sweep)
        size = (picture.width, picture.height)
        if self._schedule.is_over(utc_s) or size != self._size:
            self.cut()
        if self._writer is None:
            self._writer = self._new_writer(size, utc_s, info)
            self._size, self._begin_s, self._time_base = size, moment_s, time_base
            self._schedule.begin(utc_s)
            self.files += 1
        picture.duration = round(duration_s / self._time_base)
        pts = round((moment_s - self._begin_s) / self._time_base)
        try:
            self._writer.write(picture, pts, self._time_base, key_frame_s=key_frame_s)
        except StreamdetError:
            self.close()
            raise

    def cut(self) -> None:
        """End the present file; it is made a plain one in the background."""
        writer, self._writer = self._writer, None
        if writer is not None:
            self._errands.run(lambda: self._finish(writer))

    def finish(self) -> None:
        """End the present file and wait until all are plain ones."""
        self.cut()
        self._errands.end()

    def close(self) -> None:
        """Leave the present file as it is: it plays."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
            if writer.frames:
                self.notes += writer.notes
            else:
                writer.path.unlink(missing_ok=True)
            self._retention.ended(writer.path)

    def _new_writer(self, size: tuple[int, int], utc_s: float, info: SourceInfo | None) -> VideoWriter:
        path, self._first = self._first or new_segment_path(self._folder, self._stem, utc_s, self._ending), None
        self._retention.began(path)  # before the file is there: a sweep must not take it
        try:
            _try_disk(path)
            return VideoWriter(
                path, self._description(size, info), width=size[0], height=size[1], quality=self._quality
            )
        except StreamdetError:
            self._retention.ended(path)
            raise

    def _finish(self, writer: VideoWriter) -> None:
        """Make it a plain file where the disk has room for a second one for a moment."""
        try:
            if self._retention.has_room_for(writer.path.stat().st_size):
                writer.finish()
            else:
                writer.close()
        except OSError:
            writer.close()
            self.notes.append(f"{writer.path} is gone: somebody deleted it while it was written")
        except StreamdetError as error:
            self.notes.append(str(error))
        self.notes += writer.notes
        self._retention.ended(writer.path)
        self._sweep()

    def _sweep(self) -> None:
        self._retention.sweep()

    def _description(self, size: tuple[int, int], info: SourceInfo | None) -> SourceInfo:
        """What the writer needs to know of the camera, which has no file, and no sound that could be copied."""
        if info is None:
            return SourceInfo(self._stem, Path(), *size, "", "", "", None, self._time_base, Fraction(0))
        rate = info.average_rate
        known = rate is not None and round(rate) in _RATES
        return replace(info, path=Path(), has_audio=False, average_rate=rate if known else None)


def _try_disk(path: Path) -> None:
    """Raise OutputError when not even the beginning of a file has room.

    FFmpeg would say so too, but PyAV never closes a file whose header could not be written: after some hours of a
    full disk there would be no file handle left.
    """
    try:
        path.write_bytes(bytes(_BEGINNING))
    except (FileNotFoundError, PermissionError):
        return  # the writer has better words for it
    except OSError as error:
        raise OutputError(
            f"{path} can't be written: {(error.strerror or str(error)).lower()}; free some space"
        ) from None
    finally:
        path.unlink(missing_ok=True)
