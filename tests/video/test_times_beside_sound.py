"""Frames keep their times in files with sound, where FFmpeg cuts fragments between the packets of both."""

from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path

import pytest

from tests.media import make_clip, times_of
from tests.video.writing import copy


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("rate", [25, 60, 100])
def test_fast_video_beside_sound_is_on_time(tmp_path: Path, rate: int, ending: str) -> None:
    source = make_clip(tmp_path / "source.mp4", frames=60, rate=rate, audio="aac")
    writer = copy(source, tmp_path / f"out.{ending}")
    assert writer.max_drift_s <= Fraction(1, 2000)
    assert all(
        abs(ours - theirs) <= writer.max_drift_s
        for ours, theirs in zip(times_of(tmp_path / f"out.{ending}"), times_of(source), strict=True)
    )


@pytest.mark.parametrize("seed", range(4))
def test_irregular_video_beside_sound_is_on_time(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    pts = [0]
    for _ in range(74):
        pts.append(pts[-1] + dice.choice([8, 16, 33, 40, 64, 100, 200]))
    source = make_clip(tmp_path / "source.mp4", frames=75, pts=pts, time_base=Fraction(1, 1000), audio="aac")
    copy(source, tmp_path / "out.mp4")
    assert times_of(tmp_path / "out.mp4") == times_of(source)
