from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdet import __version__
from streamdet.errors import DataError, OutputError, UsageError
from streamdet.results.jsonl import JsonlWriter
from streamdet.results.jsonl_reading import read_jsonl
from streamdet.scene import BayState, Happening, LineState, Scene, ZoneState
from streamdet.types import DetectedFrame, Detections, Frame

CLASSES = ("person", "car", "bicycle")
HEADER = {"source": "clip.mp4", "model": "street", "classes": CLASSES, "thresholds": {"car": 0.4}}


def detected(
    index: int = 0,
    pts: int = 512,
    boxes: list[tuple[list[float], float, int]] | None = None,
    tracks: list[int] | None = None,
    damaged: bool = False,
) -> DetectedFrame:
    found = [([10.256, 20, 50.5, 41], 0.87123, 1), ([0, 0, 5, 5], 0.5, 0)] if boxes is None else boxes
    detections = Detections(
        np.array([box for box, _, _ in found], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in found], np.float32),
        np.array([class_id for _, _, class_id in found], np.int64),
        CLASSES,
        np.array(tracks or [-1] * len(found), np.int64),
    )
    picture = av.VideoFrame(16, 16, "yuv420p")
    frame = Frame(picture, "clip.mp4", index, pts, Fraction(1, 12800), arrival_s=0.0, damaged=damaged)
    return DetectedFrame(frame, detections)


def write_whole(path: Path, n: int = 3) -> list[bytes]:
    with JsonlWriter(path, header=HEADER) as writer:
        for index in range(n):
            writer.write(detected(index, pts=index * 512))
    return path.read_bytes().splitlines(keepends=True)


def test_the_lines_as_documented() -> None:
    stream = io.StringIO()
    with JsonlWriter(stream, header=HEADER) as writer:
        writer.write(detected(damaged=True, tracks=[7, -1]))
    header, frame, end = map(json.loads, stream.getvalue().splitlines())
    assert header == {"type": "header", "schema": 1, "streamdet": __version__, **HEADER, "classes": list(CLASSES)}
    assert frame == {
        "type": "frame",
        "index": 0,
        "pts": 512,
        "time_base": "1/12800",
        "time_s": 0.04,
        "damaged": True,
        "boxes": [
            {"box_xyxy": [10.26, 20.0, 50.5, 41.0], "class": "car", "score": 0.8712, "track": 7},
            {"box_xyxy": [0.0, 0.0, 5.0, 5.0], "class": "person", "score": 0.5},
        ],
    }
    assert end == {"type": "end", "frames": 1, "complete": True}
    assert not stream.closed


def test_what_is_bridged_hidden_or_happens_is_told_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    plain = detected(tracks=[7, -1])
    scene = Scene(
        lines=(LineState("gate", ((0, 0), (9, 9)), {"car": 3}, {}),),
        zones=(ZoneState("yard", np.zeros((3, 2), np.float32), {"car": 2}),),
        bays=(
            BayState("A1", np.zeros((4, 2), np.float32), occupied=True),
            BayState("A2", np.zeros((4, 2), np.float32)),
        ),
        happenings=(
            Happening("crossed", "gate", "car", 7, "in", speed_m_per_s=1.23456),
            Happening("freed", "A1", began_s=0.02, lasted_s=3.0),
        ),
        trails={7: np.zeros((5, 2), np.float32)},
    )
    full = replace(
        plain,
        detections=replace(plain.detections, bridged=np.array([True, False])),
        shown_mask=np.array([True, False]),
        scene=scene,
        seen_class_ids=np.array([1, 2]),
    )
    with JsonlWriter(path, header=HEADER) as writer:
        writer.write(full)
        writer.write(replace(plain, scene=Scene()))
    first, second = map(json.loads, path.read_text().splitlines()[1:3])
    assert [(box.get("bridged"), box.get("shown")) for box in first["boxes"]] == [(True, None), (None, False)]
    told = {
        "lines": {"gate": {"in": {"car": 3}, "out": {}}},
        "zones": {"yard": {"car": 2}},
        "bays": {"A1": True, "A2": None},
        "happenings": [
            {
                "kind": "crossed",
                "place": "gate",
                "direction": "in",
                "class": "car",
                "track": 7,
                "speed_m_per_s": 1.235,
            },
            {"kind": "freed", "place": "A1", "began_s": 0.02, "lasted_s": 3.0},
        ],
    }
    assert {key: first[key] for key in told} == told
    assert list(second) == ["type", "index", "pts", "time_base", "time_s", "damaged", "boxes"]
    read, plainly = read_jsonl(path)[1]
    np.testing.assert_array_equal(read.detections.bridged, [True, False])
    np.testing.assert_array_equal(read.detections.track_ids, [7, -1])
    assert read.shown.names == ["car"]
    assert read.scene_line == told
    assert [box.get("seen_as") for box in first["boxes"]] == [None, "bicycle"]
    assert read.seen.names == ["bicycle"]
    assert read.seen.track_ids.tolist() == [-1]
    assert plainly.shown_mask is None
    assert not plainly.scene_line


