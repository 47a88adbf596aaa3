"""A transparent drawing over a whole picture, put on its Y, U and V planes in one go: places and trails.

It costs the same for one line as for a hundred. What has sharp edges and moves, boxes and labels, has pens of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from streamdet.video.planes import Bytes, Coder, Planes, Rgb

Points = npt.NDArray[np.float32]
Placed = npt.NDArray[np.int32]
"""(M, 2) points of a canvas, in OpenCV's way of counting."""
Window = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels, the last two excluded."""
_SUBPIXEL_BITS = 4
_FAR_PX = 30_000
"""What lies farther out than this is drawn here: OpenCV counts sixteenths of pixels in 32 bits, and clips in them."""


class Canvas:
    """Where a layer is drawn: for each pixel how far it is covered, and the covering colour times that.

    A canvas may be coarser than its picture (`zoom` 0.5: half as wide and high, as the U and V planes are).
    """

    def __init__(self, width: int, height: int, coder: Coder, *, zoom: float = 1.0) -> None:
        """Empty, for a picture of `width` x `height` pixels."""
        self._zoom, self._coder = zoom, coder
        # even, so that every chroma pixel has all of its four luma pixels
        rows, columns = (int((length + 1) // 2 * 2 * zoom) for length in (height, width))
        self.pixels: Bytes = np.zeros((rows, columns, 4), np.uint8)
        """(rows, columns, 4) uint8: cover, and Y, U and V times cover / 255."""

    def placed(self, points: Points) -> Placed:
        """Points (M, 2) x, y in pixels of the picture as `line` and `fill` take them."""
        # OpenCV counts from the middle of the first pixel, we from its corner
        inside = np.clip(points * np.float32(self._zoom) - np.float32(0.5), -_FAR_PX, _FAR_PX)
        placed: Placed = np.rint(inside * (1 << _SUBPIXEL_BITS)).astype(np.int32)
        return placed

    def line(self, paths: Sequence[Placed], rgb: Rgb, opacity: float, width_px: float, *, closed: bool = False) -> None:
        """Draw anti-aliased lines; `width_px` in pixels of the picture."""
        width = max(1, round(width_px * self._zoom))
        cv2.polylines(self.pixels, paths, closed, self._ink(rgb, opacity), width, cv2.LINE_AA, _SUBPIXEL_BITS)

    def fill(self, polygon: Placed, rgb: Rgb, opacity: float) -> None:
        """Fill a polygon; its edge is left to `line`."""
        cv2.fillPoly(self.pixels, [polygon], self._ink(rgb, opacity), cv2.LINE_8, _SUBPIXEL_BITS)

    def thicken(self, window: Window) -> None:
        """Make all lines there a pixel thicker, for less than it takes to draw them so."""
        x0, y0, x1, y1 = self._inside(window)
        view = self.pixels[y0:y1, x0:x1]
        view[...] = cv2.dilate(view, np.ones((2, 2), np.uint8))

    def clear(self, window: Window) -> None:
        """Make it empty again there."""
        x0, y0, x1, y1 = self._inside(window)
        self.pixels[y0:y1, x0:x1] = 0

    def _inside(self, window: Window) -> Window:
        """A window of the picture in pixels of the canvas."""
        x0, y0, x1, y1 = _even(window, self.pixels.shape, round(1 / self._zoom))
        return int(x0 * self._zoom), int(y0 * self._zoom), int(x1 * self._zoom), int(y1 * self._zoom)

    def _ink(self, rgb: Rgb, opacity: float) -> tuple[float, float, float, float]:
        y, u, v = (round(value * opacity) for value in self._coder.yuv(rgb))
        return round(255 * opacity), y, u, v


class _Ply(NamedTuple):
    """The layer in one plane: `new = old * keep / 255 + add`."""

    keep: Bytes
    add: Bytes


class Layer:
    """What a canvas shows within a window of the picture."""

    def __init__(self, canvas: Canvas, window: Window) -> None:
        """Take a copy of a canvas with zoom 1; outside of `window` it must be empty."""
        self._window = x0, y0, x1, y1 = _even(window, canvas.pixels.shape, 1)
        luma = canvas.pixels[y0:y1, x0:x1]
        chroma = cv2.resize(luma, ((x1 - x0) // 2, (y1 - y0) // 2), interpolation=cv2.INTER_AREA)
        self._plies = _plies(luma[..., 0], luma[..., 1], np.asarray(chroma, np.uint8))

    @classmethod
    def of_coarse(cls, canvas: Canvas, window: Window) -> Layer:
        """Of a canvas with zoom 0.5: soft lines, and a quarter of the work."""
        layer = cls.__new__(cls)
        layer._window = x0, y0, x1, y1 = _even(window, canvas.pixels.shape, 2)
        chroma = canvas.pixels[y0 // 2 : y1 // 2, x0 // 2 : x1 // 2]
        cover, luma = (
            cv2.resize(np.ascontiguousarray(chroma[..., channel]), (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
            for channel in (0, 1)
        )
        layer._plies = _plies(cover, luma, chroma)  # type: ignore[arg-type]
        return layer

    def onto(self, planes: Planes) -> None:
        """Draw it on a picture of the canvas' size."""
        x0, y0, x1, y1 = self._window
        for plane, ply in enumerate(self._plies):
            step = 2 if plane else 1
            view = planes.arrays[plane][y0 // step : y1 // step, x0 // step : x1 // step]
            rows, columns = view.shape  # the canvas may be a pixel larger
            kept = cv2.multiply(view, ply.keep[:rows, :columns], scale=1 / 255)
            view[...] = cv2.add(kept, ply.add[:rows, :columns])


def _plies(cover: Bytes, luma: Bytes, chroma: Bytes) -> tuple[_Ply, _Ply, _Ply]:
    """`chroma`: (h / 2, w / 2, 4), cover and all three values."""
    keep = np.ascontiguousarray(~chroma[..., 0])
    u, v = (np.ascontiguousarray(chroma[..., channel]) for channel in (2, 3))
    return _Ply(np.ascontiguousarray(~cover), np.ascontiguousarray(luma)), _Ply(keep, u), _Ply(keep, v)


def _even(window: Window, shape: tuple[int, ...], step: int) -> Window:
    """The window in the canvas, grown to whole chroma pixels."""
    x0, y0, x1, y1 = window
    rows, columns = shape[0] * step, shape[1] * step
    x0, y0 = max(0, x0 // 2 * 2), max(0, y0 // 2 * 2)
    return x0, y0, max(x0, min(columns, (x1 + 1) // 2 * 2)), max(y0, min(rows, (y1 + 1) // 2 * 2))


def window_of(points: Points, margin_px: float) -> Window:
    """The pixels around all `points` (M, 2), M > 0."""
    near, far = points.min(0) - margin_px, points.max(0) + margin_px
    (x0, y0), (x1, y1) = (np.clip(corner, -_FAR_PX, _FAR_PX).astype(int).tolist() for corner in (near, far))
    return x0, y0, x1 + 1, y1 + 1
