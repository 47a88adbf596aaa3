from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamdet.errors import DataError
from streamdet.training.formats.coco import read_coco
from streamdet.training.problems import Problem
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
        (set_box(1, 2, float("nan"), 4), "positive width and height"),
        (set_box(1, float("nan"), 3, 4), "its numbers must be finite"),
        (set_box(1, 1e308, 3, 1e308 * 10), "its numbers must be finite"),
        (set_box(0.1, 0.2, 0.3, 0.4), "look like shares of the picture"),
        (set_box(1, 2, 3), r"bbox \[1, 2, 3\]; it must be \[x, y, width, height\]"),
        (set_box(1, 2, 3, "wide"), r"it must be \[x, y, width, height\]"),
        (set_box(64, 2, 3, 4), "annotation 1 .* it lies outside the picture of 64x48"),
        (set_box(2, -9, 3, 4), "it lies outside the picture of 64x48"),
        (lambda c: c["annotations"][0].pop("bbox"), r"annotation 1 of a/one\.png has the bbox None"),
        (lambda c: c["annotations"][0].update(category_id=4), r"annotation 1 has the category_id 4.*\(1, 11, 21\)"),
        (lambda c: c["annotations"][0].update(image_id=99), "annotation 1 has the image_id 99"),
        (lambda c: c["annotations"][0].pop("image_id"), "annotation 1 has no 'image_id'"),
        (lambda c: c["images"][0].pop("file_name"), "image 5 has no 'file_name'"),
        (lambda c: c["images"][1].update(id=5), "gives an image id to several images"),
        (lambda c: c["images"][1].update(labelled_category_ids=[3]), r"two\.png names the category 3"),
        (lambda c: c["images"][2].update(not_exhaustive_category_ids=[3]), r"three\.png names the category 3"),
        (lambda c: c["categories"][1].update(name="car"), "has the categories car, car, bicycle; each needs a name"),
        (lambda c: c.update(categories=[], annotations=[]), r"has the categories \(none\)"),
        (lambda c: c.pop("annotations"), "no COCO file .* it has no 'annotations'"),
        (lambda c: c.update(images=3), "no COCO file that can be used"),
        (lambda c: c["annotations"].append("x"), "an annotation is x; it must be an object"),
        (lambda c: c["images"].insert(0, 7), "an image is 7; it must be an object"),
        (lambda c: c["images"][0].pop("width"), r"a/one\.png has no 'width'"),
        (lambda c: c["images"][0].update(height=-3), r"a/one\.png has the height -3; give it in pixels"),
        (lambda c: c["annotations"][0].update(iscrowd="no"), "iscrowd .* must be 0 or 1"),
        (lambda c: c["categories"][0].pop("name"), "category .* needs an id .* and a name"),
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


def numbered(images: int) -> list[dict[str, Any]]:
    return [{"id": n, "file_name": f"{n}.png", "width": 100, "height": 80} for n in range(images)]


def test_all_problems_are_gathered_with_their_lines(tmp_path: Path) -> None:
    images = [*numbered(2), {"id": 1, "file_name": "other.png", "width": 10, "height": 10}]
    annotations = [
        {"id": 10, "image_id": 0, "category_id": 1, "bbox": [5, 5, 20, 20]},
        {"id": 11, "image_id": 0, "category_id": 1, "bbox": [5, 5, -20, 20]},
        {"id": 12, "image_id": 0, "category_id": 1, "bbox": [5, 5, 0, 20]},
        {"id": 13, "image_id": 0, "category_id": 1, "bbox": [90, 5, 20, 20]},
        {"id": 14, "image_id": 0, "category_id": 1, "bbox": [5, 5, 20, 20]},
        {"id": 15, "image_id": 0, "category_id": 3, "bbox": [5, 5, 20, 20]},
        {"id": 16, "image_id": 9, "category_id": 1, "bbox": [5, 5, 20, 20]},
        {"id": 17, "image_id": 1, "category_id": 1, "bbox": [120, 5, 20, 20]},
        {"id": 18, "image_id": 1, "category_id": 1, "bbox": [79, 5, 22.5, 20]},
    ]
    text = json.dumps(coco(images, annotations), indent=1)
    path = written(tmp_path, text)
    problems: list[Problem] = []
    dataset = read_coco(path, complain=problems.append)
    assert [(problem.kind, problem.is_error) for problem in problems] == [
        ("duplicate image id", True),
        ("unknown class", True),
        ("unknown image", True),
        ("wrong order", True),
        ("zero area", True),
        ("partly outside", False),
        ("duplicate box", False),
        ("outside", True),
    ]
    lines = text.split("\n")
    for problem, named in zip(problems[1:], (15, 16, 11, 12, 13, 14, 17), strict=True):
        assert problem.line is not None
        assert lines[problem.line - 1].strip() == "{"
        assert lines[problem.line].strip() == f'"id": {named},'
        assert f"annotation {named}" in problem.sentence
    first, second = dataset.images
    assert first.boxes_xyxy.tolist() == [[5, 5, 25, 25], [90, 5, 100, 25]]
    assert second.boxes_xyxy.tolist() == [[79, 5, 101.5, 25]]  # tools round: less than 2 px are nothing to mend


