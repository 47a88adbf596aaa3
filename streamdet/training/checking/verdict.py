"""Everything that is to be said of a folder of labelled pictures before training on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamdet.detection.anchors import AnchorRule
from streamdet.detection.resize import InputRule
from streamdet.training.checking.coverage import Coverage, Row, anchor_coverage
from streamdet.training.checking.duplicates import NEAR_COPY, SAME_VIEW, Fingerprints, copies, fingerprints, most_alike
from streamdet.training.checking.glances import Glance
from streamdet.training.checking.parts import Part, Role, images_of
from streamdet.training.checking.suggestion import Suggestion, suggest
from streamdet.training.dataset import BoolArray, LabelledImage
from streamdet.training.problems import Problem
from streamdet.types import Int64Array

FEW = 20
"""A class with fewer objects for training is told."""


@dataclass(frozen=True)
class SetSummary:
    """What one set holds."""

    name: str
    role: Role
    pictures: int
    empty: int
    """Pictures without an object."""
    objects: dict[str, int]
    """By class."""
    ignored: int
    """Ignored regions."""
    partly_labelled: int
    """Pictures that are labelled for some classes only."""
    groups: int
    """Cameras or clips that the labels name."""
    sizes: dict[str, int]
    """Pictures by size ("640x360"), the most frequent first."""


@dataclass(frozen=True)
class Verdict:
    """What the check found."""

    folder: Path
    format: str
    sets: tuple[SetSummary, ...]
    problems: tuple[Problem, ...]
    """Errors first."""
    coverage: Coverage
    suggestions: tuple[Suggestion, ...]
    shortest_sides_px: tuple[float, ...]
    """Of the objects at the input's size: the 5th, the 50th and the 95th percentile."""

    @property
    def errors(self) -> int:
        """Number of errors."""
        return sum(problem.is_error for problem in self.problems)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        coverage = self.coverage
        return {
            "folder": str(self.folder),
            "format": self.format,
            "errors": self.errors,
            "warnings": len(self.problems) - self.errors,
            "problems": [asdict(problem) | {"path": str(problem.path)} for problem in self.problems],
            "sets": [asdict(summary) for summary in self.sets],
            "input": [coverage.input_rule.short_side, coverage.input_rule.long_side],
            "shortest_sides_px": [round(side, 1) for side in self.shortest_sides_px],
            "anchors": coverage.anchor_rule.to_json(),
            "coverage": {
                "all": _shares(coverage.total),
                "by_size": {row.name: _shares(row) for row in coverage.by_size},
                "by_class": {row.name: _shares(row) for row in coverage.by_class},
            },
            "suggestions": [
                {
                    "what": suggestion.what,
                    "input": [suggestion.input_rule.short_side, suggestion.input_rule.long_side],
                    "anchors": suggestion.anchor_rule.to_json(),
                    "good": round(suggestion.good, 4),
                    "poor": round(suggestion.poor, 4),
                    "work": round(suggestion.work, 2),
                }
                for suggestion in self.suggestions
            ],
        }


def judge(
    folder: Path,
    kind: str,
    parts: Sequence[Part],
    glances: Sequence[Glance],
    label_problems: Sequence[Problem],
    anchor_rule: AnchorRule,
    input_rule: InputRule,
) -> Verdict:
    """The verdict on the sets of a folder in the format `kind`.

    `glances` are of all pictures in the parts' order; `label_problems` are what the reader complained about.
    """
    images = images_of(parts)
    problems = [*label_problems, *(glance.problem for glance in glances if glance.problem is not None)]
    problems += _duplicates(folder, parts, fingerprints(glances)) + _groups(folder, parts) + _classes(folder, parts)
    problems.sort(key=lambda problem: not problem.is_error)
    measured = images_of(parts, "train") or images
    names = parts[0].dataset.class_names if parts else ()
    coverage = anchor_coverage(measured, names, anchor_rule, input_rule)
    return Verdict(
        folder,
        kind,
        tuple(_summary(part) for part in parts),
        tuple(problems),
        coverage,
        suggest(measured, coverage),
        tuple(_shortest_sides(measured, input_rule)),
    )


def _summary(part: Part) -> SetSummary:
    images, names = part.dataset.images, part.dataset.class_names
    counts = np.zeros(len(names), np.int64)
    for image in images:
        counts += np.bincount(image.class_ids, minlength=len(names))
    return SetSummary(
        part.dataset.name,
        part.role,
        len(images),
        sum(not len(image.boxes_xyxy) for image in images),
        dict(zip(names, counts.tolist(), strict=True)),
        sum(len(image.ignored_xyxy) for image in images),
        sum(not image.labelled.all() for image in images),
        len({image.group for image in images if image.group}),
        dict(Counter(f"{image.width}x{image.height}" for image in images).most_common()),
    )


