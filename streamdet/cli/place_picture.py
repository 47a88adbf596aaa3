"""A frame as a picture with a grid of coordinates and with places drawn on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from streamdet.errors import OutputError, SourceError, UsageError
from streamdet.options import LiveOptions
from streamdet.results.places.rules import PlaceRules, Point, in_pixels

if TYPE_CHECKING:
    from streamdet.video.location import Location

Image8 = npt.NDArray[np.uint8]
LINE_RGB, ZONE_RGB, BAY_RGB = (255, 214, 10), (64, 200, 255), (70, 230, 110)
GRID_RGB = (255, 255, 255)
CELLS = 16
"""About so many grid lines across the longer side."""
LOOK_S = 1.0
"""How long a live source is looked at."""


def first_picture(location: Location, options: LiveOptions) -> Image8:
    """A whole picture of a source, upright, (H, W, 3) RGB. Raises SourceError."""
    from streamdet.video.probe_opening import probe_location
    from streamdet.video.sources import open_source

    if location.kind in ("file", "folder"):
        with open_source(location.path or location.name) as source:
            for frame in source:
                if not frame.damaged:
                    return _rgb(frame.picture)
        raise SourceError(f"{location.name} has no whole picture; play it to see what is wrong with it")
    return _rgb(probe_location(location, options, seconds=LOOK_S).pictures[-1])


def with_grid(image_rgb: Image8, rules: PlaceRules) -> Image8:
    """A copy with lines every 50 or 100 pixels, say, their coordinates at the edges, and the places."""
    return _drawn(image_rgb, rules, grid=True)


def with_places(image_rgb: Image8, rules: PlaceRules) -> Image8:
    """A copy with the places drawn on it."""
    return _drawn(image_rgb, rules, grid=False)


def write_png(path: Path, image_rgb: Image8) -> None:
    """Write it. Raises OutputError, and UsageError where the name is not that of a picture."""
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UsageError(f"{path} is no name of a picture; give one that ends in .png")
    try:
        Image.fromarray(image_rgb).save(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from None


def grid_step(longest_px: int) -> int:
    """Pixels between two lines of the grid: 10, 20, 50, 100, ..."""
    least = max(1.0, longest_px / CELLS)
    power = 10 ** math.floor(math.log10(least))
    return int(next(step * power for step in (1, 2, 5, 10) if step * power >= least))


def _drawn(image_rgb: Image8, rules: PlaceRules, *, grid: bool) -> Image8:
    height, width = image_rgb.shape[:2]
    canvas = Image.fromarray(image_rgb)
    layer = Image.new("RGBA", canvas.size)
    pen = ImageDraw.Draw(layer)
    font = ImageFont.load_default(max(10, round(min(width, height) / 48)))
    if grid:
        _draw_grid(pen, width, height, font)
    stroke = max(2, round(max(width, height) / 500))
    size = width, height
    for bay in rules.bays:
        _outline(pen, in_pixels(bay.polygon_xy, size), BAY_RGB, stroke, closed=True)
    for zone in rules.zones:
        _outline(pen, in_pixels(zone.polygon_xy, size), ZONE_RGB, stroke, closed=True)
    for line in rules.lines:
        corners = in_pixels(line.points_xy, size)
        _outline(pen, corners, LINE_RGB, stroke, closed=False)
        _draw_arrow(pen, corners, stroke)
    for name, points, colour in _names(rules):
        corners = in_pixels(points, size)
        x, y = corners[0] if len(corners) == 2 else corners.mean(0)  # in the middle of a line is its arrow
        _write(pen, (float(x), float(y)), name, colour, font, "mm")
    canvas.paste(layer, (0, 0), layer)
    return np.asarray(canvas, np.uint8)


def _draw_grid(
    pen: ImageDraw.ImageDraw, width: int, height: int, font: ImageFont.ImageFont | ImageFont.FreeTypeFont
) -> None:
    step = grid_step(max(width, height))
    for across, length in ((True, width), (False, height)):
        for at in range(0, length, step):
            strong = at % (5 * step) == 0
            ends = ((at, 0), (at, height)) if across else ((0, at), (width, at))
            pen.line(ends, (*GRID_RGB, 150 if strong else 70), 1)
            if at:
                _write(pen, (at, 2) if across else (2, at), str(at), GRID_RGB, font, "mt" if across else "lm")


def _outline(
    pen: ImageDraw.ImageDraw, corners: npt.NDArray[np.float64], rgb: tuple[int, int, int], width: int, *, closed: bool
) -> None:
    points = [(float(x), float(y)) for x, y in corners]
    if closed:
        pen.polygon(points, fill=(*rgb, 46))
        points.append(points[0])
    pen.line(points, (0, 0, 0, 160), width + 2, joint="curve")
    pen.line(points, (*rgb, 255), width, joint="curve")


def _draw_arrow(pen: ImageDraw.ImageDraw, corners: npt.NDArray[np.float64], stroke: int) -> None:
    """From the middle of a line to its right side: the way "in"."""
    way = corners[1] - corners[0]
    way /= max(float(np.linalg.norm(way)), 1e-9)
    right = np.array((-way[1], way[0]))
    foot, long = corners.mean(0), 10.0 * stroke
    tip = foot + right * long
    head = [tip, tip - right * long * 0.4 + way * long * 0.25, tip - right * long * 0.4 - way * long * 0.25]
    pen.line([tuple(foot.tolist()), tuple(tip.tolist())], (*LINE_RGB, 255), stroke)
    pen.polygon([tuple(point.tolist()) for point in head], fill=(*LINE_RGB, 255))


def _names(rules: PlaceRules) -> list[tuple[str, Sequence[Point], tuple[int, int, int]]]:
    names: list[tuple[str, Sequence[Point], tuple[int, int, int]]] = []
    names += [(rule.name, rule.polygon_xy, BAY_RGB) for rule in rules.bays]
    names += [(rule.name, rule.polygon_xy, ZONE_RGB) for rule in rules.zones]
    names += [(rule.name, rule.points_xy, LINE_RGB) for rule in rules.lines]
    return names


def _write(
    pen: ImageDraw.ImageDraw,
    place: Point,
    text: str,
    rgb: tuple[int, int, int],
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    anchor: str,
) -> None:
    pen.text(place, text, (*rgb, 255), font, anchor, stroke_width=2, stroke_fill=(0, 0, 0, 200))


def _rgb(picture: object) -> Image8:
    from av import VideoFrame

    assert isinstance(picture, VideoFrame)
    return picture.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
