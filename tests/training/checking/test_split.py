from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdet.errors import DataError
from streamdet.training.checking.duplicates import Fingerprints, fingerprints
from streamdet.training.checking.glances import Glance
from streamdet.training.checking.groups import Grouping, clip_name, find_groups, join_near_copies
from streamdet.training.checking.split import choose, split
from streamdet.training.dataset import LabelledImage
from tests.networks import CLASS_NAMES
from tests.rectangles import labelled


def prints_of(scenes: Sequence[int]) -> Fingerprints:
    """Pictures with the same number are near-copies of each other."""
    rng = np.random.default_rng(0)
    bases = {scene: np.random.default_rng(scene).integers(0, 255, (32, 32)) for scene in scenes}
    greys = [np.clip(bases[scene] + rng.normal(0, 3, (32, 32)), 0, 255).astype(np.uint8) for scene in scenes]
    return fingerprints([Glance(grey, str(place).encode()) for place, grey in enumerate(greys)])


def images_of(*paths: str, groups: Sequence[str] = ()) -> list[LabelledImage]:
    images = [labelled(path, (64, 64)) for path in paths]
    return [replace(image, group=group) for image, group in zip(images, groups or [""] * len(images), strict=True)]


@pytest.mark.parametrize(
    ("file", "clip"),
    [
        ("cam1_000123.jpg", "cam1"),
        ("cam1_frame_0012.jpg", "cam1"),
        ("gate-12.5s.png", "gate"),
        ("gate_2024-05-01_12-30-05.png", "gate_2024-05-01"),
        ("gate_20240501_123005.jpg", "gate_20240501"),
        ("gate_2024-05-01T12:30:05.250Z.jpg", "gate_2024-05-01"),
        ("adit_0001_jpg.rf.0a1b2c3d.jpg", "adit"),
        ("street (12).jpg", "street"),
        ("frame0001.png", ""),
        ("0007.jpg", ""),
        ("yard.jpg", "yard"),
    ],
)
def test_clip_names(file: str, clip: str) -> None:
    assert clip_name(PurePath(file)) == clip


def test_what_groups_are_found_by() -> None:
    names = ["x/images/cam1_01.jpg", "x/images/cam1_02.jpg", "x/images/cam2_01.jpg", "x/images/cam2_02.jpg"]
    apart = prints_of(range(4))
    by_label = find_groups(images_of(*names, groups=["a", "b", "b", "c"]), apart)
    assert (by_label.names, by_label.how) == (("a", "b", "b", "c"), "the labels' groups")
    by_name = find_groups(images_of(*names), apart)
    assert (by_name.names, by_name.how) == (("cam1", "cam1", "cam2", "cam2"), "file names")
    folders = ["x/train/a/1.jpg", "x/train/b/1.jpg", "x/val/a/2.jpg", "x/val/b/images/2.jpg"]
    by_folder = find_groups(images_of(*folders), apart)
    assert (by_folder.names, by_folder.how) == (("a", "b", "a", "b"), "folders")
    by_name = find_groups(images_of("x/a/m_1.jpg", "x/a/m_2.jpg", "x/b/m_1.jpg", "x/b/m_2.jpg"), apart, "name")
    assert by_name.names == ("a/m", "a/m", "b/m", "b/m")
    some = find_groups(images_of(*names, groups=["a", "b", "", ""]), apart)
    assert (some.names, some.how) == (("a", "b", "cam2", "cam2"), "the labels' groups and file names")
    by_look = find_groups(images_of("x/1.jpg", "x/2.jpg", "x/3.jpg", "x/10.jpg"), prints_of([1, 2, 1, 3]))
    assert by_look.how == "looks"
    assert by_look.names == ("like 1.jpg", "like 2.jpg", "like 1.jpg", "like 10.jpg")


def test_one_group_in_the_labels_is_not_taken_apart_by_other_means() -> None:
    images = images_of("x/a/1.jpg", "x/b/1.jpg", groups=["cam", "cam"])
    assert find_groups(images, prints_of([1, 2])).count == 1


def test_groups_with_near_copies_of_each_other_are_joined() -> None:
    found = join_near_copies(Grouping(("a", "b", "b", "c", "d", "e"), "folders"), prints_of([1, 1, 2, 3, 2, 4]))
    assert found.names == ("a", "a", "a", "c", "a", "e")
    assert found.joined == (("a", "b", "d"),)


