"""Whether the sound of an output is that of its source, packet by packet: it is copied, never encoded anew."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av.error
from av.packet import Packet
from av.stream import Stream

from streamdet.video.base import SourceInfo
from streamdet.video.checking.faults import Fault, counted
from streamdet.video.container import open_container

LOOK_AHEAD = 4096
"""Packets in which the place is looked for where two streams agree again."""
ALLOWED_S = 0.0015
"""Matroska counts milliseconds; sound counts samples."""
ENCODED_ANEW = 0.1
"""With a smaller share of packets in common it is other sound, or encoded anew."""
MAX_READ_ERRORS_IN_A_ROW = 1000


@dataclass
class Track:
    """The packets of one stream of sound."""

    codec: str
    times_s: array[float] = field(default_factory=lambda: array("d"))
    digests: array[int] = field(default_factory=lambda: array("L"))
    packet_s: float = 0.0
    """How long one usually is."""

    def __len__(self) -> int:
        return len(self.times_s)


def check_audio(source: SourceInfo, output: Path, shift_s: Fraction) -> tuple[list[str], list[Fault]]:
    """What is known about the sound, a line for each stream, and what is wrong with it."""
    expected = [track for track in tracks_of(source.path, source.window_s) if len(track)] if source.has_audio else []
    found = [track for track in tracks_of(output, (None, None)) if len(track)]
    facts, faults = [], []
    for place, track in enumerate(expected):
        name = "the sound" if len(expected) == 1 else f"sound track {place + 1}"
        partner = next((other for other in found if other.codec == track.codec), None)
        if partner is None:
            faults.append(Fault("audio missing", f"{name} ({track.codec}) is missing altogether", True))
            continue
        found.remove(partner)
        facts.append(f"{track.codec}, {len(partner)} of {len(track)} packets")
        faults += compare(name, track, partner, float(shift_s))
    if found:
        faults.append(Fault("audio added", f"there {_is(len(found))} of sound that the source doesn't have"))
    return facts, faults


def _is(n: int) -> str:
    return f"{'is' if n == 1 else 'are'} {counted(n, 'track')}"


def tracks_of(path: Path, window_s: tuple[Fraction | None, Fraction | None]) -> list[Track]:
    """The sound of a file, as far as it begins inside a window. Raises SourceError."""
    start_s, end_s = window_s
    with open_container(path) as container:
        streams = list(container.streams.audio)
        tracks = {
            stream.index: Track(stream.codec_context.codec.canonical_name if stream.codec_context else "unknown")
            for stream in streams
        }
        for packet in _packets(container.demux(*streams)) if streams else ():
            moment = packet.pts if packet.pts is not None else packet.dts
            if moment is None or not packet.size or not packet.time_base:
                continue
            begin_s = moment * packet.time_base
            if (start_s is not None and begin_s < start_s) or (end_s is not None and begin_s >= end_s):
                continue
            track = tracks[packet.stream_index]
            track.times_s.append(float(begin_s))
            track.digests.append(zlib.crc32(_payload(bytes(packet), track.codec)))
            track.packet_s = track.packet_s or float((packet.duration or 0) * packet.time_base)
    return list(tracks.values())


def _packets(demuxed: Iterator[Packet[Stream]]) -> Iterator[Packet[Stream]]:
    failures = 0
    while failures < MAX_READ_ERRORS_IN_A_ROW:
        try:
            yield next(demuxed)
        except StopIteration:
            return
        except av.error.FFmpegError:
            failures += 1


def _payload(content: bytes, codec: str) -> bytes:
    """Without the header that AAC has in a transport stream and loses in mp4."""
    if codec == "aac" and len(content) > 9 and content[0] == 0xFF and content[1] & 0xF6 == 0xF0:
        return content[7 if content[1] & 1 else 9 :]
    return content


def compare(name: str, expected: Track, found: Track, shift_s: float) -> Iterator[Fault]:
    """What is wrong with one stream."""
    partners = match(expected.digests, found.digests)
    if len(partners) < ENCODED_ANEW * len(expected):
        yield Fault("audio changed", f"{name} was encoded anew or is another one: its packets are not the source's")
        return
    ours, theirs = [pair[0] for pair in partners], [pair[1] for pair in partners]
    yield from _missing(name, expected, ours)
    added = len(found) - len(partners)
    if added:
        first = next(place for place in range(len(found)) if place not in set(theirs))
        yield Fault(
            "audio changed",
            f"{counted(added, 'packet')} of {name} {'is' if added == 1 else 'are'} not the source's, the first at "
            f"{found.times_s[first]:.3f} s",
        )
    late = [found.times_s[right] - expected.times_s[left] - shift_s for left, right in partners]
    worst = max(late, key=abs)
    if abs(worst) > ALLOWED_S:
        wrong = sum(abs(each) > ALLOWED_S for each in late)
        which = "all" if wrong == len(late) else f"{wrong} of {len(late)}"
        side = "late" if worst > 0 else "early"
        yield Fault("audio time", f"{which} packets of {name} are too {side}, by up to {abs(worst) * 1000:.1f} ms")


def match(expected: Sequence[int], found: Sequence[int]) -> list[tuple[int, int]]:
    """Places of equal packets in both, in order; where they part, the nearest place where they agree again is taken."""
    partners: list[tuple[int, int]] = []
    left = right = 0
    while left < len(expected) and right < len(found):
        if expected[left] == found[right]:
            partners.append((left, right))
            left, right = left + 1, right + 1
            continue
        ahead = _next(expected, left, found[right])
        behind = _next(found, right, expected[left])
        if ahead is None and behind is None:
            left, right = left + 1, right + 1
        elif behind is None or (ahead is not None and ahead - left <= behind - right):
            assert ahead is not None
            left = ahead
        else:
            right = behind
    return partners


def _next(digests: Sequence[int], start: int, digest: int) -> int | None:
    for place in range(start, min(start + LOOK_AHEAD, len(digests))):
        if digests[place] == digest:
            return place
    return None


def _missing(name: str, expected: Track, kept: list[int]) -> Iterator[Fault]:
    there = set(kept)
    lost = [place for place in range(len(expected)) if place not in there]
    if not lost:
        return
    first, last = lost[0], lost[-1]
    count = counted(len(lost), "packet")
    is_run = last - first + 1 == len(lost)
    if is_run and last == len(expected) - 1:
        ends, should_s = expected.times_s[kept[-1]] + expected.packet_s, expected.times_s[last] + expected.packet_s
        sentence = f"{name} ends at {ends:.3f} s and should at {should_s:.3f} s: {count} missing"
    elif is_run and first == 0:
        sentence = f"{name} begins at {expected.times_s[kept[0]]:.3f} s and should at {expected.times_s[0]:.3f} s: "
        sentence += f"{count} missing"
    else:
        sentence = f"{count} of {name} missing, the first at {expected.times_s[first]:.3f} s"
    yield Fault("audio missing", sentence, True)
