"""What of the detections counts for one camera: its classes, its thresholds, its region of interest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamdet.types import BoolArray, Detections, Float32Array


@dataclass(frozen=True)
class Selection:
    """The choice of one camera, made after a detector that serves them all."""

    thresholds: Float32Array
    """(K,) least score per class; infinite for a class that isn't wanted."""
    roi: tuple[float, float, float, float] | None = None
    """x1, y1, x2, y2: only objects whose centre lies in it count. In pixels, or in shares of width and height where
    none is above 1. None: the whole picture."""

    def __call__(self, detections: Detections, width: int, height: int) -> Detections:
        """Those that count, of a picture of `width` x `height` pixels."""
        return detections[self._strong(detections) & self._inside(detections, width, height)]

    def outside(self, detections: Detections, width: int, height: int) -> Detections | None:
        """Those that would count if they were in the region of interest; None without one."""
        if self.roi is None:
            return None
        return detections[self._strong(detections) & ~self._inside(detections, width, height)]

    def _strong(self, detections: Detections) -> BoolArray:
        strong: BoolArray = detections.scores > self.thresholds[detections.class_ids]
        return strong

    def _inside(self, detections: Detections, width: int, height: int) -> BoolArray:
        if self.roi is None:
            return np.ones(len(detections), np.bool_)
        x1, y1, x2, y2 = self.roi
        if max(self.roi) <= 1:
            x1, y1, x2, y2 = x1 * width, y1 * height, x2 * width, y2 * height
        x = (detections.boxes_xyxy[:, 0] + detections.boxes_xyxy[:, 2]) / 2
        y = (detections.boxes_xyxy[:, 1] + detections.boxes_xyxy[:, 3]) / 2
        inside: BoolArray = (x >= x1) & (x <= x2) & (y >= y1) & (y <= y2)
        return inside
