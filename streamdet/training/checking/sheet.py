"""A contact sheet: pictures side by side with their labels drawn in, to see at a glance what the labels mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from streamdet.errors import OutputError
from streamdet.training.checking.choosing import Pick
from streamdet.training.dataset import read_rgb
from streamdet.training.pictures.style import drawable, font_path
from streamdet.types import Float32Array

Rgb = tuple[int, int, int]

COLUMNS, ROWS = 6, 5
TILE_PX = (400, 300)
GAP_PX = 16
LETTERS_PX = 22
CAPTION_PX = 2 * LETTERS_PX + 12
PAPER: Rgb = (24, 27, 32)
INK: Rgb = (235, 238, 242)
FAINT_INK: Rgb = (160, 168, 178)
HATCH: Rgb = (225, 225, 225)
HATCH_EVERY_PX, HATCH_WIDE_PX = 14, 3
FOCUS_PX = 28
"""An object to look at is enlarged until its shorter side has so many pixels, ..."""
MOST_ENLARGED = 8.0
"""... but no more than so many times."""


def draw_sheet(picks: Sequence[Pick], colours: Mapping[str, Rgb], class_names: Sequence[str], path: Path) -> None:
    """Write an image file of the picked pictures, `COLUMNS` in a row, with frames in the colour of each class.

    Ignored regions are hatched. Raises OutputError when it can't be written, DataError when a picture can't be read.
    """
    width = COLUMNS * (TILE_PX[0] + GAP_PX) + GAP_PX
    legend = _legend(colours, width)
    cell = TILE_PX[1] + CAPTION_PX + GAP_PX
    rows = -(-len(picks) // COLUMNS)
    sheet = Image.new("RGB", (width, legend.height + rows * cell + GAP_PX), PAPER)
    sheet.paste(legend, (0, 0))
    for number, pick in enumerate(picks):
        row, column = divmod(number, COLUMNS)
        corner = GAP_PX + column * (TILE_PX[0] + GAP_PX), legend.height + row * cell
        sheet.paste(_tile(pick, [colours[name] for name in class_names]), corner)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(path)
    except (OSError, ValueError) as error:
        raise OutputError(f"the contact sheet can't be written to {path} ({error}); give a .png file") from error


def _legend(colours: Mapping[str, Rgb], width: int) -> Image.Image:
    """The classes' names and colours, in as many lines as they need."""
    line = LETTERS_PX + GAP_PX
    names = [(drawable(name), colour) for name, colour in colours.items()]
    places, x, y = [], GAP_PX, GAP_PX
    for text in [name for name, _ in names] + ["ignored"]:
        wide = LETTERS_PX + 10 + round(_font(text).getlength(text)) + 2 * GAP_PX
        if x + wide > width and x > GAP_PX:
            x, y = GAP_PX, y + line
        places.append((x, y))
        x += wide
    legend = Image.new("RGB", (width, y + line + 4), PAPER)
    pen = ImageDraw.Draw(legend)
    for (left, top), (text, colour) in zip(places, [*names, ("ignored", HATCH)], strict=True):
        swatch = (left, top, left + LETTERS_PX, top + LETTERS_PX)
        if text == "ignored" and (left, top) == places[-1]:
            _hatch(legend, swatch)
        else:
            pen.rectangle(swatch, colour)
        pen.text((left + LETTERS_PX + 10, top + LETTERS_PX / 2), text, INK, _font(text), "lm")
    return legend


