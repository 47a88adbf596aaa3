"""What a run shows: lines of progress and the receipt, however long or odd the names are."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len

from streamdet.cli.receipt import RunDisplay, clock, cut, show_receipt
from streamdet.report import RunReport
from streamdet.video import open_source
from tests.media import make_clip

NAMES = [
    "a.mp4",
    "[bold]tagged[red].mp4",
    "a very long name of a recording " * 4 + ".mp4",
    "監視カメラの録画" * 8 + ".mp4",
]


@pytest.fixture
def report() -> RunReport:
    made = RunReport({}, model="tiny [beta]", device="cpu", precision="float32")
    for name in ("decode", "resize", "network", "postprocess", "draw", "encode"):
        made.stage(name).record(0.5)
    made.stage("network").record(8.0)
    made.frames.detected = 12
    return made


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
@pytest.mark.parametrize("width", [40, 80, 200])
def test_without_a_terminal_each_report_is_one_short_line(
    tmp_path: Path,
    report: RunReport,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    width: int,
) -> None:
    monkeypatch.setattr("streamdet.cli.receipt.PLAIN_LINE_EVERY_S", 0)
    monkeypatch.setenv("COLUMNS", str(width))
    with open_source(make_clip(tmp_path / name, frames=30)) as source:
        source.counts.lost_pts += [3] * 100
        source.counts.damaged_marked = 20
        with RunDisplay(report, source) as display:
            display._started -= 100
            display.update()
            display.update()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert cell_len(line) <= 79
        assert line.startswith(name[:3])
        assert ": 12/30 frames, 100 lost, 20 damaged, 0.1 fps, " in line
        assert " left, network " in line


def test_live_progress_fits_two_lines_of_80_columns(
    tmp_path: Path, report: RunReport, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TTY_INTERACTIVE", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")  # no colours in the text to be compared
    report.stages["decode"].record(4.0)
    with open_source(make_clip(tmp_path / NAMES[2], frames=30)) as source, RunDisplay(report, source) as display:
        display.update()
        display._started -= 10
        display.update()
        lines = [
            "".join(segment.text for segment in line).rstrip()
            for line in display._console.render_lines(display._progress.get_renderable())
        ]
    assert len(lines) == 2
    assert "12/30 frames" in lines[0]
    assert "fps" in lines[0]
    assert "…" not in lines[1]
    assert [word for word in lines[1].split() if "%" not in word] == list(report.stages)


def test_the_receipt_names_lost_frames_and_shows_names_as_they_are(
    report: RunReport, capsys: pytest.CaptureFixture[str]
) -> None:
    report.lost_at_s = [0.5, 1, 2, 3, 4, 5, 6]
    report.outputs = ["out [red].mp4"]
    report.conclude()
    show_receipt(report, 5)
    shown = capsys.readouterr().err
    assert "0.50 s, 1.00 s, 2.00 s, 3.00 s, 4.00 s, and 2 more" in shown
    assert "out [red].mp4" in shown
    assert "tiny [beta] (float32 on cpu" in shown
    assert max(cell_len(line) for line in shown.splitlines()) <= 80


def test_times_and_cuts() -> None:
    assert [clock(seconds) for seconds in (0, 6.6, 754, 3723)] == ["0:00", "0:07", "12:34", "1:02:03"]
    assert (cut("abcdef", 6), cut("abcdef", 5)) == ("abcdef", "abcd…")
