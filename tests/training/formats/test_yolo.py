from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from streamdet.errors import DataError
from streamdet.training.formats.yolo import read_yolo
from streamdet.training.problems import Problem

TWO_NAMES = "names: [car, bus]\n"


def picture(path: Path, width: int = 200, height: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((height, width, 3), np.uint8))
    return path


def label(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def small_set(
    folder: Path, labels: str = "0 0.5 0.5 0.1 0.2\n", yaml: str = "train: images/train\n" + TWO_NAMES
) -> Path:
    """A data.yaml with one picture of 200x100 that has these labels."""
    picture(folder / "images" / "train" / "a.png")
    label(folder / "labels" / "train" / "a.txt", labels)
    (folder / "data.yaml").write_text(yaml)
    return folder / "data.yaml"


def test_boxes_polygons_and_empty_pictures(tmp_path: Path) -> None:
    path = small_set(tmp_path, "1 0.5 0.5 0.1 0.2\n\n0 0.1 0.2 0.3 0.1 0.2 0.6\n")
    picture(tmp_path / "images" / "train" / "sub" / "b.jpg", 64, 48)
    picture(tmp_path / "images" / "train" / "c.png")
    label(tmp_path / "labels" / "train" / "c.txt", "")
    (dataset,) = read_yolo(path)
    assert dataset.name == "train"
    assert dataset.class_names == ("car", "bus")
    first, second, third = dataset.images
    assert first.class_ids.tolist() == [1, 0]
    np.testing.assert_allclose(first.boxes_xyxy, [[90, 40, 110, 60], [20, 10, 60, 60]], atol=1e-4)
    assert first.labelled.all()
    assert (second.path.name, len(second.boxes_xyxy)) == ("c.png", 0)
    assert (third.path.name, third.width, third.height, len(third.boxes_xyxy)) == ("b.jpg", 64, 48, 0)
    assert read_yolo(path, "val") == ()


def test_a_pose_gives_its_box(tmp_path: Path) -> None:
    path = small_set(tmp_path, "1 0.5 0.5 0.1 0.2 0.4 0.4 2 0.6 0.6 1\n")
    path.write_text(path.read_text() + "kpt_shape: [2, 3]\n")
    (image,) = read_yolo(path)[0].images
    np.testing.assert_allclose(image.boxes_xyxy, [[90, 40, 110, 60]], atol=1e-4)


@pytest.mark.parametrize(
    ("yaml", "names"),
    [
        ("names: [car, bus]", ("car", "bus")),
        ("names:\n  1: bus\n  0: car", ("car", "bus")),
        ("names: {0: 0, 1: vélo}", ("0", "vélo")),
        ("nc: 2\nnames:\n- car\n- bus", ("car", "bus")),
    ],
)
def test_names(tmp_path: Path, yaml: str, names: tuple[str, ...]) -> None:
    (dataset,) = read_yolo(small_set(tmp_path, yaml=f"train: images/train\n{yaml}\n"))
    assert dataset.class_names == names


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("names: [yes, no]", "class 0 the name True; put a text in quotes"),
        ("names: [car, 2024-01-01]", "class 1 the name .*date.*; put a text in quotes"),
        ("names: [car, car]", r"has the names car, car; each class needs a name of its own"),
        ("names: {1: car, 2: bus}", "numbers its classes 1, 2; number them 0, 1, 2"),
        ("names: car", "has the names car; list the classes"),
        ("names: []", "has the names"),
        ("nc: 2", "has the names None"),
        ("names: [car", r"data\.yaml:\d+ is no YAML that can be read"),
        ("!!timestamp x", "is no YAML that can be read"),
        ("- a", "holds .*; a data.yaml has the keys train, val and names"),
        ("names: !!python/object/apply:os.system [ls]", "is no YAML that can be read: could not determine"),
    ],
)
def test_data_yaml_that_cannot_be_used(tmp_path: Path, yaml: str, message: str) -> None:
    path = small_set(tmp_path, yaml=yaml)
    with pytest.raises(DataError, match=message) as caught:
        read_yolo(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("where", "yaml"),
    [
        ("images/train", "path: ."),
        ("sets/images/train", "path: sets"),
        ("images/train", "path: /content/long/gone"),
        ("images/train", "path: gone"),
        ("images/train", ""),
    ],
)
def test_path_of_the_folders(tmp_path: Path, where: str, yaml: str) -> None:
    picture(tmp_path / where / "a.png")
    label(tmp_path / where.replace("images", "labels") / "a.txt", "0 0.5 0.5 0.1 0.2")
    (tmp_path / "data.yaml").write_text(f"{yaml}\ntrain: images/train\n{TWO_NAMES}")
    (dataset,) = read_yolo(tmp_path / "data.yaml")
    assert [len(image.boxes_xyxy) for image in dataset.images] == [1]


