"""What the tests of live outputs feed them."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

import av
import numpy as np

from streamdet.report import StageTimes
from streamdet.types import DetectedFrame, Detections, Frame
from streamdet.video.live.drawing import Painter
from streamdet.video.live.status import SourceState, SourceStatus
from streamdet.video.overlay import Overlay
from tests.media import test_picture

CLASSES = ("person", "car")
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()
RTP = Fraction(1, 90_000)
AWAY = SourceStatus(SourceState.WAITING, 0.0, "cam1 refused the connection: is it on?", "refused")


def painter() -> Painter:
    return Painter(Overlay(CLASSES), StageTimes())


def detected(
    index: int,
    *,
    at_s: float | None = None,
    pts: int | None = None,
    size: tuple[int, int] = (160, 120),
    session: int = 0,
    damaged: bool = False,
    utc_s: float = NOON,
    name: str = "cam1",
    time_base: Fraction = RTP,
    snow: bool = False,
) -> DetectedFrame:
    """Frame `index` of a camera of 10 frames a second that arrived `at_s` seconds after its first one, with a car.

    `snow`: a picture that no encoder makes small.
    """
    at_s = index / 10 if at_s is None else at_s
    pixels = test_picture(index, size)
    if snow:
        pixels = np.random.default_rng(index).integers(0, 256, pixels.shape, dtype=np.uint8)
    picture = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
    frame = Frame(
        picture,
        name,
        index,
        9000 * index if pts is None else pts,
        time_base,
        arrival_s=1000 + at_s,
        damaged=damaged,
        session=session,
        utc_s=utc_s + at_s,
    )
    box = np.array([[size[0] * 0.2, size[1] * 0.3, size[0] * 0.7, size[1] * 0.8]], np.float32)
    return DetectedFrame(frame, Detections(box, np.array([0.87], np.float32), np.array([1]), CLASSES))
