from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streamdet.segments import utc_stamp
from streamdet.video.live.retention import Retention, free_bytes

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()
HOUR = 3600


def segment(folder: Path, hours_ago: float, *, stem: str = "cam1", size: int = 100, ending: str = ".mp4") -> Path:
    path = folder / f"{stem}_{utc_stamp(NOON - hours_ago * HOUR)}{ending}"
    path.write_bytes(b"x" * size)
    ended = NOON - (hours_ago - 0.5) * HOUR
    os.utime(path, (ended, ended))
    return path


def retention(folder: Path, *, keep_s: float | None = None, max_bytes: int | None = None) -> Retention:
    made = Retention(folder, keep_s=keep_s, max_bytes=max_bytes, clock=lambda: NOON)
    for stem in ("cam1", "cam2"):
        made.register(stem, ".mp4")
    return made


def left(folder: Path) -> set[Path]:
    return set(folder.iterdir())


def test_segments_that_ended_too_long_ago_go(tmp_path: Path) -> None:
    old, edge, young = (segment(tmp_path, hours) for hours in (30, 24.4, 1))
    assert retention(tmp_path, keep_s=24 * HOUR).sweep() == [old]
    assert left(tmp_path) == {edge, young}


def test_the_oldest_of_all_cameras_go_when_there_is_too_much(tmp_path: Path) -> None:
    first, second, third = segment(tmp_path, 5), segment(tmp_path, 4, stem="cam2"), segment(tmp_path, 3)
    fourth = segment(tmp_path, 2, stem="cam2")
    watch = retention(tmp_path, max_bytes=250)
    assert watch.sweep() == [first, second]
    assert left(tmp_path) == {third, fourth}
    assert watch.deleted == 2


def test_both_rules_together(tmp_path: Path) -> None:
    files = [segment(tmp_path, hours) for hours in (50, 40, 3, 2, 1)]
    assert retention(tmp_path, keep_s=24 * HOUR, max_bytes=200).sweep() == files[:3]


def test_without_rules_nothing_goes(tmp_path: Path) -> None:
    segment(tmp_path, 10_000)
    assert retention(tmp_path).sweep() == []


def test_files_that_are_not_ours_are_neither_counted_nor_deleted(tmp_path: Path) -> None:
    foreign = [
        segment(tmp_path, 900, stem="evidence-cam1", size=10_000),
        segment(tmp_path, 900, ending=".mp4.keep"),
        segment(tmp_path, 900, ending=".mkv"),
        tmp_path / "cam1_holiday.mp4",
        tmp_path / f"cam2_{utc_stamp(NOON - 900 * HOUR)}_1.mp4",
        tmp_path / f"cam1_{utc_stamp(NOON - 800 * HOUR)}.mp4",
    ]
    foreign[3].write_bytes(b"x" * 10_000)
    foreign[4].mkdir()
    foreign[5].symlink_to(foreign[3])
    ours = segment(tmp_path, 1, size=10)
    assert retention(tmp_path, keep_s=24 * HOUR, max_bytes=1000).sweep() == []
    assert left(tmp_path) == {*foreign, ours}


def test_a_segment_that_is_being_written_stays_and_counts(tmp_path: Path) -> None:
    busy, idle = segment(tmp_path, 40), segment(tmp_path, 30)
    watch = retention(tmp_path, keep_s=24 * HOUR, max_bytes=150)
    watch.began(busy)
    assert watch.sweep() == [idle]
    watch.ended(busy)
    assert watch.sweep() == [busy]


def test_half_made_files_of_a_killed_run_go_after_an_hour(tmp_path: Path) -> None:
    old, new = segment(tmp_path, 5), segment(tmp_path, 0.6)
    leftovers = [path.rename(tmp_path / f".{path.name}.finishing") for path in (old, new)]
    retention(tmp_path).sweep()
    assert left(tmp_path) == {leftovers[1]}


def test_trouble_is_said_once(tmp_path: Path) -> None:
    watch = retention(tmp_path / "nowhere", keep_s=1)
    watch.sweep()
    watch.sweep()
    assert watch.problems == [f"cannot look into {tmp_path / 'nowhere'}: No such file or directory"]


def test_room_is_asked_for_once_a_second_and_comes_back_with_a_margin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    room = [600]

    def free(folder: Path) -> int:
        asked.append(folder)
        return room[0]

    watch = Retention(tmp_path, reserve_bytes=500, free=free)
    assert [watch.has_room() for _ in range(9)] == [True] * 9
    assert asked == [tmp_path]
    monkeypatch.setattr("streamdet.video.live.retention.LOOK_EVERY_S", 0.0)
    answers = []
    for room[0] in (500, 499, 500, 599, 600, 500):
        answers.append(watch.has_room())
    assert answers == [True, False, False, False, True, True]
    assert watch.has_room_for(250)
    assert not watch.has_room_for(251)


def test_a_disk_that_can_not_be_asked_keeps_the_last_answer(tmp_path: Path) -> None:
    watch = Retention(tmp_path / "nowhere")
    assert watch.has_room()
    assert not watch.has_room_for(1)


def test_free_bytes_are_those_of_the_disk(tmp_path: Path) -> None:
    assert 0 < free_bytes(tmp_path) < 2**60


def test_one_of_those_who_ask_is_told_to_sweep(tmp_path: Path) -> None:
    watch = retention(tmp_path)
    assert [watch.is_sweep_due() for _ in range(4)] == [True, False, False, False]
