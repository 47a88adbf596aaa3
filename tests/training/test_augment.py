from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from streamdet.training.augment import LEAST_SIDE, AugmentRule, Sample, make_sample
from streamdet.training.dataset import LabelledImage, UInt8Array
from tests.rectangles import COLOURS_RGB, draw, labelled, random_objects

SIZE = (160, 96)
PLAIN = AugmentRule(brightness=0, contrast=0, saturation=0)
SOURCES = [(200, 120), (120, 200), (90, 90), (300, 150), (160, 96), (64, 48)]


def pictures() -> tuple[list[LabelledImage], dict[str, UInt8Array]]:
    images, pixels = [], {}
    for number, size in enumerate(SOURCES):
        boxes, classes = random_objects(np.random.default_rng(number), size, 3 if size[0] > 64 else 1)
        name = f"picture {number}"
        pixels[name] = draw(size, boxes, classes, number)
        known = (True, number != 1, True)
        images.append(labelled(name, size, boxes, classes, ignored=[(0, 0, 20, 10)], known=known))
    return images, pixels


IMAGES, PIXELS = pictures()


def read(image: LabelledImage) -> UInt8Array:
    return PIXELS[str(image.path)]


def samples(rule: AugmentRule, count: int, mosaic: bool) -> Iterator[Sample]:
    for seed in range(count):
        rng = np.random.default_rng(seed)
        chosen = [IMAGES[place] for place in rng.integers(len(IMAGES), size=4 if mosaic else 1)]
        yield make_sample(chosen, read, SIZE, rule, rng)


def is_colour(pixels: UInt8Array, class_id: int) -> np.ndarray:
    distance = np.abs(pixels.astype(int) - np.array(COLOURS_RGB[class_id])).max(axis=2)
    return np.asarray(distance < 60)


@pytest.mark.parametrize("mosaic", [False, True])
@pytest.mark.parametrize("mirror", [0.0, 1.0])
def test_boxes_stay_on_their_objects(mosaic: bool, mirror: float) -> None:
    seen = 0
    for sample in samples(replace(PLAIN, mirror=mirror), 40, mosaic):
        claimed = np.zeros(SIZE[::-1], np.bool_)
        for (x1, y1, x2, y2), class_id in zip(sample.boxes_xyxy, sample.class_ids, strict=True):
            assert 0 <= x1 < x2 <= SIZE[0]
            assert 0 <= y1 < y2 <= SIZE[1]
            assert min(x2 - x1, y2 - y1) >= LEAST_SIDE
            inner = sample.image_rgb[int(np.ceil(y1)) : int(y2), int(np.ceil(x1)) : int(x2)]
            assert is_colour(inner, int(class_id)).mean() > 0.75 if min(inner.shape) > 4 else True
            claimed[max(0, int(y1 - 1.5)) : int(np.ceil(y2 + 1.5)), max(0, int(x1 - 1.5)) : int(np.ceil(x2 + 1.5))] = (
                True
            )
            seen += 1
        for x1, y1, x2, y2 in sample.ignored_xyxy:
            claimed[max(0, int(y1 - 1.5)) : int(np.ceil(y2 + 1.5)), max(0, int(x1 - 1.5)) : int(np.ceil(x2 + 1.5))] = (
                True
            )
        coloured = np.any([is_colour(sample.image_rgb, class_id) for class_id in range(3)], axis=0)
        assert not (coloured & ~claimed).any()  # no object without its box, or an ignored region
    assert seen > 40


def test_all_of_an_unchanged_picture() -> None:
    rule = replace(PLAIN, scale=(1.0, 1.0), mirror=0.0)
    sample = make_sample([IMAGES[4]], read, SIZE, rule, np.random.default_rng(0))
    np.testing.assert_array_equal(sample.image_rgb, PIXELS["picture 4"])
    np.testing.assert_array_equal(sample.boxes_xyxy, IMAGES[4].boxes_xyxy)
    np.testing.assert_array_equal(sample.ignored_xyxy, [[0, 0, 20, 10]])
    assert sample.regions_xyxy.tolist() == [[0, 0, *SIZE]]
    assert sample.paths == ("picture 4",)
    mirrored = make_sample([IMAGES[4]], read, SIZE, replace(rule, mirror=1.0), np.random.default_rng(0))
    np.testing.assert_array_equal(mirrored.image_rgb, sample.image_rgb[:, ::-1])
    np.testing.assert_array_equal(mirrored.boxes_xyxy[:, ::2], SIZE[0] - IMAGES[4].boxes_xyxy[:, 2::-2])
    assert mirrored.ignored_xyxy.tolist() == [[SIZE[0] - 20, 0, SIZE[0], 10]]


