from __future__ import annotations

import csv
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from streamdet.errors import DataError, UsageError
from streamdet.results.exchange.boxes import Boxes
from streamdet.results.exchange.coco import CocoWriter, read_coco_results
from streamdet.results.exchange.csv_file import CsvWriter, read_csv
from streamdet.results.exchange.forms import form_of
from streamdet.results.exchange.mot import MotWriter, read_labels, read_mot
from streamdet.results.exchange.parquet import ParquetWriter, read_parquet
from streamdet.results.exchange.yolo import YoloWriter, read_yolo
from streamdet.results.jsonl_reading import FrameLine
from streamdet.types import Detections

CLASSES = ("car", "person")


def frame(index: int, boxes: int = 2, **fields: object) -> FrameLine:
    rng = np.random.default_rng(index)
    corners = np.round(rng.uniform(0, 300, (boxes, 2)), 2)
    detections = Detections(
        np.concatenate([corners, corners + np.round(rng.uniform(1, 99, (boxes, 2)), 2)], axis=1).astype(np.float32),
        -np.sort(-np.round(rng.uniform(0, 1, boxes), 4)).astype(np.float32),
        rng.integers(0, 2, boxes),
        CLASSES,
        rng.integers(-1, 9, boxes),
    )
    return FrameLine(index, index * 3, Fraction(1, 90), False, detections, **fields)  # type: ignore[arg-type]


def same(left: FrameLine, right: FrameLine) -> bool:
    ours, theirs = left.detections, right.detections
    return (
        (left.index, left.pts, left.time_base) == (right.index, right.pts, right.time_base)
        and np.array_equal(ours.boxes_xyxy, theirs.boxes_xyxy)
        and np.array_equal(ours.scores, theirs.scores)
        and np.array_equal(ours.class_ids, theirs.class_ids)
        and np.array_equal(ours.track_ids, theirs.track_ids)
    )


FRAMES = [frame(0), frame(1, 0), frame(2, 7), frame(5, 1)]


def test_a_name_tells_the_form(tmp_path: Path) -> None:
    assert [form_of(Path(name), "--to") for name in ("a.jsonl", "a.JSON", "a.csv", "a.txt", "a.parquet", "labels")] == [
        "jsonl",
        "coco",
        "csv",
        "mot",
        "parquet",
        "yolo",
    ]
    assert form_of(tmp_path, "--to") == "yolo"
    with pytest.raises(UsageError, match=r"a\.xml ends in \.xml: choose \.jsonl, .*, or name the form with --to"):
        form_of(Path("a.xml"), "--to")


def test_coco_results_are_what_pycocotools_loads(tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    writer = CocoWriter(tmp_path / "a.json")
    for line in FRAMES:
        writer.write(line)
    writer.finish(complete=True)
    truth = COCO()
    truth.dataset = {"images": [{"id": i} for i in range(6)], "categories": [{"id": 1}, {"id": 2}], "annotations": []}
    truth.createIndex()
    loaded = truth.loadRes(str(tmp_path / "a.json"))
    assert len(loaded.getAnnIds()) == 10
    left, top, width, height = loaded.imgToAnns[2][0]["bbox"]
    assert [left, top, left + width, top + height] == pytest.approx(FRAMES[2].detections.boxes_xyxy[0].tolist())
    assert loaded.imgToAnns[2][0]["category_id"] == FRAMES[2].detections.class_ids[0] + 1


def test_coco_results_of_any_layout_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamdet.results.exchange.coco.CHUNK_CHARACTERS", 7)
    records = [{"image_id": k, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5, "é": "],[{"} for k in (0, 0, 4)]
    for text in (
        json.dumps(records),
        json.dumps(records, indent=1),
        "\ufeff " + json.dumps(records, ensure_ascii=False),
    ):
        (tmp_path / "a.json").write_text(text)
        found = list(read_coco_results(tmp_path / "a.json", CLASSES))
        assert [(index, boxes.edges) for index, boxes in found] == [(0, [(1, 2, 4, 6)] * 2), (4, [(1, 2, 4, 6)])]
    (tmp_path / "a.json").write_text("[]")
    assert list(read_coco_results(tmp_path / "a.json", CLASSES)) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": []}', "is no list: COCO results are one"),
        ('[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}', "is cut, or not JSON"),
        ('[{"image_id": 1, "category_id": 1, "bbox": [1, 2', "is cut, or not JSON"),
        ('[{"image_id": 1, "category_id": 9, "bbox": [1, 2, 3, 4], "score": 1}]', "no class number 8 among 2"),
        ('[{"image_id": 1, "category_id": 1, "bbox": [1, 2, -3, 4], "score": 1}]', "is no box"),
        ('[{"image_id": "x", "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]', "image_id is 'x'"),
        ('[{"image_id": 1, "category_id": 1, "score": 1}]', "result 1: 'bbox' is missing"),
        ("[5]", "result 1: "),
    ],
)
def test_wrong_coco_results_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=message):
        list(read_coco_results(tmp_path / "a.json", CLASSES))


