"""Which classes are taken for which, at the scores from which the model reports objects.

Shape legend: D detections, M true objects, K classes of the data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from torchvision.ops import box_iou

from streamdet.detection.checkpoint import ModelCard
from streamdet.training.assess import Assessment, ImageResult
from streamdet.training.dataset import BoolArray
from streamdet.training.pictures.outcomes import reported
from streamdet.training.pictures.style import INK, SMALL_PT, most_frequent, new_figure, plain, save, tidy
from streamdet.types import Float32Array, Int64Array

LEAST_IOU = 0.5
EMPTY_SHADE = 0.975
LEAST_COVER = 0.5
"""A false detection with at least this share of its area in an ignored region doesn't count."""


def confusion_matrix(assessment: Assessment, card: ModelCard) -> Int64Array:
    """(K + 1, K + 1) counts: rows are true classes, the last row nothing; columns detected classes, the last missed.

    Detections above the thresholds of `card` take, best first, the free object that they overlap most, of whatever
    class, at IoU >= 0.5. Left out are objects and detections of classes for which the picture wasn't labelled, and
    detections in ignored regions (of any class) that meet no object.
    """
    class_names = assessment.dataset.class_names
    counts = np.zeros((len(class_names) + 1, len(class_names) + 1), np.int64)
    for result in assessment.images:
        image = result.image
        true = image.labelled[image.class_ids]
        true_boxes, true_classes = image.boxes_xyxy[true], image.class_ids[true]
        boxes, classes = _reported(result, class_names, card)
        found = greedy_match(boxes, true_boxes)
        counted = (found >= 0) | ~_in_ignored(boxes, image.ignored_xyxy)
        for place, class_id in zip(found[counted], classes[counted], strict=True):
            counts[true_classes[place] if place >= 0 else -1, class_id] += 1
        missed = np.setdiff1d(np.arange(len(true_boxes)), found)
        np.add.at(counts[:, -1], true_classes[missed], 1)
    return counts


def _reported(result: ImageResult, class_names: tuple[str, ...], card: ModelCard) -> tuple[Float32Array, Int64Array]:
    """Boxes and data set's classes of the detections that the model would report, of labelled classes, best first."""
    detections = result.detections[reported(result.detections, card)]
    known = [class_names.index(name) if name in class_names else -1 for name in detections.class_names]
    class_ids = np.array(known, np.int64)[detections.class_ids]
    counted = (class_ids >= 0) & result.image.labelled[class_ids]
    return detections.boxes_xyxy[counted], class_ids[counted]


def greedy_match(boxes: Float32Array, true_boxes: Float32Array) -> Int64Array:
    """(D,) index of the object (M, 4) that each box (D, 4), best first, finds; -1 for none."""
    found = np.full(len(boxes), -1, np.int64)
    if len(true_boxes):
        iou = box_iou(torch.from_numpy(boxes), torch.from_numpy(true_boxes)).numpy()
        for place, row in enumerate(iou):
            best = int(row.argmax())
            if row[best] >= LEAST_IOU:
                found[place] = best
                iou[:, best] = 0
    return found


def _in_ignored(boxes: Float32Array, regions: Float32Array) -> BoolArray:
    """(D,) whether a region covers enough of each box."""
    if not len(regions):
        return np.zeros(len(boxes), np.bool_)
    low = np.maximum(boxes[:, None, :2], regions[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], regions[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(axis=2).max(axis=1)
    covered: BoolArray = shared >= LEAST_COVER * (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return covered


def draw_confusion(counts: Int64Array, class_names: Sequence[str], path: Path) -> None:
    """The matrix of `confusion_matrix`, each row shaded by its shares, errors orange; rare classes joined in one."""
    counts, labels, note = _joined(counts, class_names)
    size = len(labels)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = new_figure(min(7.5, 2.6 + 0.55 * (size + 1)))
    axes = figure.subplots()
    right = np.eye(size + 1, dtype=np.bool_)[:, :, None]
    shades = np.where(right, colormaps["Blues"](shares), colormaps["Oranges"](shares))
    axes.imshow(np.where(counts[:, :, None] > 0, shades, EMPTY_SHADE), aspect="auto")
    tidy(axes, "True and detected classes", f"detected{note}", "true")
    axes.grid(False)
    axes.set_xticks(range(size + 1), [*labels, "missed"])
    if size <= 10:
        axes.tick_params(axis="x", labelrotation=40)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    else:
        axes.tick_params(axis="x", labelrotation=90)
    axes.set_yticks(range(size + 1), [*labels, "nothing\n(false)"])
    for edge in np.arange(0.5, size):
        last = edge == size - 0.5
        for line in (axes.axhline, axes.axvline):
            line(edge, color=INK if last else "white", linewidth=1.2)
    letters_pt = SMALL_PT if size <= 10 else SMALL_PT * 0.7
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[row, column] > 0.55 else INK
            axes.text(column, row, f"{count}", ha="center", va="center", fontsize=letters_pt, color=colour)
    save(figure, path)


def _joined(counts: Int64Array, class_names: Sequence[str]) -> tuple[Int64Array, list[str], str]:
    """The matrix with all but the most frequent classes joined, its classes' labels, and a note where any were."""
    shown = most_frequent(range(len(class_names)), counts[:-1].sum(axis=1).tolist())
    labels = [plain(class_names[class_id]) for class_id in shown]
    rest = [class_id for class_id in range(len(class_names)) if class_id not in shown]
    if not rest:
        return counts, labels, ""
    groups = [[class_id] for class_id in shown] + [rest, [len(class_names)]]
    rows = np.stack([counts[group].sum(axis=0) for group in groups])
    joined = np.stack([rows[:, group].sum(axis=1) for group in groups], axis=1)
    return joined, [*labels, f"{len(rest)} others"], f" ({len(shown)} most frequent of {len(class_names)} classes)"
