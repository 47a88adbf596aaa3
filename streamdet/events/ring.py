"""The last seconds of a stream as encoded packets, so that a clip can begin before its event without any encoding."""

from __future__ import annotations

import io
import threading
from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import av
import av.error
from av.packet import Packet

if TYPE_CHECKING:
    from av.video.stream import VideoStream

    from streamdet.video.live.packets import VideoPacket

MAX_BYTES = 64 << 20
"""Most bytes of packets of one stream; a stream of 20 Mbit/s has half a minute in it."""
MICROSECONDS = Fraction(1, 1_000_000)
UNCODED = frozenset({"rawvideo", "wrapped_avframe", "bmp"})
"""Of webcams: seconds of these would fill the memory."""
TEMPLATE_FORMAT = "nut"
"""Keeps the codec's parameters byte by byte, which Matroska and mp4 write in a form of their own."""


@dataclass(eq=False, slots=True)
class Section:
    """Packets that belong together: of one connection, with the same parameters."""

    codec: str
    """In FFmpeg's name."""
    template: bytes
    """A file with one packet, whose video stream has the codec's parameters."""
    time_base: Fraction
    """Of the packets' times."""


class KeptPacket(NamedTuple):
    """A packet, its bytes copied."""

    arrival_s: float
    """The clock by which events ask for it."""
    content: bytes
    pts: int | None
    dts: int | None
    is_key: bool


@dataclass(eq=False, slots=True)
class _Group:
    """A key frame and what builds on it."""

    section: Section
    packets: list[KeptPacket] = field(default_factory=list)
    bytes: int = 0


class PacketRing:
    """Keeps what came in the last seconds, from a key frame on; filled in one thread, cut in another.

    It is a `PacketTap` of a live source.

    Attributes:
        seconds: how far back a cut may reach.
    """

    def __init__(self, seconds: float, *, max_bytes: int = MAX_BYTES) -> None:
        """`seconds`: how far back a cut may reach."""
        self.seconds = seconds
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._groups: deque[_Group] = deque()
        self._bytes = 0
        self._stream: VideoStream | None = None
        self._section: Section | None = None

    @property
    def section(self) -> Section | None:
        """Of the newest packets; None before the first key frame."""
        with self._lock:
            return self._groups[-1].section if self._groups else None

    @property
    def newest_s(self) -> float:
        """When the newest packet arrived."""
        with self._lock:
            return self._groups[-1].packets[-1].arrival_s if self._groups else float("-inf")

    def begin(self, stream: VideoStream) -> None:
        """See PacketTap."""
        self._stream, self._section = stream, None

    def add(self, packet: VideoPacket, arrival_s: float, arrival_pts: int | None) -> None:
        """See PacketTap."""
        if self._section is None:
            if self._stream is None or not packet.is_keyframe:
                return
            self._section = section_of(self._stream, packet, None if arrival_pts is None else MICROSECONDS)
            if self._section is None:
                self._stream = None  # this connection can't be copied
                return
        own = arrival_pts is None
        pts, dts = (packet.pts, packet.dts) if own else (arrival_pts, arrival_pts)
        self.keep(self._section, KeptPacket(arrival_s, bytes(packet), pts, dts, packet.is_keyframe))

    def keep(self, section: Section, packet: KeptPacket) -> None:
        """Add a packet; what is too old goes, a whole group of pictures at a time."""
        with self._lock:
            if packet.is_key:
                self._groups.append(_Group(section))
            elif not self._groups or self._groups[-1].section is not section:
                return
            group = self._groups[-1]
            group.packets.append(packet)
            group.bytes += len(packet.content)
            self._bytes += len(packet.content)
            oldest_s = packet.arrival_s - self.seconds
            while len(self._groups) > 1 and self._groups[1].packets[0].arrival_s <= oldest_s:
                self._drop()
            while self._bytes > self._max_bytes and self._groups:
                self._drop()

    def cut(self, from_s: float, to_s: float, at_s: float) -> tuple[Section, list[KeptPacket]] | None:
        """What arrived between two moments, from the last key frame before the first of them on.

        Packets of one section only: that which holds the moment `at_s`, or the last before. None: there are none.
        """
        with self._lock:
            groups = [group for group in self._groups if group.packets[0].arrival_s <= to_s]
        if not groups:
            return None
        section = next((group for group in reversed(groups) if group.packets[0].arrival_s <= at_s), groups[0]).section
        groups = [group for group in groups if group.section is section]
        starts = [place for place, group in enumerate(groups) if group.packets[0].arrival_s <= from_s]
        chosen = groups[starts[-1] if starts else 0 :]
        # the newest group may still grow in the other thread: a slice is taken at once
        return section, [packet for group in chosen for packet in group.packets[:] if packet.arrival_s <= to_s]

    def _drop(self) -> None:
        self._bytes -= self._groups.popleft().bytes


def section_of(stream: VideoStream, first: VideoPacket, time_base: Fraction | None = None) -> Section | None:
    """The section that a key frame begins; None when its codec can't be copied.

    Args:
        stream: the packet's.
        first: the key frame.
        time_base: of the packets' times, where it is not that of the stream.
    """
    codec = stream.codec_context.codec.canonical_name
    if codec in UNCODED:
        return None
    buffer = io.BytesIO()
    try:
        with av.open(buffer, "w", format=TEMPLATE_FORMAT) as container:
            copy = container.add_stream_from_template(stream, opaque=True)
            packet = Packet(bytes(first))
            packet.pts = packet.dts = 0
            packet.time_base = Fraction(1, 1000)
            packet.is_keyframe = True
            packet.stream = copy
            container.mux(packet)
    except (av.error.FFmpegError, ValueError):
        return None
    return Section(codec, buffer.getvalue(), time_base or stream.time_base or MICROSECONDS)
