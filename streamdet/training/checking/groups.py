"""Which pictures belong together: one camera, one clip, or near-copies. They must not be split."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

import numpy as np

from streamdet.training.checking.duplicates import NEAR_COPY, Fingerprints, clusters, views
from streamdet.training.dataset import LabelledImage

By = Literal["auto", "group", "folder", "name", "look"]

NO_CAMERA = re.compile(r"(images?|pictures?|photos?|labels?|train\w*|val\w*|test\w*|data|frames?|jpegimages)", re.I)
"""Names of folders that say nothing about a camera or a clip."""
_ROBOFLOW = re.compile(r"[_.](jpe?g|png|bmp|webp)\.rf\.[0-9a-zA-Z]+$", re.I)
_DATE_AND_TIME = re.compile(r"(\d{4}([-_.]?)\d\d\2\d\d)[-_.T ]+\d\d([-_.:h]?)\d\d\3\d\d([-_.,]\d+)?(Z|\(\d+\))?$")
_FRAME_NUMBER = re.compile(r"[\s_.\-#(]*((?<![a-z])(frames?|f|t|img))?[\s_.\-#(]*\d+([.,]\d+)?s?\)?$", re.I)


@dataclass(frozen=True)
class Grouping:
    """The group of each picture."""

    names: tuple[str, ...]
    how: str
    """What the groups were found by, in words."""
    joined: tuple[tuple[str, ...], ...] = ()
    """Groups that count as one because they have near-copies in common; `names` has the first of each."""

    @property
    def count(self) -> int:
        """Number of groups."""
        return len(set(self.names))


def find_groups(images: Sequence[LabelledImage], prints: Fingerprints, by: By = "auto") -> Grouping:
    """The groups by what the labels say; if they say nothing, by folders, by file names, or by looks.

    Groups that hold near-copies of each other's pictures are joined.
    """
    return join_near_copies(_group(images, prints, by), prints)


def _group(images: Sequence[LabelledImage], prints: Fingerprints, by: By) -> Grouping:
    groups = tuple(image.group for image in images)
    folders = tuple(_camera_folder(image.path) for image in images)
    names = tuple(clip_name(image.path) for image in images)
    if len(set(folders)) > 1:
        names = tuple(f"{folder}/{name}".strip("/") for folder, name in zip(folders, names, strict=True))
    said = all(groups) or len(set(groups)) > 1
    if by == "group" or (by == "auto" and said):
        filled = tuple(group or name for group, name in zip(groups, names, strict=True))
        return Grouping(filled, "the labels' groups" + (" and file names" if "" in groups else ""))
    if by == "folder" or (by == "auto" and len(set(folders)) > 1):
        return Grouping(folders, "folders")
    if by == "name" or (by == "auto" and 1 < len(set(names)) <= len(names) / 2):
        return Grouping(names, "file names")
    order = np.array(sorted(range(len(images)), key=lambda place: _in_order(images[place].path)), np.int64)
    alike = views(prints, order)
    first = {place: images[place].path for place in np.unique(alike).tolist()}
    taken = Counter(path.name for path in first.values())
    return Grouping(
        tuple(f"like {path.name if taken[path.name] == 1 else path}" for path in (first[k] for k in alike.tolist())),
        "looks",
    )


def join_near_copies(grouping: Grouping, prints: Fingerprints) -> Grouping:
    """The grouping with groups as one that have near-copies in common."""
    ids = {name: number for number, name in enumerate(dict.fromkeys(grouping.names))}
    group_ids = np.array([ids[name] for name in grouping.names], np.int64)
    near = clusters(prints, NEAR_COPY)
    lowest = np.arange(len(ids))
    while True:  # the lowest number of a group or a cluster spreads to all that touch it
        of_cluster = np.full(len(near), len(ids))
        np.minimum.at(of_cluster, near, lowest[group_ids])
        spread = lowest.copy()
        np.minimum.at(spread, group_ids, of_cluster[near])
        if (spread == lowest).all():
            break
        lowest = spread
    listed = list(ids)
    joined = [tuple(listed[place] for place in np.nonzero(lowest == number)[0]) for number in np.unique(lowest)]
    return Grouping(
        tuple(listed[lowest[number]] for number in group_ids.tolist()),
        grouping.how,
        tuple(names for names in joined if len(names) > 1),
    )


def clip_name(path: PurePath) -> str:
    """The file's name without its frame number, or the time of day where a date stands before it.

    `cam1_000123.jpg` gives "cam1", `gate_2024-05-01_12-30-05.png` "gate_2024-05-01", `0007.jpg` "".
    """
    stem = _ROBOFLOW.sub("", path.stem)
    day = _DATE_AND_TIME.sub(r"\1", stem)
    return day if day != stem else _FRAME_NUMBER.sub("", stem)


def _in_order(path: PurePath) -> tuple[tuple[str, int], ...]:
    """A key that sorts paths with their numbers by value."""
    return tuple((text, int(number or 0)) for text, number in re.findall(r"([^0-9]*)([0-9]*)", str(path)))


def _camera_folder(path: PurePath) -> str:
    """The innermost folder of the path that may be a camera's or a clip's; "" if there is none."""
    return next((name for name in reversed(path.parent.parts) if not NO_CAMERA.fullmatch(name)), "")
