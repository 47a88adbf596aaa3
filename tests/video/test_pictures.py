"""Images and folders of images."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.media import truncate
from tests.video.reading import assert_accounts, read, rgb


def save(path: Path, value: int, size: tuple[int, int] = (40, 30)) -> None:
    assert cv2.imwrite(str(path), np.full((size[1], size[0], 3), value, np.uint8))


def test_a_folder_gives_its_images_in_natural_order(tmp_path: Path) -> None:
    for number in (10, 2, 1, 33):
        save(tmp_path / f"shot{number}.png", number, (40 + number, 30))
    (tmp_path / "shot9.png").write_bytes(b"noise")
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_bytes(b"noise")
    frames, source = read(tmp_path)
    assert [int(rgb(frame)[0, 0, 0]) for frame in frames] == [1, 2, 10, 33]
    assert [(frame.pts, frame.index) for frame in frames] == [(0, 0), (1, 1), (3, 2), (4, 3)]
    assert {frame.time_base for frame in frames} == {Fraction(1)}
    assert [frame.width for frame in frames] == [41, 42, 50, 73]
    assert source.counts.unreadable == ["shot9.png"]
    assert (source.counts.packets, source.counts.decoded, source.counts.lost) == (5, 4, 1)
    assert_accounts(source.counts)
    assert source.ended_early() is None
    frames, source = read(tmp_path, start_s=1, end_s=4, every=2)
    assert [frame.pts for frame in frames] == [1, 3]


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "bmp", "tiff"])
def test_an_image_is_a_source_of_one_frame(tmp_path: Path, ending: str) -> None:
    save(tmp_path / f"still.{ending}", 99)
    frames, source = read(tmp_path / f"still.{ending}")
    assert len(frames) == 1
    assert (source.info.width, source.info.height, source.info.container) == (40, 30, "image")
    assert abs(int(rgb(frames[0])[5, 5, 0]) - 99) <= 2


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    save(tmp_path / "plain.jpg", 120, (40, 30))
    content = (tmp_path / "plain.jpg").read_bytes()
    tiff = b"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00"
    exif = b"Exif\x00\x00" + tiff
    turned = content[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + content[2:]
    (tmp_path / "turned.jpg").write_bytes(turned)
    frames, _ = read(tmp_path / "turned.jpg")
    assert (frames[0].width, frames[0].height) == (30, 40)


def test_a_cut_off_jpeg_is_marked_or_lost(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.jpg"), noise)
    cv2.imwrite(str(tmp_path / "b.jpg"), noise)
    truncate(tmp_path / "a.jpg", tmp_path / "b.jpg", 0.5)
    frames, source = read(tmp_path)
    assert source.counts.lost + source.counts.damaged_marked == 1
    assert not frames[0].damaged
