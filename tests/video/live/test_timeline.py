from __future__ import annotations

from fractions import Fraction

import av
import pytest

from streamdet.types import Frame
from streamdet.video.live.timeline import Timeline, fine_time_base

RTP = Fraction(1, 90_000)


def frame(pts: int, arrival_s: float, session: int = 0, time_base: Fraction = RTP) -> Frame:
    return Frame(av.VideoFrame(16, 16, "yuv420p"), "cam", 0, pts, time_base, arrival_s, session=session)


def test_within_a_session_the_cameras_own_times_are_kept_exactly() -> None:
    timeline = Timeline()
    pts = [7_000_000 + step for step in (0, 3003, 6006, 9010, 40_000)]
    jitter = (0.0, 0.2, 0.21, 0.22, 0.9)
    times = [timeline.stamp(frame(p, 100 + late)) for p, late in zip(pts, jitter, strict=True)]
    assert times == [Fraction(p - pts[0], 90_000) for p in pts]
    assert timeline.replaced == 0


def test_a_new_session_is_placed_by_its_arrival() -> None:
    timeline = Timeline()
    timeline.stamp(frame(5000, 100.0))
    assert timeline.stamp(frame(8000, 100.1)) == Fraction(3000, 90_000)
    # the camera restarted, counts from 0 again, and was away for 4 s
    assert timeline.stamp(frame(0, 104.25, session=1)) == Fraction(425, 100)
    assert timeline.stamp(frame(3000, 104.9, session=1)) == Fraction(425, 100) + Fraction(1, 30)


def test_pictures_between_sessions_have_true_times() -> None:
    timeline = Timeline()
    assert not timeline.started
    timeline.stamp(frame(0, 100.0))
    assert timeline.started
    assert [timeline.at(100.0 + k) for k in (1, 2, 3)] == [1, 2, 3]
    assert timeline.stamp(frame(0, 103.5, session=1)) == Fraction(7, 2)


def test_never_backwards_even_if_the_new_session_overlaps() -> None:
    timeline = Timeline()
    timeline.stamp(frame(0, 100.0))
    last = timeline.stamp(frame(90_000 * 2, 100.5))  # the camera is ahead of its arrival
    first = timeline.stamp(frame(50, 101.0, session=1))
    assert first == last + RTP
    assert timeline.stamp(frame(50 + 3000, 101.1, session=1)) == first + Fraction(1, 30)
    # repeated times too
    assert timeline.stamp(frame(50 + 3000, 101.2, session=1)) == first + Fraction(1, 30) + RTP
    assert timeline.at(0.0) == first + Fraction(1, 30) + 2 * RTP


@pytest.mark.parametrize("jump", [-90_000 * 3600, 90_000 * 3600])
def test_a_camera_that_sets_its_clock_is_placed_anew(jump: int) -> None:
    timeline = Timeline()
    timeline.stamp(frame(10**9, 100.0))
    timeline.stamp(frame(10**9 + 3000, 100.04))
    assert timeline.stamp(frame(10**9 + 6000 + jump, 100.08)) == Fraction(8, 100)
    assert timeline.stamp(frame(10**9 + 9000 + jump, 100.12)) == Fraction(8, 100) + Fraction(1, 30)
    assert timeline.replaced == 1


def test_frames_late_by_a_stall_keep_their_times() -> None:
    timeline = Timeline()
    timeline.stamp(frame(0, 100.0))
    burst = [timeline.stamp(frame(3000 * k, 120.0 + k / 1000)) for k in range(1, 500)]
    assert burst == [Fraction(k, 30) for k in range(1, 500)]


def test_whole_numbers_in_the_fine_time_base() -> None:
    for time_base in (RTP, Fraction(1, 1000), Fraction(1, 25), Fraction(1001, 30_000), Fraction(1, 1_000_000)):
        timeline = Timeline()
        fine = fine_time_base(time_base)
        times = [timeline.stamp(frame(k, 5 + k / 7, k // 3, time_base)) for k in range(9)]
        assert all((time / fine).denominator == 1 for time in times), time_base
        assert fine.denominator < 2**31
