from __future__ import annotations

import os
import signal
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamdet.errors import DataError, StreamdetError
from streamdet.training.augment import AugmentRule, Sample
from streamdet.training.cache import PictureCache, cache_budget
from streamdet.training.dataset import LabelledImage, read_rgb
from streamdet.training.loader import SampleSet, batches
from tests.rectangles import draw, labelled

SIZE = (160, 96)
FORKED = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[LabelledImage]:
    """Six pictures, the last of them large."""
    folder = tmp_path_factory.mktemp("pictures")
    found = []
    for number in range(6):
        size = (160, 96) if number < 5 else (1280, 720)
        box = (10 + number, 10, 60, 50)
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), draw(size, [box], [number % 3], number))
        found.append(labelled(str(path), size, [box], [number % 3], known=(True, number != 1, True)))
    return found


def sample_set(images: list[LabelledImage], **changes: object) -> SampleSet:
    fields: dict[str, object] = {"repeats": {}, "sizes": [SIZE] * 4 + [(128, 64)] * 2, "batch_size": 3}
    fields |= {"rule": AugmentRule(mosaic=0.4), "seed": 7} | changes
    return SampleSet(images, **fields)  # type: ignore[arg-type]


def made(samples: SampleSet, number: int) -> list[Sample]:
    batch = samples[number]
    assert isinstance(batch, list)
    return batch


def assert_same(one: list[Sample], other: list[Sample]) -> None:
    for a, b in zip(one, other, strict=True):
        assert a.paths == b.paths
        for name in ("image_rgb", "boxes_xyxy", "class_ids", "regions_xyxy", "region_labelled"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_a_batch_is_the_same_whoever_asks(images: list[LabelledImage]) -> None:
    straight = [made(sample_set(images), number) for number in range(6)]
    again = sample_set(images)
    backwards = [made(again, number) for number in reversed(range(6))][::-1]
    for a, b in zip(straight, backwards, strict=True):
        assert_same(a, b)
    other = [made(sample_set(images, seed=8), number) for number in range(6)]
    assert any(a[0].paths != b[0].paths for a, b in zip(straight, other, strict=True))


def test_processes_share_a_batch_without_seeing_a_sample_twice(images: list[LabelledImage]) -> None:
    whole = sample_set(images, batch_size=6)
    parts = [sample_set(images, batch_size=6, share=(rank, 3)) for rank in range(3)]
    for number in range(6):
        assert_same(made(whole, number), [sample for part in parts for sample in made(part, number)])


def test_each_picture_comes_once_per_epoch_times_its_repeats(images: list[LabelledImage]) -> None:
    rule = AugmentRule(mosaic=0)
    first = sample_set(images, rule=rule)
    plain = [sample.paths[0] for number in range(2) for sample in made(first, number)]
    assert sorted(plain) == [str(image.path) for image in images]
    twice = sample_set(images, rule=rule, repeats={"drawn": 2})
    assert sorted(sample.paths[0] for number in range(4) for sample in made(twice, number)) == sorted(plain * 2)
    with pytest.raises(DataError, match="no picture to train on"):
        sample_set(images, repeats={"drawn": 0})


@FORKED
@pytest.mark.parametrize("cache_bytes", [0, 70_000, 1 << 30])
def test_neither_workers_nor_memory_change_a_sample(images: list[LabelledImage], cache_bytes: int) -> None:
    here = list(batches(sample_set(images), 2, 0))
    there = list(batches(sample_set(images, cache_bytes=cache_bytes), 2, 2))
    assert len(here) == len(there) == 4
    assert [tuple(batch.images_rgb.shape) for batch in here] == [(3, 96, 160, 3)] * 2 + [(3, 64, 128, 3)] * 2
    for a, b in zip(here, there, strict=True):
        assert a.images_rgb.equal(b.images_rgb)
        assert_same(list(a.samples), list(b.samples))


@FORKED
@pytest.mark.timeout(60)  # it waited forever
def test_workers_start_where_opencv_has_threads(images: list[LabelledImage]) -> None:
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(4)
        cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (9, 9), 0)  # starts them
        assert len(list(batches(sample_set(images), 2, 2))) == 4
    finally:
        cv2.setNumThreads(threads)


def test_a_picture_is_decoded_once_and_reduced_to_what_a_sample_may_show(images: list[LabelledImage]) -> None:
    cache = PictureCache(images, [SIZE, (128, 64)], 1.5, 1 << 30)
    assert cache.kept == 6
    assert cache.shapes[:5] == [(96, 160)] * 5
    assert cache.shapes[5] == (135, 240)  # 1.5 times what fits into 160x96
    first = cache.read(5).copy()
    small = cv2.resize(read_rgb(images[5]), (240, 135), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(first, small)
    cache.images = [replace(image, path=Path("gone.png")) for image in images]
    np.testing.assert_array_equal(cache.read(5), first)
    with pytest.raises(DataError, match=r"gone\.png is missing"):
        cache.read(0)


def test_what_does_not_fit_is_decoded_each_time(images: list[LabelledImage]) -> None:
    cache = PictureCache(images, [SIZE], 1.0, 2 * 160 * 96 * 3 + 6)
    assert cache.kept == 2
    for place, image in enumerate(images[:5]):
        np.testing.assert_array_equal(cache.read(place), read_rgb(image))
    assert PictureCache(images, [SIZE], 1.0, 0).kept == 0
    assert cache_budget("off") == 0
    assert 0 < cache_budget("auto", 2) <= cache_budget("auto") < os.sysconf("SC_PHYS_PAGES") * 4096 / 2


@FORKED
@pytest.mark.parametrize("workers", [0, 2])
def test_a_missing_picture_is_one_sentence(images: list[LabelledImage], workers: int) -> None:
    gone = [*images[:5], replace(images[5], path=Path("gone.png"))]
    with pytest.raises(DataError) as caught:
        list(batches(sample_set(gone), 0, workers))
    assert str(caught.value) == "gone.png is missing; `streamdet data check` names all such pictures at once"


@FORKED
def test_a_killed_worker_is_one_sentence(images: list[LabelledImage]) -> None:
    running = batches(sample_set(images, sizes=[SIZE] * 400), 0, 1)
    next(running)
    for worker in active_children():
        os.kill(worker.pid or 0, signal.SIGKILL)
    with pytest.raises(StreamdetError, match=r"a process that prepares samples was killed, .*--cache off"):
        list(running)
