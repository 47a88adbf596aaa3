from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from streamdet.detection.anchors import AnchorRule
from streamdet.detection.resize import InputRule
from streamdet.training.checking.glances import Glance, look_at
from streamdet.training.checking.parts import Part, images_of, named_sets, parts_of
from streamdet.training.checking.repair import Repair, repair
from streamdet.training.checking.verdict import Verdict, judge
from streamdet.training.dataset import Dataset
from streamdet.training.formats.find import find_sets
from streamdet.training.formats.write import write_sets
from streamdet.training.problems import Problem
from tests.networks import CLASS_NAMES, noise_picture
from tests.rectangles import labelled, write_set


def look(folder: Path) -> tuple[tuple[Part, ...], list[Glance], list[Problem]]:
    problems: list[Problem] = []
    parts = parts_of(find_sets(folder, complain=problems.append))
    return parts, [look_at(image) for image in images_of(parts)], problems


def check(folder: Path) -> Verdict:
    return judge(folder, "COCO", *look(folder), AnchorRule(), InputRule(64, 96))


def mended(folder: Path) -> Repair:
    parts, glances, _ = look(folder)
    return repair(parts, glances)


def change(path: Path, **changes: Any) -> None:
    """Merge dicts into the entries of a COCO file: key=[(place, {...}), ...]; a place of None appends."""
    content = json.loads(path.read_text())
    for key, entries in changes.items():
        for place, values in entries:
            if place is None:
                content[key].append(values)
            else:
                content[key][place] |= values
    path.write_text(json.dumps(content, indent=1))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """12 and 8 pictures of 160x120, one object or two in each but every fourth."""
    write_set(tmp_path / "train.json", 12, seed=1, size=(160, 120))
    write_set(tmp_path / "val.json", 8, seed=2, size=(160, 120))
    return tmp_path


def kinds(verdict: Verdict) -> Counter[str]:
    return Counter(problem.kind for problem in verdict.problems)


def test_a_good_folder(folder: Path) -> None:
    verdict = check(folder)
    assert verdict.errors == 0
    assert set(kinds(verdict)) == {"class with few objects"}
    training, validation = verdict.sets
    content = json.loads((folder / "train.json").read_text())
    assert (training.name, training.role, training.pictures, training.empty) == ("train", "train", 12, 3)
    assert (validation.name, validation.role, validation.pictures) == ("val", "val", 8)
    assert sum(training.objects.values()) == len(content["annotations"])
    ids = Counter(annotation["category_id"] for annotation in content["annotations"])
    assert training.objects == {name: ids[10 * place + 1] for place, name in enumerate(CLASS_NAMES)}
    assert training.sizes == {"160x120": 12}
    assert verdict.coverage.total.objects == sum(training.objects.values())  # of the training set
    json.dumps(verdict.to_json(), allow_nan=False)


def test_faults_of_labels_and_pictures_stand_together(folder: Path) -> None:
    change(
        folder / "train.json",
        annotations=[(0, {"bbox": [1, 1, 0, 5]}), (1, {"bbox": [900, 1, 5, 5]}), (2, {"category_id": 99})],
        images=[(None, {"id": 77, "file_name": "gone.png", "width": 9, "height": 9})],
    )
    (folder / "images" / "train_4.png").write_bytes(b"broken")
    cv2.imwrite(str(folder / "images" / "train_5.png"), np.zeros((50, 60, 3), np.uint8))
    verdict = check(folder)
    faults = {problem.kind: problem for problem in verdict.problems if problem.is_error}
    assert set(faults) == {
        "zero area", "outside", "unknown class", "missing picture", "unreadable picture", "wrong size",
    }  # fmt: skip
    assert verdict.errors == 6
    assert [problem.is_error for problem in verdict.problems] == [True] * 6 + [False] * (len(verdict.problems) - 6)
    line = faults["zero area"].line
    assert line is not None
    assert '"id": 1' in "".join((folder / "train.json").read_text().splitlines()[line - 1 : line + 2])
    assert faults["wrong size"].path == folder / "images" / "train_5.png"


def test_copies_and_near_copies_across_the_split(folder: Path) -> None:
    images = folder / "images"
    shutil.copy(images / "train_0.png", images / "val_1.png")
    shutil.copy(images / "train_4.png", images / "train_8.png")
    frame = noise_picture(160, 120)
    cv2.imwrite(str(images / "train_2.png"), frame)
    cv2.imwrite(str(images / "val_2.jpg"), frame, [cv2.IMWRITE_JPEG_QUALITY, 80])
    change(folder / "val.json", images=[(2, {"file_name": "val_2.jpg"})])
    found = {problem.kind: problem for problem in check(folder).problems}
    assert found["copy in train and val"].is_error
    assert found["copy in train and val"].path == images / "val_1.png"
    assert "train_0.png in train" in found["copy in train and val"].sentence
    assert not found["copies labelled differently"].is_error
    assert found["near-copy in train and val"].path == images / "val_2.jpg"
    assert "train_2.png in train" in found["near-copy in train and val"].sentence
    assert "2 of 8 validation pictures" in found["same view in train and val"].sentence


