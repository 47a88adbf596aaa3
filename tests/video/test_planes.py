"""The planes of a picture as arrays."""

from __future__ import annotations

import sys

import av
import numpy as np
import pytest

from streamdet.video.planes import Planes


@pytest.mark.parametrize(("width", "height"), [(64, 48), (63, 47), (1918, 4)])
def test_sheets_are_the_planes_themselves(width: int, height: int) -> None:
    frame = av.VideoFrame(width, height, "yuv420p")
    planes = Planes(frame)
    for value, array in enumerate(planes.arrays, 1):
        array[...] = value
    planes.sheets[1][:, 0, 1] = 9
    planes.windows(1, (1, 2, 1, 1), 1, 0, 0, 3)[...] = 7

    for plane, value in zip(frame.planes, (1, 2, 3), strict=True):
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
        assert rows.shape == planes.arrays[value - 1].shape
        changed = rows[0, 1], rows[1, 0], rows[1, 3]
        assert changed == ((9, 7, 7) if value > 1 else (1, 1, 1))
        assert np.count_nonzero(rows != value) == (3 if value > 1 else 0)


def test_a_view_keeps_its_picture_alive() -> None:
    frame = av.VideoFrame(64, 48, "yuv420p")
    owners = sys.getrefcount(frame)
    view = Planes(frame).sheets[1][:, 3:5]
    assert sys.getrefcount(frame) > owners
    del view
    assert sys.getrefcount(frame) == owners
