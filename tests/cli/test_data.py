from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from streamdet.training.dataset import read_rgb
from streamdet.training.formats.find import find_sets
from streamdet.training.formats.write import write_sets
from tests.cli.conftest import Streamdet
from tests.networks import CLASS_NAMES
from tests.rectangles import write_set


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """12 training and 4 validation pictures of 160x120."""
    write_set(tmp_path / "d" / "train.json", 12, seed=1, size=(160, 120))
    write_set(tmp_path / "d" / "val.json", 4, seed=2, size=(160, 120))
    return tmp_path / "d"


def spoil(folder: Path, faults: int = 1) -> None:
    content = json.loads((folder / "train.json").read_text())
    extra = [{"id": 900 + k, "image_id": 0, "category_id": 1, "bbox": [k, 1, 0, 5]} for k in range(faults)]
    content["annotations"] += extra
    (folder / "train.json").write_text(json.dumps(content, indent=1))


def test_check_of_good_labels(streamdet: Streamdet, folder: Path, model_file: Path) -> None:
    outcome = streamdet("data", "check", folder, "--model", model_file, "--size", "96x160")
    assert outcome.exit_code == 0
    lines = outcome.out.splitlines()
    assert "no errors, 3 warnings: fit for training" in lines[-1]
    assert any(line.split() == ["pictures", "12", "4"] for line in lines)
    assert any("at 96x160" in line for line in lines)
    assert max(map(len, lines[lines.index("") :])) <= 80
    assert outcome.err == ""


def test_check_tells_each_fault_and_cuts_long_lists(streamdet: Streamdet, folder: Path, model_file: Path) -> None:
    spoil(folder, 25)
    outcome = streamdet("data", "check", folder, "--model", model_file)
    assert outcome.exit_code == 1
    lines = outcome.out.splitlines()
    assert lines[0].split() == ["error", "zero", "area", "(25)"]
    assert lines[1].startswith(f"  {folder / 'train.json'}:")
    assert "annotation 900 of train_0.png has the bbox [0, 1, 0, 5]" in lines[1]
    assert sum("has the bbox" in line for line in lines) == 20
    assert "... and 5 more (--all shows them)" in outcome.out
    assert "25 errors, 3 warnings" in lines[-1]
    outcome = streamdet("data", "check", folder, "--model", model_file, "--all")
    assert outcome.out.count("has the bbox") == 25


def test_check_as_json(streamdet: Streamdet, folder: Path, model_file: Path) -> None:
    spoil(folder)
    outcome = streamdet("data", "check", folder, "--model", model_file, "--json")
    verdict = json.loads(outcome.out)
    assert outcome.exit_code == 1
    assert (verdict["errors"], verdict["format"]) == (1, "COCO")
    assert verdict["problems"][0]["kind"] == "zero area"
    assert [summary["pictures"] for summary in verdict["sets"]] == [12, 4]
    assert verdict["coverage"]["all"]["objects"] == sum(verdict["sets"][0]["objects"].values())


@pytest.mark.parametrize("kind", ["COCO", "YOLO", "Pascal VOC", "CSV", "streamdet JSON lines"])
def test_fix_writes_the_same_format_clean(
    streamdet: Streamdet, folder: Path, model_file: Path, tmp_path: Path, kind: str
) -> None:
    found = find_sets(folder)
    source = tmp_path / "source"
    write_sets(kind, {"train": found.training[0], "val": found.validation[0]}, source)
    broken = next(source.rglob("train_2.png"))
    broken.write_bytes(broken.read_bytes()[:2000])
    outcome = streamdet("data", "check", source, "--model", model_file, "--fix", "clean")
    assert outcome.exit_code == 0
    assert f"{broken}: it can't be decoded to its end" in outcome.out.replace(str(broken.resolve()), str(broken))
    assert "left out: " in outcome.err
    assert "wrote clean: 15 pictures" in outcome.err
    clean = find_sets(Path("clean"))
    assert clean.format == kind
    assert [len(dataset.images) for dataset in (*clean.training, *clean.validation)] == [11, 4]
    assert streamdet("data", "check", "clean", "--model", model_file).exit_code == 0


def test_contact_sheet(streamdet: Streamdet, folder: Path, model_file: Path) -> None:
    (folder / "images" / "train_1.png").write_bytes(b"broken")  # such pictures are left out of it
    outcome = streamdet("data", "check", folder, "--model", model_file, "--sheet", "sheet.png")
    assert "drew 15 pictures into sheet.png" in outcome.err
    with Image.open("sheet.png") as sheet:
        assert sheet.width > 2000


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (("check", "nowhere"), 1, "nowhere is not there; give a folder with labels"),
        (("check", "d", "--size", "4"), 2, "--size is '4'"),
        (("check", "d", "--fix", "d"), 2, "--fix d is there already; give a new folder"),
        (("check", "d", "--model", "nothing"), 4, "there is no model 'nothing'"),
        (("split", "d", "--out", "new", "--val", "1"), 2, "--val is 1.0; give a share between 0 and 1"),
        (("split", "d", "--out", "d"), 2, "--out d is there already"),
        (("frames", "d", "--out", "new", "--every", "2", "--count", "3"), 2, "contradict each other"),
        (("frames", "nowhere.mp4", "--out", "new", "--every", "0"), 2, "--every is 0; give 1 or more"),
        (("frames", "nowhere.mp4", "--out", "new"), 3, "there is no file or folder nowhere.mp4"),
    ],
)
def test_wrong_use(
    streamdet: Streamdet, folder: Path, arguments: tuple[str, ...], exit_code: int, message: str
) -> None:
    outcome = streamdet("data", *arguments)
    assert outcome.exit_code == exit_code
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert not Path("new").exists()