def test_unsorted_results_are_refused_with_the_remedy(tmp_path: Path) -> None:
    records = [{"image_id": k, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5} for k in (3, 1)]
    (tmp_path / "a.json").write_text(json.dumps(records))
    with pytest.raises(DataError, match="image 1 comes after image 3: sort the results by image_id"):
        list(read_coco_results(tmp_path / "a.json", CLASSES))
    (tmp_path / "a.txt").write_text("4,1,1,2,3,4,0.5\n2,1,1,2,3,4,0.5\n")
    with pytest.raises(DataError, match=r"line 2: frame 2 comes after frame 4: sort -s -t, -k1,1n"):
        list(read_mot(tmp_path / "a.txt", CLASSES))


def test_csv_is_a_plain_table_with_a_row_for_empty_frames(tmp_path: Path) -> None:
    writer = CsvWriter(tmp_path / "a.csv")
    for line in FRAMES:
        writer.write(line)
    writer.finish(complete=True)
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["index"] for row in rows] == ["0", "0", "1", *["2"] * 7, "5"]
    assert rows[2]["class"] == rows[2]["score"] == rows[2]["shown"] == ""
    assert float(rows[0]["x1"]) == pytest.approx(float(FRAMES[0].detections.boxes_xyxy[0, 0]))
    class_names, lines = read_csv(tmp_path / "a.csv", None)
    assert class_names == CLASSES
    assert all(same(*pair) for pair in zip(FRAMES, lines, strict=True))