def test_what_is_hardly_visible_is_ignored() -> None:
    boxes = [(0, 0, 200, 30), (90, 50, 110, 70), (10, 60, 12, 90)]
    image = labelled("wide", (200, 100), boxes, [0, 1, 2])
    rule = replace(PLAIN, scale=(4.0, 4.0), mirror=0.0)
    for seed in range(10):
        sample = make_sample(
            [image], lambda _: draw((200, 100), boxes, [0, 1, 2]), (100, 50), rule, np.random.default_rng(seed)
        )
        assert 0 not in sample.class_ids  # at most a quarter of its width is in the sample
        for box in sample.ignored_xyxy:
            assert (box[2:] > box[:2]).all()


def test_mosaics_say_which_part_knows_which_classes() -> None:
    for sample in samples(PLAIN, 10, mosaic=True):
        assert sample.regions_xyxy.shape == (4, 4)
        for (x1, y1, x2, y2), known, path in zip(
            sample.regions_xyxy, sample.region_labelled, sample.paths, strict=True
        ):
            assert known.tolist() == [True, path != "picture 1", True]
            assert 0 <= x1 < x2 <= SIZE[0]
            assert 0 <= y1 < y2 <= SIZE[1]
        for box in sample.boxes_xyxy:
            inside = (sample.regions_xyxy[:, :2] <= box[:2]).all(axis=1) & (sample.regions_xyxy[:, 2:] >= box[2:]).all(
                axis=1
            )
            assert inside.sum() == 1


def test_colours_change_but_not_beyond_the_rule() -> None:
    rule = AugmentRule(mirror=0, scale=(1.0, 1.0))
    grey = np.full((96, 160, 3), 128, np.uint8)
    image = labelled("grey", SIZE)
    means = [
        float(make_sample([image], lambda _: grey, SIZE, rule, np.random.default_rng(seed)).image_rgb.mean())
        for seed in range(30)
    ]
    assert 128 * 0.69 < min(means) < 110
    assert 145 < max(means) < 128 * 1.31


WIDTHS = {0: 20, 2: 40}
"""Of the objects of a class in the street below, where common ones stand in two rows and a rare one in a corner."""
STREET_BOXES = [(4 + 30 * place, top, 24 + 30 * place, top + 20) for place in range(20) for top in (10, 50)]
STREET = labelled("a street", (640, 360), [*STREET_BOXES, (596, 336, 636, 356)], [0] * 40 + [2])
STREET_PIXELS = draw((640, 360), [*STREET_BOXES, (596, 336, 636, 356)], [0] * 40 + [2])


def street_crops(aimed: float, mirror: float, scale: float) -> list[Sample]:
    rule = replace(PLAIN, mirror=mirror, scale=(scale, scale), aimed=aimed)
    return [make_sample([STREET], lambda _: STREET_PIXELS, SIZE, rule, np.random.default_rng(s)) for s in range(200)]


def share_with(crops: list[Sample], class_id: int) -> float:
    """Of crops that hold a whole object of the class."""
    whole = [
        (s.boxes_xyxy[:, 2] - s.boxes_xyxy[:, 0] > WIDTHS[class_id] - 0.1) & (s.class_ids == class_id) for s in crops
    ]
    return sum(bool(found.any()) for found in whole) / len(whole)


@pytest.mark.parametrize("mirror", [0.0, 1.0])
def test_aimed_crops_hold_a_whole_object_of_classes_drawn_evenly(mirror: float) -> None:
    anywhere, aimed, half = (street_crops(share, mirror, 4.0) for share in (0.0, 1.0, 0.5))

    assert share_with(anywhere, 2) < 0.1
    assert 0.4 < share_with(aimed, 2) < 0.6
    assert 0.2 < share_with(half, 2) < 0.35
    assert all(len(crop.class_ids) for crop in aimed)
    assert not all(len(crop.class_ids) for crop in anywhere)
    for crop in aimed:
        for (x1, y1, x2, y2), class_id in zip(crop.boxes_xyxy.round().astype(int), crop.class_ids, strict=True):
            assert is_colour(crop.image_rgb[y1 + 1 : y2 - 1, x1 + 1 : x2 - 1], int(class_id)).all()


def test_an_object_larger_than_the_crop_it_is_aimed_at_fills_it() -> None:
    wall = labelled("a wall", (640, 360), [(100, 60, 500, 300)], [1])
    pixels = draw((640, 360), [(100, 60, 500, 300)], [1])
    rule = replace(PLAIN, scale=(5.0, 5.0), aimed=1.0)
    for seed in range(30):
        crop = make_sample([wall], lambda _: pixels, SIZE, rule, np.random.default_rng(seed))
        assert is_colour(crop.image_rgb, 1).mean() > 0.98


def test_pictures_without_objects_are_cut_anywhere() -> None:
    empty = labelled("an empty street", (640, 360))
    rule = replace(PLAIN, scale=(4.0, 4.0), aimed=1.0)
    crop = make_sample([empty], lambda _: STREET_PIXELS, SIZE, rule, np.random.default_rng(0))
    assert len(crop.boxes_xyxy) == 0
    assert crop.regions_xyxy.tolist() == [[0, 0, *SIZE]]
