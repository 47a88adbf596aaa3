"""What is said of a stream's regularity, from packets whose truth is known."""

from __future__ import annotations

import pytest

from streamdet.video.rhythm import PacketNote, rhythm_of


def notes(
    times: list[float | None], *, keys: tuple[int, ...] = (0,), late_s: dict[int, float] | None = None
) -> list[PacketNote]:
    """Packets of 1000 bytes, decoded when they are due, that arrive 100 s later, or later still."""
    late = late_s or {}
    return [
        PacketNote(time, time, 1000, place in keys, 100 + (time or 0.0) + late.get(place, 0.0))
        for place, time in enumerate(times)
    ]


def test_an_even_stream() -> None:
    rhythm = rhythm_of(notes([n / 20 for n in range(101)], keys=(0, 40, 80)), at_own_pace=True)
    assert rhythm.fps == pytest.approx(20)
    assert rhythm.fps_arrived == pytest.approx(20)
    assert (rhythm.irregular_share, rhythm.without_time, rhythm.repeated_times) == (0, 0, 0)
    assert (rhythm.usual_gap_s, rhythm.largest_gap_s) == (pytest.approx(0.05), pytest.approx(0.05))
    assert (rhythm.key_interval_frames, rhythm.key_interval_s) == (40, pytest.approx(2))
    assert rhythm.longest_without_key_s == pytest.approx(2)
    assert rhythm.bits_per_s == pytest.approx(20 * 8000)
    assert rhythm.jitter_p95_s == pytest.approx(0, abs=1e-6)
    assert not rhythm.is_reordered


def test_gaps_repeated_and_missing_times() -> None:
    times: list[float | None] = [n / 10 for n in range(50)]
    del times[20:23]  # a gap of 0.4 s
    times[30] = times[29]
    times[40] = None
    rhythm = rhythm_of(notes(times), at_own_pace=False)
    assert rhythm.largest_gap_s == pytest.approx(0.4)
    assert (rhythm.without_time, rhythm.repeated_times) == (1, 1)
    assert rhythm.irregular_share == pytest.approx(4 / 45)  # the gap, the repeat, the one behind it, the missing time
    assert rhythm.fps_arrived is None
    assert rhythm.jitter_p95_s is None
    assert rhythm.key_interval_s is None
    assert rhythm.longest_without_key_s == pytest.approx(4.7)


def test_late_packets_and_a_burst_at_the_beginning() -> None:
    times: list[float | None] = [n / 20 for n in range(101)]
    late = dict.fromkeys(range(30, 101, 10), 0.3)
    burst = {place: -place / 20 for place in range(15)}
    rhythm = rhythm_of(notes(times, late_s=late | burst), at_own_pace=True)
    assert rhythm.jitter_p95_s == pytest.approx(0.3)
    assert rhythm.fps_arrived == pytest.approx(20, rel=0.1)


def test_b_frames_are_seen_by_the_order_of_times() -> None:
    times = [0.0, 0.3, 0.1, 0.2, 0.6, 0.4, 0.5]
    rhythm = rhythm_of(notes(list(times)), at_own_pace=False)
    assert rhythm.is_reordered
    assert rhythm.irregular_share == 0


def test_a_single_packet_or_none() -> None:
    for packets in (notes([0.0]), [], notes([None, None])):
        rhythm = rhythm_of(packets, at_own_pace=True)
        assert (rhythm.fps, rhythm.bits_per_s, rhythm.key_interval_s) == (None, None, None)
