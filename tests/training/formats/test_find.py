from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamdet.errors import DataError
from streamdet.training.dataset import Dataset
from streamdet.training.formats.coco import read_coco
from streamdet.training.formats.find import find_sets
from streamdet.training.formats.placing import link_picture
from streamdet.training.formats.write import write_csv, write_detections, write_voc, write_yolo
from streamdet.training.problems import Problem
from tests.rectangles import write_set


def drawn(folder: Path) -> dict[str, Dataset]:
    """A training set of four pictures and a validation set of two."""
    return {
        "train": read_coco(write_set(folder / "train.json", 4)),
        "val": read_coco(write_set(folder / "val.json", 2, seed=50)),
    }


def names_and_counts(folder: Path) -> tuple[str, list[tuple[str, int]], list[tuple[str, int]]]:
    found = find_sets(folder)
    training, validation = ([(d.name, len(d.images)) for d in sets] for sets in (found.training, found.validation))
    return found.format, training, validation


def moved(files: dict[str, str], folder: Path, images: str = "images") -> None:
    """Draw sets and give their files other names."""
    drawn(folder)
    for old, new in files.items():
        (folder / new).parent.mkdir(parents=True, exist_ok=True)
        (folder / old).rename(folder / new)
    if images != "images":
        (folder / images).parent.mkdir(parents=True, exist_ok=True)
        (folder / "images").rename(folder / images)


def test_coco_as_its_site_gives_it(tmp_path: Path) -> None:
    files = {"train.json": "annotations/instances_train2017.json", "val.json": "annotations/instances_val2017.json"}
    moved(files, tmp_path)
    for split in ("train", "val"):
        (tmp_path / f"{split}2017").mkdir()
        for picture in (tmp_path / "images").glob(f"{split}_*"):
            picture.rename(tmp_path / f"{split}2017" / picture.name)
    assert names_and_counts(tmp_path) == ("COCO", [("instances_train2017", 4)], [("instances_val2017", 2)])


def test_coco_as_roboflow_gives_it(tmp_path: Path) -> None:
    for split, name in (("train", "train"), ("valid", "val")):
        folder = tmp_path / split
        write_set(folder / f"{name}.json", 3).rename(folder / "_annotations.coco.json")
        for picture in (folder / "images").iterdir():
            picture.rename(folder / picture.name)
        (folder / "images").rmdir()
    assert names_and_counts(tmp_path) == ("COCO", [("train", 3)], [("valid", 3)])


def test_coco_as_label_studio_gives_it(tmp_path: Path) -> None:
    path = write_set(tmp_path / "result.json", 3)
    content = json.loads(path.read_text())
    for record in content["images"]:
        record["file_name"] = f"images/{record['file_name']}"
    path.write_text(json.dumps(content))
    assert names_and_counts(tmp_path) == ("COCO", [("result", 3)], [])


def test_lvis(tmp_path: Path) -> None:
    moved({"train.json": "annotations/lvis_v1_train.json", "val.json": "annotations/lvis_v1_val.json"}, tmp_path)
    assert names_and_counts(tmp_path) == ("COCO", [("lvis_v1_train", 4)], [("lvis_v1_val", 2)])


def test_voc_and_csv_as_roboflow_gives_them(tmp_path: Path) -> None:
    sets = drawn(tmp_path / "coco")
    write_voc(sets, tmp_path / "voc")
    for split, name in (("train", "train"), ("valid", "val")):
        (tmp_path / "flat" / split).mkdir(parents=True)
        for stem in (tmp_path / "voc" / "ImageSets" / "Main" / f"{name}.txt").read_text().split():
            (tmp_path / "voc" / "Annotations" / f"{stem}.xml").rename(tmp_path / "flat" / split / f"{stem}.xml")
            (tmp_path / "voc" / "JPEGImages" / f"{stem}.png").rename(tmp_path / "flat" / split / f"{stem}.png")
    assert names_and_counts(tmp_path / "flat") == ("Pascal VOC", [("train", 4)], [("valid", 2)])
    write_csv(sets, tmp_path / "csv")
    for split, name in (("train", "train"), ("valid", "val")):
        (tmp_path / "csv" / split).mkdir()
        (tmp_path / "csv" / f"{name}.csv").rename(tmp_path / "csv" / split / "_annotations.csv")
        link_picture(tmp_path / "csv" / "classes.csv", tmp_path / "csv" / split / "classes.csv")
        (tmp_path / "csv" / split / "images").symlink_to(tmp_path / "csv" / "images")
    assert names_and_counts(tmp_path / "csv") == ("CSV", [("train", 4)], [("valid", 2)])


def test_one_file_is_all_for_training(tmp_path: Path) -> None:
    sets = drawn(tmp_path)
    assert names_and_counts(tmp_path / "val.json") == ("COCO", [("val", 2)], [])
    write_yolo(sets, tmp_path / "yolo")
    assert names_and_counts(tmp_path / "yolo" / "data.yaml") == ("YOLO", [("train", 4)], [("val", 2)])
    write_csv(sets, tmp_path / "csv")
    assert names_and_counts(tmp_path / "csv" / "val.csv") == ("CSV", [("val", 2)], [])
    write_detections(sets, tmp_path / "own")
    assert names_and_counts(tmp_path / "own" / "val.jsonl") == ("streamdet JSON lines", [("val", 2)], [])
    (tmp_path / "labels.txt").write_text("")
    with pytest.raises(DataError, match=r"labels\.txt is no label file by its name; give one that ends in \.json"):
        find_sets(tmp_path / "labels.txt")
    with pytest.raises(DataError, match=r"gone is not there; give a folder with labels, or a label file"):
        find_sets(tmp_path / "gone")


def test_two_formats_are_an_error_that_says_how_to_choose(tmp_path: Path) -> None:
    sets = drawn(tmp_path)
    write_yolo(sets, tmp_path / "yolo")
    (tmp_path / "yolo" / "data.yaml").rename(tmp_path / "data.yaml")
    with pytest.raises(
        DataError,
        match=r"several formats, COCO \(train\.json\) and YOLO \(data\.yaml\); give the file .*such as .*train\.json",
    ):
        find_sets(tmp_path)
    assert find_sets(tmp_path / "train.json").format == "COCO"


def test_nothing_is_an_error_that_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "notes.json").write_text("{}")
    with pytest.raises(DataError, match=r"no labels found in .*; looked for COCO .*YOLO .*Pascal VOC .*CSV .*jsonl"):
        find_sets(tmp_path)


def test_problems_of_all_sets_are_gathered(tmp_path: Path) -> None:
    drawn(tmp_path)
    for name in ("train_0.png", "val_0.png", "val_1.png"):
        (tmp_path / "images" / name).unlink()
    content = json.loads((tmp_path / "val.json").read_text())
    content["categories"].append({"id": 99, "name": "tram"})
    (tmp_path / "val.json").write_text(json.dumps(content))
    problems: list[Problem] = []
    found = find_sets(tmp_path, complain=problems.append)
    assert [len(dataset.images) for dataset in (*found.training, *found.validation)] == [3, 0]
    assert [(p.path.name, p.kind, p.is_error) for p in problems] == [
        ("train.json", "missing picture", True),
        ("val.json", "missing picture", True),
        ("val.json", "missing picture", True),
        ("val.json", "no pictures", True),
        ("val.json", "classes differ", False),
    ]
    assert "tram" in problems[-1].sentence


def test_a_data_yaml_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("names: [car]\n")
    with pytest.raises(DataError, match=r"data\.yaml: it gives no pictures; name folders of pictures under train"):
        find_sets(tmp_path)