@pytest.mark.parametrize("first_id", [0, 1, 7])
def test_ids_may_begin_anywhere(tmp_path: Path, first_id: int) -> None:
    content = {
        "categories": [{"id": first_id + n, "name": name} for n, name in enumerate("ba")],
        "images": numbered(1),
        "annotations": [{"id": 0, "image_id": 0, "category_id": first_id + 1, "bbox": [1, 2, 3, 4]}],
    }
    dataset = read_coco(written(tmp_path, content))
    assert dataset.class_names == ("b", "a")
    assert dataset.images[0].class_ids.tolist() == [1]


def test_lvis_classes_that_nobody_looked_for_are_not_labelled(tmp_path: Path) -> None:
    content = {
        "categories": [{"id": n, "name": f"class {n}"} for n in range(1, 6)],
        "images": [
            {
                "id": 1,
                "coco_url": "http://images.example/train2017/000001.jpg",
                "width": 100,
                "height": 80,
                "neg_category_ids": [4],
                "not_exhaustive_category_ids": [2],
            }
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40]},
            {"id": 2, "image_id": 1, "category_id": 2, "bbox": [1, 2, 30, 40]},
        ],
    }
    (image,) = read_coco(written(tmp_path, content)).images
    assert image.path == tmp_path / "images" / "train2017" / "000001.jpg"
    assert image.labelled.tolist() == [True, False, False, True, False]  # present, doubtful, not sought, absent, -
    assert image.class_ids.tolist() == [0, 1]


def test_roboflows_first_category_is_no_class(tmp_path: Path) -> None:
    content = {
        "categories": [
            {"id": 0, "name": "vehicles-2", "supercategory": "none"},
            {"id": 1, "name": "car", "supercategory": "vehicles-2"},
            {"id": 2, "name": "bus", "supercategory": "vehicles-2"},
        ],
        "images": numbered(1),
        "annotations": [{"id": 0, "image_id": 0, "category_id": 2, "bbox": [1, 2, 3, 4]}],
    }
    assert read_coco(written(tmp_path, content)).class_names == ("car", "bus")
    content["annotations"][0]["category_id"] = 0  # type: ignore[index]
    assert read_coco(written(tmp_path, content)).class_names == ("vehicles-2", "car", "bus")


def test_ignore_and_groups(tmp_path: Path) -> None:
    content = coco([{**numbered(1)[0], "group": "gate"}], [])
    content["annotations"] = [{"id": 0, "image_id": 0, "category_id": 1, "bbox": [1, 2, 3, 4], "ignore": 1}]
    (image,) = read_coco(written(tmp_path, content)).images
    assert image.group == "gate"
    assert image.boxes_xyxy.shape == (0, 4)
    assert image.ignored_xyxy.tolist() == [[1, 2, 4, 6]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_that_json_allows(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "labels.json"
    content = coco(numbered(1), [{"id": 0, "image_id": 0, "category_id": 1, "bbox": [1, 2, 0, 4]}])
    content["categories"][0]["name"] = "vélo"
    path.write_text(json.dumps(content, ensure_ascii=False, indent=0), encoding=encoding)
    problems: list[Problem] = []
    assert read_coco(path, complain=problems.append).class_names[0] == "vélo"
    line = path.read_text(encoding=encoding).split("\n").index('"bbox": [') - 3
    assert [problem.line for problem in problems] == [line]


def test_missing_pictures_when_they_are_needed(tmp_path: Path) -> None:
    path = write_set(tmp_path / "train.json", 3)
    (tmp_path / "images" / "train_1.png").unlink()
    assert len(read_coco(path).images) == 3
    with pytest.raises(DataError, match=r"train\.json:1: the picture train_1\.png is missing in .*images; add it, or"):
        read_coco(path, need_pictures=True)
    problems: list[Problem] = []
    dataset = read_coco(path, need_pictures=True, complain=problems.append)
    assert [image.path.name for image in dataset.images] == ["train_0.png", "train_2.png"]
    assert [problem.kind for problem in problems] == ["missing picture"]


def test_a_large_file_with_deep_values(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no COCO file"):
        read_coco(written(tmp_path, '{"images": ' + "[" * 100_000))