def test_roboflows_layout(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        picture(tmp_path / split / "images" / "a.png")
        label(tmp_path / split / "labels" / "a.txt", "0 0.5 0.5 0.1 0.2")
    (tmp_path / "data.yaml").write_text(f"train: ../train/images\nval: ../valid/images\n{TWO_NAMES}")
    (training,), (validation,) = (read_yolo(tmp_path / "data.yaml", split) for split in ("train", "val"))  # type: ignore[arg-type]
    assert (training.name, validation.name) == ("train", "valid")
    assert training.images[0].path == tmp_path / "train" / "images" / "a.png"
    assert len(validation.images[0].boxes_xyxy) == 1


def test_lists_of_folders_and_of_pictures(tmp_path: Path) -> None:
    for name in ("images/day/a.png", "images/night/b.png", "images/rain/c.png", "images/rain/d.png", "other/e.png"):
        path = picture(tmp_path / name)
        label(
            tmp_path / name.replace("images", "labels").replace(".png", ".txt"), f"1 0.5 0.5 0.{ord(path.stem) - 96} 1"
        )
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "val.txt").write_text("../images/rain/d.png\r\n\n  images/rain/c.png\nother/e.png")
    (tmp_path / "data.yaml").write_text(f"train: [images/day, images/night]\nval: lists/val.txt\n{TWO_NAMES}")
    day, night = read_yolo(tmp_path / "data.yaml")
    (validation,) = read_yolo(tmp_path / "data.yaml", "val")
    assert (day.name, night.name, validation.name) == ("day", "night", "val")
    assert [image.source for image in night.images] == ["night"]
    widths = [round(float(np.diff(image.boxes_xyxy[0, ::2])[0])) for image in (*day.images, *validation.images)]
    assert widths == [20, 80, 60, 100]  # pictures outside of images/ have their labels beside them


@pytest.mark.parametrize(
    ("line", "kind", "message"),
    [
        ("0 100 50 20 20", "looks like pixels", "that looks like pixels, it must be shares of the picture, 0 to 1"),
        ("0 0.5 0.5 0.1 0.2 0.9", "sixth value", "the sixth value looks like a detection's confidence"),
        ("0 0.5 0.5 0.1", "count", "it must be class x_center y_center width height, or a polygon"),
        ("0 0.5 0.5 0.1 0.2 0.9 0.8 0.7", "count", "or a polygon"),
        ("car 0.5 0.5 0.1 0.2", "not a number", "it must be numbers: class x_center"),
        ("2 0.5 0.5 0.1 0.2", "unknown class", r"class 2 is not in data\.yaml \(0 to 1: car, bus\)"),
        ("-1 0.5 0.5 0.1 0.2", "unknown class", "class -1 is not in"),
        ("0.5 0.5 0.5 0.1 0.2", "unknown class", "class 0.5 is not in"),
        ("0 nan 0.5 0.1 0.2", "not finite", "its numbers must be finite"),
        ("0 0.5 0.5 0 0.2", "zero area", "positive width and height"),
        ("0 0.5 0.5 -0.1 0.2", "wrong order", "its right edge must be right of the left one"),
        ("0 -0.5 0.5 0.1 0.2", "outside", "it lies outside the picture of 200x100"),
    ],
)
def test_bad_lines(tmp_path: Path, line: str, kind: str, message: str) -> None:
    path = small_set(tmp_path, f"0 0.5 0.5 0.1 0.2\n{line}\n1 0.5 0.5 0.1 0.2\n")
    with pytest.raises(DataError, match=rf"a\.txt:2: the label is {line}; .*{message}"):
        read_yolo(path)
    problems: list[Problem] = []
    (dataset,) = read_yolo(path, complain=problems.append)
    assert [(problem.kind, problem.line) for problem in problems] == [(kind, 2)]
    assert dataset.images[0].class_ids.tolist() == [0, 1]


