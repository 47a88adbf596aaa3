"""Decodes a stream packet by packet and knows what became of each packet."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

import av
import av.error
from av.codec.context import Flags
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from streamdet.video.base import SourceCounts
from streamdet.video.container import open_container, video_stream
from streamdet.video.fields import FieldPairs

MAX_THREADS = 8
"""More decoding threads hold more pictures back and gain little."""
SETTLED_AFTER = 128
"""A packet is lost when this many later ones were read and it gave no picture; decoders hold back far fewer."""
MAX_KEPT_BYTES = 64 << 20
"""Most bytes of packets that are kept for a second attempt; only a stream that lacks key frames has more."""

FIRST_NUMBER = 1 << 20
"""Packets are counted from here. PyAV knows a packet's number by the identity of the object, and Python has but one
object for each integer up to 256: with these, decoders at work side by side would take away each other's numbers."""

PATIENT = {"has_b_frames": "16"}
"""Options of a decoder that puts as many pictures in order as H.264 allows, and so withholds none as too late."""

VideoPacket: TypeAlias = "Packet[VideoStream]"


class Decoded(NamedTuple):
    """A picture as it left the decoder."""

    picture: av.VideoFrame
    arrival_s: float
    """Monotonic clock when its packet was read."""


class _Sent(NamedTuple):
    """A packet that may still give a picture."""

    group: int
    """Number of key frames up to it."""
    pts: int | None
    arrival_s: float

    def comes_before(self, other: _Sent) -> bool:
        """True when its picture comes out before that of `other`, as far as is certain."""
        if self.pts is None or other.pts is None:
            return self.group < other.group
        return self.pts < other.pts and self.group <= other.group  # behind a key frame the clock may begin anew


