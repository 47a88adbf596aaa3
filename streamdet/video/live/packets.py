"""Decodes the packets of a connection, at once and one by one, and knows which of them gave no picture."""

from __future__ import annotations

import os
import struct
import time
from typing import NamedTuple, TypeAlias

import av
import av.error
from av.codec.context import Flags
from av.packet import Packet
from av.video.stream import VideoStream

from streamdet.video.decoding import FIRST_NUMBER
from streamdet.video.fields import FieldPairs
from streamdet.video.live.references import References

SETTLED_AFTER = 128
"""A packet is lost when this many later ones were read and it gave no picture."""
PATIENCE_FOR_KEY_S = 15.0
"""A stream that has no key frames (it refreshes bit by bit) is decoded as it is after this time."""
DAMAGE_LASTS_S = 10.0
"""Damage is passed on from picture to picture until the next key frame; where there is none, for so long."""
MAX_THREADS = 4
KEY_FRAMES_NEEDED = frozenset({"h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mpeg2video", "vvc"})
"""Codecs whose pictures build on others."""
_PRODUCER_REFERENCE_TIME = struct.Struct("=q")

VideoPacket: TypeAlias = "Packet[VideoStream]"


class Taken(NamedTuple):
    """A picture as it left the decoder."""

    picture: av.VideoFrame
    pts: int | None
    arrival_s: float
    """Monotonic clock when its packet arrived."""
    utc_s: float
    """This machine's wall clock then."""
    camera_utc_s: float | None
    """The camera's wall clock when it was taken, where it tells."""
    damaged: bool = False
    """True when the decoder flagged it, or when it builds on one that is damaged or never arrived."""
    file_name: str | None = None
    """Of a picture file: its name in its folder."""


class _Sent(NamedTuple):
    pts: int | None
    arrival_s: float
    utc_s: float
    camera_utc_s: float | None
    tainted: bool


class Decoder:
    """Decodes without holding back: a picture comes out with its packet, or as soon as the order of pictures allows.

    Packets before the first key frame are not decoded: what comes out of them is a grey ground with moving spots.
    They count as lost.

    FFmpeg flags the picture that damage hit and not those that are built on it; here they are marked, too, up to the
    next key frame.
    """

    def __init__(self, stream: VideoStream) -> None:
        self._decoder = stream.codec_context
        # show damaged pictures and flag them, instead of a freeze; carry each packet's number to its picture
        self._decoder.flags |= Flags.output_corrupt | Flags.copy_opaque
        # threads over whole frames would hold back one picture each: half a second at 15 frames per second
        self._decoder.thread_type = "SLICE"
        self._decoder.thread_count = min(os.cpu_count() or 1, MAX_THREADS)
        codec = self._decoder.codec.canonical_name
        self._fields = FieldPairs(self._decoder.extradata) if codec == "h264" else None
        self._references = References(self._decoder.extradata) if codec == "h264" else None
        self._builds_on_others = self._wait_for_key = codec in KEY_FRAMES_NEEDED
        self._tainted_until_s = 0.0
        self._key_number = 0
        self._first_s: float | None = None
        self._sent: dict[int, _Sent] = {}
        self._number = 0

    def decode(self, packet: VideoPacket, arrival_s: float, pts: int | None) -> tuple[int, tuple[Taken, ...]]:
        """How many packets turned out lost, and the pictures that came out.

        Args:
            packet: the next one, of any size.
            arrival_s: when it arrived.
            pts: replaces the times of the stream where it has none of its own.
        """
        if not packet.size:  # it would end the decoder
            return 0, ()
        number = packet.opaque = FIRST_NUMBER + self._number
        self._number += 1
        self._first_s = arrival_s if self._first_s is None else self._first_s
        if self._wait_for_key:
            if not packet.is_keyframe and arrival_s - self._first_s < PATIENCE_FOR_KEY_S:
                return 1, ()
            self._wait_for_key = False
        self._follow_damage(packet, number, arrival_s)
        if not self._completes_field_pair(packet):
            utc_s = time.time() - (time.monotonic() - arrival_s)
            tainted = arrival_s < self._tainted_until_s
            self._sent[number] = _Sent(pts, arrival_s, utc_s, _camera_utc_s(packet), tainted)
        lost, pictures = self._receive(packet)
        if lost or packet.is_corrupt:
            self._taint(number, arrival_s)
        return lost + self._settle(number - SETTLED_AFTER), pictures

    def drain(self) -> tuple[int, tuple[Taken, ...]]:
        """The same for what is still inside, at the end."""
        lost, pictures = self._receive(None) if self._number else (0, ())
        return lost + self._settle(FIRST_NUMBER + self._number), pictures

    def _receive(self, packet: VideoPacket | None) -> tuple[int, tuple[Taken, ...]]:
        try:
            pictures = self._decoder.decode(packet)
        except (av.error.FFmpegError, ValueError, OSError):
            # without threads over frames the error is that of the packet just sent
            failed = None if packet is None else self._sent.pop(FIRST_NUMBER + self._number - 1, None)
            return int(failed is not None), ()
        return 0, tuple(taken for picture in pictures if (taken := self._taken(picture)) is not None)

    def _taken(self, picture: av.VideoFrame) -> Taken | None:
        number = picture.opaque
        if not isinstance(number, int) or number not in self._sent:
            number = next(iter(self._sent), -1)
        sent = self._sent.pop(number, None)
        if sent is None:  # a second picture out of one packet
            now_s = time.monotonic()
            sent = _Sent(None, now_s, time.time(), None, False)
        if picture.is_corrupt:
            self._taint(number, sent.arrival_s)
        pts = picture.pts if sent.pts is None else sent.pts
        damaged = bool(picture.is_corrupt or sent.tainted)
        return Taken(picture, pts, sent.arrival_s, sent.utc_s, sent.camera_utc_s, damaged)

    def _follow_damage(self, packet: VideoPacket, number: int, arrival_s: float) -> None:
        """A key frame ends the damage; a hole in what pictures are built on begins some."""
        hole = self._references is not None and self._references.missing(bytes(packet))
        if packet.is_keyframe:
            self._key_number, self._tainted_until_s = number, 0.0
        elif hole:
            self._taint(number, arrival_s)

    def _taint(self, number: int, arrival_s: float) -> None:
        """The picture of packet `number` is damaged: so are those built on it."""
        if self._builds_on_others and number >= self._key_number:
            self._tainted_until_s = arrival_s + DAMAGE_LASTS_S

    def _settle(self, before: int) -> int:
        lost = [number for number in self._sent if number < before]
        for number in lost:
            del self._sent[number]
        return len(lost)

    def _completes_field_pair(self, packet: VideoPacket) -> bool:
        """True for the second field of an interlaced H.264 picture: it is a part, not lost."""
        fields = self._fields
        return fields is not None and fields.possible and fields.completes(bytes(packet))


def _camera_utc_s(packet: VideoPacket) -> float | None:
    """The camera's wall clock of a packet, which FFmpeg knows once the camera's first RTCP report has come."""
    if not packet.has_sidedata("prft"):
        return None
    data = bytes(packet.get_sidedata("prft"))
    if len(data) < _PRODUCER_REFERENCE_TIME.size:
        return None
    (microseconds,) = _PRODUCER_REFERENCE_TIME.unpack_from(data)
    return microseconds / 1e6 if microseconds > 0 else None  # a camera whose clock was never set counts from 1900