def test_a_live_happening_tells_the_time_of_day_it_began() -> None:
    stream = io.StringIO()
    plain = detected(boxes=[])
    frame = replace(plain.frame, utc_s=1795604404.0, arrival_s=50.0)
    with JsonlWriter(stream, header=HEADER) as writer:
        writer.write(
            DetectedFrame(frame, plain.detections, scene=Scene(happenings=(Happening("freed", "A", began_s=48),)))
        )
    (happening,) = json.loads(stream.getvalue().splitlines()[1])["happenings"]
    assert happening == {"kind": "freed", "place": "A", "began_utc_s": 1795604402.0}


coordinate = st.floats(-100, 8000, width=32)
box = st.tuples(st.lists(coordinate, min_size=4, max_size=4), st.floats(0, 1, width=32), st.integers(0, 2))


@given(
    boxes=st.lists(box, max_size=6).map(lambda boxes: sorted(boxes, key=lambda one: -one[1])),
    pts=st.integers(-(2**40), 2**40),
    damaged=st.booleans(),
)
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, boxes: list[tuple[list[float], float, int]], pts: int, damaged: bool
) -> None:
    path = tmp_path_factory.mktemp("jsonl") / "a.jsonl"
    sent = detected(3, pts, boxes, tracks=[4] * len(boxes), damaged=damaged)
    with JsonlWriter(path, header=HEADER) as writer:
        writer.write(sent)
    _, lines = read_jsonl(path)
    (line,) = list(lines)
    assert (line.index, line.pts, line.time_base, line.damaged) == (3, pts, Fraction(1, 12800), damaged)
    assert line.time_s == sent.frame.time_s
    np.testing.assert_allclose(line.detections.boxes_xyxy, sent.detections.boxes_xyxy, atol=0.0055)
    np.testing.assert_allclose(line.detections.scores, sent.detections.scores, atol=0.000051)
    np.testing.assert_array_equal(line.detections.class_ids, sent.detections.class_ids)
    np.testing.assert_array_equal(line.detections.track_ids, sent.detections.track_ids)
    assert lines.complete
    assert lines.flaw is None


def test_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    with JsonlWriter("-", header=HEADER) as writer:
        writer.write(detected())
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert not sys.stdout.closed


