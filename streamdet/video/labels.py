"""Labels: a rounded plate in the class's colour with a name and, mostly, a per cent number."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamdet.video.lettering import Lettering
from streamdet.video.planes import Blend, Coder, Floats, Planes, Rgb, Yuv

_INK_DARK: Rgb = (16, 18, 22)
_INK_LIGHT: Rgb = (255, 255, 255)
_MAX_BLENDS = 8192
"""Entries kept; one takes 10 to 60 kB, by the picture's size. A long run meets ever new track ids."""


class Label(NamedTuple):
    """What a label says and looks like."""

    name: str
    percent: int
    """0..100; -1 = no number."""
    font_px: int
    plate: Rgb


class _Part(NamedTuple):
    """A label's name, or its number: drawn once each, as a number meets many names and a name many numbers."""

    text: str
    is_number: bool
    is_alone: bool
    """A name without a number. The edge where two parts meet is straight."""
    font_px: int
    plate: Rgb


class LabelPen:
    """Draws labels in pictures of one colour coding."""

    def __init__(self, coder: Coder) -> None:
        self._coder = coder
        self._letterings: dict[int, Lettering] = {}
        self._widths: dict[tuple[str, bool, int], int] = {}
        self._blends: dict[tuple[_Part, int, int], tuple[Blend, Blend]] = {}

    def size(self, label: Label) -> tuple[int, int]:
        """Rows and columns in pixels: the same for all numbers."""
        lettering = self._lettering(label.font_px)
        columns = self._name_width(label)
        return lettering.rows, columns if label.percent < 0 else columns + lettering.number_width

    def draw(self, planes: Planes, label: Label, x: int, y: int) -> None:
        """Put a label's top left pixel at (x, y), or as near to it as lets all of it be inside the picture.

        Nothing is drawn where the picture is smaller than the label.
        """
        rows, columns = self.size(label)
        if rows > planes.height or columns > planes.width:
            return
        x, y = max(0, min(x, planes.width - columns)), max(0, min(y, planes.height - rows))
        name, percent, font_px, plate = label
        self._draw_part(planes, _Part(name, False, percent < 0, font_px, plate), x, y)
        if percent >= 0:
            self._draw_part(planes, _Part(str(percent), True, False, font_px, plate), x + self._name_width(label), y)

    def _draw_part(self, planes: Planes, part: _Part, x: int, y: int) -> None:
        key = (part, y % 2, x % 2)
        blends = self._blends.get(key)
        if blends is None:
            if len(self._blends) >= _MAX_BLENDS:
                self._blends.clear()
            blends = self._blends[key] = self._make(*key)
        for (sheet, blend), step in zip(zip(planes.sheets, blends, strict=True), (1, 2), strict=True):
            left, top = x // step, y // step
            rows, columns = blend.keep.shape
            blend.onto(sheet[:, top : top + rows, left : left + columns])

    def _lettering(self, font_px: int) -> Lettering:
        lettering = self._letterings.get(font_px)
        if lettering is None:
            lettering = self._letterings[font_px] = Lettering(font_px)
        return lettering

    def _name_width(self, label: Label) -> int:
        key = (label.name, label.percent < 0, label.font_px)
        width = self._widths.get(key)
        if width is None:
            if len(self._widths) >= _MAX_BLENDS:
                self._widths.clear()
            width = self._widths[key] = self._lettering(label.font_px).name_width(label.name, alone=label.percent < 0)
        return width

    def _make(self, part: _Part, odd_y: int, odd_x: int) -> tuple[Blend, Blend]:
        """Blends for Y, and for U and V; `odd_y`, `odd_x`: the part begins at an odd row or column of the picture."""
        lettering = self._lettering(part.font_px)
        if part.is_number:
            ink = lettering.number_ink(part.text)
        else:
            ink = lettering.name_ink(part.text, alone=part.is_alone)
        columns = ink.shape[1]
        cover = lettering.plate(columns, left_round=not part.is_number, right_round=part.is_number or part.is_alone)
        ink = ink * cover
        plate_yuv, ink_yuv = self._coder.yuv(part.plate), self._coder.yuv(_ink_on(part.plate))
        light = _colour(cover, ink, plate_yuv[:1], ink_yuv[:1])
        cover, ink = _on_pairs(cover, odd_y, odd_x), _on_pairs(ink, odd_y, odd_x)
        # A chroma pixel that both parts share is all the plate's for both of them: no seam.
        if part.is_number:
            cover[:, :odd_x] = cover[:, odd_x : odd_x + 1]
        elif not part.is_alone:
            cover[:, odd_x + columns :] = cover[:, odd_x + columns - 1, None]
        cover, ink = _halved(cover), _halved(ink)
        return light, _colour(cover, ink, plate_yuv[1:], ink_yuv[1:])


def _colour(cover: Floats, ink: Floats, plate: Yuv, letters: Yuv) -> Blend:
    """For a sheet of C planes: C values of the plate's colour and of the letters'."""
    values = zip(plate, letters, strict=True)
    add = [cover * np.float32(of_plate) + ink * np.float32(of_ink - of_plate) for of_plate, of_ink in values]
    return Blend(1 - cover, np.stack(add) + np.float32(0.5))


def _on_pairs(array: Floats, odd_y: int, odd_x: int) -> Floats:
    """The array amid zeros that make whole pairs of its rows and of its columns; much faster than numpy's pad."""
    rows, columns = array.shape
    padded = np.zeros(((odd_y + rows + 1) // 2 * 2, (odd_x + columns + 1) // 2 * 2), np.float32)
    padded[odd_y : odd_y + rows, odd_x : odd_x + columns] = array
    return padded


def _halved(array: Floats) -> Floats:
    """Means of 2 x 2."""
    rows = array[0::2] + array[1::2]
    means: Floats = (rows[:, 0::2] + rows[:, 1::2]) * np.float32(0.25)
    return means


def _ink_on(plate: Rgb) -> Rgb:
    """Black or white, whichever has more contrast on the plate (WCAG's relative luminance)."""
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (c / 255 for c in plate)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return _INK_DARK if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else _INK_LIGHT