def test_labels_without_any_usable_picture(streamdet: Streamdet, tmp_path: Path, model_file: Path) -> None:
    (tmp_path / "e").mkdir()
    categories = [{"id": 1, "name": "car"}]
    (tmp_path / "e" / "train.json").write_text(json.dumps({"images": [], "annotations": [], "categories": categories}))
    outcome = streamdet("data", "check", "e", "--model", model_file)
    assert outcome.exit_code == 1
    assert "e has no labelled picture that can be used" in outcome.err


def by_clip(folder: Path, clips: int) -> None:
    """Rename the pictures as if they came from several clips."""
    for digit, name in enumerate(("train", "val")):
        path = folder / f"{name}.json"
        content = json.loads(path.read_text())
        for place, record in enumerate(content["images"]):
            new = f"clip{'abcdef'[place % clips]}_{digit}{place:03d}.png"
            (folder / "images" / record["file_name"]).rename(folder / "images" / new)
            record["file_name"] = new
        path.write_text(json.dumps(content))


def test_split_keeps_clips_whole(streamdet: Streamdet, folder: Path) -> None:
    by_clip(folder, 4)
    outcome = streamdet("data", "split", folder, "--out", "new", "--val", "0.25")
    assert outcome.exit_code == 0
    assert "4 groups by file names, 16 pictures" in outcome.out
    assert any(line.split() == ["groups", "3", "1", "25%"] for line in outcome.out.splitlines())
    found = find_sets(Path("new"))
    clips = [{image.path.name[:5] for image in sets[0].images} for sets in (found.training, found.validation)]
    assert len(clips[0]) == 3
    assert len(clips[1]) == 1
    assert not clips[0] & clips[1]
    before = find_sets(folder)
    objects = {
        image.path.name: image.boxes_xyxy.tolist()
        for sets in (before.training, before.validation)
        for image in sets[0].images
    }
    for image in found.training[0].images + found.validation[0].images:
        assert image.boxes_xyxy.tolist() == objects[image.path.name]
        assert image.group == image.path.name[:5]
        read_rgb(image)


def test_split_refuses_one_clip_and_faulty_labels(streamdet: Streamdet, folder: Path) -> None:
    by_clip(folder, 1)
    content = json.loads((folder / "train.json").read_text())
    for record in content["images"]:
        record["group"] = "gate"
    (folder / "train.json").write_text(json.dumps(content))
    outcome = streamdet("data", "split", folder / "train.json", "--out", "new")
    assert outcome.exit_code == 1
    assert "by the labels' groups all 12 pictures belong to one group (gate)" in outcome.err
    spoil(folder, 2)
    outcome = streamdet("data", "split", folder, "--out", "new")
    assert outcome.exit_code == 1
    assert "(and 1 more); `streamdet data check" in outcome.err
    assert not Path("new").exists()


def test_frames_of_a_clip(streamdet: Streamdet, clip: Path, model_file: Path) -> None:
    outcome = streamdet("data", "frames", clip, "--out", "new", "--count", "6", "--model", model_file)
    assert outcome.exit_code == 0
    assert "new: 6 frames with " in outcome.err
    found = find_sets(Path("new"))
    (dataset,) = found.training
    assert dataset.class_names == CLASS_NAMES
    assert [image.path.name for image in dataset.images] == [f"clip_{k:06d}.jpg" for k in range(0, 48, 8)]
    assert {image.group for image in dataset.images} == {"clip"}
    assert sum(len(image.boxes_xyxy) for image in dataset.images) > 0
    for image in dataset.images:
        assert read_rgb(image).shape == (image.height, image.width, 3)
    outcome = streamdet("data", "frames", clip, "--out", "again", "--every", "20", "--model", model_file)
    assert "again: 3 frames with " in outcome.err


def test_frames_of_two_clips_keep_their_clips(streamdet: Streamdet, clip: Path, model_file: Path) -> None:
    other = clip.with_name("other.mp4")
    shutil.copyfile(clip, other)
    outcome = streamdet("data", "frames", clip, other, "--out", "new", "--count", "3", "--model", model_file)
    assert outcome.exit_code == 0
    assert "new: 6 frames with " in outcome.err
    (dataset,) = find_sets(Path("new")).training
    assert [image.group for image in dataset.images] == ["clip"] * 3 + ["other"] * 3
    outcome = streamdet("data", "frames", clip, clip, "--out", "again", "--model", model_file)
    assert outcome.exit_code == 2
    assert "several clips are named clip" in outcome.err


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.timeout(600)  # it reads 5,800 pictures
def test_the_shared_data_is_as_its_readme_says(streamdet: Streamdet, shared_dir: Path) -> None:
    outcome = streamdet("data", "check", shared_dir / "data", "--json")
    assert outcome.exit_code == 0
    verdict = json.loads(outcome.out)
    sets = {summary["name"]: summary for summary in verdict["sets"]}
    assert {name: (s["pictures"], s["ignored"]) for name, s in sets.items()} == {
        "train": (5225, 9758),
        "val_cctv": (106, 277),
        "val_general": (120, 33),
        "val_person": (134, 267),
        "val_street": (210, 31),
    }
    order = ("person", "bicycle", "car", "motorcycle", "bus", "truck")
    assert [sets["train"]["objects"][name] for name in order] == [8348, 123, 5412, 1286, 1237, 1129]
    assert [sets["val_cctv"]["objects"][name] for name in order] == [73, 73, 537, 3, 0, 0]
    kinds = {problem["kind"] for problem in verdict["problems"]}
    assert not {"group in train and val", "copy in train and val", "near-copy in train and val"} & kinds
    assert 0.75 < verdict["coverage"]["all"]["iou_0.5"] < 0.9
    assert verdict["suggestions"]
