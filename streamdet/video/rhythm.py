"""How regular a stream is: its rate by its own times and by arrival, its gaps, key frames, bit rate and jitter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import median

IRREGULAR_SHARE = 0.2
"""A gap that differs from the usual one by more than this share of it is irregular."""
SETTLING_S = 1.0
"""Servers begin with a burst: arrivals of this long are left out, when there is enough without them."""


@dataclass(frozen=True, slots=True)
class PacketNote:
    """What is known of a packet without decoding it."""

    time_s: float | None
    """When its picture is due; None where the stream doesn't tell."""
    decode_s: float | None
    """When it is to be decoded."""
    size: int
    """In bytes."""
    is_key: bool
    arrival_s: float
    """Monotonic clock when it arrived."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Of the packets of one stream. What can't be measured is None."""

    packets: int
    span_s: float
    """From the first to the last picture, by the stream's own times."""
    fps: float | None
    """Pictures per second by the stream's own times."""
    fps_arrived: float | None
    """Packets per second by their arrival; None when they didn't come at their own pace."""
    irregular_share: float
    """Share of gaps between pictures that differ from the usual one."""
    usual_gap_s: float | None
    largest_gap_s: float | None
    without_time: int
    repeated_times: int
    """Pictures that are due at the same time as the one before."""
    key_frames: int
    key_interval_s: float | None
    """Usual time from one key frame to the next; None when fewer than two were seen."""
    key_interval_frames: float | None
    longest_without_key_s: float
    """Longest time in which no key frame was seen; more than `key_interval_s` where one is missing."""
    bits_per_s: float | None
    jitter_p95_s: float | None
    """95 of 100 packets came at most this much later than the fastest did, by their times."""
    is_reordered: bool
    """Pictures come out in another order than they are sent: there are B-frames."""


def rhythm_of(packets: Sequence[PacketNote], *, at_own_pace: bool) -> Rhythm:
    """Measure; `at_own_pace`: the packets arrived as the camera sent them, not as fast as they could be read."""
    times = sorted(packet.time_s for packet in packets if packet.time_s is not None)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    usual = median(gaps) if gaps else None
    span = times[-1] - times[0] if times else 0.0
    irregular = sum(abs(gap - usual) > IRREGULAR_SHARE * usual for gap in gaps) if usual else 0
    keys = [place for place, packet in enumerate(packets) if packet.is_key]
    key_frames = median([later - earlier for earlier, later in pairwise(keys)]) if len(keys) > 1 else None
    marks = [0, *keys, len(packets)]
    sent = [packet.time_s for packet in packets if packet.time_s is not None]
    latest = list(accumulate(sent, max))
    settled = _settled(packets) if at_own_pace else []
    arrived_s = settled[-1].arrival_s - settled[0].arrival_s if len(settled) > 1 else 0.0
    return Rhythm(
        packets=len(packets),
        span_s=span,
        fps=(len(times) - 1) / span if span > 0 else None,
        fps_arrived=(len(settled) - 1) / arrived_s if arrived_s > 0 else None,
        irregular_share=irregular / len(gaps) if gaps else 0.0,
        usual_gap_s=usual,
        largest_gap_s=max(gaps, default=None),
        without_time=len(packets) - len(times),
        repeated_times=sum(gap == 0 for gap in gaps),
        key_frames=len(keys),
        key_interval_s=key_frames * usual if key_frames is not None and usual else None,
        key_interval_frames=key_frames,
        longest_without_key_s=max((later - earlier for earlier, later in pairwise(marks)), default=0) * (usual or 0.0),
        bits_per_s=sum(packet.size for packet in packets) * 8 / (span + usual) if span > 0 and usual else None,
        jitter_p95_s=_jitter_p95_s(settled),
        is_reordered=any(time < before for time, before in zip(sent[1:], latest, strict=False)),
    )


def _settled(packets: Sequence[PacketNote]) -> Sequence[PacketNote]:
    """Those that came after the burst at the beginning."""
    later = [packet for packet in packets if packet.arrival_s >= packets[0].arrival_s + SETTLING_S]
    return later if len(later) >= len(packets) / 2 else packets


def _jitter_p95_s(packets: Sequence[PacketNote]) -> float | None:
    delays = sorted(packet.arrival_s - packet.decode_s for packet in packets if packet.decode_s is not None)
    return delays[int(0.95 * (len(delays) - 1))] - delays[0] if len(delays) > 1 else None
