"""Contact sheets: pictures side by side, with what was found, missed and false drawn in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from streamdet.training.dataset import read_rgb
from streamdet.training.pictures.outcomes import Outcome
from streamdet.training.pictures.style import drawable, font_path
from streamdet.types import Float32Array

Rgb = tuple[int, int, int]
Box = tuple[float, float, float, float]

COLUMNS = 2
TILE_PX = 640
"""Width of a picture; none is higher."""
GAP_PX = 16
CAPTION_PX = 68
LETTERS_PX, LABEL_PX = 24, 18
JPEG_QUALITY = 78
PAPER: Rgb = (24, 27, 32)
INK: Rgb = (235, 238, 242)
FAINT_INK: Rgb = (160, 168, 178)


class Stroke(NamedTuple):
    """How a kind of box is drawn."""

    colour: Rgb
    dash_px: int
    """0: a whole line."""
    space_px: int


RIGHT = Stroke((88, 166, 255), 0, 0)
FALSE = Stroke((255, 92, 64), 0, 0)
MISSED = Stroke((255, 214, 51), 10, 7)
IGNORED = Stroke((190, 190, 190), 2, 6)
LEGEND = (("found", RIGHT), ("false", FALSE), ("missed", MISSED), ("ignored", IGNORED))


def draw_sheet(chosen: Sequence[Outcome], path: Path) -> None:
    """A JPEG of the pictures, two per row, with their files' names and counts.

    What was detected has whole lines, blue where it is right and red where it is false; objects that were missed are
    dashed yellow, ignored regions dotted grey. Raises DataError when a picture can't be read.
    """
    tiles = [_tile(outcome) for outcome in chosen]
    rows = [tiles[first : first + COLUMNS] for first in range(0, len(tiles), COLUMNS)]
    heights = [max(tile.height for tile in row) + GAP_PX for row in rows]
    top = 2 * GAP_PX + LETTERS_PX
    sheet = Image.new("RGB", (COLUMNS * (TILE_PX + GAP_PX) + GAP_PX, top + sum(heights)), PAPER)
    pen = ImageDraw.Draw(sheet)
    for place, (text, stroke) in enumerate(LEGEND):
        x = GAP_PX + place * 200
        _draw_box(pen, (x, GAP_PX, x + 44, GAP_PX + LETTERS_PX), stroke)
        pen.text((x + 58, GAP_PX + LETTERS_PX / 2), text, INK, _font(text, LETTERS_PX), "lm")
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            sheet.paste(tile, (GAP_PX + column * (TILE_PX + GAP_PX), top))
        top += height
    sheet.save(path, quality=JPEG_QUALITY)


def _tile(outcome: Outcome) -> Image.Image:
    """A picture, TILE_PX wide, with its boxes and caption."""
    image = outcome.image
    scale = TILE_PX / max(image.width, image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    picture = Image.fromarray(read_rgb(image)).resize(size, Image.Resampling.LANCZOS)
    boxes: list[tuple[Box, Stroke, str]] = [(_scaled(box, scale), IGNORED, "") for box in image.ignored_xyxy]
    boxes += [(_scaled(box, scale), RIGHT, _label(name, score)) for box, score, name in outcome.right]
    missed = zip(outcome.missed_xyxy, outcome.missed_names, strict=True)
    boxes += [(_scaled(box, scale), MISSED, drawable(name)) for box, name in missed]
    boxes += [(_scaled(box, scale), FALSE, _label(name, score)) for box, score, name in outcome.false]
    pen = ImageDraw.Draw(picture)
    for box, stroke, _ in boxes:
        _draw_box(pen, box, stroke)
    taken: list[Box] = []
    for box, stroke, label in reversed(boxes):  # errors first: where there is no room, what is right goes unnamed
        plate = _free_plate(box, label, size, taken) if label else None
        if plate is not None:
            taken.append(plate)
            pen.rectangle(plate, stroke.colour)
            pen.text((plate[0] + 4, (plate[1] + plate[3]) / 2), label, PAPER, _font(label, LABEL_PX), "lm")
    tile = Image.new("RGB", (TILE_PX, size[1] + CAPTION_PX), PAPER)
    tile.paste(picture, ((TILE_PX - size[0]) // 2, 0))
    _draw_caption(ImageDraw.Draw(tile), outcome, size[1] + 6)
    return tile


def _label(name: str, score: float) -> str:
    return f"{drawable(name)} {score:.0%}"


def _free_plate(box: Box, label: str, size: tuple[int, int], taken: Sequence[Box]) -> Box | None:
    """A place for the label at one of the box's corners that no other label has; None when there is none."""
    x1, y1, x2, y2 = box
    width, height = _font(label, LABEL_PX).getlength(label) + 8, LABEL_PX + 5
    for x, y in ((x1, y1 - height), (x1, y2), (x2 - width, y1 - height), (x2 - width, y2), (x1, y1), (x1, y2 - height)):
        left, top = min(max(x, 0), max(0, size[0] - width)), min(max(y, 0), max(0, size[1] - height))
        plate = (left, top, left + width, top + height)
        if all(plate[0] >= t[2] or plate[2] <= t[0] or plate[1] >= t[3] or plate[3] <= t[1] for t in taken):
            return plate
    return None


def _draw_caption(pen: ImageDraw.ImageDraw, outcome: Outcome, top: int) -> None:
    name = drawable(outcome.image.path.name, 44)
    pen.text((0, top), name, FAINT_INK, _font(name, LETTERS_PX - 2))
    x = 0.0
    for count, text, stroke in (
        (len(outcome.right), "found", RIGHT),
        (len(outcome.missed_names), "missed", MISSED),
        (len(outcome.false), "false", FALSE),
    ):
        words = f"{count} {text}"
        font = _font(words, LETTERS_PX)
        pen.text((x, top + LETTERS_PX + 4), words, stroke.colour if count else FAINT_INK, font)
        x += font.getlength(words) + 28


def _scaled(box_xyxy: Float32Array, scale: float) -> Box:
    x1, y1, x2, y2 = (float(value) * scale for value in box_xyxy)
    return x1, y1, x2, y2


def _draw_box(pen: ImageDraw.ImageDraw, box: Box, stroke: Stroke) -> None:
    """A frame on a dark halo, so that it is seen on any ground."""
    x1, y1, x2, y2 = box
    for start, end in (((x1, y1), (x2, y1)), ((x2, y1), (x2, y2)), ((x2, y2), (x1, y2)), ((x1, y2), (x1, y1))):
        _draw_line(pen, start, end, stroke)


def _draw_line(pen: ImageDraw.ImageDraw, start: tuple[float, float], end: tuple[float, float], stroke: Stroke) -> None:
    (x1, y1), (x2, y2) = start, end
    length = max(abs(x2 - x1), abs(y2 - y1))
    step = (stroke.dash_px + stroke.space_px) or length
    dash = stroke.dash_px or length
    for width, colour in ((5, PAPER), (3, stroke.colour)):
        at = 0.0
        while at < length:
            a, b = at / length, min(at + dash, length) / length
            pen.line((x1 + (x2 - x1) * a, y1 + (y2 - y1) * a, x1 + (x2 - x1) * b, y1 + (y2 - y1) * b), colour, width)
            at += step


def _font(text: str, size_px: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_path(text), size_px)
