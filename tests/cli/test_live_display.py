"""What a live run shows: a table that fits, lines without a terminal, and a receipt whose frames add up."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from streamdet.cli.figures import cut_middle, duration, rate, short_count
from streamdet.cli.live_display import LiveDisplay
from streamdet.cli.live_receipt import show_live_receipt
from streamdet.live.report import CameraReport, LiveReport
from streamdet.video.live.status import LiveCounts, SourceState, SourceStatus

NAMES = ["gate", "rtsp://192.168.1.20:554/Streaming/Channels/101", "監視カメラ駐車場の入口の北側", "Hof [bold]Nord"]
REFUSED = "the camera refused the user name or password: set them with user and password_env, or a netrc file"


class Input:
    """A live source that does nothing."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.info = None
        self.counts = LiveCounts(sessions=1)
        self.status = SourceStatus(SourceState.LIVE, 0.0)


class Scene:
    """Cameras of 20 frames/s of which all but each tenth is detected, a clock, and a display."""

    def __init__(self, n: int, columns: int, rows: int = 24, *, terminal: bool = True) -> None:
        self.now_s = 100.0
        self.inputs = [Input(NAMES[i % 4] + f" {i // 4}" * (i > 3)) for i in range(n)]
        self.cameras = [CameraReport(source, written=0) for source in self.inputs]
        self.report = LiveReport(model="street", device="cpu", precision="float32", cameras=self.cameras)
        self.console = Console(
            file=io.StringIO(), width=columns, height=rows, force_terminal=terminal, color_system=None, highlight=False
        )
        self.display = LiveDisplay(self.report, console=self.console, now_s=lambda: self.now_s)

    def run(self, seconds: float, *, age_s: float = 0.04) -> None:
        for _ in range(round(seconds * 2)):
            self.now_s += 0.5
            for camera, source in zip(self.cameras, self.inputs, strict=True):
                if source.status.state is SourceState.LIVE:
                    source.counts.decoded += 10
                    camera.detected += 9
                    camera.dropped["a newer one came"] += 1
                    camera.written = (camera.written or 0) + 9
                    camera.age_detected.record(age_s)
            self.display.update()

    def fail(self, index: int) -> None:
        self.inputs[index].status = SourceStatus(SourceState.WAITING, self.now_s, REFUSED, "401", self.now_s + 12.0)

    def screen(self) -> list[str]:
        segments = self.console.render_lines(self.display._live.get_renderable(), pad=False)
        return ["".join(segment.text for segment in line).rstrip() for line in segments]

    def lines(self) -> list[str]:
        assert isinstance(self.console.file, io.StringIO)
        return self.console.file.getvalue().splitlines()


@pytest.mark.parametrize("columns", [80, 140])
@pytest.mark.parametrize("n", [1, 4, 16])
def test_the_screen_fits_and_has_a_row_for_each_camera(n: int, columns: int) -> None:
    scene = Scene(n, columns)
    scene.run(6)
    if n > 1:
        scene.fail(1)
    scene.run(2)
    screen = scene.screen()
    assert len(screen) < 24
    assert max(cell_len(line) for line in screen) <= columns
    assert screen[0] == f"street · float32 on cpu · {n - (n > 1)} of {n} live · 0:08"
    assert screen[1].split() == ["camera", "state", "in", "det", "out", "age", "p95", "dropped", "reconn"]
    for camera, line in zip(scene.cameras, screen[2:], strict=False):
        assert line.startswith(camera.name[:3])
    assert "20.0  18.0  18.0    40 ms" in screen[2]
    assert ("a newer one came" in screen[2]) == (columns == 140)
    if n > 1:
        assert screen[n + 2].startswith(f"all {n} ")
        assert "401, in 10 s" in screen[3]
        assert "gone for 0:02: the camera refused" in " ".join(screen[n + 3 :])


def test_rates_and_ages_are_those_of_the_last_seconds() -> None:
    scene = Scene(2, 80)
    scene.run(20, age_s=2.0)
    assert "2.0 s" in scene.screen()[2]
    scene.run(6, age_s=0.03)
    assert "30 ms" in scene.screen()[2]
    scene.fail(0)
    scene.run(6)
    assert scene.screen()[2].split()[-6:] == ["0.0", "0.0", "0.0", "–", "52", "0"]


def test_a_problem_that_is_over_is_remembered_for_a_while() -> None:
    scene = Scene(1, 140)
    scene.fail(0)
    scene.run(1)
    scene.inputs[0].status = SourceStatus(SourceState.LIVE, scene.now_s)
    scene.run(4)
    assert scene.screen()[-1] == f"gate: 0:04 ago: {REFUSED}"
    scene.run(300)
    assert len(scene.screen()) == 3


def test_with_more_cameras_than_lines_those_with_a_problem_are_shown() -> None:
    scene = Scene(16, 80, rows=12)
    for index in (9, 13):
        scene.fail(index)
    scene.run(2)
    screen = scene.screen()
    assert len(screen) <= 11
    assert sum("401, in" in line for line in screen) == 2
    assert any(line.startswith("all 16") for line in screen)


