from __future__ import annotations

import random

from streamdet.video.live.backoff import JITTER, Backoff


def test_waits_double_up_to_the_longest_one() -> None:
    backoff = Backoff(0.5, 30.0, 10.0, random.Random(1))
    waits = [backoff.failed() for _ in range(12)]
    for step, wait_s in enumerate(waits):
        middle_s = min(0.5 * 2**step, 30.0)
        assert middle_s * (1 - JITTER) <= wait_s <= min(middle_s * (1 + JITTER), 30.0)


def test_cameras_that_fail_together_come_back_apart() -> None:
    waits = {Backoff(0.5, 30.0, 10.0, random.Random(seed)).failed() for seed in range(20)}
    assert len(waits) == 20


def test_a_connection_alone_resets_nothing() -> None:
    backoff = Backoff(0.5, 30.0, 10.0, random.Random(2))
    for start_s in range(0, 60, 20):  # each session gives good frames for 9 s and breaks
        for moment_s in range(10):
            backoff.good(start_s + moment_s)
        last_s = backoff.failed()
    assert last_s >= 2.0 * (1 - JITTER)


def test_good_frames_for_long_enough_begin_anew() -> None:
    backoff = Backoff(0.5, 30.0, 10.0, random.Random(3))
    for _ in range(6):
        backoff.failed()
    backoff.good(100.0)
    backoff.good(110.0)
    assert backoff.failed() <= 0.5 * (1 + JITTER)


def test_weeks_of_failures() -> None:
    backoff = Backoff(0.5, 30.0, 10.0, random.Random(4))
    assert all(0 < backoff.failed() <= 30.0 for _ in range(100_000))
