"""Scores of tracks against the truth, by `trackeval`: HOTA, MOTA, IDF1 and switches of ids."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from trackeval.metrics import CLEAR, HOTA, Identity

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
SAME_IOU = 0.5


@dataclass
class Objects:
    """What is in one frame: boxes (N, 4) xyxy in pixels, ids (N,), class ids (N,), and which of them don't count."""

    boxes_xyxy: Floats
    ids: Ints
    class_ids: Ints
    ignored: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))

    def __post_init__(self) -> None:
        self.boxes_xyxy = np.asarray(self.boxes_xyxy, np.float64).reshape(-1, 4)
        if len(self.ignored) != len(self.ids):
            self.ignored = np.zeros(len(self.ids), np.bool_)

    def only(self, mask: npt.NDArray[np.bool_]) -> Objects:
        """Some of them."""
        return Objects(self.boxes_xyxy[mask], self.ids[mask], self.class_ids[mask], self.ignored[mask])


def read_truth(path: Path) -> list[Objects]:
    """Of a clip by `samples/render_parking.py`: its JSON file. Class ids are those of the model: from 0."""
    content = json.loads(path.read_text())
    frames: list[list[dict[str, Any]]] = [[] for _ in content["images"]]
    for annotation in content["annotations"]:
        frames[annotation["image_id"] - 1].append(annotation)
    return [
        Objects(
            np.array([[x, y, x + w, y + h] for x, y, w, h in (a["bbox"] for a in frame)], np.float64),
            np.array([a["instance_id"] for a in frame], np.int64),
            np.array([a["category_id"] - 1 for a in frame], np.int64),
            np.array([a["iscrowd"] for a in frame], np.bool_),
        )
        for frame in frames
    ]


def staying(path: Path, class_id: int, visible: float = 0.5) -> set[int]:
    """Ids of the objects of a class that are in every frame, and never hidden by more than `1 - visible`."""
    content = json.loads(path.read_text())
    seen: dict[int, int] = {}
    for a in content["annotations"]:
        if a["category_id"] - 1 == class_id and a.get("visible", 1.0) >= visible and not a["iscrowd"]:
            seen[a["instance_id"]] = seen.get(a["instance_id"], 0) + 1
    return {ident for ident, frames in seen.items() if frames == len(content["images"])}


def scores(truth: Sequence[Objects], tracks: Sequence[Objects]) -> dict[str, float]:
    """HOTA (mean over its 19 thresholds) with its parts, MOTA, IDF1 and IDSW (at an overlap of 0.5).

    As in the MOT challenge, boxes that match an ignored object, or lie in one, don't count.
    """
    gt_ids, tracker_ids, similarities = [], [], []
    for true, told in zip(truth, tracks, strict=True):
        told, overlap = _counting(true, told)
        gt_ids.append(true.ids[~true.ignored])
        tracker_ids.append(told.ids)
        similarities.append(overlap)
    all_gt, gt_ids = _renumbered(gt_ids)
    all_told, tracker_ids = _renumbered(tracker_ids)
    data = {
        "num_timesteps": len(gt_ids), "gt_ids": gt_ids, "tracker_ids": tracker_ids,
        "similarity_scores": similarities, "num_gt_ids": all_gt, "num_tracker_ids": all_told,
        "num_gt_dets": sum(map(len, gt_ids)), "num_tracker_dets": sum(map(len, tracker_ids)),
    }  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        hota = HOTA().eval_sequence(data)
        clear = CLEAR({"PRINT_CONFIG": False}).eval_sequence(data)
        identity = Identity({"PRINT_CONFIG": False}).eval_sequence(data)
    told = {name: float(np.mean(hota[name])) for name in ("HOTA", "DetA", "AssA", "LocA")}
    told |= {"MOTA": float(clear["MOTA"]), "IDF1": float(identity["IDF1"]), "IDSW": int(clear["IDSW"])}
    return told | {"FP": int(clear["CLR_FP"]), "FN": int(clear["CLR_FN"])}


def _counting(true: Objects, told: Objects) -> tuple[Objects, Floats]:
    """Of what a tracker told, that which counts; and its overlaps with the truth that counts."""
    overlap = overlaps(true.boxes_xyxy, told.boxes_xyxy)
    rows, columns = linear_sum_assignment(np.where(overlap >= SAME_IOU, overlap, 0), maximize=True)
    good = overlap[rows, columns] >= SAME_IOU
    rows, columns = rows[good], columns[good]
    counts = np.ones(len(told.ids), np.bool_)
    counts[columns[true.ignored[rows]]] = False
    unmatched = np.ones(len(told.ids), np.bool_)
    unmatched[columns] = False
    if true.ignored.any():
        within = shared_areas(true.boxes_xyxy[true.ignored], told.boxes_xyxy).max(axis=0)
        sides = told.boxes_xyxy[:, 2:] - told.boxes_xyxy[:, :2]
        counts &= ~(unmatched & (within > 0.5 * sides[:, 0] * sides[:, 1]))
    return told.only(counts), overlap[~true.ignored][:, counts]


def _renumbered(frames: list[Ints]) -> tuple[int, list[Ints]]:
    numbers = {int(ident): i for i, ident in enumerate(np.unique(np.concatenate(frames)))}
    return len(numbers), [np.array([numbers[int(ident)] for ident in frame], np.int64) for frame in frames]


def shared_areas(a_xyxy: Floats, b_xyxy: Floats) -> Floats:
    """(A, B) square pixels."""
    sides = np.minimum(a_xyxy[:, None, 2:], b_xyxy[None, :, 2:]) - np.maximum(a_xyxy[:, None, :2], b_xyxy[None, :, :2])
    return np.asarray(np.prod(np.maximum(sides, 0), axis=2))


def overlaps(a_xyxy: Floats, b_xyxy: Floats) -> Floats:
    """(A, B) intersection over union."""
    shared = shared_areas(a_xyxy, b_xyxy)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (a_xyxy, b_xyxy)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1][None, :] - shared, 1e-9))


def switches(truth: Sequence[Objects], tracks: Sequence[Objects], of: set[int] | None = None) -> dict[int, list[int]]:
    """The ids that each true object has had one after the other, where it had more than one.

    An object keeps its id while that overlaps by 0.5; `of`: these objects only.
    """
    ids: dict[int, list[int]] = {}
    for true, told in zip(truth, tracks, strict=True):
        overlap = overlaps(true.boxes_xyxy, told.boxes_xyxy)
        fit = np.where(overlap >= SAME_IOU, overlap, 0)
        for row, ident in enumerate(true.ids.tolist()):
            if ids.get(ident):
                fit[row, (told.ids == ids[ident][-1]) & (fit[row] > 0)] += 1000
        for row, column in zip(*linear_sum_assignment(fit, maximize=True), strict=True):
            had = ids.setdefault(int(true.ids[row]), [])
            if fit[row, column] > 0 and had[-1:] != [int(told.ids[column])]:
                had.append(int(told.ids[column]))
    return {ident: had for ident, had in ids.items() if len(had) > 1 and (of is None or ident in of)}