def test_a_camera_taken_out_of_the_run_leaves_the_screen() -> None:
    scene = Scene(3, 80)
    scene.inputs[0].status = SourceStatus(SourceState.STOPPED, 0.0)
    scene.run(1)
    assert not any(line.startswith("gate") for line in scene.screen())


def test_without_a_terminal_each_camera_has_a_line_in_ten_seconds_and_news_come_at_once() -> None:
    scene = Scene(4, 40, terminal=False)
    with scene.display:
        scene.run(0.5)
        assert len(scene.lines()) == 4
        scene.run(5)
        assert len(scene.lines()) == 4
        scene.fail(1)
        scene.run(0.5)
        [news] = scene.lines()[4:]
        assert news.startswith("rtsp://192.")
        assert "/101: waiting, next attempt in 12 s: the camera refused" in news
        scene.run(4)
        assert len(scene.lines()) == 9
    gate = scene.lines()[5]
    assert gate == "gate: live, 20.0 fps in, 18.0 detected, 18.0 written, age p95 40 ms, dropped 20 a newer one came"
    assert max(cell_len(line) for line in scene.lines()) <= 110
    assert any("gone for 0:04" in line for line in scene.lines())


@pytest.mark.parametrize("columns", [60, 80, 140])
def test_the_receipt_says_where_each_frame_went(columns: int) -> None:
    scene = Scene(4, columns, terminal=False)
    scene.run(10)
    gate, other = scene.cameras[:2]
    gate.dropped["too old"] = 7
    gate.source.counts.decoded += 7
    gate.source.counts.lost = 3
    gate.source.counts.outages.record(4.2)
    gate.source.counts.sessions = 2
    other.source.counts.failures["401"] = 2
    gate.outputs += ["rec/a.mp4", "rec/b.mp4", "rec/c.mp4", "rec/d.mp4"]
    other.notes.append("recording stopped: the disk is full [red]")
    scene.report.wall_s = 10.0
    scene.report.conclude(stopped_by="Ctrl-C", as_asked=False)
    receipt = Console(file=io.StringIO(), width=columns, color_system=None)
    show_live_receipt(scene.report, 130, console=receipt)
    assert isinstance(receipt.file, io.StringIO)
    shown = receipt.file.getvalue()
    assert max(cell_len(line) for line in shown.splitlines()) <= columns
    words = " ".join(shown.replace("│", " ").split())
    assert "0:10: 720 frames detected, 72.0 frames/s" in words
    assert "gate 207 in = 180 detected + 27 dropped (20 a newer one came, 7 too old) · 180 written" in words
    assert "180 written to rec/a.mp4, rec/b.mp4, rec/c.mp4 and 1 more" in words
    assert "3 lost to damage · 1 outage, the longest 4.2 s · 1 reconnect · age at detection 40 ms (p95 40 ms)" in words
    assert "2 × 401" in words
    assert "the disk is full [red]" in words
    assert "stopped by Ctrl-C after 720 frames (exit code 130)" in words


def test_short_forms() -> None:
    assert [rate(per_s) for per_s in (0, 14.96, 99.97, 1234)] == ["0.0", "15.0", "100", "1234"]
    assert [duration(s) for s in (None, 0.0451, 0.9996, 12.34, 123)] == ["–", "45 ms", "1.0 s", "12.3 s", "123 s"]
    assert [short_count(n) for n in (0, 9999, 12_345, 123_456, 999_600, 12_345_678)] == [
        *("0", "9999", "12.3k", "123k"),
        *("1.0M", "12.3M"),
    ]
    assert [cut_middle("abcdefghij", n) for n in (10, 9, 4)] == ["abcdefghij", "abcd…ghij", "ab…j"]
    assert cut_middle("監視カメラ", 7) == "監視…ラ"


@pytest.mark.parametrize("terminal", [True, False])
def test_notes_are_told_once_and_while_the_run_goes_on(terminal: bool) -> None:
    scene = Scene(2, 100, terminal=terminal)
    scene.run(1)
    scene.report.notes.append("cameras read again: 1 new")
    scene.cameras[0].notes.append("recording stopped: the disk is full")
    scene.run(3)
    told = scene.console.file.getvalue()  # type: ignore[attr-defined]
    assert told.count("note: cameras read again: 1 new\n") == 1
    assert told.count("note: gate: recording stopped: the disk is full\n") == 1


def test_before_the_first_camera_it_says_what_is_waited_for() -> None:
    scene, plain = Scene(0, 80), Scene(0, 80, terminal=False)
    for each in (scene, plain):
        each.display.wait_for_detector()
    assert scene.screen() == ["making street ready on cpu; the first time that takes some seconds"]
    assert plain.lines() == []  # nothing that a log would keep
