"""Training and validation sets from whole groups: no clip has frames in both.

Shape legend: G groups, C things to balance: pictures, pictures without objects, and the objects of each class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from streamdet.errors import DataError
from streamdet.training.checking.groups import Grouping
from streamdet.training.dataset import BoolArray, Dataset, LabelledImage
from streamdet.types import Int64Array

Float64Array = npt.NDArray[np.float64]

STARTS = 8
"""Random divisions that are improved; the best of them is taken."""


@dataclass(frozen=True)
class Split:
    """Two sets, and the groups in each."""

    training: Dataset
    validation: Dataset
    training_groups: tuple[str, ...]
    validation_groups: tuple[str, ...]


def split(
    images: Sequence[LabelledImage], class_names: tuple[str, ...], grouping: Grouping, share: float, seed: int
) -> Split:
    """Divide pictures by whole groups, near to `share` of everything for validation: pictures, and each class.

    Pictures without a group get the one that was found. Raises DataError when there is one group only.
    """
    names = list(dict.fromkeys(grouping.names))
    if len(names) < 2:
        raise DataError(_one_group(grouping, len(images)))
    ids = {name: number for number, name in enumerate(names)}
    group_ids = np.array([ids[name] for name in grouping.names], np.int64)
    chosen = choose(_contents(images, group_ids, len(names), len(class_names)), share, np.random.default_rng(seed))
    marked = [replace(image, group=image.group or name) for image, name in zip(images, grouping.names, strict=True)]
    sides = [
        Dataset(
            side, class_names, tuple(image for image, place in zip(marked, group_ids, strict=True) if wanted[place])
        )
        for side, wanted in (("train", ~chosen), ("val", chosen))
    ]
    groups = [tuple(name for name, mine in zip(names, wanted, strict=True) if mine) for wanted in (~chosen, chosen)]
    return Split(sides[0], sides[1], groups[0], groups[1])


def choose(contents: Float64Array, share: float, rng: np.random.Generator) -> BoolArray:
    """(G,) the groups for validation: `contents` (G, C) counts what each group holds.

    From random beginnings, the group that improves the balance most changes sides until none does. The balance is the
    squared distance of each thing's share from the one that was asked for; pictures weigh as much as all the others.
    """
    totals = contents.sum(axis=0)
    parts = contents[:, totals > 0] / totals[totals > 0]  # (G, C) each column sums to 1
    weights = np.ones(parts.shape[1])
    weights[0] = max(1, parts.shape[1] - 1)
    best, best_cost = np.zeros(len(parts), np.bool_), np.inf
    for _ in range(STARTS):
        chosen, cost = _improved(_beginning(parts, share, rng), parts, weights, share)
        if cost < best_cost - 1e-12:
            best, best_cost = chosen, cost
    return best


def _beginning(parts: Float64Array, share: float, rng: np.random.Generator) -> BoolArray:
    """Random groups until their pictures reach the share, at least one and not all."""
    order = rng.permutation(len(parts))
    count = int(np.searchsorted(parts[order, 0].cumsum(), share)) + 1
    chosen = np.zeros(len(parts), np.bool_)
    chosen[order[: min(count, len(parts) - 1)]] = True
    return chosen


def _improved(chosen: BoolArray, parts: Float64Array, weights: Float64Array, share: float) -> tuple[BoolArray, float]:
    """The division when no single group can change sides with profit, and its cost."""
    chosen = chosen.copy()
    cost = float((weights * (parts[chosen].sum(axis=0) - share) ** 2).sum())
    while True:
        sums = parts[chosen].sum(axis=0) + np.where(chosen, -1, 1)[:, None] * parts  # (G, C) if the group changed sides
        costs = (weights * (sums - share) ** 2).sum(axis=1)
        if chosen.sum() == 1:
            costs[chosen] = np.inf
        if chosen.sum() == len(chosen) - 1:
            costs[~chosen] = np.inf
        best = int(costs.argmin())
        if costs[best] >= cost - 1e-12:
            return chosen, cost
        chosen[best] ^= True
        cost = float(costs[best])


def _contents(images: Sequence[LabelledImage], group_ids: Int64Array, groups: int, classes: int) -> Float64Array:
    """What each group holds, (G, C)."""
    contents = np.zeros((groups, 2 + classes))
    for image, group in zip(images, group_ids.tolist(), strict=True):
        contents[group, 0] += 1
        contents[group, 1] += not len(image.class_ids)
        contents[group, 2:] += np.bincount(image.class_ids, minlength=classes)
    return contents


def _one_group(grouping: Grouping, pictures: int) -> str:
    if grouping.joined:
        what = f"by {grouping.how} there are {len(grouping.joined[0])} groups, but they hold near-copies of each other"
    else:
        what = f"by {grouping.how} all {pictures} pictures belong to one group ({grouping.names[0] or 'no name'})"
    return (
        f"{what}, and frames of one clip on both sides would make validation meaningless; "
        "add pictures of another camera or clip, or try --by folder, name or look"
    )
