from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from streamdet.errors import OutputError, SourceError
from streamdet.report import FrameCounts, RunReport, StageTimes


def whole() -> RunReport:
    frames = FrameCounts(in_container=240, decoded=231, lost=9, damaged=4, skipped=31, detected=200, written=200)
    return RunReport({"name": "parking.mp4"}, frames=frames, wall_s=10.0)


@pytest.mark.parametrize("spread", [0.01, 0.5, 2.0])
def test_percentiles_are_exact_to_one_percent(spread: float) -> None:
    seconds = np.random.default_rng(1).lognormal(-4, spread, 20_000)
    times = StageTimes()
    for value in seconds:
        times.record(float(value), frames=2)
    for percent in (50, 95, 99):
        expected = np.percentile(seconds, percent, method="inverted_cdf")
        assert times.percentile_s(percent) == pytest.approx(expected, rel=0.0101)
    assert times.busy_s == pytest.approx(seconds.sum())
    assert (times.calls, times.frames) == (20_000, 40_000)
    assert times.longest_s == seconds.max()


def test_times_outside_the_bins() -> None:
    times = StageTimes()
    assert times.percentile_s(50) == 0
    times.record(0.0)
    times.record(1e6)
    assert times.percentile_s(50) <= 2e-6
    assert times.percentile_s(99) > 1000
    assert times.longest_s == 1e6


def test_times_of_the_calls_since_a_copy_was_made() -> None:
    times = StageTimes()
    times.record(9.0)
    earlier = times.copy()
    times.record(0.25, frames=3)
    recent = times.since(earlier)
    assert (recent.calls, recent.frames, recent.busy_s) == (1, 3, 0.25)
    assert recent.percentile_s(95) == pytest.approx(0.25, rel=0.01)
    assert earlier.calls == 1


def test_complete_with_damage_inside() -> None:
    report = whole()
    report.conclude()
    assert report.verdict == "complete"
    assert report.notes == []
    assert report.exit_code() == 0
    assert report.exit_code(strict=True) == 5
    assert report.fps == 20


def test_nothing_wrong_is_0_under_strict() -> None:
    report = RunReport({}, frames=FrameCounts(in_container=5, decoded=5, detected=5))
    report.conclude()
    assert report.exit_code(strict=True) == 0


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"lost": 8}, "1 frame unaccounted for (240 in the container, 231 decoded, 8 lost)"),
        ({"lost": 11}, "2 frames counted twice (240 in the container, 231 decoded, 11 lost)"),
        ({"skipped": 0}, "31 frames unaccounted for (231 decoded, 0 skipped, 0 dropped, 200 detected)"),
        ({"written": 198}, "2 frames unaccounted for (200 detected, 198 written)"),
    ],
)
def test_sums_that_do_not_add_up_are_never_complete(change: dict[str, int], note: str) -> None:
    report = whole()
    for name, value in change.items():
        setattr(report.frames, name, value)
    report.conclude()
    assert report.notes == [note]
    assert (report.verdict, report.reason, report.exit_code()) == ("partial", note, 5)


def test_a_camera_has_no_length_and_may_drop() -> None:
    report = RunReport({}, frames=FrameCounts(in_container=None, decoded=10, dropped=4, detected=6))
    report.conclude()
    assert report.verdict == "complete"
    assert report.exit_code(strict=True) == 5


def test_source_that_ended_early() -> None:
    report = whole()
    report.conclude(ended_early="the source ended at 7.2 s of 10.0 s")
    assert (report.verdict, report.exit_code()) == ("partial", 5)
    assert report.reason == "the source ended at 7.2 s of 10.0 s"


def test_interrupted() -> None:
    report = whole()
    report.conclude(interrupted_by="SIGTERM", ended_early="x")
    assert (report.verdict, report.exit_code(strict=True)) == ("interrupted", 130)
    assert report.reason == "stopped by SIGTERM after 200 frames"


def test_failed_carries_the_errors_code() -> None:
    report = whole()
    report.conclude(error=SourceError("no such camera"), interrupted_by="SIGINT")
    assert (report.verdict, report.reason, report.exit_code()) == ("failed", "no such camera", 3)
    report.conclude(error=MemoryError())
    assert (report.reason, report.exit_code()) == ("MemoryError", 1)


def test_a_report_without_a_conclusion_is_no_success() -> None:
    assert RunReport({}).exit_code() == 1


def test_written_file(tmp_path: Path) -> None:
    report = whole()
    report.source = {"name": "pârking.mp4", "rate": Fraction(25), "path": Path("a")}
    report.stage("decode").record(0.5)
    report.stage("decode").record(0.25)
    report.input_size_wh = (800, 448)
    report.conclude()
    path = tmp_path / "run.json"
    path.write_text("old")
    report.write(path)
    read = json.loads(path.read_text(encoding="utf-8"))
    assert read["schema"] == 1
    assert read["verdict"] == "complete"
    assert read["source"] == {"name": "pârking.mp4", "rate": "25", "path": "a"}
    assert read["frames"]["in_container"] == 240
    assert read["stages"]["decode"]["busy_s"] == 0.75
    assert read["stages"]["decode"]["p50_s"] == pytest.approx(0.25, rel=0.01)
    assert read["input_size_wh"] == [800, 448]
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.json"]


def test_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "none" / "run.json", tmp_path / "file" / "run.json"):
        with pytest.raises(OutputError, match=r"cannot write the report .*run\.json"):
            whole().write(place)
