"""The second way to a webcam: OpenCV, where FFmpeg can't read it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Protocol

import av
import cv2
import numpy as np

from streamdet.video.live.connection import HIGHEST_RATE, MICROSECONDS, Connection, Description, Step
from streamdet.video.live.failures import Kind, failure
from streamdet.video.live.packets import Taken
from streamdet.video.location import Location

FAILED_READS = 10
"""Pictures in a row that don't come before the camera counts as gone."""


class Capture(Protocol):
    """The part of `cv2.VideoCapture` that is used."""

    def isOpened(self) -> bool: ...  # noqa: N802, D102
    def read(self) -> tuple[bool, Any]: ...  # noqa: D102
    def get(self, propId: int) -> float: ...  # noqa: D102
    def release(self) -> None: ...  # noqa: D102


def open_with_opencv(location: Location, given_up: threading.Event) -> Connection | None:
    """The camera opened by OpenCV; None when that can't read it either."""
    target = location.target()
    digits = target.removeprefix("/dev/video")
    # Windows' newer interface takes minutes to open some cameras
    api = cv2.CAP_DSHOW if sys.platform == "win32" else cv2.CAP_ANY
    return from_capture(cv2.VideoCapture(int(digits) if digits.isdecimal() else target, api), location, given_up)


def from_capture(capture: Capture, location: Location, given_up: threading.Event) -> Connection | None:
    """A connection that reads `capture`; None, and it is released, when it isn't open."""
    if not capture.isOpened():
        capture.release()
        return None
    return CaptureConnection(capture, location, given_up)


class CaptureConnection:
    """A camera read by OpenCV: packed pictures, whose only time is that of their arrival."""

    def __init__(self, capture: Capture, location: Location, given_up: threading.Event) -> None:
        self._capture = capture
        self._location = location
        self._given_up = given_up
        rate = capture.get(cv2.CAP_PROP_FPS)
        sane = 0 < rate <= HIGHEST_RATE  # False for NaN, too
        self.description = Description(
            codec="rawvideo",
            container="opencv",
            rate=Fraction(rate).limit_denominator(1001) if sane else None,
            time_base=MICROSECONDS,
        )

    def steps(self) -> Iterator[Step]:
        """A step per picture."""
        began_s: float | None = None
        failed = 0
        while not self._given_up.is_set():
            there, image_bgr = self._capture.read()
            if not there or image_bgr is None:
                failed += 1
                if failed >= FAILED_READS:
                    raise failure(self._location, Kind.NO_CAMERA)
                self._given_up.wait(0.05)
                continue
            failed = 0
            now_s = time.monotonic()
            began_s = now_s if began_s is None else began_s
            pts = round((now_s - began_s) / MICROSECONDS)
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image_bgr, np.uint8), format="bgr24")
            taken = Taken(picture, pts, now_s, time.time(), None)
            yield Step(now_s, pts, image_bgr.nbytes, True, 0, (taken,))

    def close(self) -> None:
        """Let go of the camera."""
        self._capture.release()
