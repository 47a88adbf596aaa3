"""The letters and plates of labels in one size of font, as shares of pixels that they cover."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from streamdet.video.planes import Floats

MAX_NAME = 24
"""Characters of a name that are shown."""


def shortened(name: str, most: int) -> str:
    """At most so many characters of it, the last one … where some are left out."""
    return name if len(name) <= most else name[: max(0, most - 1)] + "…"


class Lettering:
    """One size of font. Widths and heights are pixels; arrays are (rows, width), 0..1, and not to be changed."""

    def __init__(self, font_px: int) -> None:
        self._font = ImageFont.load_default(font_px)
        _, top, _, bottom = self._font.getbbox("Ahlgpq0%", anchor="ls")
        above, below = math.ceil(-top), math.ceil(bottom)
        pad_y = max(1, round(font_px * 0.16))
        self.rows = above + below + 2 * pad_y
        self._baseline = pad_y + above
        self._pad = max(2, round(font_px * 0.34))
        # Words are set one by one: the space of a small font is as narrow as the one between letters.
        self._word_gap = max(3, round(font_px * 0.26))
        self._radius = max(1.5, font_px * 0.2)
        self._cell = max(math.ceil(self._font.getlength(digit)) for digit in "0123456789")
        self._sign = math.ceil(self._font.getlength("%"))
        self.number_width = round(font_px * 0.6) + 2 * self._cell + self._sign + self._pad
        """Of " 87%", with its share of the plate; the same for all numbers."""
        # Each is wanted for four places among the chroma pixels, numbers in every class's colour, too.
        self._numbers: dict[str, Floats] = {}
        self._plates: dict[tuple[int, bool, bool], Floats] = {}

    def name_width(self, name: str, *, alone: bool) -> int:
        """With its share of the plate; `alone`: no number follows."""
        return self._words(name)[1] + (2 if alone else 1) * self._pad

    def name_ink(self, name: str, *, alone: bool) -> Floats:
        """Letters of a name, shortened where it is long."""
        image = Image.new("L", (self.name_width(name, alone=alone), self.rows))
        for x, word in self._words(name)[0]:
            ImageDraw.Draw(image).text((self._pad + x, self._baseline), word, 255, self._font, "ls")
        return _shares(image)

    def number_ink(self, number: str) -> Floats:
        """Letters of a per cent number of one to three digits, right-aligned, every digit in the middle of its cell."""
        ink = self._numbers.get(number)
        if ink is None:
            ink = self._numbers[number] = self._write_number(number)
        return ink

    def _write_number(self, number: str) -> Floats:
        image = Image.new("L", (self.number_width, self.rows))
        pen = ImageDraw.Draw(image)
        right = self.number_width - self._pad
        pen.text((right, self._baseline), "%", 255, self._font, "rs")
        # The third digit, the narrow 1 of 100, takes from the gap, so that the width stays.
        ones = right - self._sign - self._cell
        cells = (ones, ones - self._cell, ones - 2 * self._cell + round(0.2 * self._cell))
        for digit, left in zip(reversed(number), cells, strict=False):
            pen.text((left + self._cell / 2, self._baseline), digit, 255, self._font, "ms")
        return _shares(image)

    def plate(self, width: int, *, left_round: bool, right_round: bool) -> Floats:
        """A plate of that width, with round corners on one side or both."""
        key = (width, left_round, right_round)
        plate = self._plates.get(key)
        if plate is None:
            more = math.ceil(self._radius) + 1
            left, right = (0 if left_round else more), (0 if right_round else more)
            plate = self._plates[key] = _rounded(left + width + right, self.rows, self._radius)[:, left : left + width]
        return plate

    def _words(self, name: str) -> tuple[list[tuple[int, str]], int]:
        """Where each word begins, from the first one's beginning, and the width of all."""
        words, x = [], -self._word_gap
        for word in shortened(name, MAX_NAME).split():
            x += self._word_gap
            words.append((x, word))
            x += math.ceil(self._font.getlength(word))
        return words, max(0, x)


def _shares(image: Image.Image) -> Floats:
    """0..255 to 0..1."""
    shares: Floats = np.asarray(image, np.float32) * np.float32(1 / 255)
    return shares


def _rounded(width: int, height: int, radius: float) -> Floats:
    """Share of each pixel that a rounded rectangle covers, (height, width)."""
    dx = np.abs(np.arange(width) + 0.5 - width / 2) - width / 2 + radius
    dy = np.abs(np.arange(height) + 0.5 - height / 2)[:, None] - height / 2 + radius
    outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0)) - radius
    shares: Floats = np.clip(0.5 - outside, 0, 1).astype(np.float32)
    return shares
