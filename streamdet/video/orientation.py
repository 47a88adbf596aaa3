"""Turns decoded pictures upright, as the display matrix of the container or of EXIF demands, and readable."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av
import av.filter
import numpy as np
from av.sidedata.sidedata import Type as SideDataType


@dataclass(frozen=True, slots=True)
class Orientation:
    """What must be done to a stored picture to see it upright."""

    filters: tuple[tuple[str, str], ...]
    """FFmpeg filters with their arguments, to be applied in this order; empty = upright already."""
    rotation: int
    """Degrees clockwise, mirrored pictures by their turning part."""

    @property
    def swaps_sides(self) -> bool:
        """True when width and height change places."""
        return self.rotation in (90, 270)


UPRIGHT = Orientation((), 0)
UNSPECIFIED = 2
READABLE = frozenset((0, 1, UNSPECIFIED, 4, 5, 6, 7, 9))
"""Colour spaces (H.273, matrix coefficients) that FFmpeg's scaler knows; pictures of others it refuses to convert."""


def orientation_of(picture: av.VideoFrame) -> Orientation:
    """The orientation that the picture's display matrix asks for, to the nearest quarter turn.

    The matrix maps stored to shown pixels, x' = a*x + c*y and y' = b*x + d*y; the choice of filters is that of
    FFmpeg's own command line (`autorotate`), mirrored pictures included.
    """
    all_side_data: Any = picture.side_data  # PyAV's stub calls it a dict; it is a sequence with the lookups of one
    for side_data in all_side_data:
        if side_data.type == SideDataType.DISPLAYMATRIX:
            a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(side_data), np.int32)[:5])
            break
    else:
        return UPRIGHT
    if abs(a) >= abs(b):
        filters = tuple((name, "") for name, needed in (("hflip", a < 0), ("vflip", d < 0)) if needed)
        return Orientation(filters, 180 if a < 0 else 0)
    if b > 0:
        return Orientation((("transpose", "clock" if c <= 0 else "cclock_flip"),), 90)
    return Orientation((("transpose", "cclock" if c >= 0 else "clock_flip"),), 270)


class Turner:
    """Turns pictures upright; keeps one filter graph as long as size, format and orientation stay the same."""

    def __init__(self) -> None:
        self._seen: tuple[int, Orientation] | None = None
        self._graph: av.filter.Graph | None = None
        self._built_for: tuple[int, int, str, Orientation] | None = None

    def orientation(self, picture: av.VideoFrame) -> Orientation:
        """The orientation of a stream's next picture; its matrix is only read again when its angle changes.

        Asking a picture for its side data ties it into a reference cycle: millions of bytes that only Python's
        collector would free, some hundred pictures later.
        """
        if self._seen is None or self._seen[0] != picture.rotation:
            self._seen = picture.rotation, orientation_of(picture)
        return self._seen[1]

    def __call__(self, picture: av.VideoFrame, orientation: Orientation) -> av.VideoFrame:
        """The upright picture: the same object where there is nothing to do.

        A colour space that can't be converted from (YCgCo, constant luminance) is taken for an unspecified one: colours
        that are somewhat off beat a frame that is lost.
        """
        if int(picture.colorspace) not in READABLE:
            picture.colorspace = UNSPECIFIED
        if not orientation.filters:
            return picture
        wanted = (picture.width, picture.height, picture.format.name, orientation)
        if self._graph is None or self._built_for != wanted:
            self._graph, self._built_for = _build(picture, orientation), wanted
        self._graph.vpush(picture)
        turned = self._graph.vpull()
        turned.pts = picture.pts
        return turned


def _build(picture: av.VideoFrame, orientation: Orientation) -> av.filter.Graph:
    graph = av.filter.Graph()
    nodes = [
        graph.add_buffer(width=picture.width, height=picture.height, format=picture.format, time_base=Fraction(1, 1000))
    ]
    nodes += [graph.add(name, arguments or None) for name, arguments in orientation.filters]
    # without this the upright picture would still carry the order to turn it
    nodes.append(graph.add("sidedata", "mode=delete:type=DISPLAYMATRIX"))
    nodes.append(graph.add("buffersink"))
    for upstream, downstream in pairwise(nodes):
        upstream.link_to(downstream)
    graph.configure()
    return graph
