"""Clips of events: packets of the stream as they came, copied into a file of their own."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import av.error
from av.container import OutputContainer
from av.packet import Packet

from streamdet.events.encoder import PictureEncoder
from streamdet.events.event import Event
from streamdet.events.ring import KeptPacket, PacketRing, Section
from streamdet.events.rules import ClipSpan, Rule
from streamdet.events.snapshots import file_stem
from streamdet.options import DISK_RESERVE_BYTES
from streamdet.results.analysis import clock_s
from streamdet.types import DetectedFrame
from streamdet.video.container import reason
from streamdet.video.live.retention import free_bytes

IN_MP4 = frozenset({"h264", "hevc", "av1", "mpeg4", "vp9"})
"""Codecs that players expect in mp4; others go into mkv."""
SLACK_S = 10.0
"""The ring reaches back so much further than a clip: frames are detected some time after they came."""
WRONG_CLOCK_S = 2.0
"""A stream whose own times run this much apart from its arrival has a clock that is no good: arrival counts."""


LATE_S = 2.0
"""Packets that are not there so long after a clip's end never come."""


def ring_seconds(rules: Sequence[Rule]) -> float | None:
    """How much a ring must hold for the clips of these rules; None: they want none."""
    spans = [rule.clip.before_s + rule.clip.after_s for rule in rules if rule.clip is not None]
    return max(spans) + SLACK_S if spans else None


@dataclass(slots=True)
class _Planned:
    event: Event
    name: str
    from_s: float
    at_s: float
    to_s: float


class RingClips:
    """Cuts clips out of a ring of packets, once what follows on the event has come.

    Events that follow one another quickly share a clip: it must hold half of the time that each wants after it.

    Attributes:
        notes: what a user should know, a sentence each.
    """

    def __init__(self, ring: PacketRing, folder: Path, *, encode: bool = False) -> None:
        """Nothing is planned yet.

        Args:
            ring: filled by the source; where it gives pictures without packets, by an encoder here.
            folder: of the events.
            encode: what the source gives may not be seen as it is: only the pictures that come here are encoded, into
                a ring that nobody else can fill.
        """
        self.notes: list[str] = []
        self._ring = PacketRing(ring.seconds) if encode else ring
        self._encoder = PictureEncoder(self._ring)
        self._encode = encode
        self._folder = folder
        self._planned: list[_Planned] = []
        self._told_full = False

    def see(self, detected: DetectedFrame) -> None:
        """See `sink.Clipper`."""
        section = self._ring.section
        if self._encode or section is None or section is self._encoder.section:
            self._encoder.add(detected.frame, clock_s(detected.frame))

    def plan(self, event: Event, span: ClipSpan, at_s: float) -> str | None:
        """See `sink.Clipper`."""
        for planned in self._planned:
            if planned.from_s <= at_s and at_s + span.after_s / 2 <= planned.to_s:
                return planned.name
        section = self._ring.section
        if section is None:
            return None
        name = f"{file_stem(event)}.{'mp4' if section.codec in IN_MP4 else 'mkv'}"
        self._planned.append(_Planned(event, name, at_s - span.before_s, at_s, at_s + span.after_s))
        return name

    def finished(self, now_s: float | None) -> list[dict[str, object]]:
        """See `sink.Clipper`."""
        if now_s is None:
            self._encoder.flush()
        newest_s = self._ring.newest_s
        due = [
            planned
            for planned in self._planned
            if now_s is None or now_s > planned.to_s + LATE_S or (now_s > planned.to_s and newest_s > planned.to_s)
        ]
        self._planned = [planned for planned in self._planned if planned not in due]
        return [message for planned in due if (message := self._write(planned)) is not None]

    def _write(self, planned: _Planned) -> dict[str, object] | None:
        cut = self._ring.cut(planned.from_s, planned.to_s, planned.at_s)
        if cut is None or not cut[1]:
            return None
        if not self._has_room(planned):
            return None
        section, packets = cut
        try:
            before_s, seconds = write_clip(self._folder / planned.name, section, packets, planned.from_s)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self.notes.append(f"the clip {planned.name} can't be written: {reason(error)}")
            return None
        before_s += planned.at_s - max(planned.from_s, packets[0].arrival_s)
        return clip_message(planned.event, planned.name, seconds, before_s=before_s)

    def _has_room(self, planned: _Planned) -> bool:
        if free_bytes(self._folder) >= DISK_RESERVE_BYTES:
            self._told_full = False
            return True
        if not self._told_full:
            self._told_full = True
            self.notes.append(f"no clips of {planned.event.source} until there is room on the disk of {self._folder}")
        return False


