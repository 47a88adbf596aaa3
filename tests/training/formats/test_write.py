from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from streamdet.errors import OutputError
from streamdet.results.jsonl_reading import read_jsonl
from streamdet.training.dataset import Dataset, LabelledImage, read_rgb
from streamdet.training.formats.coco import read_coco
from streamdet.training.formats.find import COCO, CSV, JSONL, VOC, YOLO, find_sets
from streamdet.training.formats.placing import copy_picture, link_picture, names_below
from streamdet.training.formats.write import what_is_lost, write_sets
from tests.rectangles import labelled, write_set

KINDS = (COCO, YOLO, VOC, CSV, JSONL)
PRECISION_PX = {COCO: 0.001, YOLO: 0.001, VOC: 0.005, CSV: 0.005, JSONL: 0.005}
"""To which a box of a picture of 96x64 is kept."""


def rich_sets(folder: Path) -> dict[str, Dataset]:
    """Sets with all that a label can say; boxes have fractions, names have commas, quotes and angle brackets."""
    rng = np.random.default_rng(3)
    names = ('a "car" & <more>', "vélo, 2 roues", "7")

    def enriched(image: LabelledImage, number: int) -> LabelledImage:
        boxes = image.boxes_xyxy + rng.uniform(-0.4, 0.4, image.boxes_xyxy.shape).astype(np.float32)
        ignored = np.array([[1.25, 2.5, 30.75, 40]], np.float32)[: number % 2]
        return replace(
            image,
            boxes_xyxy=boxes,
            ignored_xyxy=ignored,
            ignored_class_ids=np.array([2])[: number % 2],
            labelled=np.array([True, number != 2, True]),
            group=("", "gate")[number % 2],
            source=f"camera {number % 2}",
        )

    sets = {}
    for seed, (name, count) in enumerate({"train": 6, "val": 3, "val_night": 2}.items()):
        dataset = read_coco(write_set(folder / f"{name}.json", count, seed=10 * seed))
        images = tuple(enriched(image, number) for number, image in enumerate(dataset.images))
        sets[name] = Dataset(name, names, images)
    return sets


def read_back(folder: Path) -> dict[str, Dataset]:
    found = find_sets(folder)
    return {dataset.name: dataset for dataset in (*found.training, *found.validation)}


def assert_same(image: LabelledImage, other: LabelledImage, atol: float) -> None:
    """Same picture, size and objects, whatever their order."""
    assert (image.width, image.height) == (other.width, other.height)
    assert np.array_equal(read_rgb(image), read_rgb(other))
    order, other_order = (np.lexsort(np.round(i.boxes_xyxy, 1).T) for i in (image, other))
    assert image.class_ids[order].tolist() == other.class_ids[other_order].tolist()
    np.testing.assert_allclose(image.boxes_xyxy[order], other.boxes_xyxy[other_order], atol=atol)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read_back(tmp_path: Path, kind: str) -> None:
    sets = rich_sets(tmp_path / "source")
    write_sets(kind, sets, tmp_path / "out")
    assert find_sets(tmp_path / "out").format == kind
    found = read_back(tmp_path / "out")
    assert found.keys() == sets.keys()
    for name, dataset in sets.items():
        assert found[name].class_names == dataset.class_names
        assert len(found[name].images) == len(dataset.images)
        for image, other in zip(dataset.images, sorted(found[name].images, key=lambda i: i.path), strict=True):
            assert_same(image, other, PRECISION_PX[kind] + 1e-4)
            assert other.path.is_relative_to(tmp_path / "out")
            regions = (image.ignored_xyxy, image.ignored_class_ids) if kind in (COCO, VOC, JSONL) else ([], [])
            assert other.ignored_xyxy.tolist() == [list(box) for box in regions[0]]
            assert other.ignored_class_ids.tolist() == list(regions[1])
            if kind == COCO:
                assert (image.source, image.group) == (other.source, other.group)
                assert image.labelled.tolist() == other.labelled.tolist()
            else:
                assert other.labelled.all()


def test_boxes_survive_the_way_through_all_formats(tmp_path: Path) -> None:
    sets = rich_sets(tmp_path / "source")
    written = sets
    for kind in (COCO, YOLO, VOC, CSV, JSONL, COCO):
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        write_sets(kind, written, folder, place=link_picture)
        written = read_back(folder)
    for name, dataset in sets.items():
        for image, other in zip(dataset.images, sorted(written[name].images, key=lambda i: i.path), strict=True):
            assert_same(image, other, sum(PRECISION_PX.values()))


