from __future__ import annotations

import io
import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamdet.errors import OutputError, UsageError
from streamdet.results import rotating
from streamdet.results.jsonl_reading import read_jsonl
from streamdet.results.rotating import LiveJsonl
from streamdet.types import DetectedFrame, Detections, Frame
from streamdet.video.live.retention import Retention

CLASSES = ("person", "car")
HEADER = {"sources": ["cam1", "cam2"], "classes": CLASSES}
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()


def detected(index: int, at_s: float, stream: str = "cam1", camera_utc_s: float | None = None) -> DetectedFrame:
    picture = av.VideoFrame(64, 48, "yuv420p")
    arrival_s = time.monotonic() - 0.04
    times = (index * 9000, Fraction(1, 90_000), arrival_s)
    frame = Frame(picture, stream, index, *times, session=2, utc_s=NOON + at_s, camera_utc_s=camera_utc_s)
    box = np.array([[1, 2, 30, 40]], np.float32)
    return DetectedFrame(frame, Detections(box, np.array([0.5], np.float32), np.array([1]), CLASSES))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_live_line_tells_stream_session_clock_and_age() -> None:
    stream = io.StringIO()
    sink = LiveJsonl(stream, header=HEADER)
    sink.write(detected(7, 4.2531171))
    sink.write(detected(8, 4.3, camera_utc_s=NOON + 4.1))
    sink.finish(complete=True)
    _, first, second, end = map(json.loads, stream.getvalue().splitlines())
    assert 40 <= first.pop("age_ms") < 5000
    assert first == {
        "type": "frame",
        "stream": "cam1",
        "session": 2,
        "index": 7,
        "pts": 63_000,
        "time_base": "1/90000",
        "time_s": 0.7,
        "damaged": False,
        "utc_s": NOON + 4.253117,
        "boxes": [{"box_xyxy": [1.0, 2.0, 30.0, 40.0], "class": "car", "score": 0.5}],
    }
    assert second["camera_utc_s"] == NOON + 4.1
    assert end == {"type": "end", "frames": 2, "complete": True}


def test_one_file_for_all_cameras_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "boxes.jsonl"
    sink = LiveJsonl(path, header=HEADER)
    for index in range(4):
        assert sink.write(detected(index, index * 1000, f"cam{1 + index % 2}"))
        sink.gone(object(), 0.0)
    sink.finish(complete=True)
    sink.close()
    header, lines = read_jsonl(path)
    assert header["sources"] == ["cam1", "cam2"]
    read = list(lines)
    assert [(line.stream, line.session, line.utc_s) for line in read] == [
        (f"cam{1 + index % 2}", 2, NOON + index * 1000) for index in range(4)
    ]
    assert all(line.age_ms is not None and line.camera_utc_s is None for line in read)
    assert lines.complete
    with pytest.raises(UsageError, match="exists already"):
        LiveJsonl(path, header=HEADER)


def test_segments_are_whole_files_cut_on_the_wall_clock(tmp_path: Path) -> None:
    sink = LiveJsonl(tmp_path / "boxes.jsonl", header=HEADER, segment_s=600)
    assert names(tmp_path) == []
    # a frame of the other camera that is a little late does not cut
    for index, at_s in enumerate([590, 599.9, 600.1, 599.95, 601, 1300]):
        sink.write(detected(index, at_s))
    sink.finish(complete=False)
    times = ["12-09-50", "12-10-00", "12-21-40"]
    assert names(tmp_path) == [f"boxes_2026-11-25T{time}Z.jsonl" for time in times]
    counts, complete = [], []
    for name in names(tmp_path):
        _, lines = read_jsonl(tmp_path / name)
        counts.append(len(list(lines)))
        complete.append(lines.complete)
    assert counts == [2, 3, 1]
    assert complete == [True, True, False]
    assert (sink.frames, sink.left_out, sink.files, sink.notes) == (6, 0, 3, [])


def test_old_segments_are_deleted_but_never_the_one_being_written(tmp_path: Path) -> None:
    keeper = Retention(tmp_path, max_bytes=1)
    sink = LiveJsonl(tmp_path / "boxes.jsonl", header=HEADER, segment_s=600, keeper=keeper)
    for index in range(3):
        sink.write(detected(index, 600 * index))
        keeper.sweep()
        assert names(tmp_path) == [f"boxes_2026-11-25T12-{index}0-00Z.jsonl"]
    sink.finish(complete=True)


def test_a_folder_that_vanishes_costs_frames_but_not_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotating, "TRY_AGAIN_S", 0.0)
    folder = tmp_path / "out"
    folder.mkdir()
    sink = LiveJsonl(folder / "boxes.jsonl", header=HEADER, segment_s=600)
    assert sink.write(detected(0, 0))
    folder.rename(tmp_path / "away")
    assert not sink.write(detected(1, 600))
    assert not sink.write(detected(2, 601))
    folder.mkdir()
    assert sink.write(detected(3, 602))
    sink.finish(complete=True)
    assert names(folder) == ["boxes_2026-11-25T12-10-02Z.jsonl"]
    cannot, goes_on, missing = sink.notes
    assert "No such file or directory" in cannot
    assert "go on in" in goes_on
    assert missing == "2 frames are missing in the JSON lines: they could not be written"


def test_one_file_that_can_not_be_written_is_an_error(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")
    with pytest.raises(OutputError, match="No space left"):
        LiveJsonl(full, header=HEADER, overwrite=True)


def test_wrong_targets_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be cut into segments"):
        LiveJsonl("-", header=HEADER, segment_s=60)
    with pytest.raises(OutputError, match="there is no folder"):
        LiveJsonl(tmp_path / "no" / "boxes.jsonl", header=HEADER, segment_s=60)


def test_lines_of_recordings_stay_as_they_were() -> None:
    stream = io.StringIO()
    sink = LiveJsonl(stream, header=HEADER)
    frame = detected(0, 0)
    sink.write(replace(frame, frame=replace(frame.frame, utc_s=None)))
    sink.close()
    line = json.loads(stream.getvalue().splitlines()[1])
    assert list(line) == ["type", "index", "pts", "time_base", "time_s", "damaged", "boxes"]