def test_an_existing_file_is_kept_unless_asked(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("mine")
    with pytest.raises(UsageError, match=r"a\.jsonl exists already; add --overwrite"):
        JsonlWriter(path, header=HEADER)
    assert path.read_text() == "mine"
    JsonlWriter(path, header=HEADER, overwrite=True).finish(complete=True)
    assert len(path.read_text().splitlines()) == 2


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file or directory"):
        JsonlWriter(tmp_path / "none" / "a.jsonl", header=HEADER)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_is_one_error() -> None:
    with pytest.raises(OutputError, match="cannot write detections to /dev/full: No space left on device"):
        JsonlWriter("/dev/full", header=HEADER, overwrite=True)


def test_a_run_that_failed_or_stopped_is_not_complete(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), JsonlWriter(tmp_path / "a.jsonl", header=HEADER) as writer:  # noqa: PT012
        writer.write(detected())
        raise RuntimeError
    with JsonlWriter(tmp_path / "b.jsonl", header=HEADER) as writer:
        writer.write(detected())
        writer.finish(complete=False)
    for name in ("a.jsonl", "b.jsonl"):
        _, lines = read_jsonl(tmp_path / name)
        assert len(list(lines)) == 1
        assert not lines.complete
        assert lines.flaw is not None
        assert "covers only a part" in lines.flaw


def test_cut_anywhere_is_read_up_to_there(tmp_path: Path) -> None:
    content = b"".join(write_whole(tmp_path / "whole.jsonl"))
    path = tmp_path / "cut.jsonl"
    first = content.index(b"\n") + 1
    for length in range(first, len(content) - 1, 7):
        path.write_bytes(content[:length])
        _, lines = read_jsonl(path)
        frames = list(lines)
        whole_lines = content[:length].count(b'"type": "frame"')
        assert len(frames) in (whole_lines - 1, whole_lines) or (length == first and not frames)
        assert not lines.complete
        assert "was killed" in (lines.flaw or "")


KILLED = """
import sys, time
from test_jsonl import HEADER, JsonlWriter, detected
with JsonlWriter(sys.argv[1], header=HEADER) as writer:
    for index in range(10**9):
        writer.write(detected(index, pts=index))
"""


def test_kill_leaves_complete_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], env=environment) as process:
        while not path.exists() or path.stat().st_size < 20_000:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    _, lines = read_jsonl(path)
    assert [line.index for line in lines] == list(range(path.read_bytes().count(b"\n") - 1))
    assert "was killed" in (lines.flaw or "")


@pytest.mark.parametrize(
    ("line", "content", "problem"),
    [
        (1, b'{"type": "frame"}\n', r"line 1: no header"),
        (1, b"RIFF\n", r"line 1: not JSON"),
        (1, b'{"type": "header", "schema": 2}\n', r"line 1: schema 2"),
        (1, b'{"type": "header", "schema": 1, "classes": 3}\n', r"line 1: classes is 3"),
        (3, b"{oops\n", r"line 3: not JSON"),
        (3, b"[1]\n", r"line 3: \[1\] is not a JSON object"),
        (3, b'{"type": "frame", "index": 1}\n', r"line 3: 'boxes' is missing"),
        (3, b'{"boxes": [{"box_xyxy": [1, 2], "class": "car", "score": 1}]}\n', r"line 3: cannot reshape"),
        (3, b'{"boxes": [{"box_xyxy": [1, 2, 3, 4], "class": "cow", "score": 1}]}\n', r"line 3: .*not in tuple"),
        (3, b"", r"line 4: the end line counts 3 frames and the file holds 2"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: int, content: bytes, problem: str) -> None:
    path = tmp_path / "a.jsonl"
    all_lines = write_whole(path)
    all_lines[line - 1] = content
    path.write_bytes(b"".join(all_lines))

    def read_all() -> None:
        list(read_jsonl(path)[1])

    with pytest.raises(DataError, match=rf"a\.jsonl, {problem}"):
        read_all()


def test_files_that_are_not_there_or_empty(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_jsonl(tmp_path / "none")
    (tmp_path / "empty").touch()
    with pytest.raises(DataError, match="no header"):
        read_jsonl(tmp_path / "empty")


def test_classes_are_needed() -> None:
    with pytest.raises(ValueError, match="classes"):
        JsonlWriter(io.StringIO(), header={"source": "a"})
