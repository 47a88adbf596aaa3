"""Where objects were: how many cover each place of the picture, on the mean over all frames.

Shape legend: K classes; H, W rows and columns of the grid; N boxes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamdet.types import Float32Array, Int64Array

Float64Array = npt.NDArray[np.float64]

MOST_CELLS = 1024
"""Along each side of the grid: what lies beyond is left out."""
WAITING = 20_000
"""Boxes that are gathered before they are counted."""


class HeatGrid:
    """Counts boxes over a grid that grows to where they are."""

    def __init__(self, classes: int, cell_px: int) -> None:
        """`cell_px`: side of a cell in pixels."""
        self.cell_px = cell_px
        self.reach_xy = (0.0, 0.0)
        """Right and lower edge of all boxes."""
        # Corners of the boxes, +1 and -1: summed along both axes they give how many cover each cell.
        self._corners = np.zeros((classes, 2, 2), np.int64)
        self._boxes: list[Float32Array] = []
        self._classes: list[Int64Array] = []
        self._waiting = 0

    def add(self, boxes_xyxy: Float32Array, class_ids: Int64Array) -> None:
        """Count the boxes (N, 4), in pixels, of one frame."""
        if not len(boxes_xyxy):
            return
        self._boxes.append(boxes_xyxy)
        self._classes.append(class_ids)
        self._waiting += len(boxes_xyxy)
        if self._waiting >= WAITING:
            self._count()

    def covering(self) -> Int64Array:
        """(K, H, W): boxes over each cell, summed over all frames."""
        self._count()
        return self._corners.cumsum(1).cumsum(2)[:, :-1, :-1]

    def _count(self) -> None:
        if not self._waiting:
            return
        boxes, classes = np.concatenate(self._boxes), np.concatenate(self._classes)
        self._boxes, self._classes, self._waiting = [], [], 0
        right, low = self.reach_xy
        self.reach_xy = (max(right, float(boxes[:, 2].max())), max(low, float(boxes[:, 3].max())))
        first = np.clip(np.floor(boxes[:, :2] / self.cell_px), 0, MOST_CELLS - 1).astype(np.int64)
        end = np.clip(np.ceil(boxes[:, 2:] / self.cell_px), first + 1, MOST_CELLS).astype(np.int64)
        width, height = (end.max(0) + 1).tolist()
        k, rows, columns = self._corners.shape
        if width > columns or height > rows:
            grown = np.zeros((k, max(rows, height), max(columns, width)), np.int64)
            grown[:, :rows, :columns] = self._corners
            self._corners = grown
        for sign, x, y in (
            (1, first[:, 0], first[:, 1]),
            (-1, end[:, 0], first[:, 1]),
            (-1, first[:, 0], end[:, 1]),
            (1, end[:, 0], end[:, 1]),
        ):
            np.add.at(self._corners, (classes, y, x), sign)


def density(grid: HeatGrid, frames: int, size_wh: tuple[float, float]) -> Float64Array:
    """(K, H, W): boxes over each cell of a picture of this size (pixels), on the mean over `frames`."""
    covering = grid.covering()
    columns, rows = (max(1, int(np.ceil(side / grid.cell_px))) for side in size_wh)
    whole = np.zeros((len(covering), rows, columns))
    part = covering[:, :rows, :columns]
    whole[:, : part.shape[1], : part.shape[2]] = part
    return whole / max(1, frames)


_STOPS = np.array((0.0, 0.25, 0.5, 0.75, 1.0))
_STOP_RGB = np.array(((38, 60, 190), (20, 160, 200), (90, 205, 110), (250, 200, 60), (240, 60, 50)), float)


def coloured(values: Float64Array, full: float) -> npt.NDArray[np.uint8]:
    """(H, W, 4) RGBA of `values` (H, W): clear where there is nothing, red from `full` on.

    Colours go with the square root: places that are passed a few times show beside those where things stand for long.
    """
    share = np.sqrt(np.clip(smooth(smooth(values)) / max(full, 1e-12), 0, 1))
    rgb = np.stack([np.interp(share, _STOPS, _STOP_RGB[:, channel]) for channel in range(3)], -1)
    alpha = np.clip(share * 2.2, 0, 1) * 175
    alpha[share < 0.03] = 0
    picture: npt.NDArray[np.uint8] = np.concatenate([rgb, alpha[..., None]], -1).round().astype(np.uint8)
    return picture


def full_value(values: Float64Array) -> float:
    """The value that is shown red: few places have more."""
    some = values[values > 0]
    return float(np.percentile(some, 99.5)) if len(some) else 0.0


def smooth(values: Float64Array) -> Float64Array:
    """Each cell a mean with its neighbours (1 2 1)."""
    for axis in (0, 1):
        padded = np.pad(values, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        size = values.shape[axis]
        parts = [np.take(padded, np.arange(size) + shift, axis) for shift in (0, 1, 2)]
        values = (parts[0] + 2 * parts[1] + parts[2]) / 4
    return values