class PacketDecoder:
    """Decodes the packets of one stream; an undecodable one is counted and passed over, never taken for the end.

    Every packet is given a number that the decoder hands on to the picture made of it, so a packet without a picture
    is known by name, however many threads decode and whatever the order of pictures.

    A damaged packet can take healthy pictures with it: FFmpeg's H.264 decoder miscounts the order of pictures when the
    lost one was the first of a round of `frame_num`, and withholds up to a round of those that follow; and PyAV can't
    go on receiving after an error while the decoder is drained. So when a picture comes out before earlier ones did,
    and errors don't explain them, these are decoded a second time, from their key frame on.
    """

    def __init__(self, path: Path, stream: VideoStream, counts: SourceCounts) -> None:
        """Prepare the decoder of `stream`, freshly opened from `path`; `counts` is kept up to date."""
        self._path = path
        self._counts = counts
        self._pending: dict[int, _Sent] = {}
        self._kept: dict[int, VideoPacket] = {}
        self._kept_bytes = 0
        self._key_frames = 0
        self._errors = 0
        self._tried_again: set[int] = set()
        self._made_up: set[int] = set()
        self._undecodable: set[int] = set()
        self._decoder = stream.codec_context
        self._codec = self._decoder.codec.canonical_name
        self._field_pairs = FieldPairs(self._decoder.extradata) if self._codec == "h264" else None
        self._again: InputContainer | None = None
        # threads gain nothing where a GPU decodes, and each would hold pictures of it
        _prepare(self._decoder, 1 if self._decoder.is_hwaccel else min(os.cpu_count() or 1, MAX_THREADS))

    def decode(self, packets: Iterator[VideoPacket]) -> Generator[Decoded]:
        """All pictures of `packets`, in presentation order; at the end `counts` holds exactly."""
        try:
            for packet in packets:
                yield from self._send(packet)
            yield from self._receive(None)
            self._errors = 0
            yield from self._make_up_for(set(self._pending))
            self._settle(FIRST_NUMBER + self._counts.packets)
        finally:
            if self._again is not None:
                self._again.close()

    def _send(self, packet: VideoPacket) -> Iterator[Decoded]:
        number = packet.opaque = FIRST_NUMBER + self._counts.packets
        self._counts.packets += 1
        self._keep(number, packet)
        if self._shows_nothing(packet) or packet.is_discard:
            self._counts.hidden += 1
        else:
            self._pending[number] = _Sent(self._key_frames, packet.pts, time.monotonic())
        if packet.size:  # an empty one would end the decoder
            yield from self._receive(packet)
        self._settle(number - SETTLED_AFTER)

    def _receive(self, packet: VideoPacket | None) -> Iterator[Decoded]:
        try:
            pictures = self._decoder.decode(packet)
        except av.error.FFmpegError:
            self._errors += 1  # a packet, this one or one before, stays without a picture
            return
        for picture in pictures:
            number = picture.opaque
            if number in self._made_up:
                continue
            if not isinstance(number, int) or number not in self._pending:
                number = next(iter(self._pending), -1)
            sent = self._pending.pop(number, None)
            if sent is None:
                yield self._out(picture, time.monotonic())
                continue
            if self._codec == "h264":
                yield from self._make_up_for({n for n, other in self._pending.items() if other.comes_before(sent)})
            yield self._out(picture, sent.arrival_s)

    def _out(self, picture: av.VideoFrame, arrival_s: float) -> Decoded:
        self._counts.decoded += 1
        self._counts.damaged_marked += picture.is_corrupt
        return Decoded(picture, arrival_s)

    def _settle(self, before: int) -> None:
        """Count the packets numbered below `before` that gave no picture as lost."""
        while self._pending and (oldest := next(iter(self._pending))) < before:
            self._counts.lost_pts.append(self._pending.pop(oldest).pts)

    def _keep(self, number: int, packet: VideoPacket) -> None:
        """Hold on to a packet; let go of those from long before the oldest that may still give a picture."""
        if packet.is_keyframe:
            self._key_frames += 1
            oldest = next(iter(self._pending), number)
            key_frames = [n for n, kept in self._kept.items() if kept.is_keyframe and n <= oldest]
            first = key_frames[-2] if len(key_frames) > 1 else 0  # the last may be noise that looks like one
            self._kept = {n: kept for n, kept in self._kept.items() if n >= first}
            self._kept_bytes = sum(kept.size for kept in self._kept.values())
            for numbers in (self._tried_again, self._made_up, self._undecodable):
                numbers.difference_update([n for n in numbers if n < first])
        elif not self._kept:
            return
        self._kept[number] = packet
        self._kept_bytes += packet.size
        if self._kept_bytes > MAX_KEPT_BYTES:
            self._kept.clear()

    def _make_up_for(self, missed: set[int]) -> Iterator[Decoded]:
        """The pictures of the packets `missed`, as far as a second decoder gets them out of what is kept."""
        missed -= self._tried_again
        self._tried_again |= missed
        explained, self._errors = len(missed) <= self._errors, max(self._errors - len(missed), 0)
        if explained:
            return
        if self._again is None:
            self._again = open_container(self._path)
        decoder = video_stream(self._again, self._path).codec_context
        if not decoder.is_open:
            _prepare(decoder, 1)
            decoder.options = PATIENT
        while missed:
            undecodable = yield from self._attempt(decoder, missed)
            decoder.flush_buffers()
            if undecodable is None:
                return
            self._undecodable.add(undecodable)
            missed.discard(undecodable)

    def _attempt(self, decoder: VideoCodecContext, missed: set[int]) -> Generator[Decoded, None, int | None]:
        """Give out pictures of `missed` and strike them off; the number of the first packet that can't be decoded."""
        for number, packet in [*self._kept.items(), (None, None)]:
            if number in self._undecodable or (packet is not None and not packet.size):
                continue
            try:
                pictures = decoder.decode(packet)
            except av.error.FFmpegError:
                return number  # without threads the error is that of the packet just sent
            for picture in pictures:
                if picture.opaque in missed:
                    missed.remove(picture.opaque)
                    self._made_up.add(picture.opaque)
                    yield self._out(picture, self._pending.pop(picture.opaque).arrival_s)
            if not missed:
                break
        return None

    def _shows_nothing(self, packet: VideoPacket) -> bool:
        """True for a packet with a hidden VP8 picture, or with the second field of an H.264 one."""
        if self._codec == "vp8" and packet.size:
            return not bytes(packet)[0] >> 4 & 1  # RFC 6386, 9.1: show_frame
        if self._field_pairs is not None and self._field_pairs.possible:
            return self._field_pairs.completes(bytes(packet))
        return False


def _prepare(decoder: VideoCodecContext, threads: int) -> None:
    # show damaged pictures and flag them, instead of a freeze; carry each packet's number to its picture
    decoder.flags |= Flags.output_corrupt | Flags.copy_opaque
    decoder.thread_type = "AUTO"
    decoder.thread_count = threads
