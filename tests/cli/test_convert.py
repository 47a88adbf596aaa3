from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.cli.conftest import Streamdet
from tests.media import make_clip, test_picture

CLASSES = ["car", "person", "bicycle"]


def make_lines(path: Path, *, frames: int = 40, whole: bool = True, live: bool = False, rich: bool = True) -> Path:
    """A file of detections in which everything occurs that the form knows."""
    dice = np.random.default_rng(0)
    header = {"type": "header", "schema": 1, "streamdet": "0.0.9", "source": "clip.mp4", "classes": CLASSES}
    lines: list[dict[str, object]] = [{**header, "thresholds": {"car": 0.4}, "width": 160, "height": 120}]
    for index in range(frames):
        boxes = []
        for score in sorted(np.round(dice.uniform(0.05, 1, dice.integers(0, 6)), 4).tolist(), reverse=True):
            x, y = np.round(dice.uniform(0, 100, 2), 2).tolist()
            box: dict[str, object] = {
                "box_xyxy": [x, y, round(x + 20.37, 2), round(y + 11.01, 2)],
                "class": CLASSES[int(dice.integers(0, 3))],
                "score": score,
            }
            if score >= 0.4:
                if rich and dice.random() < 0.3:
                    box["seen_as"] = next(name for name in CLASSES if name != box["class"])
                box["track"] = int(dice.integers(0, 9))
                if rich and dice.random() < 0.2:
                    box["bridged"] = True
            elif rich:
                box["shown"] = False
            boxes.append(box)
        line: dict[str, object] = {"type": "frame"}
        if live:
            line |= {"stream": ["front", "yard"][index % 2], "session": index // 20}
        line |= {"index": index, "pts": index * 512, "time_base": "1/12800"}
        line |= {"time_s": round(index * 0.04, 6), "damaged": rich and index == 7}
        if live:
            line |= {"utc_s": 1795604404.25 + index, "age_ms": 41.7}
        line |= {"boxes": boxes}
        if rich and index % 5 == 0:
            line |= {"lines": {"gate": {"in": {"car": index}, "out": {}}}, "zones": {"yard": {}}}
        lines.append(line)
    if whole:
        lines.append({"type": "end", "frames": frames, "complete": True})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def frames_of(path: Path) -> list[dict[str, object]]:
    return [line for line in map(json.loads, path.read_text().splitlines()) if line["type"] == "frame"]


@pytest.mark.parametrize("live", [False, True])
def test_parquet_and_back_is_the_same_byte_for_byte(streamdet: Streamdet, live: bool) -> None:
    original = make_lines(Path("a.jsonl"), live=live)
    done = streamdet("convert", "a.jsonl", "--out", "a.parquet")
    assert done.exit_code == 0, done.err
    assert streamdet("convert", "a.parquet", "--out", "b.jsonl").exit_code == 0
    assert Path("b.jsonl").read_bytes() == original.read_bytes()


@pytest.mark.parametrize("target", ["a.json", "a.csv"])
def test_coco_and_csv_and_back_lose_the_places_alone(streamdet: Streamdet, target: str) -> None:
    make_lines(Path("a.jsonl"))
    done = streamdet("convert", "a.jsonl", "--out", target)
    assert done.exit_code == 0, done.err
    assert "what happened at lines, zones and bays is not kept" in done.err
    done = streamdet("convert", target, "--frames", "a.jsonl", "--out", "b.jsonl")
    assert done.exit_code == 0, done.err
    before, after = frames_of(Path("a.jsonl")), frames_of(Path("b.jsonl"))
    for line in (*before, *after):
        line.pop("lines", None)
        line.pop("zones", None)
    assert after == before


@pytest.mark.parametrize("target", ["a.txt", "labels", "a.json", "a.csv", "a.parquet"])
def test_plain_boxes_come_back_byte_for_byte_from_every_form(streamdet: Streamdet, target: str) -> None:
    original = make_lines(Path("a.jsonl"), rich=False)
    assert streamdet("convert", "a.jsonl", "--out", target).exit_code == 0
    done = streamdet("convert", target, "--frames", "a.jsonl", "--out", "b.jsonl")
    assert done.exit_code == 0, done.err
    assert Path("b.jsonl").read_bytes() == original.read_bytes()


def test_the_clip_itself_tells_the_times(streamdet: Streamdet, tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", frames=40)
    make_lines(Path("a.jsonl"), rich=False)
    for target in ("a.txt", "labels", "a.json"):
        streamdet("convert", "a.jsonl", "--out", target)
        arguments = ("convert", target, "--frames", "clip.mp4", "--out", f"{target}.jsonl")
        if target == "a.json":
            refused = streamdet(*arguments)
            assert refused.exit_code == 2
            assert "COCO results doesn't name the classes: add --names car,person" in refused.err
            arguments = (*arguments, "--names", "car,person,bicycle")
        done = streamdet(*arguments)
        assert done.exit_code == 0, done.err
        assert frames_of(Path(f"{target}.jsonl")) == frames_of(Path("a.jsonl"))


def test_forms_that_cannot_say_what_is_hidden_get_what_is_shown(streamdet: Streamdet) -> None:
    lines = frames_of(make_lines(Path("a.jsonl")))
    boxes = [box for line in lines for box in line["boxes"]]  # type: ignore[attr-defined]
    shown = sum(box.get("shown", True) for box in boxes)
    done = streamdet("convert", "a.jsonl", "--out", "a.txt")
    assert len(Path("a.txt").read_text().splitlines()) == shown < len(boxes)
    assert f"{len(boxes) - shown} boxes that are not shown were left out" in done.err
    streamdet("convert", "a.jsonl", "--out", "b.txt", "--conf", "0.2")
    assert len(Path("b.txt").read_text().splitlines()) == sum(box["score"] >= 0.2 for box in boxes)


def test_scores_and_classes_are_chosen(streamdet: Streamdet) -> None:
    boxes = [box for line in frames_of(make_lines(Path("a.jsonl"))) for box in line["boxes"]]  # type: ignore[attr-defined]
    done = streamdet("convert", "a.jsonl", "--out", "b.jsonl", "--conf", "0.4", "--classes", "person,bicycle")
    assert done.exit_code == 0, done.err
    chosen = [box for line in frames_of(Path("b.jsonl")) for box in line["boxes"]]  # type: ignore[attr-defined]
    assert chosen == [box for box in boxes if box["score"] >= 0.4 and box["class"] != "car"]
    streamdet("convert", "a.jsonl", "--out", "d.jsonl", "--conf", "0.4,car=0.8")
    chosen = [box for line in frames_of(Path("d.jsonl")) for box in line["boxes"]]  # type: ignore[attr-defined]
    assert chosen == [box for box in boxes if box["score"] >= (0.8 if box["class"] == "car" else 0.4)]
    refused = streamdet("convert", "a.jsonl", "--out", "c.jsonl", "--classes", "pony")
    assert refused.exit_code == 2
    assert "there is no class 'pony' in the file; it knows car, person, bicycle" in refused.err


def test_a_fragment_is_never_called_a_success(streamdet: Streamdet) -> None:
    make_lines(Path("a.jsonl"), whole=False)
    for target in ("a.csv", "a.parquet", "b.jsonl"):
        done = streamdet("convert", "a.jsonl", "--out", target)
        assert done.exit_code == 5
        assert "a.jsonl has no end line" in done.err
    assert streamdet("convert", "a.parquet", "--out", "c.jsonl").exit_code == 5
    assert json.loads(Path("c.jsonl").read_text().splitlines()[-1])["complete"] is False


def test_a_csv_file_alone_proves_nothing(streamdet: Streamdet) -> None:
    make_lines(Path("a.jsonl"), rich=False)
    streamdet("convert", "a.jsonl", "--out", "a.csv")
    done = streamdet("convert", "a.csv", "--out", "b.jsonl")
    assert done.exit_code == 5
    assert "--frames CLIP or BOXES.jsonl proves it" in done.err
    assert frames_of(Path("b.jsonl")) == frames_of(Path("a.jsonl"))
    rows = Path("a.csv").read_text().splitlines(keepends=True)
    Path("a.csv").write_text("".join(row for row in rows if ",39,19968," not in row))
    done = streamdet("convert", "a.csv", "--frames", "a.jsonl", "--out", "c.jsonl")
    assert done.exit_code == 5
    assert "lacks 1 of the frames of a.jsonl, the first is frame 39" in done.err


def test_cameras_are_not_mixed(streamdet: Streamdet) -> None:
    make_lines(Path("a.jsonl"), live=True)
    refused = streamdet("convert", "a.jsonl", "--out", "a.txt")
    assert refused.exit_code == 2
    assert "holds frames of several cameras (front, yard), and MOT text can't tell them apart" in refused.err
    assert not Path("a.txt.part").exists()
    assert streamdet("convert", "a.jsonl", "--out", "a.txt", "--stream", "yard").exit_code == 0
    assert {int(line.split(",")[0]) % 2 for line in Path("a.txt").read_text().splitlines()} == {0}
    refused = streamdet("convert", "a.jsonl", "--out", "b.txt", "--stream", "attic")
    assert "there is no camera 'attic' in a.jsonl: front, yard" in refused.err


def test_boxes_of_other_frames_are_refused(streamdet: Streamdet) -> None:
    make_lines(Path("long.jsonl"), frames=40, rich=False)
    make_lines(Path("short.jsonl"), frames=20, rich=False)
    streamdet("convert", "long.jsonl", "--out", "a.txt")
    refused = streamdet("convert", "a.txt", "--frames", "short.jsonl", "--out", "b.jsonl")
    assert refused.exit_code == 1
    assert "a.txt has boxes for frame 2" in refused.err
    assert not Path("b.jsonl").exists()
    assert not Path("b.jsonl.part").exists()


def test_pictures_of_a_folder_have_their_own_sizes(streamdet: Streamdet) -> None:
    Path("shots").mkdir()
    for width in (100, 200):
        cv2.imwrite(f"shots/shot{width}.png", test_picture(0, (width, 120))[:, :, ::-1])
    box = {"box_xyxy": [10.0, 12.0, 20.0, 24.0], "class": "car", "score": 0.5}
    lines = [
        {"type": "header", "schema": 1, "source": "shots", "classes": ["car"], "width": 100, "height": 120},
        *(
            {
                "type": "frame",
                "index": k,
                "pts": k,
                "time_base": "1/1",
                "damaged": False,
                "picture": name,
                "boxes": [box],
            }
            for k, name in enumerate(("shot100.png", "shot200.png"))
        ),
        {"type": "end", "frames": 2, "complete": True},
    ]
    Path("a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    refused = streamdet("convert", "a.jsonl", "--out", "labels")
    assert refused.exit_code == 2
    assert "add --frames FOLDER" in refused.err
    assert streamdet("convert", "a.jsonl", "--frames", "shots", "--out", "labels").exit_code == 0
    assert Path("labels/shot100.txt").read_text() == "0 0.1500000 0.1500000 0.1000000 0.1000000 0.5\n"
    assert Path("labels/shot200.txt").read_text() == "0 0.0750000 0.1500000 0.0500000 0.1000000 0.5\n"
    done = streamdet("convert", "labels", "--frames", "shots", "--out", "b.jsonl")
    assert done.exit_code == 0, done.err
    assert [line["boxes"] for line in frames_of(Path("b.jsonl"))] == [[box], [box]]


def test_files_are_only_replaced_when_asked(streamdet: Streamdet) -> None:
    make_lines(Path("a.jsonl"))
    for target in ("a.csv", "labels"):
        assert streamdet("convert", "a.jsonl", "--out", target).exit_code == 0
        assert streamdet("convert", "a.jsonl", "--out", target).exit_code == 2
        assert streamdet("convert", "a.jsonl", "--out", target, "--overwrite").exit_code == 0
    Path("precious").mkdir()
    Path("precious/photo.jpg").touch()
    assert streamdet("convert", "a.jsonl", "--out", "precious", "--overwrite").exit_code == 2
    assert Path("precious/photo.jpg").exists()
    assert streamdet("convert", "a.jsonl", "--out", "a.jsonl", "--overwrite").exit_code == 2


def test_standard_output(streamdet: Streamdet) -> None:
    make_lines(Path("a.jsonl"))
    done = streamdet("convert", "a.jsonl", "--out", "-", "--to", "csv")
    assert done.out.startswith("stream,session,index,pts")
    assert streamdet("convert", "a.jsonl", "--out", "-").exit_code == 2
    assert streamdet("convert", "a.jsonl", "--out", "-", "--to", "parquet").exit_code == 2
    assert "give one of jsonl, coco" in streamdet("convert", "a.jsonl", "--out", "b", "--to", "xml").err


MEASURED = """
import resource, sys
from streamdet.cli.app import main
sys.argv = ["streamdet", "convert", *sys.argv[1:]]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
assert "torch" not in sys.modules
"""


@pytest.mark.parametrize("target", ["a.csv", "a.json", "a.parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, target: str) -> None:
    def peak_kb(frames: int) -> int:
        make_lines(tmp_path / "a.jsonl", frames=frames)
        command = [sys.executable, "-c", MEASURED, "a.jsonl", "--out", target, "--overwrite"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        return int(done.stdout.splitlines()[-1])

    assert peak_kb(20_000) < peak_kb(2_000) + 60_000


def test_memory_does_not_grow_on_the_way_back_either(tmp_path: Path) -> None:
    def peak_kb(frames: int) -> int:
        make_lines(tmp_path / "a.jsonl", frames=frames)
        peak = 0
        for arguments in (("a.jsonl", "--out", "a.parquet"), ("a.parquet", "--out", "b.jsonl")):
            command = [sys.executable, "-c", MEASURED, *arguments, "--overwrite"]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
            peak = int(done.stdout.splitlines()[-1])
        return peak

    assert peak_kb(20_000) < peak_kb(2_000) + 60_000
