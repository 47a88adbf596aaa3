"""Copies the audio of a source file into an output, packet by packet, without decoding it."""

from __future__ import annotations

import errno
from collections.abc import Generator
from fractions import Fraction

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from streamdet.video.base import SourceInfo
from streamdet.video.container import reason

ALLOWED = {
    "mp4": frozenset({"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"}),
    "mov": frozenset({"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be"}),
}
"""Audio codecs that players expect in a container; Matroska takes what its muxer takes."""
MAX_READ_ERRORS_IN_A_ROW = 1000


class AudioCopy:
    """The audio packets of a source file on their way into one output container.

    Attributes:
        notes: a sentence for each stream that was left out, and for packets that could not be kept.
        packets: audio packets copied.
    """

    def __init__(
        self,
        info: SourceInfo,
        muxer: str,
        shift_s: Fraction,
        *,
        until_s: Fraction | None = None,
        running: bool = False,
    ) -> None:
        """Open the source a second time, for its audio alone.

        Args:
            info: the source, with its window.
            muxer: FFmpeg's name of the output format.
            shift_s: seconds added to all times.
            until_s: end of the output in its own seconds (after the shift), None = all audio of the window.
            running: for a file that is still being written: what its header can't describe yet is left to the end.
        """
        self.notes: list[str] = []
        self.packets = 0
        self._info = info
        self._muxer = muxer
        self._shift_s = shift_s
        self._running = running
        start_s, end_s = (None if moment_s is None else moment_s + shift_s for moment_s in info.window_s)
        self._from_s = start_s
        self._until_s = min((moment_s for moment_s in (until_s, end_s) if moment_s is not None), default=None)
        self._unkept = 0
        self._targets: dict[int, AudioStream] = {}
        self._waiting: Packet[Stream] | None = None
        self._source: InputContainer | None = None
        if not info.has_audio:
            return
        try:
            self._source = av.open(f"file:{info.path}", metadata_errors="replace")
        except av.error.FFmpegError as error:
            self.notes.append(f"the audio was left out: the source can't be read again ({reason(error)})")

    @property
    def sample_rates(self) -> list[int]:
        """Samples per second of each audio stream of the source: what its times are counted in."""
        streams = self._source.streams.audio if self._source else ()
        return [stream.codec_context.sample_rate for stream in streams if stream.codec_context]

    @property
    def is_copying(self) -> bool:
        """There is a stream that the output holds."""
        return bool(self._targets)

    def add_to(self, container: OutputContainer) -> None:
        """Add one stream to `container` for every audio stream of the source that it can hold."""
        self._container = container
        if self._source is None:
            return
        for stream in self._source.streams.audio:
            self._add_stream(stream)
        if self._targets:
            self._packets = self._read(self._source)

    def _add_stream(self, stream: AudioStream) -> None:
        codec = stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"
        allowed = ALLOWED.get(self._muxer)
        needs_header = self._running and codec == "aac" and not stream.codec_context.extradata
        if needs_header:
            return  # MPEG-TS carries AAC with a header in each packet; the muxer learns it from the packets, at the end
        try:
            if codec == "unknown" or (allowed is not None and codec not in allowed):
                raise ValueError
            target = self._container.add_stream_from_template(stream, opaque=True)
        except ValueError:
            ending = {"matroska": "mkv"}.get(self._muxer, self._muxer)
            remedy = "" if ending == "mkv" else "; an output ending in .mkv can"
            self.notes.append(f"audio stream {stream.index} was left out: {ending} can't hold {codec}{remedy}")
            return
        target.metadata.update({key: value for key, value in stream.metadata.items() if key in ("language", "title")})
        self._targets[stream.index] = target

    def copy_until(self, time_s: Fraction | None) -> None:
        """Copy the packets that begin up to `time_s` (output seconds); None = all that are left.

        Raises:
            av.error.FFmpegError: the output can't be written.
        """
        if not self._targets:
            return
        while True:
            packet = self._waiting or next(self._packets, None)
            self._waiting = packet
            if packet is None:
                return
            begin_s = _begin_s(packet) + self._shift_s
            if time_s is not None and begin_s > time_s:
                return
            self._waiting = None
            if self._until_s is not None and begin_s >= self._until_s:
                continue
            if self._from_s is not None and begin_s < self._from_s:
                continue
            if self._running and begin_s < 0:
                continue  # fragments can't say a time before 0; the finished file can
            self._mux(packet)

    def close(self) -> None:
        """Free the source; say what could not be kept."""
        if self._source is not None:
            if self._targets:
                self._packets.close()
            self._source.close()
            self._source = None
        if self._unkept:
            self.notes.append(f"{self._unkept} damaged audio packets were left out")
            self._unkept = 0

    def _mux(self, packet: Packet[Stream]) -> None:
        target = self._targets[packet.stream_index]
        packet.stream = target
        if self._shift_s:
            shift = round(self._shift_s / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts + shift
            packet.dts = None if packet.dts is None else packet.dts + shift
        try:
            self._container.mux(packet)
        except av.error.FFmpegError as error:
            if error.errno != errno.EINVAL and not isinstance(error, av.error.InvalidDataError):
                raise
            self._unkept += 1  # times that run backwards, or a header that can't be read: this packet alone
            return
        self.packets += 1

    def _read(self, source: InputContainer) -> Generator[Packet[Stream]]:
        streams = [source.streams[index] for index in self._targets]
        failures = 0
        demuxed = source.demux(*streams)
        while failures <= MAX_READ_ERRORS_IN_A_ROW:
            try:
                packet = next(demuxed)
            except StopIteration:
                return
            except av.error.FFmpegError:
                failures += 1
                demuxed = source.demux(*streams)
                continue
            failures = 0
            if packet.dts is None and packet.pts is None:
                if packet.size:
                    self._unkept += 1
                continue
            yield packet


def _begin_s(packet: Packet[Stream]) -> Fraction:
    moment = packet.pts if packet.pts is not None else packet.dts
    return (moment or 0) * packet.time_base
