from __future__ import annotations

from datetime import UTC, timedelta, timezone

import pytest

from streamdet.results.page.clock import Clock, length

AT_S = 1795604404.25  # 2026-11-25 11:00:04 UTC
PLUS_ONE = timezone(timedelta(hours=1), "CET")


@pytest.mark.parametrize(
    ("time_s", "step_s", "text"),
    [
        (7, 1, "0:07"),
        (3723.96, 1, "1:02:03"),
        (3723.96, 0.1, "1:02:04.0"),
        (59.96, 0.1, "1:00.0"),
        (-1.5, 0.1, "−0:01.5"),
    ],
)
def test_a_recording_counts_its_time(time_s: float, step_s: float, text: str) -> None:
    assert Clock(live=False).moment(time_s, step_s) == text


def test_a_camera_tells_the_time_of_day_in_its_zone() -> None:
    assert Clock(True, UTC).moment(AT_S) == "11:00:04"
    assert Clock(True, PLUS_ONE).moment(AT_S) == "12:00:04"
    assert Clock(True, UTC, with_day=True).moment(AT_S, 60) == "Wed 25 Nov 11:00"
    assert Clock(True, UTC, with_day=True).moment(AT_S, with_day=False) == "11:00:04"
    assert Clock(True, PLUS_ONE).zone_name(AT_S) == "CET (UTC+01:00)"
    assert Clock(True, UTC).zone_name(AT_S) == "UTC"
    span = Clock(True, PLUS_ONE).span(AT_S, AT_S + 86400)
    assert span == "Wednesday, 25 November 2026, 12:00 to 26 November, 12:00"


def test_marks_stand_at_full_hours_of_the_day_there() -> None:
    half_past = timezone(timedelta(hours=5, minutes=30), "IST")
    ticks = Clock(True, half_past).ticks(AT_S, AT_S + 4 * 3600, 7)
    assert [text for _, text in ticks] == ["17:00", "18:00", "19:00", "20:00"]
    assert ticks[0][0] == AT_S - 4.25 + 30 * 60


@pytest.mark.parametrize("span_s", [0.0, 0.3, 13, 61, 3600, 36000, 90000, 1e7])
def test_marks_are_few_and_inside(span_s: float) -> None:
    ticks = Clock(False).ticks(5.0, 5.0 + span_s, 7)
    assert len(ticks) <= 7
    assert all(5 <= time_s <= 5 + span_s + 1e-6 for time_s, _ in ticks)


def test_pictures_have_places() -> None:
    clock = Clock(live=False, order=True)
    assert clock.moment(3) == "no. 3"
    assert [text for _, text in clock.ticks(0, 4, 7)] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.42, "0.4 s"), (1, "1 s"), (13.2, "13 s"), (59.7, "1 min"), (245, "4 min 5 s"), (36120, "10 h 2 min"),
     (3599.9, "1 h"), (86400 * 3 + 3600 * 4, "3 days 4 h"), (86400, "1 day")],
)  # fmt: skip
def test_lengths_read_well(seconds: float, text: str) -> None:
    assert length(seconds) == text
