"""Encodes pictures into a ring, where a source gives none that may be copied: folders, webcams, blurred pictures."""

from __future__ import annotations

from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import PictureType
from av.video.stream import VideoStream

from streamdet.events.ring import MICROSECONDS, TEMPLATE_FORMAT, KeptPacket, PacketRing, Section, section_of
from streamdet.types import Frame
from streamdet.video.base import SourceInfo
from streamdet.video.encoding import add_encoder
from streamdet.video.fitting import Fitter

KEY_FRAME_S = 1.0
"""A clip begins at a key frame: no more than so much earlier than asked for."""
LONGEST_GAP_S = 10.0
"""After a longer one the encoder begins anew, and so when time goes back."""


class PictureEncoder:
    """Used by one thread."""

    def __init__(self, ring: PacketRing) -> None:
        """Nothing is encoded yet."""
        self.section: Section | None = None
        """That of its packets; None before the first."""
        self._ring = ring
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._size = (0, 0)
        self._begin_s = self._last_s = self._key_s = 0.0

    def add(self, frame: Frame, now_s: float) -> None:
        """Encode a picture; `now_s`: its time by the clock of events."""
        size = (frame.width, frame.height)
        if self._stream is None or size != self._size or not self._last_s < now_s < self._last_s + LONGEST_GAP_S:
            self._begin(frame, now_s)
        assert self._stream is not None
        is_key = now_s - self._key_s >= KEY_FRAME_S or now_s == self._begin_s
        self._key_s = now_s if is_key else self._key_s
        self._last_s = now_s
        picture = self._fit(frame.picture)
        before = picture.pict_type
        picture.pts, picture.time_base = round((now_s - self._begin_s) / MICROSECONDS), MICROSECONDS
        picture.pict_type = PictureType.I if is_key else PictureType.NONE
        self._keep(self._stream.encode(picture))
        picture.pict_type = before  # other encoders get the same picture; times they set themselves

    def flush(self) -> None:
        """Bring what the encoder still holds into the ring; the next picture begins anew."""
        if self._stream is not None:
            self._keep(self._stream.encode(None))
            self._stream = self._container = None

    def _begin(self, frame: Frame, now_s: float) -> None:
        self.flush()
        self._size = frame.width, frame.height
        self._fit = Fitter(*self._size)
        self._begin_s = now_s
        self._container = av.open(BytesIO(), "w", format=TEMPLATE_FORMAT)  # only opens the encoder: nothing is muxed
        info = SourceInfo("", Path(), *self._size, "", "", "", None, MICROSECONDS, Fraction(0))
        self._stream = add_encoder(self._container, self._fit(frame.picture), info, MICROSECONDS, "balanced")
        self._container.start_encoding()
        self.section = None

    def _keep(self, packets: list[Packet[VideoStream]]) -> None:
        for packet in packets:
            if self.section is None:
                assert self._stream is not None
                self.section = section_of(self._stream, packet, MICROSECONDS)
            if self.section is not None and packet.pts is not None:
                arrival_s = self._begin_s + float(packet.pts * MICROSECONDS)
                kept = KeptPacket(arrival_s, bytes(packet), packet.pts, packet.dts, packet.is_keyframe)
                self._ring.keep(self.section, kept)