def clip_message(event: Event, name: str, seconds: float, *, before_s: float) -> dict[str, object]:
    """What is told once a clip is complete."""
    return {
        "type": "clip",
        "source": event.source,
        "number": event.number,
        "rule": event.rule,
        "clip": name,
        "seconds": round(seconds, 3),
        "before_s": round(before_s, 3),
    } | ({} if event.send is None else {"send": list(event.send)})


def write_clip(
    path: Path, section: Section, packets: Sequence[KeptPacket], from_s: float = float("-inf")
) -> tuple[float, float]:
    """Write packets into an mp4 or mkv.

    Args:
        path: of the file; its ending says which.
        section: of the packets.
        packets: the first is a key frame.
        from_s: by the clock of arrival. An mp4 begins to play here: what comes before is in it, since the pictures that
            follow build on it, and is not shown (an edit list says so). In mkv it is shown.

    Returns:
        How many seconds before `from_s`, or before its first packet, are shown, and how many in all.

    Raises:
        OSError, ValueError, FFmpegError: it can't be written; then there is no file.
    """
    unit = section.time_base
    hidden = max(0, round((from_s - packets[0].arrival_s) / unit)) if from_s > packets[0].arrival_s else 0
    shift = hidden if path.suffix == ".mp4" else 0
    times = _times(section, packets)
    step = max(1, round((times[-1][1] - times[0][1]) / max(1, len(times) - 1)))
    with (
        new_clip(path) as container,
        av.open(io.BytesIO(section.template)) as template,
    ):
        stream = container.add_stream_from_template(template.streams.video[0], opaque=True)
        stream.time_base = unit
        for place, (kept, (pts, dts)) in enumerate(zip(packets, times, strict=True)):
            packet = Packet(kept.content)
            packet.pts, packet.dts, packet.time_base = pts - shift, dts - shift, unit
            packet.duration = times[place + 1][1] - dts if place + 1 < len(times) else step
            packet.is_keyframe = kept.is_key
            packet.stream = stream
            container.mux(packet)
    return float((hidden - shift) * unit), float((times[-1][1] - times[0][1] + step - shift) * unit)


@contextmanager
def new_clip(path: Path) -> Iterator[OutputContainer]:
    """A file to write packets into, .mp4 or .mkv: made aside, and there only once it is complete and on the disk."""
    aside = path.with_name(f".{path.name}.new")
    muxer = "mp4" if path.suffix == ".mp4" else "matroska"
    options = {"movflags": "faststart", "avoid_negative_ts": "disabled"} if muxer == "mp4" else {}
    try:
        with av.open(f"file:{aside}", "w", format=muxer, container_options=options) as container:
            yield container
        handle = os.open(aside, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        aside.rename(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def _times(section: Section, packets: Sequence[KeptPacket]) -> list[tuple[int, int]]:
    """Presentation and decoding time of each packet from 0 on; decoding times grow.

    The stream's own where they make sense, else those of arrival.
    """
    unit = section.time_base
    first, last = packets[0], packets[-1]
    arrived = [round((packet.arrival_s - first.arrival_s) / unit) for packet in packets]
    own = [packet.dts if packet.dts is not None else packet.pts for packet in packets]
    spans_s = last.arrival_s - first.arrival_s
    is_good = own[0] is not None and own[-1] is not None
    if is_good and abs(float((own[-1] - own[0]) * unit) - spans_s) > WRONG_CLOCK_S:  # type: ignore[operator]
        is_good = False
    times: list[tuple[int, int]] = []
    begin = own[0] or 0
    for packet, there, arrival in zip(packets, own, arrived, strict=True):
        dts = there - begin if is_good and there is not None else arrival
        if times and dts <= times[-1][1]:
            dts = times[-1][1] + 1
        ahead = packet.pts - packet.dts if packet.pts is not None and packet.dts is not None else 0
        times.append((dts + max(0, ahead), dts))
    return times
