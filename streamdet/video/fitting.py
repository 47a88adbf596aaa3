"""Brings pictures to the one size and format that an encoder takes."""

from __future__ import annotations

import av
import numpy as np
import numpy.typing as npt

_BLACK_YUV = (16, 128, 128)
_BLACK_YUV_FULL = (0, 128, 128)
_FULL_RANGE = 2


class Fitter:
    """Makes every picture yuv420p of `width` x `height`, made even by one copied pixel at the right and bottom."""

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height

    def __call__(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The fitted picture: the same object where there is nothing to do."""
        width, height = self._width, self._height
        if picture.format.name == "yuvj420p":
            picture = picture.reformat(format="yuv420p")
        inner_width, inner_height = _fit_inside(picture.width, picture.height, width, height)
        if (inner_width, inner_height) != (picture.width, picture.height) or picture.format.name != "yuv420p":
            picture = picture.reformat(width=inner_width, height=inner_height, format="yuv420p")
        if (picture.width, picture.height) == (width, height) and not (width % 2 or height % 2):
            return picture
        return self._place(picture)

    def _place(self, picture: av.VideoFrame) -> av.VideoFrame:
        width, height = self._width + self._width % 2, self._height + self._height % 2
        placed = av.VideoFrame(width, height, "yuv420p")
        for tag in ("color_range", "colorspace", "color_primaries", "color_trc"):
            setattr(placed, tag, getattr(picture, tag))
        black = _BLACK_YUV_FULL if picture.color_range == _FULL_RANGE else _BLACK_YUV
        # even offsets keep luma and chroma together
        left, top = (self._width - picture.width) // 4 * 2, (self._height - picture.height) // 4 * 2
        for plane in range(3):
            shrink = 2 if plane else 1
            source, target = _pixels(picture, plane), _pixels(placed, plane)
            rows, columns = source.shape
            x, y = left // shrink, top // shrink
            rows, columns = min(rows, target.shape[0] - y), min(columns, target.shape[1] - x)
            target[:] = black[plane]
            target[y : y + rows, x : x + columns] = source[:rows, :columns]
            if picture.width == self._width and columns < target.shape[1]:
                target[:, -1] = target[:, -2]
            if picture.height == self._height and rows < target.shape[0]:
                target[-1] = target[-2]
        return placed


def _fit_inside(width: int, height: int, room_width: int, room_height: int) -> tuple[int, int]:
    """The largest size of the same shape that fits."""
    if (width, height) == (room_width, room_height):
        return width, height
    scale = min(room_width / width, room_height / height)
    return min(room_width, max(1, round(width * scale))), min(room_height, max(1, round(height * scale)))


def _pixels(picture: av.VideoFrame, index: int) -> npt.NDArray[np.uint8]:
    """A view of one plane, (rows, columns) uint8, without the padding at the end of its lines."""
    plane = picture.planes[index]
    lines: npt.NDArray[np.uint8] = np.frombuffer(memoryview(plane), np.uint8)
    return lines.reshape(-1, plane.line_size)[: plane.height, : plane.width]
