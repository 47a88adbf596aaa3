"""Label chips: a rounded plate in the class's colour with a name and a per cent number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Floats = npt.NDArray[np.float32]
Rgb = tuple[int, int, int]

_INK_DARK: Rgb = (16, 18, 22)
_INK_LIGHT: Rgb = (255, 255, 255)
_MAX_NAME = 24
"""Characters of a class name that are shown."""


class Chip(NamedTuple):
    """What a label says and looks like."""

    name: str
    percent: int
    """0..100; negative = none."""
    font_px: int
    plate: Rgb


@dataclass(frozen=True, slots=True)
class ChipArt:
    """The pixels of a label: opacity (h, w) of 0..1, and RGB (h, w, 3) of 0..255."""

    cover: Floats
    rgb: Floats


def draw_chip(chip: Chip) -> ChipArt:
    """Draw a label. All numbers of a class have the same width, so the chip's size doesn't change with the score."""
    font = ImageFont.load_default(chip.font_px)
    name = chip.name if len(chip.name) <= _MAX_NAME else chip.name[: _MAX_NAME - 1] + "…"
    ascent, descent = _line_height(font)
    pad_x, pad_y = max(2, round(chip.font_px * 0.34)), max(1, round(chip.font_px * 0.16))
    name_width = math.ceil(font.getlength(name))
    cell = max(math.ceil(font.getlength(digit)) for digit in "0123456789")
    sign, gap = math.ceil(font.getlength("%")), round(chip.font_px * 0.68)
    number_width = gap + 2 * cell + sign if chip.percent >= 0 else 0
    width, height = name_width + number_width + 2 * pad_x, ascent + descent + 2 * pad_y
    ink = Image.new("L", (width, height))
    pen = ImageDraw.Draw(ink)
    baseline = pad_y + ascent
    pen.text((pad_x, baseline), name, 255, font, "ls")
    if chip.percent >= 0:
        right = width - pad_x
        pen.text((right, baseline), "%", 255, font, "rs")
        # Each digit in the middle of its own cell; a third one (100) takes from the gap.
        for place, digit in enumerate(reversed(str(chip.percent))):
            middle = right - sign - (place + 0.5) * cell
            pen.text((middle, baseline), digit, 255, font, "ms")
    text = np.asarray(ink, np.float32)[..., None] / 255
    plate, letters = np.float32(chip.plate), np.float32(_ink_on(chip.plate))
    return ChipArt(_rounded(width, height, max(1.5, chip.font_px * 0.2)), plate + (letters - plate) * text)


def _line_height(font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> tuple[int, int]:
    """Pixels above and below the baseline that ordinary letters need."""
    if not isinstance(font, ImageFont.FreeTypeFont):
        return 11, 3
    _, top, _, bottom = font.getbbox("Ahlgpq0%", anchor="ls")
    return math.ceil(-top), math.ceil(bottom)


def _ink_on(plate: Rgb) -> Rgb:
    """Black or white, whichever has more contrast on the plate (WCAG's relative luminance)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in plate)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return _INK_DARK if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else _INK_LIGHT


def _rounded(width: int, height: int, radius: float) -> Floats:
    """Share of each pixel that a rounded rectangle covers, (height, width)."""
    dx = np.abs(np.arange(width) + 0.5 - width / 2) - width / 2 + radius
    dy = np.abs(np.arange(height) + 0.5 - height / 2)[:, None] - height / 2 + radius
    outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0)) - radius
    return np.clip(0.5 - outside, 0, 1).astype(np.float32)
