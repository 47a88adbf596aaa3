from __future__ import annotations

import av
import numpy as np
import pytest

from streamdet.video.live.gone import empty_tile, gone_picture
from streamdet.video.live.status import SourceState, SourceStatus
from streamdet.video.planes import Planes
from tests.video.live.frames import AWAY, NOON, detected, painter


def luma(picture: av.VideoFrame) -> np.ndarray:
    return Planes(picture).arrays[0].astype(int)


@pytest.mark.parametrize("size", [(16, 16), (64, 48), (161, 121), (321, 181), (1280, 720)])
def test_grey_darker_and_of_the_same_size(size: tuple[int, int]) -> None:
    last = detected(0, size=size).frame.picture
    before = luma(last)
    picture = gone_picture(last, since_utc_s=NOON, now_utc_s=NOON + 90_000, reason="host unknown")
    assert (picture.width, picture.height, picture.format.name) == (*size, "yuv420p")
    assert np.array_equal(luma(last), before)
    corner = np.s_[: size[1] // 16, : size[0] // 16]
    if size[0] > 100:
        assert np.all(Planes(picture).arrays[1][corner] == 128)
        assert luma(picture)[corner].mean() == pytest.approx(before[corner].mean() * 0.6, abs=1)
        assert np.any(Planes(picture).arrays[2] > 180)  # the red plate


def test_the_plate_tells_the_time() -> None:
    last = detected(0, size=(640, 360)).frame.picture
    one, other, later = (
        luma(gone_picture(last, since_utc_s=NOON + since, now_utc_s=NOON + now))
        for since, now in ((1, 60), (1, 61), (2, 61))
    )
    assert np.any(one != other)
    assert np.any(other != later)


def test_a_tile_for_a_camera_that_never_came() -> None:
    tile = empty_tile(321, 181, "a camera with a very long name indeed", reason="refused")
    assert (tile.width, tile.height) == (321, 181)
    assert np.any(Planes(tile).arrays[2] > 180)
    calm = empty_tile(321, 181, "name", headline="connecting")
    assert not np.any(Planes(calm).arrays[2] > 140)
    assert np.any(luma(empty_tile(321, 181, "other")) != luma(empty_tile(321, 181, "name")))


def test_a_painter_draws_once_for_all_outputs() -> None:
    paint = painter()
    assert paint.draw_gone(AWAY, 1000.0) is None
    frame = detected(0, size=(320, 240))
    assert paint.draw(frame) is paint.draw(frame)
    assert paint.draw_gone(AWAY, 1001.0) is paint.draw_gone(AWAY, 1001.0)
    assert paint.draw_gone(AWAY, 1002.0) is not None
    assert paint.draw_gone(SourceStatus(SourceState.ENDED, 0.0), 1003.0) is None
