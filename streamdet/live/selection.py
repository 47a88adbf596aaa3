"""What of the detections counts for one camera: its classes, its thresholds, its region of interest."""

from __future__ import annotations

from dataclasses import dataclass

from streamdet.types import Detections, Float32Array


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
        kept = detections.scores > self.thresholds[detections.class_ids]
        if self.roi is not None:
            x1, y1, x2, y2 = self.roi
            if max(self.roi) <= 1:
                x1, y1, x2, y2 = x1 * width, y1 * height, x2 * width, y2 * height
            x = (detections.boxes_xyxy[:, 0] + detections.boxes_xyxy[:, 2]) / 2
            y = (detections.boxes_xyxy[:, 1] + detections.boxes_xyxy[:, 3]) / 2
            kept &= (x >= x1) & (x <= x2) & (y >= y1) & (y <= y2)
        return detections[kept]
