from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from streamdet.errors import DataError
from streamdet.training.formats.csv_rows import read_csv
from streamdet.training.formats.find import find_sets
from streamdet.training.problems import Problem


def table(folder: Path, text: str, name: str = "train.csv") -> Path:
    """A CSV file, and the pictures a.png, b.png and images/c.png of 200x100."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for picture in ("a.png", "b.png", "images/c.png"):
        cv2.imwrite(str(folder / picture), np.zeros((100, 200, 3), np.uint8))
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "header", ["", "path,x1,y1,x2,y2,class\n", "\ufeffimage_path, xmin, ymin, xmax, ymax, label\n"]
)
def test_rows_with_and_without_a_header(tmp_path: Path, header: str) -> None:
    rows = 'b.png,,,,,\na.png,10,20,30,40.5,"van, small"\n\nc.png,1,2,3,4,car\na.png,1,2,3,4,car\n'
    dataset = read_csv(table(tmp_path, header + rows))
    assert dataset.name == "train"
    assert dataset.class_names == ("car", "van, small")
    empty, first, second = dataset.images
    assert (empty.path, len(empty.boxes_xyxy)) == (tmp_path / "b.png", 0)
    assert (first.width, first.height) == (200, 100)
    assert first.boxes_xyxy.tolist() == [[10, 20, 30, 40.5], [1, 2, 3, 4]]
    assert first.class_ids.tolist() == [1, 0]
    assert second.path == tmp_path / "images" / "c.png"


def test_columns_of_tensorflow_and_roboflow(tmp_path: Path) -> None:
    header = "filename,width,height,class,xmin,ymin,xmax,ymax\n"
    # the size is believed, as COCO's is: the picture is compared with it when it is opened
    dataset = read_csv(table(tmp_path, header + "a.png,400,300,car,1,2,350,4\nb.png,,,car,1,2,3,4\n"))
    first, second = dataset.images
    assert (first.width, first.height, first.boxes_xyxy.tolist()) == (400, 300, [[1, 2, 350, 4]])
    assert (second.width, second.height) == (200, 100)


def test_classes_csv(tmp_path: Path) -> None:
    path = table(tmp_path, "a.png,10,20,30,40,car\n")
    (tmp_path / "classes.csv").write_text("van,1\ncar,2\nbus,0\n")
    dataset = read_csv(path)
    assert dataset.class_names == ("bus", "van", "car")
    assert dataset.images[0].class_ids.tolist() == [2]
    for text, message in (
        ("van,1\ncar,2\n", r"classes\.csv numbers its classes 1, 2; number them 0, 1, 2"),
        ("van,0\ncar\n", r"classes\.csv has the row car; each must be name,id"),
        ("van,0\nvan,1\n", r"classes\.csv has the classes van, van"),
        (
            "van,0\n",
            r"train\.csv:1: the row is a\.png,10,20,30,40,car; the class is not in the list of classes \(van\)",
        ),
    ):
        (tmp_path / "classes.csv").write_text(text)
        with pytest.raises(DataError, match=message):
            read_csv(path)


def test_more_than_ten_classes_keep_their_order(tmp_path: Path) -> None:
    path = table(tmp_path, "a.png,10,20,30,40,c11\n")
    (tmp_path / "classes.csv").write_text("".join(f"c{number},{number}\n" for number in range(12)))
    assert read_csv(path).class_names == tuple(f"c{number}" for number in range(12))


def test_classes_of_training_and_validation_are_joined(tmp_path: Path) -> None:
    table(tmp_path, "a.png,10,20,30,40,car\n")
    table(tmp_path, "b.png,10,20,30,40,bus\n", "val.csv")
    found = find_sets(tmp_path)
    (training,), (validation,) = found.training, found.validation
    assert training.class_names == validation.class_names == ("bus", "car")
    assert training.images[0].class_ids.tolist() == [1]
    assert validation.images[0].class_ids.tolist() == [0]
    assert training.images[0].labelled.all()


@pytest.mark.parametrize(
    ("row", "kind", "message"),
    [
        ("a.png,30,20,10,40,car", "wrong order", "its right edge must be right of the left one"),
        ("a.png,10,20,10,40,car", "zero area", "positive width and height"),
        ("a.png,200,20,210,40,car", "outside", "outside the picture of 200x100"),
        ("a.png,0.1,0.2,0.3,0.4,car", "normalised", "looks like shares of the picture"),
        ("a.png,inf,20,10,40,car", "not finite", "must be finite"),
        ("a.png,ten,20,10,40,car", "not a number", "x1, y1, x2 and y2 must be numbers"),
        ("a.png,,20,10,40,car", "not a number", "must be numbers"),
        ("a.png,10,20,30,40,", "no name", "it needs a class"),
        ("a.png,10,20,30", "columns", "it must have path, x1, y1, x2, y2, class"),
        (",10,20,30,40,car", "columns", "it must have path"),
    ],
)
def test_bad_rows(tmp_path: Path, row: str, kind: str, message: str) -> None:
    path = table(tmp_path, f"a.png,50,20,60,40,car\n{row}\na.png,70,20,80,40,bus\n")
    with pytest.raises(DataError, match=rf"train\.csv:2: the row is {row}; .*{message}"):
        read_csv(path)
    problems: list[Problem] = []
    dataset = read_csv(path, complain=problems.append)
    assert [(problem.kind, problem.line) for problem in problems] == [(kind, 2)]
    assert dataset.images[0].class_ids.tolist() == [1, 0]


def test_missing_and_broken_pictures_are_told_once(tmp_path: Path) -> None:
    path = table(tmp_path, "gone.png,1,2,3,4,car\ngone.png,1,2,9,4,car\nb.png,1,2,3,4,car\na.png,1,2,3,4,car\n")
    (tmp_path / "b.png").write_bytes(b"no picture")
    problems: list[Problem] = []
    dataset = read_csv(path, complain=problems.append)
    assert [image.path.name for image in dataset.images] == ["a.png"]
    assert [(problem.path.name, problem.line, problem.kind) for problem in problems] == [
        ("train.csv", 1, "missing picture"),
        ("b.png", None, "unreadable picture"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,x,y,width,height,class\na.png,1,2,3,4,car\n", "begins with path,x,y,.* where x1, y1, x2, y2 is missing"),
        ("a.png;1;2;3;4;car\n", "where path, x1, y1, x2, y2, class is missing; it must be a header"),
        ("a.png,1,2,3,4,vélo\n", "it is no text in UTF-8"),
        ('a.png,1,2,3,4,"' + "x" * 200_000, "is no CSV that can be read: field larger than field limit"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    path = table(tmp_path, "")
    path.write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=message) as caught:
        read_csv(path)
    assert str(caught.value).startswith(str(path))
