"""The sets of a folder side by side, with one list of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from streamdet.training.dataset import Dataset, LabelledImage
from streamdet.training.formats.classes import with_classes
from streamdet.training.formats.find import FoundSets

Role = Literal["train", "val"]


@dataclass(frozen=True)
class Part:
    """One of the sets, and what it is for."""

    role: Role
    dataset: Dataset


def parts_of(found: FoundSets) -> tuple[Part, ...]:
    """All sets of a folder. Classes that only some of them know come last in the common list."""
    sets = (*found.training, *found.validation)
    class_names = tuple(dict.fromkeys(name for dataset in sets for name in dataset.class_names))
    training = tuple(Part("train", with_classes(dataset, class_names)) for dataset in found.training)
    return training + tuple(Part("val", with_classes(dataset, class_names)) for dataset in found.validation)


def images_of(parts: Sequence[Part], role: Role | None = None) -> tuple[LabelledImage, ...]:
    """The pictures of all parts, or of those of one role, in their order."""
    return tuple(image for part in parts if role in (None, part.role) for image in part.dataset.images)


def named_sets(parts: Sequence[Part]) -> dict[str, Dataset]:
    """The sets under names that begin with their roles, as the writers of label formats want them."""
    sets: dict[str, Dataset] = {}
    for part in parts:
        own = part.dataset.name.replace("/", "_")
        stem = own if own.startswith(part.role) else part.role
        name, number = stem, 2
        while name in sets:
            name, number = f"{stem}_{number}", number + 1
        sets[name] = part.dataset
    return sets