def test_losses_are_told(tmp_path: Path) -> None:
    sets = rich_sets(tmp_path)
    assert what_is_lost(COCO, sets) is None
    assert what_is_lost(YOLO, sets) == (
        "5 ignored regions, which become background and "
        "2 lists of labelled classes, whose other classes become background and 5 groups"
    )
    assert str(what_is_lost(VOC, sets)).startswith("2 lists of labelled classes")


def test_detections_can_be_read_as_a_runs(tmp_path: Path) -> None:
    write_sets(JSONL, rich_sets(tmp_path / "source"), tmp_path / "out")
    header, frames = read_jsonl(tmp_path / "out" / "val.jsonl")
    assert header["classes"][2] == "7"
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert frames.complete


def test_lines_of_a_written_coco_file(tmp_path: Path) -> None:
    """An entry a line, so that a problem's line leads to it."""
    write_sets(COCO, rich_sets(tmp_path / "source"), tmp_path / "out")
    text = (tmp_path / "out" / "train.json").read_text(encoding="utf-8")
    assert sum(line.startswith('{"id": ') for line in text.splitlines()) == text.count('"id": ')


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_overwritten(tmp_path: Path, kind: str) -> None:
    sets = {"train": read_coco(write_set(tmp_path / "source" / "train.json", 2))}
    write_sets(kind, sets, tmp_path / "out")
    with pytest.raises(OutputError, match="is there already; write into a new folder"):
        write_sets(kind, sets, tmp_path / "out")


def test_sets_that_cannot_go_together(tmp_path: Path) -> None:
    dataset = read_coco(write_set(tmp_path / "train.json", 2))
    with pytest.raises(ValueError, match="2 lists of classes"):
        write_sets(COCO, {"train": dataset, "val": replace(dataset, class_names=("a", "b", "c"))}, tmp_path / "out")
    with pytest.raises(ValueError, match=r"named \['all'\]; let the names begin with train or val"):
        write_sets(COCO, {"all": dataset}, tmp_path / "out")


def test_a_picture_of_two_sets_is_there_once(tmp_path: Path) -> None:
    dataset = read_coco(write_set(tmp_path / "train.json", 2))
    for kind in KINDS:
        write_sets(kind, {"train": dataset, "val": dataset}, tmp_path / kind, place=link_picture)
        assert len(read_back(tmp_path / kind)) == 2


def test_links_and_copies(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    source.write_bytes(b"picture")
    for place, linked in ((copy_picture, False), (link_picture, True)):
        target = tmp_path / place.__name__ / "deep" / "b.png"
        place(source, target)
        place(source, source)
        assert target.read_bytes() == b"picture"
        assert target.samefile(source) == linked
        with pytest.raises(OutputError, match=r"gone\.png can't be brought to .*: No such file"):
            place(tmp_path / "gone.png", tmp_path / "c.png")
        (tmp_path / "other").write_bytes(b"")
        with pytest.raises(OutputError, match="other is there already"):
            place(source, tmp_path / "other")


def test_names_of_pictures() -> None:
    paths = ["/d/a/images/x.jpg", "/d/a/images/x.png", "/d/b/images/X.jpg", "/d/b/images/y.jpg", "/d/a/images/x.jpg"]
    images = [labelled(path, (10, 10)) for path in paths]
    assert names_below(images) == ["a/x.jpg", "a/x_2.png", "b/X.jpg", "b/y.jpg", "a/x.jpg"]
    assert names_below(images, flat=True) == ["a_x.jpg", "a_x_2.png", "b_X.jpg", "b_y.jpg", "a_x.jpg"]
    assert names_below(images[:1]) == ["x.jpg"]
    assert names_below([]) == []
    odd = [labelled(f"/d/{name}", (10, 10)) for name in ("cam.1.jpg", "cam.2.jpg", "cam", "a_b.jpg", "a/b.jpg")]
    flat = names_below(odd, flat=True)
    assert flat[:2] == ["cam.1.jpg", "cam.2.jpg"]
    stems = sorted(Path(name).stem.lower() for name in flat)
    assert all(one != two for one, two in pairwise(stems))
