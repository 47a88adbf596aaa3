from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from streamdet.errors import DataError
from streamdet.training.dataset import read_for_training, read_rgb, read_sets
from streamdet.training.formats.pictures import picture_size, size_fault
from tests.rectangles import labelled, write_set


def test_no_labels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no labels found in .*; looked for COCO \(train\.json\), YOLO"):
        read_for_training([tmp_path])
    write_set(tmp_path / "val.json", 2)
    with pytest.raises(DataError, match="no training set in"):
        read_for_training([tmp_path])
    assert [dataset.name for dataset in read_sets([tmp_path])[1]] == ["val"]


def test_pictures_are_read_as_rgb_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "two.png"
    image = labelled(str(path), (32, 32))
    with pytest.raises(DataError, match=r"two\.png is missing"):
        read_rgb(image)
    cv2.imwrite(str(path), np.full((32, 32, 3), (10, 20, 200), np.uint8))  # BGR
    pixels = read_rgb(image)
    assert pixels[0, 0].tolist() == [200, 20, 10]
    assert pixels.flags.c_contiguous
    assert size_fault(image) is None
    cv2.imwrite(str(path), np.zeros((32, 31, 3), np.uint8))
    with pytest.raises(DataError, match=r"two\.png has 31x32 pixels, its labels say 32x32"):
        read_rgb(image)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
@pytest.mark.parametrize("kept", [0.0, 0.03, 0.5, 0.98])
def test_broken_pictures(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"broken{suffix}"
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    content = cv2.imencode(suffix, noise)[1].tobytes()
    path.write_bytes(content)
    read_rgb(labelled(str(path), (60, 40)))
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DataError, match=r"broken\.\w+ can't be decoded: it is damaged, cut off or no picture"):
        read_rgb(labelled(str(path), (60, 40)))


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"can't be read: Is a directory"):
        read_rgb(labelled(str(tmp_path), (60, 40)))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = tmp_path / f"turned{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (40, 24)).save(path, exif=exif)
    upright = (40, 24) if orientation < 5 else (24, 40)
    assert picture_size(path) == upright
    image = labelled(str(path), upright)
    assert read_rgb(image).shape == (*upright[::-1], 3)  # OpenCV agrees
    assert size_fault(image) is None
    if orientation >= 5:
        unturned = labelled(str(path), (40, 24))
        fault = size_fault(unturned)
        assert fault is not None
        assert fault.kind == "EXIF orientation"
        with pytest.raises(DataError, match=r"EXIF orientation turns it to 24x40, .* for the unturned 40x24; label"):
            read_rgb(unturned)


def test_sets_of_several_folders(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_set(tmp_path / folder / "train.json", 2)
        write_set(tmp_path / folder / "val.json", 2)
    write_set(tmp_path / "b" / "val_night.json", 2)
    folders = [tmp_path / "a", tmp_path / "b"]
    assert [len(dataset.images) for dataset in read_sets(folders)[0]] == [2, 2]
    assert [dataset.name for dataset in read_sets(folders)[1]] == ["a/val", "b/val", "val_night"]
    content = json.loads((tmp_path / "b" / "train.json").read_text())
    content["categories"][0]["name"] = "lorry"
    (tmp_path / "b" / "train.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"b has the classes lorry, person, bicycle, .*a has car, person, bicycle"):
        read_sets(folders)[0]


def test_classes_in_another_order_are_mapped_by_name(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_set(tmp_path / folder / "train.json", 4)
        write_set(tmp_path / folder / "val.json", 4)
    for path in (tmp_path / "b").glob("*.json"):
        content = json.loads(path.read_text())
        for category in content["categories"]:
            category["id"] = 100 - category["id"]
        for annotation in content["annotations"]:
            annotation["category_id"] = 100 - annotation["category_id"]
        content["images"][0]["labelled_category_ids"] = [99]  # car
        path.write_text(json.dumps(content))
    (a, b), validation = read_sets([tmp_path / "a", tmp_path / "b"])
    assert a.class_names == b.class_names == ("car", "person", "bicycle")
    assert all(dataset.class_names == a.class_names for dataset in validation)
    for first, second in zip(a.images, b.images, strict=True):
        assert first.class_ids.tolist() == second.class_ids.tolist()
    assert b.images[0].labelled.tolist() == [True, False, False]
    assert b.images[1].labelled.all()


@pytest.mark.shared
def test_the_shared_data_is_read(shared_dir: Path) -> None:
    ((training,), _) = read_sets([shared_dir / "data"])
    assert len(training.images) > 5000
    assert {"car", "person"} < set(training.class_names)
    assert any(not image.labelled.all() for image in training.images)
    assert any(len(image.ignored_xyxy) for image in training.images)
    assert len(read_sets([shared_dir / "data"])[1]) == 4
    read_rgb(training.images[0])
