"""Which pictures of a data set are worth a look: the fullest, the smallest objects, every class, empty ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest

import numpy as np

from streamdet.training.dataset import LabelledImage
from streamdet.types import Float32Array


@dataclass(frozen=True)
class Pick:
    """A picture, and why it was chosen."""

    image: LabelledImage
    why: str
    focus_xyxy: Float32Array | None = None
    """(4,) the object to look at."""


def choose_pictures(
    images: Sequence[LabelledImage], class_names: Sequence[str], count: int, seed: int = 0
) -> list[Pick]:
    """Up to `count` different pictures: a share of each kind, and random ones where a kind has too few."""
    rng = np.random.default_rng(seed)
    shuffled = [images[place] for place in rng.permutation(len(images)).tolist()]
    classes = _in_turn([_of_class(shuffled, place, name) for place, name in enumerate(class_names)])
    kinds: list[tuple[Iterable[Pick], int]] = [
        (_fullest(images), count // 6),
        (_smallest(images), count // 6),
        (classes, count // 3),
        (
            (Pick(i, _plural(len(i.ignored_xyxy), "ignored region")) for i in shuffled if len(i.ignored_xyxy)),
            count // 10,
        ),
        ((Pick(image, "empty") for image in shuffled if not len(image.boxes_xyxy)), count // 10),
    ]
    picks: list[Pick] = []
    seen: set[int] = set()
    for candidates, quota in kinds:
        wanted, clips = min(count, len(picks) + quota), set[str]()
        for pick in candidates:
            if len(picks) >= wanted:
                break
            if id(pick.image) in seen or pick.image.group in clips - {""}:
                continue  # a clip's pictures are much alike: one of each kind tells enough
            seen.add(id(pick.image))
            clips.add(pick.image.group)
            picks.append(pick)
    rest = (Pick(image, "at random") for image in shuffled if id(image) not in seen)
    return picks + list(islice(rest, count - len(picks)))


def _fullest(images: Sequence[LabelledImage]) -> Iterator[Pick]:
    """Pictures with the most objects first."""
    for image in sorted(images, key=lambda image: -len(image.boxes_xyxy)):
        if len(image.boxes_xyxy):
            yield Pick(image, _plural(len(image.boxes_xyxy), "object"))


def _smallest(images: Sequence[LabelledImage]) -> Iterator[Pick]:
    """Pictures with the smallest objects first, relative to the picture."""
    found = []
    for place, image in enumerate(images):
        if len(image.boxes_xyxy):
            sides = (image.boxes_xyxy[:, 2:] - image.boxes_xyxy[:, :2]).min(axis=1)
            object_place = int(sides.argmin())
            found.append((float(sides[object_place]) / max(image.width, image.height), place, object_place))
    for _, place, object_place in sorted(found):
        box = images[place].boxes_xyxy[object_place]
        width, height = (box[2:] - box[:2]).tolist()
        yield Pick(images[place], f"small: {width:.0f}x{height:.0f} px", box)


def _of_class(images: Sequence[LabelledImage], class_id: int, name: str) -> Iterator[Pick]:
    return (Pick(image, name) for image in images if (image.class_ids == class_id).any())


def _in_turn(kinds: Sequence[Iterator[Pick]]) -> Iterator[Pick]:
    """One of each, again and again."""
    return (pick for pick in chain.from_iterable(zip_longest(*kinds)) if pick is not None)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
