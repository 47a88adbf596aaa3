"""The planes of a yuv420p picture as arrays, how colours are written in them, and how a drawing is put on them.

A plane's array is indexed [y, x]. What a drawing does to a plane is always `new = old * keep + add`. It covers U and V
alike, so that both are drawn at once: as one sheet (2, h, w), beside luma's of (1, h, w).
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Colorspace, Interpolation

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Rgb = tuple[int, int, int]
Yuv = tuple[float, ...]
"""Values of Y, U and V, or of the planes of a sheet."""

_BT2020 = (9, 10)
_BT709 = 1
_UNTAGGED = (0, 2)
_HD_LINES = 720
"""From this height on, players take an untagged picture for BT.709."""


class Coder(NamedTuple):
    """How RGB becomes Y, U and V in a picture: red's and blue's share of luma, and whether values span 0..255."""

    red: float
    blue: float
    full_range: bool

    @classmethod
    def of(cls, picture: av.VideoFrame) -> Coder:
        """As the picture's tags say; without tags, as players guess it."""
        full_range = picture.color_range == ColorRange.JPEG
        space = int(picture.colorspace)
        if space in _BT2020:
            return cls(0.2627, 0.0593, full_range)
        if space == _BT709 or (space in _UNTAGGED and picture.height >= _HD_LINES):
            return cls(0.2126, 0.0722, full_range)
        return cls(0.299, 0.114, full_range)

    def yuv(self, rgb: Rgb) -> Yuv:
        """RGB 0..255 to YUV 0..255."""
        r, g, b = (value / 255 for value in rgb)
        y = self.red * r + (1 - self.red - self.blue) * g + self.blue * b
        u, v = (b - y) / (2 - 2 * self.blue), (r - y) / (2 - 2 * self.red)
        if self.full_range:
            return y * 255, u * 255 + 128, v * 255 + 128
        return 16 + y * 219, 128 + u * 224, 128 + v * 224


class Blend(NamedTuple):
    """`new = old * keep + add`; `add` holds the half that rounds. For a sheet of C planes."""

    keep: Floats
    """The same for all planes."""
    add: Floats
    """(C, ...): `keep`'s shape for each plane."""

    def faded(self, shares: Floats) -> Blend:
        """The same with its opacity multiplied by `shares`, which must broadcast with it."""
        return Blend(1 - (1 - self.keep) * shares, (self.add - np.float32(0.5)) * shares + np.float32(0.5))

    def onto(self, view: Bytes) -> None:
        """Change the pixels of `view`."""
        mixed = view * self.keep
        mixed += self.add
        view[...] = mixed

    def onto_uprights(self, view: Bytes) -> None:
        """Change narrow upright strips (C, k, h, w); `keep` is (k, w, 1) or (k, w, h).

        They are turned meanwhile: numpy is several times as fast with long rows.
        """
        turned = view.transpose(0, 1, 3, 2)
        mixed = np.array(turned, order="C") * self.keep
        mixed += self.add
        turned[...] = mixed


class Planes:
    """The Y, U and V plane of a frame as writable arrays, without the padding at the end of their lines.

    U and V must have lines of one length in memory, as those of `copied` have.

    Attributes:
        arrays: Y, U and V, each [y, x].
        sheets: Y as (1, h, w), U and V as (2, h, w).
    """

    def __init__(self, frame: av.VideoFrame) -> None:
        self.width, self.height = frame.width, frame.height
        self._memory: list[tuple[Bytes, int]] = []
        self.sheets: list[Bytes] = []
        luma, *chroma = frame.planes
        for planes in ([luma], chroma):
            first, last = planes[0].buffer_ptr, planes[-1].buffer_ptr
            start, length = min(first, last), abs(last - first) + planes[0].buffer_size
            memory = (ctypes.c_uint8 * length).from_address(start)
            memory.owner = frame  # type: ignore[attr-defined]  # lives as long as an array of it
            flat: Bytes = np.frombuffer(memoryview(memory), np.uint8)
            shape = len(planes), planes[0].height, planes[0].width
            strides = last - first, planes[0].line_size, 1
            self._memory.append((flat, first - start))
            self.sheets.append(np.ndarray(shape, np.uint8, flat, first - start, strides))
        self.arrays: list[Bytes] = [plane for sheet in self.sheets for plane in sheet]

    def windows(self, sheet: int, shape: tuple[int, int, int, int], y: int, x: int, step_y: int, step_x: int) -> Bytes:
        """Windows of a sheet of C planes (C, a, b, h, w): at (y, x), and `step_y` below, and `step_x` right of them.

        Nothing checks that they lie inside the planes but not over each other: the caller does.
        """
        flat, start = self._memory[sheet]
        apart, pitch, _ = self.sheets[sheet].strides
        strides = (apart, step_y * pitch, step_x, pitch, 1)
        return np.ndarray((sheet + 1, *shape), np.uint8, flat, start + y * pitch + x, strides)


def copied(picture: av.VideoFrame) -> av.VideoFrame:
    """The picture as a new yuv420p frame with the same time and colour tags.

    A full-range picture (yuvj420p) stays full-range, and the new frame's `color_range` says so.
    """
    name = picture.format.name
    pitches = [plane.line_size for plane in picture.planes]
    if name in ("yuv420p", "yuvj420p", "nv12") and min(pitches) > 0 and len(set(pitches[1:])) == 1:
        frame = av.VideoFrame(picture.width, picture.height, "yuv420p")
        source, target = Planes(picture).arrays, Planes(frame).arrays
        if name == "nv12":
            source = [source[0], *_unwoven(picture)]
        for old, new in zip(source, target, strict=True):
            np.copyto(new, old)
        frame.colorspace = picture.colorspace
        frame.color_range = ColorRange.JPEG if name == "yuvj420p" else picture.color_range
    else:
        frame = _converted(picture)
    frame.color_primaries, frame.color_trc = picture.color_primaries, picture.color_trc
    frame.pts, frame.duration = picture.pts, picture.duration
    if picture.time_base:
        frame.time_base = picture.time_base
    return frame


def _unwoven(picture: av.VideoFrame) -> list[Bytes]:
    """U and V of an nv12 picture, which stand in turns."""
    plane = picture.planes[1]
    flat: Bytes = np.frombuffer(memoryview(plane), np.uint8)
    shape = ((picture.height + 1) // 2, (picture.width + 1) // 2)
    return [np.ndarray(shape, np.uint8, flat, index, (plane.line_size, 2)) for index in (0, 1)]


def _converted(picture: av.VideoFrame) -> av.VideoFrame:
    """By FFmpeg's scaler; RGB becomes what players expect of a picture of its size, and is tagged so."""
    if picture.format.is_rgb:
        space = Colorspace.ITU709 if picture.height >= _HD_LINES else Colorspace.ITU601
        # Without accurate rounding, grey bgr24 turns greenish.
        rounding = Interpolation.BILINEAR | Interpolation.ACCURATE_RND
        frame = picture.reformat(format="yuv420p", dst_colorspace=space, interpolation=rounding)
        frame.colorspace = space
        frame.color_range = ColorRange.JPEG if picture.color_range == ColorRange.JPEG else ColorRange.MPEG
        return frame
    frame = picture.reformat(format="yuv420p")
    if frame is picture:  # yuv420p whose lines run upwards in memory
        frame = av.VideoFrame.from_ndarray(picture.to_ndarray(), format="yuv420p")
    frame.colorspace, frame.color_range = picture.colorspace, picture.color_range
    return frame
