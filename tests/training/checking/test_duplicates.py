from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from streamdet.training.checking.duplicates import (
    NEAR_COPY,
    SAME_VIEW,
    clusters,
    copies,
    difference_hashes,
    fingerprints,
    most_alike,
    views,
)
from streamdet.training.checking.glances import Glance, look_at
from streamdet.training.dataset import LabelledImage
from tests.networks import noise_picture
from tests.rectangles import labelled

Picture = npt.NDArray[np.uint8]


def saved(path: Path, picture: Picture, *parameters: int) -> LabelledImage:
    cv2.imwrite(str(path), picture, parameters)
    return labelled(str(path), (picture.shape[1], picture.shape[0]))


def moved(picture: Picture, pixels: int) -> Picture:
    """The picture with a dark block on it, `pixels` from the left: an object that drives by."""
    result = picture.copy()
    result[120:150, pixels : pixels + 24] = 10
    return result


def test_hash_by_hand() -> None:
    ramp = np.arange(9, dtype=np.uint8)[None].repeat(8, axis=0) * 20
    checks = np.zeros((8, 9), np.uint8)
    checks[:, 1] = 200  # rises once, falls once
    hashes = difference_hashes([ramp, ramp[:, ::-1], checks])
    assert np.bitwise_count(hashes).tolist() == [64, 0, 8]


def test_frames_of_a_clip_are_near_copies_and_other_scenes_are_not(tmp_path: Path) -> None:
    scenes = [noise_picture(320, 240, seed) for seed in range(12)]
    pictures = [moved(scenes[0], 40), moved(scenes[0], 44), *scenes[1:]]
    images = [saved(tmp_path / f"{number}.png", picture) for number, picture in enumerate(pictures)]
    images.append(saved(tmp_path / "again.jpg", pictures[5], cv2.IMWRITE_JPEG_QUALITY, 60))
    images.append(saved(tmp_path / "small.png", cv2.resize(pictures[7], (160, 120), interpolation=cv2.INTER_AREA)))
    prints = fingerprints([look_at(image) for image in images])
    assert clusters(prints, NEAR_COPY).tolist() == [0, 0, *range(2, 13), 5, 7]
    assert copies(prints) == []


def test_equal_files_are_copies_however_they_look(tmp_path: Path) -> None:
    black = np.zeros((64, 64, 3), np.uint8)
    images = [saved(tmp_path / f"{k}.png", p) for k, p in enumerate((black, noise_picture(64, 64), black, black + 1))]
    prints = fingerprints([look_at(image) for image in images])
    assert [equal.tolist() for equal in copies(prints)] == [[0, 2]]
    assert clusters(prints, NEAR_COPY).tolist() == [0, 1, 0, 3]  # black and almost black: nothing to compare
    places, likeness = most_alike(prints[np.array([2])], prints[np.array([1, 0])])
    assert (places.tolist(), likeness.tolist()) == ([1], [1.0])


def test_most_alike_names_the_nearest() -> None:
    rng = np.random.default_rng(0)
    base = rng.integers(0, 255, (32, 32)).astype(np.uint8)

    def near(noise: float) -> Glance:
        return Glance(np.clip(base + rng.normal(0, noise, base.shape), 0, 255).astype(np.uint8), rng.bytes(16))

    others = fingerprints([near(60), near(4), near(30), Glance(rng.integers(0, 255, (32, 32)).astype(np.uint8), b"x")])
    places, likeness = most_alike(fingerprints([near(0)]), others)
    assert places.tolist() == [1]
    assert NEAR_COPY < likeness[0] < 1
    nobody = most_alike(fingerprints([near(0)]), others[np.zeros(0, np.int64)])
    assert nobody[1].tolist() == [-1]


def test_clusters_are_linked_by_chains_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scene that changes little by little, in an order that scatters it over the blocks."""
    monkeypatch.setattr("streamdet.training.checking.duplicates.BLOCK", 4)
    first, last = (noise_picture(64, 64, seed)[:32, :32, 0].astype(float) for seed in (1, 2))
    steps = [(1 - share) * first + share * last for share in np.linspace(0, 1, 40)]
    rng = np.random.default_rng(0)
    order = rng.permutation(len(steps))
    glances = [Glance(steps[k].astype(np.uint8), bytes([k, 1])) for k in order.tolist()]
    prints = fingerprints(glances)
    ends = [order.tolist().index(0), order.tolist().index(39)]
    assert float(prints.vectors[ends[0]] @ prints.vectors[ends[1]]) < SAME_VIEW
    assert set(clusters(prints, NEAR_COPY).tolist()) == {0}


def test_clusters_match_a_plain_search() -> None:
    rng = np.random.default_rng(3)
    bases = rng.integers(0, 255, (12, 32, 32))
    noisy = [np.clip(bases[k % 12] + rng.normal(0, 6, (32, 32)), 0, 255).astype(np.uint8) for k in range(60)]
    prints = fingerprints([Glance(grey, bytes([k])) for k, grey in enumerate(noisy)])
    assert clusters(prints, NEAR_COPY).tolist() == [k % 12 for k in range(60)]


def test_neighbours_by_name_make_a_clip_even_when_much_moves() -> None:
    rng = np.random.default_rng(0)
    scene, other = noise_picture(64, 64, 5)[:32, :32, 0].astype(float), noise_picture(64, 64, 9)[:32, :32, 0]
    frames = [np.clip(scene + rng.normal(0, 25, (32, 32)), 0, 255).astype(np.uint8) for _ in range(5)]
    prints = fingerprints([Glance(grey, bytes([k])) for k, grey in enumerate([*frames, other])])
    assert set(clusters(prints, SAME_VIEW).tolist()) == set(range(6))
    assert views(prints, np.arange(6)).tolist() == [0, 0, 0, 0, 0, 5]


@pytest.mark.shared
def test_real_frames(shared_dir: Path) -> None:
    """Groups of the shared data were made by hand: no near-copy lies in two of them; a jam camera stays one view."""
    from streamdet.training.formats.find import find_sets
    from streamdet.video.sources import open_source

    dataset = find_sets(shared_dir / "data" / "newcamera_test.json").training[0]
    prints = fingerprints([look_at(image) for image in dataset.images])
    near = clusters(prints, NEAR_COPY)
    groups = np.array([image.group for image in dataset.images])
    assert len(set(near.tolist())) < len(near)
    assert (groups == groups[near]).all()
    with open_source(shared_dir / "videos" / "tfl_jamcam_3.mp4") as source:
        greys = [frame.picture.to_ndarray(format="gray") for frame in source]
    small = [cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.uint8) for grey in greys]
    frames = fingerprints([Glance(grey, str(k).encode()) for k, grey in enumerate(small)])
    assert len(set(clusters(frames, NEAR_COPY).tolist())) == 1
