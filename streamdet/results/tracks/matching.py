"""Which box belongs to which: overlaps, the best assignment, and boxes that show an object twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streamdet.types import BoolArray, Int64Array

Float64Array = npt.NDArray[np.float64]
REPEAT_IOU = 0.7
"""A box that overlaps a better one by so much is the same object, whatever its class."""
COVERED_SHARE = 0.9
"""A box of which better ones of its class cover so much is no object: between two cars detectors see a third."""
PEOPLE = frozenset({"person", "people", "pedestrian", "rider"})
"""Classes of which REPEAT_IOU isn't true: who rides a bicycle takes up as much room as it does."""


def overlaps(a_xyxy: Float64Array, b_xyxy: Float64Array) -> Float64Array:
    """(A, B) intersection over union of (A, 4) and (B, 4) boxes."""
    shared = shared_areas(a_xyxy, b_xyxy)
    return np.asarray(shared / np.maximum(areas(a_xyxy)[:, None] + areas(b_xyxy)[None, :] - shared, 1e-9))


def shared_areas(a_xyxy: Float64Array, b_xyxy: Float64Array) -> Float64Array:
    """(A, B) square pixels that (A, 4) and (B, 4) boxes have in common."""
    width, height = (
        np.minimum(a_xyxy[:, None, to], b_xyxy[None, :, to]) - np.maximum(a_xyxy[:, None, at], b_xyxy[None, :, at])
        for at, to in ((0, 2), (1, 3))
    )
    return np.asarray(np.maximum(width, 0) * np.maximum(height, 0))


def areas(boxes_xyxy: Float64Array) -> Float64Array:
    """(N,) in square pixels."""
    sides = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    return np.asarray(sides[:, 0] * sides[:, 1])


def assign(similarity: Float64Array, least: float) -> tuple[Int64Array, Int64Array]:
    """Rows and columns of the pairs with the greatest sum of similarity; no pair is below `least`."""
    from scipy.optimize import linear_sum_assignment

    if not similarity.size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    fit = np.where(similarity >= least, similarity, 0.0)
    rows, columns = linear_sum_assignment(fit, maximize=True)
    good = fit[rows, columns] > 0
    return rows[good].astype(np.int64), columns[good].astype(np.int64)


def repeats(boxes_xyxy: Float64Array, are_people: BoolArray, least: float = REPEAT_IOU) -> Int64Array:
    """(N,) for each box, best first, the index of the better one that shows the same object; its own index if none.

    `are_people`: (N,) of `people`.
    """
    n = len(boxes_xyxy)
    of = np.arange(n, dtype=np.int64)
    same = np.tril((overlaps(boxes_xyxy, boxes_xyxy) >= least) & (are_people[:, None] == are_people), -1)
    for i in np.flatnonzero(same.any(axis=1)):
        better = np.flatnonzero(same[i] & (of == np.arange(n)))
        if len(better):
            of[i] = better[0]
    return of


def people(class_ids: Int64Array, class_names: Sequence[str]) -> BoolArray:
    """(N,) which of the classes are people."""
    return np.array([name in PEOPLE for name in class_names], np.bool_)[class_ids]


def covered(boxes_xyxy: Float64Array, class_ids: Int64Array) -> Float64Array:
    """(N,) share of each box, best first, that better ones of its class cover; what two of them cover counts twice."""
    shared = np.tril(shared_areas(boxes_xyxy, boxes_xyxy) * (class_ids[:, None] == class_ids), -1)
    return np.asarray(shared.sum(axis=1) / np.maximum(areas(boxes_xyxy), 1e-9))
