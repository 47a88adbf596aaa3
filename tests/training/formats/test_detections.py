from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from streamdet.errors import DataError
from streamdet.results.jsonl import JsonlWriter
from streamdet.training.formats.detections import read_detections
from streamdet.training.formats.find import find_sets
from streamdet.training.problems import Problem
from streamdet.types import DetectedFrame, Detections, Frame

NAMES = ("car", "bus")


def frame(folder: Path, name: str, width: int = 200, height: int = 100) -> None:
    (folder / "images").mkdir(exist_ok=True)
    cv2.imwrite(str(folder / "images" / name), np.zeros((height, width, 3), np.uint8))


def detected(folder: Path, frames: int = 4, **header: Any) -> Path:
    """What `streamdet run` writes: one car and one bus in each frame."""
    path = folder / "clip.jsonl"
    picture = av.VideoFrame(200, 100, "yuv420p")
    with JsonlWriter(
        path, header={"source": "clip.mp4", "classes": list(NAMES), "width": 200, "height": 100} | header
    ) as writer:
        for index in range(frames):
            boxes = np.array([[index, 10, 50, 60], [100, 20, 150, 80]], np.float32)
            found = Detections(boxes, np.array([0.9, 0.5], np.float32), np.array([0, 1]), NAMES)
            writer.write(DetectedFrame(Frame(picture, "clip.mp4", index, index * 40, Fraction(1, 1000), 0.0), found))
    return path


def changed(path: Path, number: int, **changes: Any) -> None:
    """Correct a line, from 1, as a person would."""
    lines = path.read_text().splitlines()
    lines[number - 1] = json.dumps(json.loads(lines[number - 1]) | changes)
    path.write_text("\n".join(lines) + "\n")


def test_extracted_frames_are_labelled_by_their_index(tmp_path: Path) -> None:
    path = detected(tmp_path)
    for name in ("clip_000003.jpg", "clip_1.png", "other_000002.jpg", "clip.jpg"):
        frame(tmp_path, name)
    found = find_sets(tmp_path)
    assert (found.format, found.validation) == ("streamdet JSON lines", ())
    (dataset,) = found.training
    assert (dataset.name, dataset.class_names) == ("clip", NAMES)
    assert [image.path.name for image in dataset.images] == ["clip_1.png", "clip_000003.jpg"]
    first = dataset.images[0]
    assert first.boxes_xyxy.tolist() == [[1, 10, 50, 60], [100, 20, 150, 80]]
    assert first.class_ids.tolist() == [0, 1]
    assert (first.width, first.height, first.source) == (200, 100, "clip")
    assert first.labelled.all()
    assert read_detections(path).images[1].boxes_xyxy[0].tolist() == [3, 10, 50, 60]


def test_corrections(tmp_path: Path) -> None:
    path = detected(tmp_path)
    frame(tmp_path, "clip_000000.jpg")
    frame(tmp_path, "clip_000001.jpg")
    added = {"box_xyxy": [5, 6, 7, 8], "class": "bus"}  # by hand, without a score
    changed(path, 2, boxes=[{"box_xyxy": [1, 2, 30, 40], "class": "car", "score": 0.2, "ignore": True}, added])
    changed(path, 3, boxes=[])
    first, second = read_detections(path).images
    assert first.boxes_xyxy.tolist() == [[5, 6, 7, 8]]
    assert first.class_ids.tolist() == [1]
    assert first.ignored_xyxy.tolist() == [[1, 2, 30, 40]]
    assert len(second.boxes_xyxy) == len(second.ignored_xyxy) == 0


def test_pictures_by_name(tmp_path: Path) -> None:
    path = detected(tmp_path, 2, source="photos")
    frame(tmp_path, "one.png", 160, 120)  # of another size than the first picture of the folder
    changed(path, 3, picture="one.png")
    (image,) = read_detections(path).images
    assert (image.path.name, image.width, image.height) == ("one.png", 160, 120)
    assert image.boxes_xyxy[0].tolist() == [1, 10, 50, 60]
    changed(path, 2, picture="gone.png")
    with pytest.raises(DataError, match=r"clip\.jsonl:2: the picture gone\.png is missing in .*images; add it"):
        read_detections(path)
    changed(path, 2, picture="one.png")
    with pytest.raises(DataError, match=r"clip\.jsonl:3: one\.png has a line already"):
        read_detections(path)