def _duplicates(folder: Path, parts: Sequence[Part], prints: Fingerprints) -> list[Problem]:
    """Equal files, near-copies of training pictures in a validation set, and views that both show."""
    images = images_of(parts)
    roles = np.array([part.role == "val" for part in parts for _ in part.dataset.images], np.bool_)
    problems = [problem for equal in copies(prints) for problem in _equal(images, roles, equal)]
    training, validation = np.nonzero(~roles)[0], np.nonzero(roles)[0]
    nearest, likeness = most_alike(prints[validation], prints[training])
    for place, other, value in zip(validation, nearest, likeness, strict=True):
        if NEAR_COPY <= value < 1:
            sentence = f"it is a near-copy of {images[training[other]].path} in train ({value:.1%} alike)"
            problems.append(Problem(images[place].path, None, "near-copy in train and val", sentence, is_error=False))
    seen = int((likeness >= SAME_VIEW).sum())
    if seen:
        sentence = (
            f"{seen} of {len(validation)} validation pictures show a view that training shows too (one camera): "
            "scores on them say nothing about other cameras; `streamdet data split` keeps whole groups together"
        )
        problems.append(Problem(folder, None, "same view in train and val", sentence, is_error=False))
    return problems


def _equal(images: Sequence[LabelledImage], is_validation: BoolArray, equal: Int64Array) -> list[Problem]:
    """Problems of pictures whose files are equal."""
    first, problems = images[equal[0]], []
    for place in equal[1:]:
        image = images[place]
        if is_validation[place] != is_validation[equal[0]]:
            sentence = f"it is the same file as {first.path} in train: leave one of them out"
            problems.append(Problem(image.path, None, "copy in train and val", sentence))
        elif not same_labels(first, image):
            sentence = f"it is the same file as {first.path}, and is labelled differently: keep the right one"
            problems.append(Problem(image.path, None, "copies labelled differently", sentence, is_error=False))
        else:
            sentence = f"it is the same file as {first.path}: leave one of them out"
            problems.append(Problem(image.path, None, "copy", sentence, is_error=False))
    return problems


def same_labels(one: LabelledImage, other: LabelledImage) -> bool:
    """Whether two pictures have the same objects, in any order."""

    def rows(image: LabelledImage) -> list[tuple[float, ...]]:
        return sorted(
            (class_id, *np.round(box, 1).tolist())
            for class_id, box in zip(image.class_ids.tolist(), image.boxes_xyxy, strict=True)
        )

    return rows(one) == rows(other)


def _groups(folder: Path, parts: Sequence[Part]) -> list[Problem]:
    """Groups that the labels name in train and in val."""
    counts = Counter(image.group for image in images_of(parts, "val") if image.group)
    trained = Counter(image.group for image in images_of(parts, "train") if image.group)
    return [
        Problem(
            folder,
            None,
            "group in train and val",
            f"the group {group} has {trained[group]} pictures in train and {counts[group]} in val",
            is_error=False,
        )
        for group in counts
        if group in trained
    ]


def _classes(folder: Path, parts: Sequence[Part]) -> list[Problem]:
    """Classes with too little to learn from."""
    if not any(part.role == "train" for part in parts):
        return []
    names = parts[0].dataset.class_names
    counts = np.zeros(len(names), np.int64)
    for image in images_of(parts, "train"):
        counts += np.bincount(image.class_ids, minlength=len(names))
    if not counts.sum():
        return [Problem(folder, None, "no objects", "train holds no object: there is nothing to learn; label some")]
    return [
        Problem(
            folder,
            None,
            "class with few objects",
            f"the class {name} has {count or 'no'} object{'s' * (count != 1)} in train: label more, or leave it out",
            is_error=False,
        )
        for name, count in zip(names, counts.tolist(), strict=True)
        if count < FEW
    ]


def _shortest_sides(images: Sequence[LabelledImage], input_rule: InputRule) -> list[float]:
    """Percentiles of the objects' shorter sides, in pixels of the input."""
    sides = []
    for image in images:
        if len(image.boxes_xyxy):
            boxes = input_rule.fit(image.width, image.height).boxes_from_source(image.boxes_xyxy)
            sides.append((boxes[:, 2:] - boxes[:, :2]).min(axis=1))
    return [float(value) for value in np.percentile(np.concatenate(sides), (5, 50, 95))] if sides else []


def _shares(row: Row) -> dict[str, Any]:
    shares = {"iou_0.5": row.good, "iou_0.4_to_0.5": row.between, "iou_below_0.4": row.poor}
    rounded = {name: round(share, 4) if share == share else None for name, share in shares.items()}
    return {"objects": row.objects, **rounded}
