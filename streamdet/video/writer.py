"""Writes annotated video: every frame at its source's own time, the source's audio beside it, safe against kill -9."""

from __future__ import annotations

import contextlib
import math
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import av.error
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import PictureType
from av.video.stream import VideoStream

from streamdet.errors import OutputError
from streamdet.video.audio import AudioCopy
from streamdet.video.base import UNFINISHED_COMMENT, SourceInfo
from streamdet.video.continuing import KeptVideo
from streamdet.video.encoding import ENCODER, Quality, add_encoder, check_encoder
from streamdet.video.fitting import Fitter
from streamdet.video.remux import drop_torn_fragment, finish_file, output_failure
from streamdet.video.targets import check_target, muxer_for

KEY_FRAME_S = Fraction(2)
"""A key frame at least this often, in seconds of content."""
LATEST_START_S = 2
"""A video that begins later than this is moved towards 0, so that no player shows minutes of nothing."""
MATROSKA_TIME_BASE = Fraction(1, 1000)


class VideoWriter:
    """A video file being written: H.264 yuv420p in mp4, m4v, mov or mkv, chosen by the name's ending.

    While it runs, the file holds fragments (mkv: small clusters) that reach the disk with every frame: a kill -9 or
    a full disk leaves what was written playable. `finish` turns it into a plain file (mp4: index in front) without
    encoding again. Leaving the `with` block finishes, leaving it by an exception only closes. The file is made with
    the first frame; a run that fails before leaves an older file of that name as it was.

    Odd sizes get one more pixel at the right or bottom, a copy of the edge, as yuv420p needs even ones. Pictures of
    another size than `width` x `height` are scaled into it with black bars.

    Attributes:
        shift_s: whole seconds added to all times, video and audio: not 0 only where the video would begin before 0
            or later than 2 s.
        max_drift_s: the largest difference, in seconds, between a frame's time (after `shift_s`) and the time in the
            file: 0 in mp4 and mov; Matroska rounds to milliseconds.
        frames: frames written.
        notes: what a user should know, a sentence each: audio left out, times moved, not finished.
    """

    def __init__(
        self,
        path: str | Path,
        info: SourceInfo,
        *,
        width: int,
        height: int,
        overwrite: bool = False,
        quality: Quality = "balanced",
        kept: KeptVideo | None = None,
        encoder: str = ENCODER,
    ) -> None:
        """Check that `path` can be written and prepare the encoder; nothing is written yet.

        Args:
            path: the file to write; its folder must exist.
            info: the source: its colours, rate, window, and audio are carried over.
            width: upright width in pixels.
            height: upright height in pixels.
            overwrite: replace an existing file (never the source itself).
            quality: `small`, `balanced` or `high`: file size against fidelity.
            kept: the video of a stopped run that this one goes on with; frames from there on are to be written. It
                must be replaceable.
            encoder: what `encoding.choose_encoder` gave for this size.

        Raises:
            UsageError: the ending is not known, the file exists, or it is the source.
            OutputError: the folder is missing or can't be written, or there is no H.264 encoder.
        """
        self.path = Path(path)
        self.shift_s = Fraction(0)
        self.max_drift_s = Fraction(0)
        self.frames = 0
        self.notes: list[str] = []
        self._info = info
        self._muxer = muxer_for(self.path)
        check_target(self.path, info.path, overwrite=overwrite)
        check_encoder()
        self._quality = quality
        self._kept = kept
        self._encoder = encoder
        self._fit = Fitter(width, height)
        self._container: OutputContainer | None = None
        self._closed = False
        self._last_pts = 0
        self._last_duration_s: Fraction | None = None
        self._held: Packet[VideoStream] | None = None
        self._last_key = 0
        self._begins = True
        """The next frame is the encoder's first."""

    def write(
        self, picture: av.VideoFrame, pts: int, time_base: Fraction, *, key_frame_s: Fraction = KEY_FRAME_S
    ) -> None:
        """Write one frame; frames come in order of time.

        Args:
            picture: upright, yuv420p (others are converted); the writer may change its times. Its `duration`, where
                set, is in units of `time_base` as well, and says how long a last frame is shown.
            pts: the frame's time in the source, in units of `time_base`.
            time_base: seconds per unit.
            key_frame_s: this becomes a key frame when the last one is so long ago, in seconds of content.

        Raises:
            OutputError: the disk is full or the file can't be written any more.
        """
        if self._closed:
            raise OutputError(f"{self.path} is closed already: open a new writer")
        fitted = self._fit(picture)
        try:
            if self._container is None:
                self._open(fitted, pts, time_base)
            exact = pts * time_base + self.shift_s
            time = round(exact / self._time_base)
            if self.frames:
                time = max(time, self._last_pts + 1)
            self.max_drift_s = max(self.max_drift_s, abs(time * self._time_base - exact))
            is_key = self._begins or (time - self._last_key) * self._time_base >= key_frame_s
            self._begins = False
            if is_key:
                self._last_key = time
            # the decoder's choice of picture type must not become the encoder's
            fitted.pict_type = PictureType.I if is_key else PictureType.NONE
            fitted.pts, fitted.time_base = time, self._time_base
            self._mux(self._stream.encode(fitted))
        except av.error.FFmpegError as error:
            raise self._failed(error) from None
        self._last_pts = time
        self._last_duration_s = picture.duration * time_base if picture.duration > 0 else self._info.frame_interval_s
        self.frames += 1

    def finish(self, *, complete: bool = True) -> None:
        """End the file cleanly: write what is left, then turn it into a plain file.

        When that last step fails (say, the disk is full) the playable file stays as it is and a note says so.

        Args:
            complete: the whole source (or window) was written, so all of its audio is copied; False after an
                interruption: the audio ends where the video does.

        Raises:
            OutputError: the last frames can't be written.
        """
        if self._closed:
            return
        self._closed = True
        if self._container is None:
            self.notes.append(f"{self.path} was not written: there was no frame")
            return
        try:
            self._mux(self._stream.encode(None), is_end=True)
            self._container.close()
        except av.error.FFmpegError as error:
            raise self._failed(error) from None
        finally:
            self._audio.close()
        until_s = None if complete else self._last_pts * self._time_base + (self._last_duration_s or 0)
        audio = AudioCopy(self._info, self._muxer, self.shift_s, until_s=until_s)
        problem = finish_file(self.path, self._muxer, audio, self._last_duration_s)
        self.notes += audio.notes
        if problem is not None:
            self.notes.append(problem)

    def close(self) -> None:
        """Stop without finishing: what was written stays playable. Does nothing after `finish`."""
        if self._closed:
            return
        self._closed = True
        if self._container is None:
            return
        self.notes.append(f"{self.path} was not finished: it plays up to where it was written")
        # the frames before are safe, and that is all a close promises
        with contextlib.suppress(av.error.FFmpegError):
            self._mux(self._stream.encode(None), is_end=True)
        with contextlib.suppress(av.error.FFmpegError):
            self._container.close()
        self._audio.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.close()

    def _open(self, picture: av.VideoFrame, pts: int, time_base: Fraction) -> None:
        info = self._info
        self.shift_s = start_shift(pts * time_base if self._kept is None else self._kept.first_s)
        if self.shift_s:
            direction = "later" if self.shift_s > 0 else "earlier"
            self.notes.append(f"all times in {self.path} are {abs(self.shift_s)} s {direction} than in the source")
        self._time_base = MATROSKA_TIME_BASE if self._muxer == "matroska" else Fraction(1, time_base.denominator)
        if self._kept is not None:
            self._kept.step_aside()
        container = av.open(
            f"file:{self.path}", "w", format=self._muxer, container_options=_running_options(self._muxer)
        )
        container.metadata["comment"] = UNFINISHED_COMMENT
        stream = add_encoder(container, picture, info, self._time_base, self._quality, self._encoder)
        self._audio = AudioCopy(info, self._muxer, self.shift_s, running=True)
        self._audio.add_to(container)
        container.start_encoding()
        self._container, self._stream = container, stream
        if self._kept is not None:
            self._copy(self._kept)

    def _copy(self, kept: KeptVideo) -> None:
        for packet in kept.packets():
            time = round((packet.pts or 0) * packet.time_base / self._time_base)
            packet.pts = packet.dts = time  # no B-frames
            packet.time_base, packet.duration = self._time_base, 0
            packet.stream = self._stream
            self._mux([packet])
            self._last_pts = time
            self.frames += 1
        kept.drop_aside()

    def _mux(self, packets: list[Packet[VideoStream]], *, is_end: bool = False) -> None:
        """Write packets. Beside sound each waits for the next one, which tells how long it is shown.

        A packet of sound ends the fragment before it, and in FFmpeg's mp4 the next fragment begins where the last one's
        durations end: with the usual frame's length instead of the true one, frames would be written at wrong times.
        """
        for packet in packets:
            held, self._held = self._held, packet if self._audio.is_copying else None
            if held is not None:
                held.duration = (packet.pts or 0) - (held.pts or 0)
                self._mux_at_once(held)
            if self._held is None:
                self._mux_at_once(packet)
        if is_end and self._held is not None:
            held, self._held = self._held, None
            self._mux_at_once(held)

    def _mux_at_once(self, packet: Packet[VideoStream]) -> None:
        assert self._container is not None
        assert packet.pts is not None
        self._audio.copy_until(packet.pts * self._time_base)
        self._container.mux(packet)

    def _failed(self, error: av.error.FFmpegError) -> OutputError:
        self.close()
        if self._muxer != "matroska":
            with contextlib.suppress(OSError):
                drop_torn_fragment(self.path)
        return output_failure(self.path, error)


def _running_options(muxer: str) -> dict[str, str]:
    """Options that bring every frame to the disk at once, in pieces that play without an end."""
    options = {"flush_packets": "1", "max_interleave_delta": "1", "avoid_negative_ts": "disabled"}
    if muxer == "matroska":
        return options | {"cluster_time_limit": "1"}
    # frag_discont: the times in the fragments are absolute, though the header is written before the first frame
    # frag_duration and not frag_every_frame: with that a fragment begins at the wrong time where two packets of one
    # stream follow each other, as they do in video of 60 frames a second beside sound
    return options | {"movflags": "empty_moov+default_base_moof+frag_discont", "frag_duration": "1"}


def start_shift(first_s: Fraction) -> Fraction:
    """By how much an output is moved whose first frame is at `first_s`: whole seconds, exact in every time base."""
    return Fraction(-math.floor(first_s)) if first_s < 0 or first_s > LATEST_START_S else Fraction(0)
