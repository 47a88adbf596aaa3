"""Labels: a rounded plate in the class's colour with a name and, mostly, a per cent number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from streamdet.video.planes import Blend, Coder, Floats, Planes, Rgb

_INK_DARK: Rgb = (16, 18, 22)
_INK_LIGHT: Rgb = (255, 255, 255)
_MAX_NAME = 24
"""Characters of a class name that are shown."""
_MAX_BLENDS = 4096
"""Entries kept; one takes 10 to 100 kB, by the picture's size."""
_MAX_BLANKS = 1024

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


class Label(NamedTuple):
    """What a label says and looks like."""

    name: str
    percent: int
    """0..100; -1 = no number."""
    font_px: int
    plate: Rgb


@dataclass(frozen=True, slots=True)
class _Blank:
    """A label without its number."""

    plate: Floats
    """(h, w) how far the plate covers each pixel, 0..1."""
    ink: Floats
    """(h, w) how far letters cover the plate, 0..1."""
    cells: tuple[int, ...]
    """Left edge of the digits' cells: ones, tens, hundreds."""


class LabelPen:
    """Draws labels in pictures of one colour coding."""

    def __init__(self, coder: Coder) -> None:
        self._coder = coder
        self._blanks: dict[tuple[str, bool, int], _Blank] = {}
        self._digits: dict[int, list[Floats]] = {}
        self._blends: dict[tuple[Label, int, int], tuple[Blend, Blend, Blend]] = {}

    def size(self, label: Label) -> tuple[int, int]:
        """Rows and columns in pixels: the same for all numbers."""
        rows, columns = self._blank(label).plate.shape
        return rows, columns

    def draw(self, planes: Planes, label: Label, x: int, y: int) -> None:
        """Put a label's top left pixel at (x, y), or as near to it as lets all of it be inside the picture."""
        rows, columns = self.size(label)
        x, y = max(0, min(x, planes.width - columns)), max(0, min(y, planes.height - rows))
        key = (label, y % 2, x % 2)
        blends = self._blends.get(key)
        if blends is None:
            if len(self._blends) >= _MAX_BLENDS:
                self._blends.clear()
            blends = self._blends[key] = self._make(*key)
        for plane, (keep, add) in enumerate(blends):
            px, py = (x // 2, y // 2) if plane else (x, y)
            view = planes.arrays[plane][py : py + keep.shape[0], px : px + keep.shape[1]]
            Blend(keep, add).onto(view)

    def _blank(self, label: Label) -> _Blank:
        key = (label.name, label.percent >= 0, label.font_px)
        blank = self._blanks.get(key)
        if blank is None:
            if len(self._blanks) >= _MAX_BLANKS:
                self._blanks.clear()
            blank = self._blanks[key] = _draw_blank(*key)
        return blank

    def _make(self, label: Label, odd_y: int, odd_x: int) -> tuple[Blend, Blend, Blend]:
        """Blends for Y, U and V; `odd_y` and `odd_x`: the label begins at an odd row or column of the picture."""
        blank = self._blank(label)
        ink = blank.ink
        if label.percent >= 0:
            ink = ink.copy()
            digits = self._digits.setdefault(label.font_px, []) or self._draw_digits(label.font_px)
            for digit, left in zip(reversed(str(label.percent)), blank.cells, strict=False):
                glyph = digits[int(digit)]
                view = ink[:, left : left + glyph.shape[1]]
                np.maximum(view, glyph, out=view)
        plate_yuv, ink_yuv = self._coder.yuv(label.plate), self._coder.yuv(_ink_on(label.plate))
        cover, ink = blank.plate, ink * blank.plate
        blends = [_colour(cover, ink, plate_yuv[0], ink_yuv[0])]
        rows, columns = cover.shape
        ends = ((odd_y, (rows + odd_y) % 2), (odd_x, (columns + odd_x) % 2))
        cover, ink = _halved(np.pad(cover, ends)), _halved(np.pad(ink, ends))
        blends += [_colour(cover, ink, plate_yuv[plane], ink_yuv[plane]) for plane in (1, 2)]
        return blends[0], blends[1], blends[2]

    def _draw_digits(self, font_px: int) -> list[Floats]:
        font = ImageFont.load_default(font_px)
        metrics = _Metrics.of(font, font_px)
        digits = self._digits[font_px]
        for digit in "0123456789":
            glyph = Image.new("L", (metrics.cell, metrics.rows))
            ImageDraw.Draw(glyph).text((metrics.cell / 2, metrics.baseline), digit, 255, font, "ms")
            digits.append(_shares(glyph))
        return digits


class _Metrics(NamedTuple):
    """Pixels."""

    rows: int
    baseline: int
    pad: int
    """Left and right of the text."""
    cell: int
    """Width that every digit gets."""

    @classmethod
    def of(cls, font: Font, font_px: int) -> _Metrics:
        _, top, _, bottom = font.getbbox("Ahlgpq0%", anchor="ls")
        above, below = math.ceil(-top), math.ceil(bottom)
        pad_y = max(1, round(font_px * 0.16))
        cell = max(math.ceil(font.getlength(digit)) for digit in "0123456789")
        return cls(above + below + 2 * pad_y, pad_y + above, max(2, round(font_px * 0.34)), cell)


def _draw_blank(name: str, with_number: bool, font_px: int) -> _Blank:
    font = ImageFont.load_default(font_px)
    metrics = _Metrics.of(font, font_px)
    name = name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 1] + "…"
    width = 2 * metrics.pad + math.ceil(font.getlength(name))
    sign, gap = math.ceil(font.getlength("%")), round(font_px * 0.6)
    if with_number:
        width += gap + 2 * metrics.cell + sign
    image = Image.new("L", (width, metrics.rows))
    pen = ImageDraw.Draw(image)
    pen.text((metrics.pad, metrics.baseline), name, 255, font, "ls")
    right = width - metrics.pad
    if with_number:
        pen.text((right, metrics.baseline), "%", 255, font, "rs")
    # The third digit, the narrow 1 of 100, takes from the gap, so that the width stays.
    ones = right - sign - metrics.cell
    cells = (ones, ones - metrics.cell, ones - 2 * metrics.cell + round(0.2 * metrics.cell))
    plate = _rounded(width, metrics.rows, max(1.5, font_px * 0.2))
    return _Blank(plate, _shares(image), cells)


def _colour(cover: Floats, ink: Floats, plate: float, letters: float) -> Blend:
    add = cover * np.float32(plate) + ink * np.float32(letters - plate) + np.float32(0.5)
    return Blend(1 - cover, add)


def _shares(image: Image.Image) -> Floats:
    """0..255 to 0..1."""
    shares: Floats = np.asarray(image, np.float32) * np.float32(1 / 255)
    return shares


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


def _rounded(width: int, height: int, radius: float) -> Floats:
    """Share of each pixel that a rounded rectangle covers, (height, width)."""
    dx = np.abs(np.arange(width) + 0.5 - width / 2) - width / 2 + radius
    dy = np.abs(np.arange(height) + 0.5 - height / 2)[:, None] - height / 2 + radius
    outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0)) - radius
    shares: Floats = np.clip(0.5 - outside, 0, 1).astype(np.float32)
    return shares
