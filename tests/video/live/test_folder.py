from __future__ import annotations

import itertools
import os
import shutil
import time
from pathlib import Path

import av
import pytest

from streamdet.types import Frame
from streamdet.video.live import folder as folder_module
from tests.media import test_picture
from tests.video.live.watching import Watched


def write(path: Path, number: int) -> Path:
    """An image whose width tells its number."""
    picture = av.VideoFrame.from_ndarray(test_picture(number, (160 + 2 * number, 120)), format="rgb24")
    picture.save(str(path))
    return path


def numbers(frames: list[Frame]) -> list[int]:
    return [(frame.width - 160) // 2 for frame in frames]


def test_those_that_are_there_first_and_then_new_ones_as_they_appear(tmp_path: Path) -> None:
    for number in (0, 1, 2):
        write(tmp_path / f"{8 + number}.jpg", number)  # 8, 9, 10: natural order
    with Watched(str(tmp_path)) as watched:
        watched.until_frames(3)
        write(tmp_path / "z.jpg", 3)
        watched.until_frames(4)
        write(tmp_path / "a.png", 4)
        frames = watched.until_frames(5)
        time.sleep(0.6)
        assert watched.source.patient
    assert numbers(watched.frames) == [0, 1, 2, 3, 4]
    assert [frame.file_name for frame in frames] == ["8.jpg", "9.jpg", "10.jpg", "z.jpg", "a.png"]
    assert all(before.pts < after.pts for before, after in itertools.pairwise(frames))
    assert watched.source.counts.stalls == {}


def test_an_image_that_is_still_being_written_waits(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.jpg", 1).read_bytes()
    (tmp_path / "whole.jpg").unlink()
    with Watched(str(tmp_path)) as watched, (tmp_path / "slow.jpg").open("wb", buffering=0) as file:
        for part in range(4):
            file.write(whole[part * len(whole) // 4 : (part + 1) * len(whole) // 4])
            assert watched.frames == []
            time.sleep(0.35)
        frames = watched.until_frames(1)
    assert not frames[0].damaged


def test_an_image_that_is_written_over_is_a_new_one(tmp_path: Path) -> None:
    write(tmp_path / "latest.jpg", 1)
    with Watched(str(tmp_path)) as watched:
        watched.until_frames(1)
        os.replace(write(tmp_path / ".next.jpg", 2), tmp_path / "latest.jpg")  # noqa: PTH105
        watched.until_frames(2)
    assert numbers(watched.frames) == [1, 2]


def test_what_is_no_image_is_lost_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "GIVEN_UP_AFTER_S", 0.5)
    write(tmp_path / "1.jpg", 1)
    (tmp_path / "2.jpg").write_bytes(b"no image")
    (tmp_path / "3.jpg").write_bytes((tmp_path / "1.jpg").read_bytes()[:-300])
    with Watched(str(tmp_path)) as watched:
        watched.until(lambda: watched.source.counts.packets == 3)
    counts = watched.source.counts
    # whether a cut-off JPEG gives a picture depends on OpenCV's version
    assert counts.lost >= 1
    assert counts.decoded + counts.lost == 3
    assert counts.damaged == counts.decoded - 1


def test_a_folder_that_goes_and_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    write(folder / "1.jpg", 1)
    with Watched(str(folder)) as watched:
        watched.until_frames(1)
        shutil.rmtree(folder)
        watched.until_kind("not there")
        folder.mkdir()
        write(folder / "2.jpg", 2)
        watched.until_frames(1, session=1)
    assert numbers(watched.frames) == [1, 2]