def _tile(pick: Pick, colours: Sequence[Rgb]) -> Image.Image:
    """A picture of TILE_PX with its labels, and its caption below."""
    image = pick.image
    left, top, scale = _window(pick)
    pixels = Image.fromarray(read_rgb(image))
    size = tuple(max(1, round(min(side, whole * scale))) for side, whole in zip(TILE_PX, pixels.size, strict=True))
    box = (left, top, min(left + size[0] / scale, image.width), min(top + size[1] / scale, image.height))
    picture = pixels.resize((size[0], size[1]), Image.Resampling.LANCZOS, box=box)
    for region in image.ignored_xyxy:
        _hatch(picture, _placed(region, box, scale))
    pen = ImageDraw.Draw(picture)
    areas = (image.boxes_xyxy[:, 2:] - image.boxes_xyxy[:, :2]).prod(axis=1)
    for place in np.argsort(-areas).tolist():  # small ones on top
        _frame(pen, _placed(image.boxes_xyxy[place], box, scale), colours[int(image.class_ids[place])])
    tile = Image.new("RGB", (TILE_PX[0], TILE_PX[1] + CAPTION_PX), PAPER)
    tile.paste(picture, ((TILE_PX[0] - size[0]) // 2, TILE_PX[1] - size[1]))
    letters = ImageDraw.Draw(tile)
    for line, (text, ink) in enumerate(((pick.why, INK), (image.path.name, FAINT_INK))):
        text = _fitting(text, TILE_PX[0])
        letters.text((0, TILE_PX[1] + 4 + line * (LETTERS_PX + 4)), text, ink, _font(text))
    return tile


def _window(pick: Pick) -> tuple[float, float, float]:
    """Left and top, in the picture's pixels, of what is shown, and the scale: all, or the surroundings of the focus."""
    image = pick.image
    scale = min(TILE_PX[0] / image.width, TILE_PX[1] / image.height)
    if pick.focus_xyxy is None:
        return 0.0, 0.0, scale
    x1, y1, x2, y2 = (float(edge) for edge in pick.focus_xyxy)
    scale = max(scale, min(MOST_ENLARGED, FOCUS_PX / min(x2 - x1, y2 - y1)))
    seen_width, seen_height = TILE_PX[0] / scale, TILE_PX[1] / scale
    left = min(max((x1 + x2 - seen_width) / 2, 0.0), max(image.width - seen_width, 0.0))
    top = min(max((y1 + y2 - seen_height) / 2, 0.0), max(image.height - seen_height, 0.0))
    return left, top, scale


def _placed(
    box_xyxy: Float32Array, window: tuple[float, float, float, float], scale: float
) -> tuple[float, float, float, float]:
    """A box of the picture in pixels of the tile."""
    x1, y1, x2, y2 = (float(edge) for edge in box_xyxy)
    left, top = window[:2]
    return (x1 - left) * scale, (y1 - top) * scale, (x2 - left) * scale, (y2 - top) * scale


def _frame(pen: ImageDraw.ImageDraw, box: tuple[float, float, float, float], colour: Rgb) -> None:
    """A frame around the box; on a dark halo where there is room, so that it is seen on any ground."""
    x1, y1, x2, y2 = (round(edge) for edge in box)
    x2, y2 = max(x2, x1 + 2), max(y2, y1 + 2)
    if min(x2 - x1, y2 - y1) >= 24:
        pen.rectangle((x1 - 2, y1 - 2, x2 + 2, y2 + 2), outline=PAPER, width=5)
        pen.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=colour, width=3)
    else:
        pen.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=colour, width=2)


def _hatch(picture: Image.Image, box: tuple[float, float, float, float]) -> None:
    """Hatch a region of the picture."""
    y, x = np.mgrid[: picture.height, : picture.width]
    inside = (x >= box[0]) & (x < box[2]) & (y >= box[1]) & (y < box[3])
    phase = (x + y) % HATCH_EVERY_PX
    for width, colour in ((HATCH_WIDE_PX + 2, PAPER), (HATCH_WIDE_PX, HATCH)):
        shift = (HATCH_WIDE_PX + 2 - width) // 2
        stripes = inside & (phase >= shift) & (phase < shift + width)
        picture.paste(colour, mask=Image.fromarray(stripes))


def _fitting(text: str, width_px: int) -> str:
    """The text shortened in its middle until it fits."""
    longest = len(text)
    short = drawable(text, longest)
    while longest > 4 and _font(short).getlength(short) > width_px:
        longest -= 1
        short = drawable(text, longest)
    return short


@lru_cache(maxsize=8)
def _opened(path: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, LETTERS_PX)


def _font(text: str) -> ImageFont.FreeTypeFont:
    return _opened(font_path(text))
