from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

import av
import pytest

from streamdet.errors import OutputError, UsageError
from streamdet.results.counts import COLUMNS, CountsCsv
from streamdet.scene import Happening, Scene
from streamdet.types import DetectedFrame, Detections, Frame


def framed(*happenings: Happening, utc_s: float | None = None, stream: str = "clip.mp4") -> DetectedFrame:
    frame = Frame(av.VideoFrame(8, 8, "yuv420p"), stream, 3, 30, Fraction(1, 20), arrival_s=5.0, utc_s=utc_s)
    return DetectedFrame(frame, Detections.empty(("car",)), scene=Scene(happenings=happenings))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_for_each_happening_as_it_happens(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    table = CountsCsv(path)
    assert path.read_text() == ",".join(COLUMNS) + "\n"
    table.write(framed())
    table.write(
        framed(Happening("crossed", "gate, north", "car", 7, "in"), Happening("left", "yard", "car", 8, lasted_s=2))
    )
    crossed, left = rows_of(path)  # before the end
    assert crossed == {
        "time_s": "1.5", "utc": "", "stream": "clip.mp4", "index": "3", "kind": "crossed", "place": "gate, north",
        "direction": "in", "class": "car", "track": "7", "lasted_s": "", "speed_m_per_s": "",
    }  # fmt: skip
    assert (left["kind"], left["lasted_s"]) == ("left", "2.0")
    table.finish(complete=True)
    assert table.rows == 2


def test_a_live_row_tells_the_time_of_day(tmp_path: Path) -> None:
    table = CountsCsv(tmp_path / "counts.csv")
    assert table.write(framed(Happening("freed", "A1"), utc_s=1795604404.2534, stream="gate")) is True
    table.close()
    [row] = rows_of(tmp_path / "counts.csv")
    assert (row["utc"], row["stream"], row["class"]) == ("2026-11-25T11:00:04.253+00:00", "gate", "")


def test_what_can_not_be_written(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    path.write_text("mine")
    with pytest.raises(UsageError, match="exists already; add --overwrite"):
        CountsCsv(path)
    assert path.read_text() == "mine"
    CountsCsv(path, overwrite=True).close()
    with pytest.raises(OutputError, match="choose another place for --counts"):
        CountsCsv(tmp_path / "no" / "counts.csv")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_is_one_error() -> None:
    with pytest.raises(OutputError, match="cannot write counts to /dev/full: No space left on device"):
        CountsCsv(Path("/dev/full"), overwrite=True)
