"""A video file as a source: demuxed and decoded packet by packet, every packet accounted for."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av.error

from streamdet.errors import SourceError
from streamdet.types import Frame
from streamdet.video.base import Source, SourceCounts, SourceInfo, printable
from streamdet.video.container import open_container, reason, video_stream
from streamdet.video.decoding import Decoded, PacketDecoder, VideoPacket
from streamdet.video.ending import Ending
from streamdet.video.hardware import Processor, open_with_nvdec, used_nvdec
from streamdet.video.orientation import Turner, orientation_of
from streamdet.video.timing import FrameClock

MAX_READ_ERRORS_IN_A_ROW = 1000
"""Unreadable places in a row after which the rest of the file is given up."""
SEEK_BACK_S = (0, 5, 30)
"""How much earlier than the wanted time to look for a key frame, before reading from the beginning."""
HIGHEST_RATE = 1000
"""Frames per second above which a declared rate is taken for nonsense."""


class FileSource(Source):
    """A video file. Damaged packets are counted and passed over; times are the source's own; pictures are upright.

    `Frame.index` counts the pictures from the first one at or after `start_s`.
    """

    def __init__(
        self, path: Path, *, start_s: float | None, end_s: float | None, every: int, decode: Processor = "cpu"
    ) -> None:
        """Open `path` and decode its first picture; `notes` says so where a GPU was asked for and isn't used.

        Raises:
            SourceError: it is not a video, holds no picture, or its codec can't be decoded.
        """
        self._path = path
        self._turn = Turner()
        self._early: str | None = None
        self._decode = decode
        self._open()
        try:
            first = self._next()
            if self._decode == "gpu" and (first is None or not used_nvdec(first.picture)):
                self._leave_gpu("it does not take these pictures")
                self._reopen()
                first = self._next()
            if first is None:
                raise SourceError(self._no_picture())
            self.info = self._describe(first, start_s, end_s, every)
            self._first: Frame | None = self._upright(first, self._clock.stamp(first.picture.pts))
            if start_s:
                self._seek()
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[Frame]:
        info, counts = self.info, self.counts
        start, end = (None if moment is None else moment / self._time_base for moment in info.window_s)
        index = -1
        for frame in self._frames():
            if end is not None and frame.pts >= end:
                self._reading = False
            if not self._reading or (start is not None and frame.pts < start):
                counts.skipped += 1
                continue
            index += 1
            if index % info.every:
                counts.skipped += 1
                continue
            counts.yielded += 1
            yield Frame(frame.picture, info.name, index, frame.pts, frame.time_base, frame.arrival_s, frame.damaged)
        if self._reading:
            self._early = self._ending.verdict(counts.packets, self._failure)
        if not counts.yielded:
            known_s = info.estimated_duration_s
            length = f", which is {known_s:.2f} s long" if known_s else ""
            until = "its end" if info.end_s is None else f"--end {info.end_s:g} s"
            raise SourceError(
                f"no picture of {self._path} between --start {info.start_s or 0:g} s and {until}: "
                f"give times inside the video{length}"
            )

    def ended_early(self) -> str | None:
        """One sentence when the exhausted file ended before its declared length, else None."""
        return self._early

    def close(self) -> None:
        """Free the file and the decoder."""
        self._first = None
        self._decoded.close()
        self._container.close()

    def _open(self) -> None:
        """(Re)open the file at its beginning, with all counts at zero."""
        self._first = None
        if self._decode == "gpu":
            self._container, why_not = open_with_nvdec(self._path)
            if why_not is not None:
                self._leave_gpu(why_not)
        else:
            self._container = open_container(self._path)
        self._stream = video_stream(self._container, self._path)
        self._time_base = self._stream.time_base or Fraction(1, 1000)
        self._ending = Ending(self._container, self._stream)
        self._start(self._packets())

    def _leave_gpu(self, why: str) -> None:
        self._decode = "cpu"
        self.notes = [f"decoded on the CPU: NVDEC can't be used ({why})"]

    def _start(self, packets: Iterator[VideoPacket]) -> None:
        self._reading = True
        self._failure: str | None = None
        self.counts = SourceCounts()
        self._clock = FrameClock(self._time_base, self._rate())
        self._decoded = PacketDecoder(self._path, self._stream, self.counts).decode(packets)

    def _rate(self) -> Fraction | None:
        stream = self._stream
        rates = (stream.average_rate, stream.guessed_rate, stream.base_rate)
        return next((rate for rate in rates if rate and 0 < rate <= HIGHEST_RATE), None)

    def _describe(self, first: Decoded, start_s: float | None, end_s: float | None, every: int) -> SourceInfo:
        stream, picture, declared_s = self._stream, first.picture, self._ending.declared_s
        orientation = orientation_of(picture)
        width, height, aspect = picture.width, picture.height, stream.sample_aspect_ratio
        if orientation.swaps_sides:
            width, height, aspect = height, width, 1 / aspect if aspect else None
        estimate_s = declared_s
        if estimate_s is None and self._container.duration:
            estimate_s = Fraction(self._container.duration, 1_000_000)
        return SourceInfo(
            name=printable(self._path.name),
            path=self._path,
            width=width,
            height=height,
            codec=stream.codec_context.codec.canonical_name,
            container=self._container.format.name,
            pixel_format=picture.format.name,
            average_rate=self._rate(),
            time_base=self._time_base,
            origin_s=(picture.pts or 0) * self._time_base,
            declared_frames=stream.frames or None,
            declared_duration_s=None if declared_s is None else float(declared_s),
            estimated_duration_s=None if estimate_s is None else float(estimate_s),
            rotation=orientation.rotation,
            has_audio=bool(self._container.streams.audio),
            color_range=int(picture.color_range),
            color_space=int(picture.colorspace),
            color_primaries=int(picture.color_primaries),
            color_trc=int(picture.color_trc),
            sample_aspect_ratio=aspect if aspect and aspect != 1 else None,
            start_s=start_s,
            end_s=end_s,
            every=every,
        )

    def _no_picture(self) -> str:
        packets = self.counts.packets
        cause = f"none of its {packets} packets can be decoded" if packets else "its video track is empty"
        return f"no picture in {self._path}: {cause}; record or export it again"

    def _seek(self) -> None:
        """Go on from the last key frame that is certain to come at or before the start of the window."""
        start_s, _ = self.info.window_s
        target = int((start_s or 0) / self._time_base)
        self._reopen()  # a fresh decoder carries nothing over from the first picture
        for back_s in SEEK_BACK_S:
            try:
                self._container.seek(target - int(back_s / self._time_base), stream=self._stream)
            except av.error.FFmpegError:
                break
            packets = self._packets()
            key = next((packet for packet in packets if packet.is_keyframe), None)
            if key is not None and key.pts is not None and key.pts <= target:
                self._start(chain([key], packets))
                return
        # no times, no key frames, or a container that can't seek: exact is worth the wait
        self._reopen()

    def _reopen(self) -> None:
        self.close()
        self._open()

    def _packets(self) -> Generator[VideoPacket]:
        """The packets of the video stream; what the demuxer can't read is counted and passed over."""
        failures = 0
        demuxed = self._container.demux(*self._ending.watched)
        while True:
            try:
                packet = next(demuxed)
            except StopIteration:
                return
            except av.error.FFmpegError as error:
                self.counts.read_errors += 1
                failures += 1
                if failures > MAX_READ_ERRORS_IN_A_ROW:
                    self._failure = reason(error)
                    return
                demuxed = self._container.demux(*self._ending.watched)
                continue
            failures = 0
            if packet.size == 0 and packet.dts is None:
                continue  # PyAV's own mark of the end
            if not self._reading:
                return
            self._ending.see(packet)
            if packet.stream_index == self._stream.index:
                yield packet  # type: ignore[misc]

    def _next(self) -> Decoded | None:
        return next(self._decoded, None)

    def _frames(self) -> Iterator[Frame]:
        """All pictures, upright and with their times."""
        if self._first is not None:
            first, self._first = self._first, None
            yield first
        while (decoded := self._next()) is not None:
            yield self._upright(decoded, self._clock.stamp(decoded.picture.pts))

    def _upright(self, decoded: Decoded, pts: int) -> Frame:
        self.counts.times_repaired = self._clock.repaired
        picture, damaged = decoded.picture, decoded.picture.is_corrupt
        upright = self._turn(picture, self._turn.orientation(picture))
        return Frame(upright, self._path.name, 0, pts, self._time_base, decoded.arrival_s, damaged)
