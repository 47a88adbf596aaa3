from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from streamdet.errors import DataError
from streamdet.training.formats.find import find_sets
from streamdet.training.formats.voc import read_voc
from streamdet.training.problems import Problem

CAR = "<object><name>car</name><bndbox><xmin>11</xmin><ymin>21</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object>"


def annotation(path: Path, objects: str = CAR, *, size: str = "200 100", filename: str = "", picture: str = "") -> Path:
    """An XML file, and its picture of 200x100 at `picture`, by default in JPEGImages/."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size.split()
    path.write_text(
        f"<annotation>\n<filename>{filename}</filename>\n<size><width>{width}</width><height>{height}</height></size>\n"
        f"{objects}\n</annotation>\n"
    )
    target = path.parent.parent / (picture or f"JPEGImages/{path.stem}.jpg")
    target.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(target), np.zeros((100, 200, 3), np.uint8))
    return path


def obj(name: str, corners: str, extra: str = "") -> str:
    xmin, ymin, xmax, ymax = corners.split()
    return (
        f"<object>\n<name>{name}</name>{extra}<bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax>"
        f"<ymax>{ymax}</ymax></bndbox></object>\n"
    )


def test_boxes_count_from_one_and_difficult_objects_are_ignored(tmp_path: Path) -> None:
    objects = (
        obj("van", "1 1 200 100", "<pose>Left</pose><truncated>1</truncated><difficult>0</difficult>")
        + obj("car", "5 6 5 6", "<difficult>1</difficult>")
        + obj("car", "10.5 6 20.25 9", "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>")
    )
    annotation(tmp_path / "Annotations" / "a.xml", objects)
    annotation(tmp_path / "Annotations" / "b.xml", "")
    dataset = read_voc(tmp_path / "Annotations")
    assert dataset.name == tmp_path.name
    assert dataset.class_names == ("car", "van")
    first, second = dataset.images
    assert first.path == tmp_path / "JPEGImages" / "a.jpg"
    assert (first.width, first.height) == (200, 100)
    assert first.boxes_xyxy.tolist() == [[0, 0, 200, 100], [9.5, 5, 20.25, 9]]
    assert first.class_ids.tolist() == [1, 0]
    assert first.ignored_xyxy.tolist() == [[4, 5, 5, 6]]  # one pixel
    assert first.ignored_class_ids.tolist() == [0]
    assert first.labelled.all()
    assert second.boxes_xyxy.shape == (0, 4)


def test_sets_by_lists_share_their_classes(tmp_path: Path) -> None:
    for name, objects in (("a", CAR), ("b", obj("bus", "1 1 9 9")), ("c", ""), ("unused", obj("tram", "1 1 9 9"))):
        annotation(tmp_path / "Annotations" / f"{name}.xml", objects)
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("c\na\n")
    (lists / "val.txt").write_text("b\r\n\r\n")
    (lists / "car_val.txt").write_text("b -1\n")
    found = find_sets(tmp_path)
    assert found.format == "Pascal VOC"
    (training,), (validation,) = found.training, found.validation
    assert (training.name, validation.name) == ("train", "val")
    assert training.class_names == validation.class_names == ("bus", "car")
    assert [image.path.stem for image in training.images] == ["c", "a"]
    assert training.images[1].class_ids.tolist() == [1]
    assert validation.images[0].class_ids.tolist() == [0]
    assert [len(dataset.images) for dataset in find_sets(lists / "val.txt").training] == [1]
    (lists / "train.txt").write_text("c\nd\n")
    with pytest.raises(DataError, match=r"train\.txt:2: d has no .*d\.xml; add it, or remove the line"):
        find_sets(tmp_path)


def test_classes_txt_gives_the_order_and_the_limits(tmp_path: Path) -> None:
    annotation(tmp_path / "Annotations" / "a.xml")
    (tmp_path / "classes.txt").write_text("van\ncar\n")
    dataset = read_voc(tmp_path / "Annotations")
    assert dataset.class_names == ("van", "car")
    assert dataset.images[0].class_ids.tolist() == [1]
    (tmp_path / "classes.txt").write_text("van\n")
    with pytest.raises(DataError, match=r"a\.xml:4: the object car has .*is not in the list of classes \(van\)"):
        read_voc(tmp_path / "Annotations")
    (tmp_path / "classes.txt").write_text("van\nvan\n")
    with pytest.raises(DataError, match=r"classes\.txt has the classes van, van; each needs a name of its own"):
        read_voc(tmp_path / "Annotations")


@pytest.mark.parametrize(
    ("filename", "picture"),
    [
        ("shot.png", "set/shot.png"),
        (r"C:\photos\shot.png", "set/shot.png"),
        ("gone.jpg", "set/a.png"),
        ("", "set/a.webp"),
        ("a", "images/a.jpeg"),
    ],
)
def test_where_the_picture_is(tmp_path: Path, filename: str, picture: str) -> None:
    path = annotation(tmp_path / "set" / "a.xml", filename=filename, picture=picture)
    assert [image.path for image in read_voc(path.parent).images] == [tmp_path / picture]
    assert [image.path for image in read_voc(path).images] == [tmp_path / picture]


@pytest.mark.parametrize("size", ["0 0", "x y", "99999999999 1"])
def test_a_size_that_means_nothing_comes_from_the_picture(tmp_path: Path, size: str) -> None:
    annotation(tmp_path / "Annotations" / "a.xml", size=size)
    (image,) = read_voc(tmp_path / "Annotations").images
    assert (image.width, image.height) == (200, 100)


@pytest.mark.parametrize(
    ("objects", "kind", "message"),
    [
        (obj("car", "30 20 10 40"), "wrong order", r"the object car has xmin ymin xmax ymax = 30 20 10 40; its right"),
        (obj("car", "30 20 29 40"), "zero area", "positive width and height"),
        (obj("car", "201 20 230 40"), "outside", "outside the picture of 200x100"),
        (obj("car", "0.1 0.2 0.5 0.9"), "normalised", "look like shares of the picture"),
        (obj("car", "a 20 10 40"), "bndbox", "its bndbox must hold four numbers"),
        (obj("car", "nan 20 10 40"), "not finite", "must be finite"),
        ("<object>\n<name>car</name></object>\n", "bndbox", "its bndbox must hold four numbers"),
        (obj("", "10 20 30 40"), "no name", "it needs a name"),
        (obj("car", "1 2 3 4", "<difficult>yes</difficult>"), "difficult", "its difficult is yes; it must be 0 or 1"),
    ],
)
def test_bad_objects(tmp_path: Path, objects: str, kind: str, message: str) -> None:
    path = annotation(tmp_path / "Annotations" / "a.xml", CAR + "\n" + objects + obj("bus", "1 1 9 9"))
    with pytest.raises(DataError, match=rf"a\.xml:5: .*{message}"):
        read_voc(path.parent)
    problems: list[Problem] = []
    dataset = read_voc(path.parent, complain=problems.append)
    assert [(problem.kind, problem.line) for problem in problems] == [(kind, 5)]
    assert dataset.images[0].class_ids.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "it is no XML that can be read: no element found"),
        ("<annotation><object></annotation>", "it is no XML that can be read: mismatched tag"),
        ("<svg/>", "it is no Pascal VOC file: its root is svg, not annotation"),
        ('<!DOCTYPE a [<!ENTITY x "ha">]><annotation>&x;</annotation>', "it declares XML entities"),
        ('<?xml version="1.0" encoding="utf-99"?><annotation/>', "it is no XML that can be read: unknown encoding"),
    ],
)
def test_files_that_are_no_voc_are_left_out(tmp_path: Path, content: str, message: str) -> None:
    annotation(tmp_path / "Annotations" / "a.xml")
    annotation(tmp_path / "Annotations" / "b.xml").write_text(content)
    with pytest.raises(DataError, match=rf"b\.xml: {message}"):
        read_voc(tmp_path / "Annotations")
    problems: list[Problem] = []
    dataset = read_voc(tmp_path / "Annotations", complain=problems.append)
    assert [image.path.name for image in dataset.images] == ["a.jpg"]
    assert [problem.kind for problem in problems] == ["unreadable labels"]


def test_a_missing_picture(tmp_path: Path) -> None:
    path = annotation(tmp_path / "Annotations" / "a.xml", filename="shot.jpg")
    (tmp_path / "JPEGImages" / "a.jpg").unlink()
    with pytest.raises(DataError, match=r"a\.xml: its picture shot\.jpg is missing; add it, or remove the file"):
        read_voc(path.parent)
