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
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from streamdet.video.base import SourceCounts
from streamdet.video.container import open_container, video_stream

MAX_THREADS = 8
"""More decoding threads hold more pictures back and gain little."""
SETTLED_AFTER = 128
"""A packet is lost when this many later ones were read and it gave no picture; decoders hold back far fewer."""

VideoPacket: TypeAlias = "Packet[VideoStream]"


class Decoded(NamedTuple):
    """A picture as it left the decoder."""

    picture: av.VideoFrame
    arrival_s: float
    """Monotonic clock when its packet was read."""


class PacketDecoder:
    """Decodes the packets of one stream; an undecodable one is counted and passed over, never taken for the end.

    Every packet is given a number that the decoder hands on to the picture made of it, so a packet without a picture
    is known by name, however many threads decode and whatever the order of pictures.
    """

    def __init__(self, path: Path, stream: VideoStream, counts: SourceCounts) -> None:
        """Prepare the decoder of `stream`, freshly opened from `path`; `counts` is kept up to date."""
        self._path = path
        self._counts = counts
        self._pending: dict[int, float] = {}
        self._group: list[VideoPacket] = []
        self._hides_pictures = stream.codec_context.codec.canonical_name == "vp8"
        self._decoder = stream.codec_context
        _prepare(self._decoder, min(os.cpu_count() or 1, MAX_THREADS))

    def decode(self, packets: Iterator[VideoPacket]) -> Generator[Decoded]:
        """All pictures of `packets`, in presentation order; at the end `counts` holds exactly."""
        counts = self._counts
        for packet in packets:
            number = counts.packets
            counts.packets += 1
            if packet.is_discard or self._shows_nothing(packet):
                counts.hidden += 1
            else:
                self._pending[number] = time.monotonic()
            packet.opaque = number
            if packet.is_keyframe:
                self._group.clear()
            self._group.append(packet)
            if packet.size:  # an empty one would end the decoder
                yield from self._receive(packet)
            self._settle(number - SETTLED_AFTER)
        yield from self._receive(None)
        yield from self._salvage()
        self._settle(counts.packets)

    def _receive(self, packet: VideoPacket | None) -> Iterator[Decoded]:
        try:
            pictures = self._decoder.decode(packet)
        except av.error.FFmpegError:
            return  # a packet, this one or one before, stays without a picture and is counted so
        for picture in pictures:
            number = picture.opaque
            if not isinstance(number, int) or number not in self._pending:
                number = next(iter(self._pending), -1)
            yield self._out(picture, self._pending.pop(number, time.monotonic()))

    def _out(self, picture: av.VideoFrame, arrival_s: float) -> Decoded:
        self._counts.decoded += 1
        self._counts.damaged_marked += picture.is_corrupt
        return Decoded(picture, arrival_s)

    def _settle(self, before: int) -> None:
        """Count the packets numbered below `before` that gave no picture as lost."""
        while self._pending and (oldest := next(iter(self._pending))) < before:
            del self._pending[oldest]
            self._counts.lost += 1

    def _salvage(self) -> Iterator[Decoded]:
        """Pictures of the last group that an error kept inside the decoder.

        PyAV can't go on receiving after an error while the decoder is drained, so with several decoding threads a
        damaged packet near the end takes healthy ones with it. A second decoder without threads gets them back.
        """
        if not any(packet.opaque in self._pending for packet in self._group):
            return
        with open_container(self._path) as again:
            decoder = video_stream(again, self._path).codec_context
            _prepare(decoder, 1)
            for packet in [*self._group, None]:
                if packet is not None and not packet.size:
                    continue
                try:
                    pictures = decoder.decode(packet)
                except av.error.FFmpegError:
                    continue
                for picture in pictures:
                    if picture.opaque in self._pending:
                        yield self._out(picture, self._pending.pop(picture.opaque))

    def _shows_nothing(self, packet: VideoPacket) -> bool:
        """True for a VP8 packet with a hidden reference picture (RFC 6386, 9.1: `show_frame`)."""
        return self._hides_pictures and packet.size > 0 and not bytes(packet)[0] >> 4 & 1


def _prepare(decoder: VideoCodecContext, threads: int) -> None:
    # show damaged pictures and flag them, instead of a freeze; carry each packet's number to its picture
    decoder.flags |= Flags.output_corrupt | Flags.copy_opaque
    decoder.thread_type = "AUTO"
    decoder.thread_count = threads