def test_validation_by_name(tmp_path: Path) -> None:
    frame(tmp_path, "clip_000000.jpg")
    detected(tmp_path).rename(tmp_path / "val_clip.jsonl")
    detected(tmp_path)
    found = find_sets(tmp_path)
    assert [dataset.name for dataset in (*found.training, *found.validation)] == ["clip", "val_clip"]


def test_a_killed_run_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = detected(tmp_path)
    frame(tmp_path, "clip_000000.jpg")
    frame(tmp_path, "clip_000003.jpg")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:4]) + lines[4][:60])
    problems: list[Problem] = []
    dataset = read_detections(path, complain=problems.append)
    assert [image.path.name for image in dataset.images] == ["clip_000000.jpg"]
    assert [(p.path.name, p.line, p.kind, p.is_error) for p in problems] == [
        ("clip.jsonl", 5, "not JSON", False),
        ("clip_000003.jpg", None, "no labels", False),
    ]


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        (
            {"boxes": [{"box_xyxy": [9, 2, 3, 4], "class": "car"}]},
            "wrong order",
            r"box 0 of clip_000001\.jpg: .*\[9, 2",
        ),
        ({"boxes": [{"box_xyxy": [1, 2, 3], "class": "car"}]}, "box_xyxy", r"it must be \[x1, y1, x2, y2\]"),
        ({"boxes": [{"class": "car"}]}, "box_xyxy", "box_xyxy is None"),
        ({"boxes": [{"box_xyxy": [1, 2, 3, 4], "class": "tram"}]}, "unknown class", r"tram is not in .*\(car, bus\)"),
        ({"boxes": [{"box_xyxy": [1, 2, 3, 4], "class": ["car"]}]}, "unknown class", "is not in the header"),
        ({"boxes": [{"box_xyxy": [1, 2, 3, 4], "class": "car", "ignore": "no"}]}, "ignore", "must be true or false"),
        ({"boxes": [{"box_xyxy": [0.1, 0.2, 0.3, 0.4], "class": "car"}]}, "normalised", "looks like shares"),
        ({"boxes": [7]}, "no object", "it is 7; it must be an object"),
        ({"boxes": None}, "boxes", "boxes is None; it must be a list"),
        ({"index": "1"}, "index", "the frame's index is 1; it must be a whole number"),
        ({"picture": 3}, "picture", "picture is 3; it must be a path in images/"),
    ],
)
def test_bad_lines(tmp_path: Path, changes: dict[str, Any], kind: str, message: str) -> None:
    path = detected(tmp_path)
    for index in range(4):
        frame(tmp_path, f"clip_00000{index}.jpg")
    changed(path, 3, **changes)
    with pytest.raises(DataError, match=rf"clip\.jsonl:3: .*{message}"):
        read_detections(path)
    problems: list[Problem] = []
    dataset = read_detections(path, complain=problems.append)
    assert [(problem.kind, problem.line) for problem in problems if problem.is_error] == [(kind, 3)]
    assert len(dataset.images) >= 3


def test_frames_of_another_size(tmp_path: Path) -> None:
    path = detected(tmp_path)
    frame(tmp_path, "clip_000001.jpg", 100, 50)
    with pytest.raises(DataError, match=r":3: clip_000001\.jpg has 100x50 pixels and the boxes are for 200x100"):
        read_detections(path)


def test_no_picture_at_all(tmp_path: Path) -> None:
    path = detected(tmp_path)
    with pytest.raises(DataError, match=r"none of its frames is in .*images; name their pictures clip_000000\.jpg"):
        read_detections(path)
    path.write_text('{"box": 1}\n')
    with pytest.raises(DataError, match=r"clip\.jsonl, line 1: no header; this is not a file that streamdet"):
        read_detections(path)
