"""What is made of a frame's detections before anything is written: rounding, tracks, which are shown, the places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np

from streamdet.errors import UsageError
from streamdet.results.tracks.matching import COVERED_SHARE, covered, people, repeats
from streamdet.scene import Scene
from streamdet.types import BoolArray, DetectedFrame, Detections, Float32Array, Frame, Int64Array


class TrackerLike(Protocol):
    """Follows objects from frame to frame: `streamdet.results.tracks`."""

    def update(self, detections: Detections, time_s: float, size_wh: tuple[int, int] | None = None) -> Detections:
        """The same boxes with track ids, and bridged ones, none of which goes over the picture's border."""

    @property
    def trails(self) -> dict[int, Float32Array]:
        """By track id: (M, 2) where it stood before, in pixels, oldest first."""


class PlacesLike(Protocol):
    """Lines, zones and bays: `streamdet.results.places`."""

    def update(self, shown: Detections, time_s: float, size_wh: tuple[int, int]) -> Scene:
        """How the places stand with these objects; trails left empty. Raises UsageError: they don't fit the picture."""


class Analysis:
    """Called with each frame of one source, in order. Replaying the same detections gives the same result."""

    def __init__(
        self,
        shown_from: Float32Array,
        tracker: TrackerLike | None = None,
        places: PlacesLike | None = None,
        *,
        on_problem: Callable[[str], None] | None = None,
    ) -> None:
        """Begin with the first frame.

        Args:
            shown_from: (K,) least score per class that is drawn and counted where nothing is tracked, but for a second
                box of an object, of whatever class. A class for which it is infinite is never shown, tracked or not.
            tracker: follows objects; those that are tracked are shown.
            places: what is counted.
            on_problem: told, once, why nothing is counted at the places: they don't fit the pictures. None: that is an
                error.
        """
        self._on_problem = on_problem
        self._problem: str | None = None
        self._shown_from = np.round(shown_from.astype(np.float64), SCORE_DECIMALS).astype(np.float32)
        self._tracker = tracker
        self._places = places

    def __call__(self, detected: DetectedFrame) -> DetectedFrame:
        """The frame with its detections as they will be written, those that are shown, and its scene."""
        time_s, size_wh = clock_s(detected.frame), (detected.frame.width, detected.frame.height)
        detections = in_order(as_written(detected.detections))
        seen_class_ids: Int64Array | None = None
        if self._tracker is None:
            shown = self._shown(detections)
        else:
            seen = detections
            detections = as_written(self._tracker.update(seen, time_s, size_wh))  # bridged boxes are new
            shown = (detections.track_ids >= 0) & np.isfinite(self._shown_from)[detections.class_ids]
            if not np.array_equal(detections.class_ids[~detections.bridged], seen.class_ids):
                seen_class_ids = detections.class_ids.copy()
                seen_class_ids[~detections.bridged] = seen.class_ids
        analysed = replace(
            detected,
            detections=detections,
            shown_mask=None if shown.all() else shown,
            seen_class_ids=seen_class_ids,
        )
        scene = self._scene(analysed, time_s)
        if self._tracker is not None:
            scene = replace(scene or Scene(), trails=self._tracker.trails)
        return replace(analysed, scene=scene)

    def _shown(self, detections: Detections) -> BoolArray:
        """What scores enough, each object once: detectors see a car and a truck in one van, a third car between two."""
        shown: BoolArray = detections.scores >= self._shown_from[detections.class_ids]
        places = np.flatnonzero(shown)
        boxes, class_ids = detections.boxes_xyxy[places].astype(np.float64), detections.class_ids[places]
        are_people = people(class_ids, detections.class_names)
        once = repeats(boxes, are_people) == np.arange(len(places))
        shown[places] = once & (are_people | (covered(boxes, class_ids) < COVERED_SHARE))  # people do stand in crowds
        return shown

    def _scene(self, analysed: DetectedFrame, time_s: float) -> Scene | None:
        if self._places is None:
            return None
        frame = analysed.frame
        try:
            return self._places.update(analysed.shown, time_s, (frame.width, frame.height))
        except UsageError as error:
            if self._on_problem is None:
                raise
            if self._problem != str(error):
                self._problem = str(error)
                self._on_problem(self._problem)
            return None


BOX_DECIMALS, SCORE_DECIMALS = 2, 4
"""Digits behind the point of what a file of detections says: pixels, and scores."""
HALF_STEP = 0.5 * 10**-SCORE_DECIMALS
"""What lies less than this below a least score is written as that score, and so is to be detected."""


def as_written(detections: Detections) -> Detections:
    """`detections` with boxes to 0.01 px and scores to 0.0001, so that what is drawn equals what the file says."""
    return replace(
        detections,
        boxes_xyxy=np.round(detections.boxes_xyxy.astype(np.float64), BOX_DECIMALS).astype(np.float32),
        scores=np.round(detections.scores.astype(np.float64), SCORE_DECIMALS).astype(np.float32),
    )


def in_order(detections: Detections) -> Detections:
    """`detections` with equal scores in the order of their boxes.

    A detector may give them in any order, and another one when it is asked for weaker objects, too; the order decides
    which box lies on top, and which track takes which box.
    """
    if len(detections) < 2 or bool(np.all(np.diff(detections.scores) < 0)):
        return detections
    edges = detections.boxes_xyxy.T[::-1]
    return detections[np.lexsort((detections.class_ids, *edges, -detections.scores))]


def clock_s(frame: Frame) -> float:
    """The clock for tracking and places, in seconds: content time, which live connections each count anew.

    Of a live frame the monotonic clock of its arrival.
    """
    return frame.clock_s
