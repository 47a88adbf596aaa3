"""Tells whether a file ended before the length that its container declares."""

from __future__ import annotations

import re
from fractions import Fraction

from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Stream
from av.video.stream import VideoStream

from streamdet.video.base import UNFINISHED_COMMENT

_DURATION_TAG = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")
_LEAST_TOLERANCE_S = Fraction(1, 10)


class Ending:
    """Watches the packets of a file go by and judges its end.

    mp4 and mov are judged by their sample table. Matroska, AVI, FLV and ASF by time: the video stream's own length
    where there is one, else the container's length against the last packet of any stream (audio may be longer than
    video). MPEG-TS, raw streams and fragmented mp4 declare no length.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._stream = stream
        self._formats = set(container.format.name.split(","))
        # Matroska's tags come in capitals
        self._unfinished = UNFINISHED_COMMENT in (container.metadata.get(key) for key in ("comment", "COMMENT"))
        self._last_dts: int | None = None
        self._end_s = Fraction(0)
        self._largest_gap_s = Fraction(0)
        self._last_video_s: Fraction | None = None
        self.declared_s: Fraction | None = None
        """Declared length of the video in seconds; None when nothing is declared."""
        self.watched: list[Stream] = [stream]
        """The streams whose packets should be shown to `see`."""
        self._declare(container)
        for other in container.streams:
            if other not in self.watched:
                other.discard = Discard.all

    def _declare(self, container: InputContainer) -> None:
        stream = self._stream
        if "mp4" in self._formats:
            if stream.frames and stream.duration and stream.time_base:
                self.declared_s = stream.duration * stream.time_base
        elif tag := _DURATION_TAG.match(stream.metadata.get("DURATION", "")):
            hours, minutes, seconds = tag.groups()
            self.declared_s = int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
        elif "avi" in self._formats and stream.duration and stream.time_base:
            self.declared_s = stream.duration * stream.time_base
        elif self._formats & {"matroska", "webm", "flv", "asf"} and container.duration:
            self.declared_s = Fraction(container.duration, 1_000_000)
            self.watched = [other for other in container.streams if other.type in ("video", "audio")]

    def see(self, packet: Packet[Stream]) -> None:
        """Take note of a packet of one of the `watched` streams."""
        time_base = packet.time_base
        if packet.stream_index == self._stream.index and packet.dts is not None:
            self._last_dts = packet.dts
        moment = packet.pts if packet.pts is not None else packet.dts
        if moment is None or not time_base:
            return
        if packet.stream_index == self._stream.index:
            dts_s = (packet.dts if packet.dts is not None else moment) * time_base
            if self._last_video_s is not None:
                self._largest_gap_s = max(self._largest_gap_s, dts_s - self._last_video_s)
            self._last_video_s = dts_s
        self._end_s = max(self._end_s, (moment + (packet.duration or 0)) * time_base)

    def verdict(self, packets: int, failure: str | None) -> str | None:
        """One sentence when the file ended too early, else None.

        Args:
            packets: packets of the video stream that were read.
            failure: why reading was given up, None when the end of the file was reached.
        """
        end_s = float(self._end_s)
        if failure is not None:
            return f"reading was given up at {end_s:.2f} s: {failure}"
        if self._unfinished:
            return f"the file is the unfinished output of an earlier streamdet run that stopped at {end_s:.2f} s"
        if self.declared_s is None:
            return None
        if "mp4" in self._formats:
            missing = self._missing_samples()
            if not missing:
                return None
            return (
                f"the file ends after {packets} of {packets + missing} pictures "
                f"({end_s:.2f} of {float(self.declared_s):.2f} s): it was cut off"
            )
        rate = self._stream.average_rate
        tolerance_s = max(_LEAST_TOLERANCE_S, self._largest_gap_s, 3 / rate if rate else Fraction(0))
        if self._end_s >= self.declared_s - tolerance_s:
            return None
        return f"the file ends at {end_s:.2f} of {float(self.declared_s):.2f} s: it was cut off"

    def _missing_samples(self) -> int:
        """Samples in the index after the last packet that was read; edit lists are already applied to the index."""
        entries = self._stream.index_entries
        if self._last_dts is None:
            return len(entries)
        missing = 0
        while missing < len(entries) and entries[len(entries) - 1 - missing].timestamp > self._last_dts:
            missing += 1
        return missing
