"""Plane geometry of places: sides of lines, distances to polygons, and the ground under a pixel.

Shape legend: N points, P lines or polygons, M corners, E edges of all polygons together.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Polygons:
    """Several polygons, measured together."""

    def __init__(self, polygons: Sequence[Floats], size_wh: tuple[int, int]) -> None:
        """`polygons`: (M, 2) each, in pixels. Edges that run along the picture's border have nothing beyond them."""
        self._size = np.array(size_wh, np.float64)
        self._starts = np.concatenate(polygons)  # (E, 2)
        ends = np.concatenate([np.roll(polygon, -1, axis=0) for polygon in polygons])
        self._ways = ends - self._starts
        self._firsts = np.cumsum([0, *(len(polygon) for polygon in polygons)])[:-1]
        squares = (self._ways**2).sum(1)
        self._scale = 1 / np.where(squares > 0, squares, 1)
        near = self._size * 0.01
        borders = [(np.abs(p) <= near) | (np.abs(p - self._size) <= near) for p in (self._starts, ends)]
        along = np.abs(self._ways) <= near
        self._open = (borders[0] & borders[1] & along).any(1)  # (E,)

    def distances(self, points_xy: Floats) -> Floats:
        """(P, N) pixels from each point to the nearest edge: positive inside, negative outside."""
        x, y = np.clip(points_xy, 0.5, self._size - 0.5).T
        start_x, start_y = self._starts[:, 0, None], self._starts[:, 1, None]
        way_x, way_y = self._ways[:, 0, None], self._ways[:, 1, None]
        to_x, to_y = x - start_x, y - start_y  # (E, N)
        share = np.clip((to_x * way_x + to_y * way_y) * self._scale[:, None], 0, 1)
        square = (to_x - share * way_x) ** 2 + (to_y - share * way_y) ** 2
        square[self._open] = np.inf
        spans = (start_y > y) != (start_y + way_y > y)
        # The edge lies to the right of the point: even-odd rule.
        right = (to_x * way_y < to_y * way_x) == (way_y > 0)
        inside = np.add.reduceat(spans & right, self._firsts, axis=0, dtype=np.int64) % 2 == 1
        distance = np.sqrt(np.minimum.reduceat(square, self._firsts, axis=0))
        distance = np.minimum(distance, float(self._size.sum()))
        signed: Floats = np.where(inside, distance, -distance)
        return signed


def side_distances(lines: Floats, points_xy: Floats) -> Floats:
    """(P, N) pixels from each point to the endless line through each of `lines` (P, 2, 2): positive on its right side.

    Right of someone who walks from the first to the second point: below a line that is drawn from left to right.
    """
    ways = lines[:, 1] - lines[:, 0]
    to = points_xy[None] - lines[:, None, 0]
    across = to[..., 1] * ways[:, None, 0] - to[..., 0] * ways[:, None, 1]
    distances: Floats = across / np.hypot(ways[:, 0], ways[:, 1])[:, None]
    return distances


def shares_along(lines: Floats, points_xy: Floats) -> Floats:
    """(P, ...) how far along each line the foot of each point (P, ..., 2) lies: 0 its first point, 1 its second."""
    ways = lines[:, 1] - lines[:, 0]
    to = points_xy - lines[:, 0].reshape(len(lines), *(1,) * (points_xy.ndim - 2), 2)
    shares: Floats = np.einsum("p...c,pc->p...", to, ways) / (ways**2).sum(1).reshape(-1, *(1,) * (points_xy.ndim - 2))
    return shares


def on_ground(homography: Floats, points_xy: Floats) -> Floats:
    """(N, 2) metres on the ground of points in pixels; not finite at and above the horizon."""
    homogeneous = np.concatenate((points_xy, np.ones((len(points_xy), 1))), 1) @ homography.T
    with np.errstate(divide="ignore", invalid="ignore"):
        metres: Floats = homogeneous[:, :2] / homogeneous[:, 2:]
    return metres


def homography_of(pixels_xy: Floats, metres_xy: Floats) -> Floats:
    """(3, 3) from pixels to metres, by least squares over four pairs of points or more.

    Raises ValueError when the points don't say where the ground is (three of them on one straight line).
    """
    moved, forth = _normalised(pixels_xy)
    target, back = _normalised(metres_xy)
    rows = []
    for (x, y), (u, v) in zip(moved, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y, -u], [0, 0, 0, x, y, 1, -v * x, -v * y, -v]]
    _, strengths, vectors = np.linalg.svd(np.array(rows))
    if strengths[7] < 1e-6 * strengths[0]:
        raise ValueError("the points lie on one straight line")
    matrix: Floats = np.linalg.inv(back) @ vectors[-1].reshape(3, 3) @ forth
    matrix /= np.linalg.norm(matrix)
    depth = matrix[2] @ np.array((*pixels_xy.mean(0), 1.0))
    return matrix if depth > 0 else -matrix


def _normalised(points_xy: Floats) -> tuple[Floats, Floats]:
    """Points moved to mean 0 and mean distance 1, and the (3, 3) matrix that does it."""
    middle = points_xy.mean(0)
    scale = 1 / max(float(np.linalg.norm(points_xy - middle, axis=1).mean()), 1e-12)
    matrix = np.array(((scale, 0, -scale * middle[0]), (0, scale, -scale * middle[1]), (0, 0, 1)))
    return (points_xy - middle) * scale, matrix


def area_of(polygon_xy: Floats) -> float:
    """Square pixels that a polygon (M, 2) encloses."""
    x, y = polygon_xy.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def edges_cross(polygon_xy: Floats) -> bool:
    """True when two edges of a polygon (M, 2) that don't meet in a corner cross each other."""
    corners = [*polygon_xy, polygon_xy[0]]
    edges = list(pairwise(corners))
    for one, (a, b) in enumerate(edges):
        for other in range(one + 2, len(edges) - (one == 0)):
            c, d = edges[other]
            if _turn(a, b, c) * _turn(a, b, d) < 0 and _turn(c, d, a) * _turn(c, d, b) < 0:
                return True
    return False


def _turn(a: Floats, b: Floats, c: Floats) -> float:
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))
