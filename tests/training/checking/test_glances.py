from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from streamdet.training.checking.glances import look_at
from streamdet.training.dataset import LabelledImage, read_rgb
from tests.networks import noise_picture
from tests.rectangles import labelled

SIZE = (96, 64)


def encoded(suffix: str) -> bytes:
    return bytes(cv2.imencode(suffix, noise_picture(*SIZE))[1])


def image_of(tmp_path: Path, content: bytes, name: str = "a.jpg", size: tuple[int, int] = SIZE) -> LabelledImage:
    (tmp_path / name).write_bytes(content)
    return labelled(str(tmp_path / name), size)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
def test_a_good_picture(tmp_path: Path, suffix: str) -> None:
    glance = look_at(image_of(tmp_path, encoded(suffix), f"a{suffix}"))
    assert glance.problem is None
    assert glance.grey is not None
    expected = cv2.resize(
        cv2.cvtColor(noise_picture(*SIZE), cv2.COLOR_BGR2GRAY), (32, 32), interpolation=cv2.INTER_AREA
    )
    assert float(np.abs(glance.grey.astype(int) - expected).mean()) < 6


def test_a_large_jpeg_is_reduced_but_looks_the_same(tmp_path: Path) -> None:
    picture = noise_picture(1600, 1200)
    glance = look_at(image_of(tmp_path, bytes(cv2.imencode(".jpg", picture)[1]), size=(1600, 1200)))
    assert glance.grey is not None
    expected = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), (32, 32), interpolation=cv2.INTER_AREA)
    assert float(np.abs(glance.grey.astype(int) - expected).mean()) < 6


@pytest.mark.parametrize(
    ("content", "kind", "sentence"),
    [
        (b"", "unreadable picture", "it is no picture that can be read"),
        (b"not a picture", "unreadable picture", "it is no picture that can be read"),
        (encoded(".jpg")[:-500], "damaged picture", r"can't be decoded to its end \(image file is truncated"),
        (encoded(".png")[:-500], "damaged picture", "can't be decoded to its end"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, content: bytes, kind: str, sentence: str) -> None:
    problem = look_at(image_of(tmp_path, content)).problem
    assert problem is not None
    assert (problem.kind, problem.is_error, problem.path) == (kind, True, tmp_path / "a.jpg")
    assert sentence.replace("\\", "") in problem.sentence


def test_missing_and_wrong_size(tmp_path: Path) -> None:
    problem = look_at(labelled(str(tmp_path / "gone.png"), SIZE)).problem
    assert problem is not None
    assert (problem.kind, problem.sentence) == ("missing picture", "it is missing; add it, or remove its labels")
    problem = look_at(labelled(str(tmp_path), SIZE)).problem  # a folder
    assert problem is not None
    assert problem.kind == "unreadable picture"
    problem = look_at(image_of(tmp_path, encoded(".png"), size=(96, 65))).problem
    assert problem is not None
    assert problem.sentence == "it has 96x64 pixels, its labels say 96x65"


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_size_is_that_of_the_upright_picture(tmp_path: Path, orientation: int) -> None:
    """As training reads it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = io.BytesIO()
    Image.fromarray(noise_picture(*SIZE)).save(content, "JPEG", exif=exif)
    upright, on_its_side = (SIZE, SIZE[::-1]) if orientation < 5 else (SIZE[::-1], SIZE)
    good = image_of(tmp_path, content.getvalue(), size=upright)
    assert look_at(good).problem is None
    read_rgb(good)
    assert look_at(image_of(tmp_path, content.getvalue(), size=on_its_side)).problem is not None
