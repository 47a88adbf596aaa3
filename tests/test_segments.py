from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdet.segments import Schedule, free_stem, new_segment_path, safe_stem, segment_pattern, utc_stamp

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()


def test_a_segment_is_over_at_whole_multiples_on_the_wall_clock() -> None:
    schedule = Schedule(600)
    schedule.begin(NOON + 599.5)
    assert not schedule.is_over(NOON + 599.9)
    assert schedule.is_over(NOON + 600)
    schedule.begin(NOON + 600)
    assert not schedule.is_over(NOON + 1199)


def test_a_clock_set_back_a_little_cuts_nothing_but_one_set_back_far_does() -> None:
    schedule = Schedule(600)
    schedule.begin(NOON + 601)
    assert not schedule.is_over(NOON + 598)
    assert not schedule.is_over(NOON + 1)
    assert schedule.is_over(NOON - 1)


def test_without_a_length_a_segment_never_ends() -> None:
    schedule = Schedule(None)
    schedule.begin(NOON)
    assert not schedule.is_over(NOON + 1e8)


def test_names_tell_camera_and_utc(tmp_path: Path) -> None:
    path = new_segment_path(tmp_path, "cam1", NOON + 0.97, ".mp4")
    assert path == tmp_path / "cam1_2026-11-25T12-00-00Z.mp4"
    path.touch()
    second = new_segment_path(tmp_path, "cam1", NOON + 0.98, ".mp4")
    assert second.name == "cam1_2026-11-25T12-00-00Z_2.mp4"
    for one, number in ((path, None), (second, "2")):
        match = segment_pattern("cam1", ".mp4").fullmatch(one.name)
        assert match is not None
        assert match.groups() == (utc_stamp(NOON), number)


@pytest.mark.parametrize(
    "name",
    [
        "xcam1_2026-11-25T12-00-00Z.mp4",
        "cam1_2026-11-25T12-00-00Z.mp4.bak",
        "cam1_2026-11-25.mp4",
        "cam11_2026-11-25T12-00-00Z.mp4",
        "cam1_2026-11-25T12-00-00Z.mkv",
    ],
)
def test_other_names_are_not_ours(name: str) -> None:
    assert segment_pattern("cam1", ".mp4").fullmatch(name) is None


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("front door", "front-door"),
        ("rtsp://cam1:554/stream1", "cam1-554-stream1"),
        ("/dev/video0", "dev-video0"),
        ("Hof Süd", "Hof-Süd"),
        ("../../etc/passwd", "etc-passwd"),
        ("-", "camera"),
        ("", "camera"),
        ("con", "camera-con"),
        ("a\nb\x1b[31m", "a-b-31m"),
    ],
)
def test_stems_are_safe_for_file_systems(name: str, stem: str) -> None:
    assert safe_stem(name) == stem


@given(st.text())
def test_any_name_makes_one_plain_file_name(name: str) -> None:
    stem = safe_stem(name)
    assert stem
    assert len(stem.encode()) <= 120
    assert not set(stem) & set('/\\:*?"<>|\0\n ')
    assert not stem.startswith((".", "-"))
    assert safe_stem(stem) == stem


def test_two_cameras_never_share_a_stem() -> None:
    stems: list[str] = []
    for name in ("cam/1", "cam 1", "CAM-1", "x"):
        stems.append(free_stem(name, stems))
    assert stems == ["cam-1", "cam-1-2", "CAM-1-3", "x"]
