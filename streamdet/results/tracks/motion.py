"""Where boxes are heading: a Kalman filter for all tracks at once.

Each edge of a box is a point that moves at a speed of its own, disturbed by random pushes (constant velocity with white
noise of acceleration, continuous in time). The four edges don't influence each other, so that a covariance is three
numbers for each of them instead of an 8x8 matrix. A prediction over dt equals two over dt / 2: dropped frames change
nothing but what is known. All noises grow with the size of the object, so that near and far behave alike.

Legend: T tracks; 4 edges x0, y0, x1, y1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamdet.types import BoolArray, Int64Array

Float64Array = npt.NDArray[np.float64]

MEASURED = 0.05
"""Standard deviation of a detector's edge, in sizes of the object (mean of width and height)."""
PUSHED = 0.5
"""Standard deviation of the change of speed within a second, in sizes per second."""
UNKNOWN_SPEED = 2.0
"""Standard deviation of the speed of an object seen once, in sizes per second."""

BORDER = 2.0
"""A box that comes so near to the border of the picture (px) is cut by it."""


class Motion:
    """Edges, speeds and how sure they are, for T tracks."""

    def __init__(self) -> None:
        self.edges: Float64Array = np.zeros((0, 4))
        """(T, 4) px."""
        self.speeds: Float64Array = np.zeros((0, 4))
        """(T, 4) px/s."""
        self._covariance: Float64Array = np.zeros((0, 4, 3))
        """(T, 4, 3): variance of the edge, covariance of edge and speed, variance of the speed."""

    @property
    def boxes_xyxy(self) -> Float64Array:
        """(T, 4) the edges, never inside out."""
        boxes = self.edges.copy()
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        return boxes

    def add(self, boxes_xyxy: Float64Array) -> None:
        """New tracks behind the others, of objects that were just seen for the first time."""
        sizes = _sizes(boxes_xyxy)
        covariance = np.zeros((len(boxes_xyxy), 4, 3))
        covariance[:, :, 0] = (MEASURED * sizes) ** 2
        covariance[:, :, 2] = (UNKNOWN_SPEED * sizes) ** 2
        self.edges = np.concatenate((self.edges, boxes_xyxy))
        self.speeds = np.concatenate((self.speeds, np.zeros_like(boxes_xyxy)))
        self._covariance = np.concatenate((self._covariance, covariance))

    def keep(self, mask: BoolArray) -> None:
        """Forget the other tracks."""
        self.edges, self.speeds, self._covariance = self.edges[mask], self.speeds[mask], self._covariance[mask]

    def predict(self, dt: float) -> None:
        """Let `dt` seconds pass."""
        push = (PUSHED * _sizes(self.edges)) ** 2
        at, both, speed = np.moveaxis(self._covariance, 2, 0)
        self.edges = self.edges + self.speeds * dt
        self._covariance = np.stack(
            (at + 2 * dt * both + dt * dt * speed + push * dt**3 / 3, both + dt * speed + push * dt**2 / 2,
             speed + push * dt), axis=2,
        )  # fmt: skip

    def correct(self, rows: Int64Array, boxes_xyxy: Float64Array) -> None:
        """Learn that the tracks `rows` were seen at `boxes_xyxy` (R, 4)."""
        at, both, speed = np.moveaxis(self._covariance[rows], 2, 0)
        total = at + (MEASURED * _sizes(boxes_xyxy)) ** 2
        gain_edge, gain_speed = at / total, both / total
        surprise = boxes_xyxy - self.edges[rows]
        self.edges[rows] += gain_edge * surprise
        self.speeds[rows] += gain_speed * surprise
        self._covariance[rows] = np.stack(
            ((1 - gain_edge) * at, (1 - gain_edge) * both, speed - gain_speed * both), axis=2
        )

    def glide(self, rows: Int64Array, size_wh: tuple[int, int] | None) -> None:
        """Tracks out of sight keep their size: opposite edges go on at their mean speed.

        Where an object is cut by the border of the picture (of `size_wh` px) its edge there stands still, and the
        opposite one tells how fast it leaves or comes.
        """
        first, last = self.speeds[rows, :2], self.speeds[rows, 2:]
        cut_first = self.edges[rows, :2] <= BORDER
        cut_last = self.edges[rows, 2:] >= np.array(size_wh or (np.inf, np.inf)) - BORDER
        both = np.where(cut_first == cut_last, (first + last) / 2, np.where(cut_first, last, first))
        self.speeds[rows] = np.concatenate((both, both), axis=1)

    def place(self, rows: Int64Array, boxes_xyxy: Float64Array) -> None:
        """Put the tracks `rows` to `boxes_xyxy` (R, 4), where they stand."""
        self.edges[rows] = boxes_xyxy
        self.speeds[rows] = 0

    def stop(self, rows: BoolArray | Int64Array) -> None:
        """Tracks that are taken to stand."""
        self.speeds[rows] = 0


def _sizes(boxes_xyxy: Float64Array) -> Float64Array:
    """(T, 1) mean of width and height, at least 4 px."""
    sides = np.abs(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2])
    return np.asarray(np.maximum(sides.mean(axis=1, keepdims=True), 4.0))