def test_warnings(tmp_path: Path) -> None:
    path = small_set(tmp_path, "0 0.5 0.5 0.1 0.2\n0 0.5 0.5 0.1 0.2\n0 0.99 0.5 0.1 0.2\n")
    label(tmp_path / "labels" / "train" / "gone.txt", "0 0.5 0.5 0.1 0.2\n")
    label(tmp_path / "labels" / "train" / "classes.txt", "car\nbus\n")
    problems: list[Problem] = []
    (dataset,) = read_yolo(path, complain=problems.append)
    assert [(p.path.name, p.kind, p.line, p.is_error) for p in problems] == [
        ("gone.txt", "missing picture", None, False),
        ("a.txt", "duplicate box", 2, False),
        ("a.txt", "partly outside", 3, False),
    ]
    np.testing.assert_allclose(dataset.images[0].boxes_xyxy, [[90, 40, 110, 60], [188, 40, 200, 60]], atol=1e-4)
    assert len(read_yolo(path)) == 1  # warnings stop nobody


def test_files_that_cannot_be_read_are_named_and_left_out(tmp_path: Path) -> None:
    path = small_set(tmp_path)
    for name in ("b", "c"):
        picture(tmp_path / "images" / "train" / f"{name}.png")
    label(tmp_path / "labels" / "train" / "b.txt", "")
    (tmp_path / "labels" / "train" / "b.txt").write_bytes(b"\xff\xfe0\x00")
    (tmp_path / "images" / "train" / "c.png").write_bytes(b"no picture")
    problems: list[Problem] = []
    (dataset,) = read_yolo(path, complain=problems.append)
    assert [image.path.name for image in dataset.images] == ["a.png"]
    assert [str(problem).removeprefix(str(tmp_path)) for problem in problems] == [
        "/labels/train/b.txt: it can't be read: it is no text in UTF-8; save it as UTF-8",
        "/images/train/c.png: it is no picture that can be read; open it in a viewer, and export it again",
    ]


def test_a_set_without_any_label_is_an_error(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    (tmp_path / "data.yaml").write_text(f"train: images\n{TWO_NAMES}")
    with pytest.raises(DataError, match=r"there are no labels in .*labels: its 1 pictures would all count as empty"):
        read_yolo(tmp_path / "data.yaml")
    (tmp_path / "labels").mkdir()
    (dataset,) = read_yolo(tmp_path / "data.yaml")
    assert len(dataset.images) == 1


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("images/gone", r"data\.yaml:2: train is images/gone, which is not there"),
        ("empty", "train is empty, which holds no picture"),
        ("7", "train is 7; give a folder of pictures or a list of folders"),
        ("list.txt", r"list\.txt:2: the picture images/gone\.png is missing; add it, or remove the line"),
    ],
)
def test_entries_that_lead_nowhere(tmp_path: Path, entry: str, message: str) -> None:
    path = small_set(tmp_path, yaml=f"{TWO_NAMES}train: {entry}\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.txt").write_text("images/train/a.png\nimages/gone.png\n")
    with pytest.raises(DataError, match=message):
        read_yolo(path)


def test_sizes_are_those_of_the_upright_picture(tmp_path: Path) -> None:
    path = small_set(tmp_path, "0 0.5 0.25 1 0.5\n")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (200, 100)).save(tmp_path / "images" / "train" / "a.png", exif=exif)
    (image,) = read_yolo(path)[0].images
    assert (image.width, image.height) == (100, 200)
    assert image.boxes_xyxy.tolist() == [[0, 0, 100, 100]]