def test_copies_with_the_same_labels(folder: Path) -> None:
    shutil.copy(folder / "images" / "train_3.png", folder / "images" / "train_7.png")  # both empty
    assert kinds(check(folder))["copy"] == 1


def test_groups_on_both_sides(folder: Path) -> None:
    change(folder / "train.json", images=[(place, {"group": "gate"}) for place in range(3)])
    change(folder / "val.json", images=[(0, {"group": "gate"}), (1, {"group": "yard"})])
    (problem,) = (problem for problem in check(folder).problems if problem.kind == "group in train and val")
    assert problem.sentence == "the group gate has 3 pictures in train and 1 in val"


def test_classes_with_few_objects(folder: Path) -> None:
    boxes = [{"id": 900 + k, "image_id": 3, "category_id": 1 + 10 * (k % 2), "bbox": [k, k, 20, 20]} for k in range(60)]
    change(folder / "train.json", annotations=[(None, box) for box in boxes])
    found = [problem.sentence for problem in check(folder).problems if problem.kind == "class with few objects"]
    assert len(found) == 1
    assert found[0].startswith("the class bicycle has ")


def test_repair_leaves_a_clean_copy(folder: Path, tmp_path: Path) -> None:
    change(
        folder / "train.json",
        annotations=[(0, {"bbox": [1, 1, 0, 5]}), (1, {"bbox": [150, 100, 40, 40]}), (2, {"bbox": [159, 50, 2.5, 20]})],
    )
    images = folder / "images"
    shutil.copy(images / "train_0.png", images / "val_1.png")
    shutil.copy(images / "train_4.png", images / "train_8.png")
    (images / "train_5.png").write_bytes(b"broken")
    result = mended(folder)
    assert [image.path.name for image in result.unreadable] == ["train_5.png"]
    assert [image.path.name for image in result.copies] == ["train_0.png", "train_8.png"]  # the measure stays whole
    assert result.clipped == 1  # the reader has clipped the one that reached far out
    out = tmp_path / "clean"
    write_sets("COCO", named_sets(result.parts), out)
    verdict = check(out)
    assert verdict.errors == 0
    assert not {"copy", "copies labelled differently", "partly outside"} & set(kinds(verdict))
    assert [summary.pictures for summary in verdict.sets] == [9, 8]
    for image in images_of(look(out)[0]):
        assert (image.boxes_xyxy >= 0).all()
        assert (image.boxes_xyxy <= [image.width, image.height] * 2).all()


def test_repair_changes_nothing_that_is_good(folder: Path) -> None:
    parts, glances, _ = look(folder)
    result = repair(parts, glances)
    assert (result.unreadable, result.copies, result.clipped) == ((), (), 0)
    for before, after in zip(images_of(parts), images_of(result.parts), strict=True):
        assert before.path == after.path
        np.testing.assert_array_equal(before.boxes_xyxy, after.boxes_xyxy)


def test_sets_are_named_for_the_writers() -> None:
    def part(role: str, name: str) -> Part:
        return Part(role, Dataset(name, CLASS_NAMES, ()))  # type: ignore[arg-type]

    parts = [part("train", "annotations"), part("train", "train"), part("val", "val_night"), part("val", "b/val")]
    assert list(named_sets([*parts, part("val", "val_night")])) == [
        "train",
        "train_2",
        "val_night",
        "val",
        "val_night_2",
    ]


def test_sets_with_other_classes_get_one_list(folder: Path) -> None:
    change(folder / "val.json", categories=[(0, {"name": "lorry"})])
    parts, _, problems = look(folder)
    assert {part.dataset.class_names for part in parts} == {(*CLASS_NAMES, "lorry")}
    assert "classes differ" in {problem.kind for problem in problems}


def test_objects_that_are_ignored_count_apart() -> None:
    image = labelled("a.png", (64, 64), [[1, 1, 20, 20]], [1], ignored=[[30, 30, 60, 60]])
    half = replace(image, labelled=np.array([True, False, True]), group="g")
    verdict = judge(
        Path("x"), "COCO", [Part("train", Dataset("train", CLASS_NAMES, (image, half)))],
        [Glance(None, b"")] * 2, [], AnchorRule(), InputRule(64, 64),
    )  # fmt: skip
    (summary,) = verdict.sets
    assert (summary.ignored, summary.partly_labelled, summary.groups) == (2, 1, 1)
    assert verdict.shortest_sides_px == (19, 19, 19)