def clip_images(counts: Sequence[Sequence[int]]) -> tuple[list[LabelledImage], Grouping]:
    """A group for each row: its pictures, and the objects of each class in each of them."""
    images, names = [], []
    for number, (pictures, *objects) in enumerate(counts):
        classes = [class_id for class_id, count in enumerate(objects) for _ in range(count)]
        boxes = [[1.0, 1.0, 9.0, 9.0]] * len(classes)
        images += [labelled(f"{number}_{k}.jpg", (64, 64), boxes, classes) for k in range(pictures)]
        names += [f"clip{number}"] * pictures
    return images, Grouping(tuple(names), "file names")


def test_whole_groups_and_near_to_the_share() -> None:
    rng = np.random.default_rng(0)
    images, grouping = clip_images([(int(n), *rng.integers(0, 4, 3).tolist()) for n in rng.integers(1, 30, 40)])
    for seed in range(3):
        result = split(images, CLASS_NAMES, grouping, 0.2, seed)
        sides = result.training.images, result.validation.images
        assert len(sides[0]) + len(sides[1]) == len(images)
        assert not {image.group for image in sides[0]} & {image.group for image in sides[1]}
        assert {image.group for image in sides[1]} == set(result.validation_groups)
        assert len(sides[1]) / len(images) == pytest.approx(0.2, abs=0.02)
        for class_id in range(3):
            first, second = (sum((image.class_ids == class_id).sum() for image in side) for side in sides)
            assert second / (first + second) == pytest.approx(0.2, abs=0.05)
    again = split(images, CLASS_NAMES, grouping, 0.2, 2)
    assert again.validation_groups == result.validation_groups


def test_a_rare_class_is_on_both_sides() -> None:
    images, grouping = clip_images([(10, 1, 0, 0)] * 18 + [(10, 1, 0, 2)] * 2)
    result = split(images, CLASS_NAMES, grouping, 0.25, 0)
    assert all(
        any((image.class_ids == 2).any() for image in side.images) for side in (result.training, result.validation)
    )


def test_labels_keep_their_own_groups() -> None:
    images, grouping = clip_images([(2, 1), (2, 1)])
    images[0] = replace(images[0], group="north")
    result = split(images, CLASS_NAMES, grouping, 0.5, 0)
    assert {image.group for side in (result.training, result.validation) for image in side.images} == {
        "north",
        "clip0",
        "clip1",
    }


def test_one_group_is_refused_with_a_way_out() -> None:
    images, grouping = clip_images([(5, 1)])
    with pytest.raises(DataError, match=r"by file names all 5 pictures belong to one group \(clip0\).*another camera"):
        split(images, CLASS_NAMES, grouping, 0.2, 0)
    joined = Grouping(("a",) * 5, "folders", (("a", "b", "c"),))
    with pytest.raises(DataError, match="by folders there are 3 groups, but they hold near-copies of each other"):
        split(images, CLASS_NAMES, joined, 0.2, 0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(0, 30)] * 4), min_size=2, max_size=12),
    st.floats(0.05, 0.95),
    st.integers(0, 5),
)
def test_neither_side_is_ever_empty(rows: list[tuple[int, ...]], share: float, seed: int) -> None:
    contents = np.array(rows, float)
    contents[:, 0] += 1  # each group has a picture
    chosen = choose(contents, share, np.random.default_rng(seed))
    assert 0 < chosen.sum() < len(rows)


def test_as_good_as_trying_everything() -> None:
    """Against all 2^9 divisions, by the cost that `choose` names."""
    rng = np.random.default_rng(5)
    contents = np.concatenate((rng.integers(1, 20, (9, 1)), rng.integers(0, 15, (9, 3))), axis=1).astype(float)
    parts = contents / contents.sum(axis=0)

    def cost(chosen: np.ndarray) -> float:
        return float(([3, 1, 1, 1] * (parts[chosen].sum(axis=0) - 0.3) ** 2).sum())

    every = [cost(np.array([number >> k & 1 for k in range(9)], bool)) for number in range(1, 2**9 - 1)]
    found = cost(choose(contents, 0.3, np.random.default_rng(0)))
    assert sum(other < found - 1e-12 for other in every) <= 5  # among the best six of 510
