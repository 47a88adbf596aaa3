from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from streamdet.errors import DataError
from streamdet.training.dataset import read_coco, read_rgb, read_training_sets, read_validation_sets
from tests.networks import CLASS_NAMES
from tests.rectangles import coco, write_set

GOOD = coco(
    [
        {"id": 5, "file_name": "a/one.png", "width": 64, "height": 48, "source": "cam1"},
        {"id": 6, "file_name": "two.png", "width": 32, "height": 32, "labelled_category_ids": [21]},
        {"id": 7, "file_name": "three.png", "width": 32, "height": 32, "not_exhaustive_category_ids": [1]},
    ],
    [
        {"id": 1, "image_id": 5, "category_id": 11, "bbox": [10, 20, 30, 8]},
        {"id": 2, "image_id": 5, "category_id": 1, "bbox": [0.5, 1, 3, 4], "iscrowd": 1},
        {"id": 3, "image_id": 6, "category_id": 21, "bbox": [-1, 0, 34, 32], "iscrowd": 0},
        {"id": 4, "image_id": 5, "category_id": 21, "bbox": [1, 1, 1, 1]},
    ],
)


def written(folder: Path, content: Any) -> Path:
    path = folder / "labels.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_good_labels(tmp_path: Path) -> None:
    dataset = read_coco(written(tmp_path, GOOD))
    assert dataset.name == "labels"
    assert dataset.class_names == CLASS_NAMES  # ids 1, 11, 21
    first, second, third = dataset.images
    assert first.path == tmp_path / "images" / "a" / "one.png"
    assert (first.width, first.height, first.source) == (64, 48, "cam1")
    assert first.boxes_xyxy.tolist() == [[10, 20, 40, 28], [1, 1, 2, 2]]
    assert first.class_ids.tolist() == [1, 2]
    assert first.ignored_xyxy.tolist() == [[0.5, 1, 3.5, 5]]
    assert first.ignored_class_ids.tolist() == [0]
    assert first.labelled.tolist() == [True, True, True]
    assert second.labelled.tolist() == [False, False, True]
    assert second.source == "labels"
    assert third.labelled.tolist() == [False, True, True]
    assert third.boxes_xyxy.shape == third.ignored_xyxy.shape == (0, 4)
    assert read_coco(written(tmp_path, GOOD), images_dir=Path("x")).images[1].path == Path("x/two.png")


def set_box(*values: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        content["annotations"][0]["bbox"] = list(values)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_box(1, 2, 0, 4), r"annotation 1 of a/one\.png has the bbox \[1, 2, 0, 4\]; .* positive width"),
        (set_box(1, 2, 3, -4), "positive width and height"),
        (set_box(1, float("nan"), 3, 4), "positive width and height"),
        (set_box(1, 2, 3), r"bbox \[1, 2, 3\]; it must be \[x, y, width, height\]"),
        (set_box(1, 2, 3, "wide"), r"it must be \[x, y, width, height\]"),
        (set_box(64, 2, 3, 4), "annotation 1 .* it lies outside the picture of 64x48"),
        (set_box(2, -9, 3, 4), "it lies outside the picture of 64x48"),
        (lambda c: c["annotations"][0].pop("bbox"), r"annotation 1 of a/one\.png has the bbox None"),
        (lambda c: c["annotations"][0].update(category_id=4), r"annotation 1 has the category_id 4.*\(1, 11, 21\)"),
        (lambda c: c["annotations"][0].update(image_id=99), "annotation 1 has the image_id 99"),
        (lambda c: c["annotations"][0].pop("image_id"), "an entry has no 'image_id'"),
        (lambda c: c["images"][0].pop("file_name"), "an entry has no 'file_name'"),
        (lambda c: c["images"][1].update(id=5), "gives an image id to several images"),
        (lambda c: c["images"][1].update(labelled_category_ids=[3]), r"two\.png names the category 3"),
        (lambda c: c["images"][2].update(not_exhaustive_category_ids=[3]), r"three\.png names the category 3"),
        (lambda c: c["categories"][1].update(name="car"), "has the categories car, car, bicycle; each needs a name"),
        (lambda c: c.update(categories=[], annotations=[]), r"has the categories \(none\)"),
        (lambda c: c.pop("annotations"), "an entry has no 'annotations'"),
        (lambda c: c.update(images=3), "no COCO file that can be used"),
        (lambda c: c["annotations"].append("x"), "no COCO file that can be used"),
    ],
)
def test_bad_labels_are_named(tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str) -> None:
    content = copy.deepcopy(GOOD)
    change(content)
    with pytest.raises(DataError, match=message) as caught:
        read_coco(written(tmp_path, content))
    assert str(caught.value).startswith(str(tmp_path / "labels.json"))


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"images": []}'])
def test_files_that_are_no_coco(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataError, match=r"labels\.json is no COCO file"):
        read_coco(written(tmp_path, content))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train\.json can't be read: No such file"):
        read_training_sets([tmp_path])


def test_pictures_are_read_as_rgb_and_checked(tmp_path: Path) -> None:
    image = read_coco(written(tmp_path, GOOD)).images[1]
    image.path.parent.mkdir()
    with pytest.raises(DataError, match=r"two\.png is missing"):
        read_rgb(image)
    cv2.imwrite(str(image.path), np.full((32, 32, 3), (10, 20, 200), np.uint8))  # BGR
    pixels = read_rgb(image)
    assert pixels[0, 0].tolist() == [200, 20, 10]
    assert pixels.flags.c_contiguous
    cv2.imwrite(str(image.path), np.zeros((32, 31, 3), np.uint8))
    with pytest.raises(DataError, match=r"two\.png has 31x32 pixels, its labels say 32x32"):
        read_rgb(image)
    image.path.write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"two\.png can't be decoded"):
        read_rgb(image)


def test_sets_of_several_folders(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_set(tmp_path / folder / "train.json", 2)
        write_set(tmp_path / folder / "val.json", 2)
    write_set(tmp_path / "b" / "val_night.json", 2)
    folders = [tmp_path / "a", tmp_path / "b"]
    assert [len(dataset.images) for dataset in read_training_sets(folders)] == [2, 2]
    assert [dataset.name for dataset in read_validation_sets(folders)] == ["a/val", "b/val", "val_night"]
    content = json.loads((tmp_path / "b" / "train.json").read_text())
    content["categories"][0]["name"] = "lorry"
    (tmp_path / "b" / "train.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"b has the classes lorry, person, bicycle, .*a has car, person, bicycle"):
        read_training_sets(folders)


@pytest.mark.shared
def test_the_shared_data_is_read(shared_dir: Path) -> None:
    (training,) = read_training_sets([shared_dir / "data"])
    assert len(training.images) > 5000
    assert {"car", "person"} < set(training.class_names)
    assert any(not image.labelled.all() for image in training.images)
    assert any(len(image.ignored_xyxy) for image in training.images)
    assert len(read_validation_sets([shared_dir / "data"])) == 4
    read_rgb(training.images[0])
