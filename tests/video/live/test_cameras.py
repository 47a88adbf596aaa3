"""Webcams, as far as that goes where there is none: OpenCV's way with a fake capture, FFmpeg's way up to its error."""

from __future__ import annotations

import threading
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import pytest

from streamdet.video.live import opening
from streamdet.video.live.cameras import FAILED_READS, from_capture
from streamdet.video.live.failures import Kind, SourceGoneError, failure
from streamdet.video.location import parse_location
from tests.video.live.watching import QUICK, Watched

CAMERA = parse_location("0")


class FakeCapture:
    """Stands for `cv2.VideoCapture`: gives `pictures` pictures, then fails."""

    def __init__(self, pictures: int, *, opens: bool = True, rate: float = 30.0) -> None:
        self.left, self.opens, self.rate, self.released = pictures, opens, rate, False

    def isOpened(self) -> bool:  # noqa: N802
        return self.opens

    def read(self) -> tuple[bool, Any]:
        self.left -= 1
        return (True, np.full((48, 64, 3), self.left % 256, np.uint8)) if self.left >= 0 else (False, None)

    def get(self, propId: int) -> float:
        return self.rate if propId == cv2.CAP_PROP_FPS else 0.0

    def release(self) -> None:
        self.released = True


def test_pictures_of_opencv() -> None:
    capture = FakeCapture(5)
    connection = from_capture(capture, CAMERA, threading.Event())
    assert connection is not None
    assert connection.description.rate == Fraction(30)
    steps = connection.steps()
    for _ in range(5):
        assert len(next(steps).pictures) == 1
    with pytest.raises(SourceGoneError, match="there is no camera 0") as caught:
        next(steps)
    assert caught.value.kind == "no such camera"
    assert capture.left == -FAILED_READS
    connection.close()
    assert capture.released


@pytest.mark.parametrize("rate", [0.0, -1.0, 90_000.0, float("nan")])
def test_rates_that_make_no_sense(rate: float) -> None:
    connection = from_capture(FakeCapture(1, rate=rate), CAMERA, threading.Event())
    assert connection is not None
    assert connection.description.rate is None


def test_a_camera_that_does_not_open_is_released() -> None:
    capture = FakeCapture(0, opens=False)
    assert from_capture(capture, CAMERA, threading.Event()) is None
    assert capture.released


@pytest.mark.parametrize(("kind", "second"), [(Kind.NOT_A_STREAM, True), (Kind.TIMEOUT, True), (Kind.BUSY, False)])
def test_opencv_is_the_second_way_where_it_may_help(monkeypatch: pytest.MonkeyPatch, kind: Kind, second: bool) -> None:
    def fails(*_: object) -> None:
        raise failure(CAMERA, kind)

    monkeypatch.setattr(opening, "_open", fails)
    monkeypatch.setattr(
        opening, "open_with_opencv", lambda location, given_up: from_capture(FakeCapture(10_000), location, given_up)
    )
    with Watched("0") as watched:
        if second:
            watched.until_frames(3)
        else:
            assert "is in use" in watched.until_kind("camera busy")


def test_a_camera_that_is_unplugged_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    captures = [FakeCapture(3), FakeCapture(10_000)]

    def fails(*_: object) -> None:
        raise failure(CAMERA, Kind.NOT_A_STREAM)

    monkeypatch.setattr(opening, "_open", fails)
    monkeypatch.setattr(
        opening, "open_with_opencv", lambda location, given_up: from_capture(captures.pop(0), location, given_up)
    )
    with Watched("0", QUICK) as watched:
        watched.until_frames(3, session=0)
        watched.until_frames(3, session=1)
    assert [frame.session for frame in watched.frames[:4]] == [0, 0, 0, 1]