def test_a_csv_of_somebody_else_needs_few_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "pts,index,time_base,class,score,x1,y1,x2,y2,colour\r\n0,0,1/25,dog,0.5,1,2,3,4,red\r\n0,0,1/25,cat,0.7,1,2,3,4,\r\n"
    )
    class_names, lines = read_csv(tmp_path / "a.csv", None)
    assert class_names == ("dog", "cat")
    (line,) = lines
    assert line.detections.names == ["cat", "dog"]
    assert line.shown_mask is None
    assert line.detections.track_ids.tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("index,pts\n", "line 1: there is no column time_base, class, score, x1"),
        ("index,pts,time_base,class,score,x1,y1,x2,y2\n0,0,1/25,car\n", "line 2: 4 cells under 9 columns"),
        ("index,pts,time_base,class,score,x1,y1,x2,y2\n0,0,1/0,car,1,1,2,3,4\n", "row 2: "),
        ("index,pts,time_base,class,score,x1,y1,x2,y2\n0,0,1/25,dog,1,1,2,3,4\n", "there is no class 'dog' among car"),
        ("index,pts,time_base,class,score,x1,y1,x2,y2\n0,0,1/25,car,nan,1,2,3,4\n", "the score nan is not between"),
        ("index,pts,time_base,class,score,x1,y1,x2,y2,shown\n0,0,1/25,car,1,1,2,3,4,no\n", "'no' is neither true"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        list(read_csv(tmp_path / "a.csv", CLASSES)[1])


def test_parquet_is_what_others_read_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet

    monkeypatch.setattr("streamdet.results.exchange.parquet.ROWS_IN_GROUP", 8)
    told = {"lines": {"gate": {"in": {"car": 1}, "out": {}}}}
    frames = [*FRAMES, frame(6, 3, scene_line=told, picture="ä.jpg")]
    header = {"classes": list(CLASSES), "source": "clip ü.mp4"}
    writer = ParquetWriter(tmp_path / "a.parquet", header)
    for line in frames:
        writer.write(line)
    writer.finish(complete=True)
    table = pyarrow.parquet.read_table(tmp_path / "a.parquet")
    assert table.num_rows == 14
    assert table.column("class").null_count == 1
    assert table.column("score")[0].as_py() == round(float(FRAMES[0].detections.scores[0]), 4)
    again, lines = read_parquet(tmp_path / "a.parquet")
    assert again == header
    read = list(lines)
    assert all(same(*pair) for pair in zip(frames, read, strict=True))
    assert (read[-1].scene_line, read[-1].picture) == (told, "ä.jpg")
    assert lines.complete


def test_a_foreign_or_cut_parquet_file_is_refused(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    (tmp_path / "a.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match="give a Parquet file that is whole"):
        read_parquet(tmp_path / "a.parquet")
    pyarrow.parquet.write_table(pyarrow.table({"x": [1]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match="has no column index, pts"):
        read_parquet(tmp_path / "b.parquet")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'streamdet\[parquet\]'"):
        ParquetWriter(tmp_path / "a.parquet", {"classes": []})


def test_mot_text_as_documented(tmp_path: Path) -> None:
    detections = Detections(
        np.array([[10.25, 20, 50.5, 41], [0, 0, 5, 5]], np.float32),
        np.array([0.8712, 0.5], np.float32),
        np.array([1, 0]),
        CLASSES,
        np.array([7, -1]),
        np.array([True, False]),
    )
    writer = MotWriter(tmp_path / "a.txt", CLASSES)
    writer.write(FrameLine(0, 0, Fraction(1, 25), False, detections))
    writer.finish(complete=True)
    assert (tmp_path / "a.txt").read_text() == "1,7,10.25,20.0,40.25,21.0,0.8712,2,0\n1,-1,0.0,0.0,5.0,5.0,0.5,1,1\n"
    assert read_labels(tmp_path / "a.labels.txt") == CLASSES
    ((index, boxes),) = read_mot(tmp_path / "a.txt", CLASSES)
    assert (index, boxes.edges[0], boxes.track_ids, boxes.class_ids) == (0, (10.25, 20, 50.5, 41), [7, -1], [1, 0])
    assert boxes.bridged == [True, False]


def test_mot_results_with_unused_columns_are_read(tmp_path: Path) -> None:
    (tmp_path / "det.txt").write_text("1,-1,794.2,47.5,71.2,174.8,0.67,-1,-1,-1\n\n3, 4, 1, 2, 3, 4, 1\n")
    found = list(read_mot(tmp_path / "det.txt", CLASSES))
    assert [(index, boxes.track_ids, boxes.class_ids, boxes.bridged) for index, boxes in found] == [
        (0, [-1], [0], [False]),
        (2, [4], [0], [False]),
    ]


def test_yolo_text_is_what_ultralytics_writes(tmp_path: Path) -> None:
    writer = YoloWriter(tmp_path / "labels", "clip", CLASSES, lambda _: (400, 400))
    for line in FRAMES:
        writer.write(line)
    writer.finish(complete=True)
    names = sorted(path.name for path in (tmp_path / "labels").iterdir())
    assert names == ["classes.txt", *[f"clip_00000{k}.txt" for k in (0, 1, 2, 5)]]
    assert (tmp_path / "labels" / "clip_000001.txt").read_text() == ""
    first = (tmp_path / "labels" / "clip_000005.txt").read_text().split()
    x1, y1, x2, y2 = FRAMES[3].detections.boxes_xyxy[0].astype(float)
    shares = [(x1 + x2) / 800, (y1 + y2) / 800, (x2 - x1) / 400, (y2 - y1) / 400]
    assert [float(cell) for cell in first[1:5]] == pytest.approx(shares, abs=1e-6)
    lines = list(read_yolo(tmp_path / "labels", FRAMES, "clip", CLASSES, lambda _: (400, 400)))
    assert all(same(*pair) for pair in zip(FRAMES, lines, strict=True))


def test_yolo_text_without_scores_and_files_of_nobody(tmp_path: Path) -> None:
    (tmp_path / "clip_000000.txt").write_text("1 0.5 0.5 0.1 0.1\n")
    (line, empty) = read_yolo(tmp_path, FRAMES[:2], "clip", CLASSES, lambda _: (100, 200))
    assert line.detections.boxes_xyxy.tolist() == [[45, 90, 55, 110]]
    assert line.detections.scores.tolist() == [1]
    assert len(empty.detections) == 0
    (tmp_path / "clip_000009.txt").write_text("")
    with pytest.raises(DataError, match=r"1 of the 2 files in .* belong to none of the frames"):
        list(read_yolo(tmp_path, FRAMES[:2], "clip", CLASSES, lambda _: (100, 200)))
    (tmp_path / "clip_000001.txt").write_text("1 0.5 0.5 0.1\n")
    with pytest.raises(DataError, match=r"clip_000001\.txt, line 1: 4 numbers"):
        list(read_yolo(tmp_path, FRAMES[:2], "clip", CLASSES, lambda _: (100, 200)))


def test_pictures_keep_their_names_in_yolo_text(tmp_path: Path) -> None:
    writer = YoloWriter(tmp_path / "labels", "shots", CLASSES, lambda _: (400, 400))
    writer.write(frame(0, 1, picture="shot 7.png"))
    writer.finish(complete=True)
    assert (tmp_path / "labels" / "shot 7.txt").exists()


def test_a_writer_that_is_closed_leaves_nothing(tmp_path: Path) -> None:
    header = {"classes": list(CLASSES)}
    writers = (
        CocoWriter(tmp_path / "a.json"),
        CsvWriter(tmp_path / "a.csv"),
        MotWriter(tmp_path / "a.txt", CLASSES),
        ParquetWriter(tmp_path / "a.parquet", header),
        YoloWriter(tmp_path / "a", "clip", CLASSES, lambda _: (9, 9)),
    )
    for writer in writers:
        writer.write(FRAMES[0])
        writer.close()
    assert list(tmp_path.iterdir()) == []


def test_equal_scores_keep_their_order() -> None:
    boxes = Boxes(CLASSES)
    for place in range(5):
        boxes.add((place, 0, 9, 9), 0.5, 0)
    boxes.add((7, 0, 9, 9), 0.9, 1)
    line = boxes.put_into(frame(0, 0))
    assert line.detections.boxes_xyxy[:, 0].tolist() == [7, 0, 1, 2, 3, 4]
