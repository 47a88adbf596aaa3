from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import ImageGrab

from streamdet.errors import OutputError
from streamdet.video.live.status import SourceState, SourceStatus
from streamdet.video.live.window import Window, arrangement
from tests.video.live.frames import AWAY, detected, painter

LIVE = SourceStatus(SourceState.LIVE, 0.0)


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """A screen of 800 x 600 that nobody sees."""
    if shutil.which("Xvfb") is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have Xvfb")
        pytest.skip("needs Xvfb (Debian: apt install xvfb)")
    pytest.importorskip("tkinter")
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "800x600x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        yield f":{server.stdout.readline().strip()}"
        server.terminate()


@pytest.fixture
def window(display: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Window]:
    monkeypatch.setenv("DISPLAY", display)
    made = Window("streamdet")
    yield made
    made.close()
    made.close()


def seen(window: Window) -> np.ndarray:
    """The screen, (H, W, 3), when it shows everything."""
    window.refresh()
    until_s = time.monotonic() + 10
    while time.monotonic() < until_s and (not window._is_ready or window._unsent):
        time.sleep(0.01)
        window.refresh()
    time.sleep(0.1)  # Tk has handed it to the server
    return np.asarray(ImageGrab.grab(xdisplay=os.environ["DISPLAY"]).convert("RGB")).astype(int)


def redness(screen: np.ndarray) -> int:
    return int((screen[..., 0] - screen[..., 2] > 100).sum())


def test_tiles_of_all_cameras_are_on_the_screen(window: Window) -> None:
    tiles = [window.add(f"cam{k}", painter(), lambda: LIVE) for k in range(3)]
    never = window.add("never", painter(), lambda: AWAY)
    window.refresh()
    # 720 x 540 of 800 x 600: two by two
    for tile, size in zip(tiles, [(320, 180), (161, 121), (120, 160)], strict=True):
        assert tile.write(detected(0, size=size))
    screen = seen(window)
    for column, row, left in ((0, 0, 10), (1, 0, 10), (0, 1, 90)):
        corner = screen[270 * row + 50 : 270 * row + 60, 360 * column + left + 5 : 360 * column + left + 15]
        assert corner[..., 0].mean() > 180, (column, row)
        assert corner[..., 2].mean() < 80
    plate = screen[270:540, 360:720]
    assert ((plate[..., 0] > 200) & (plate[..., 1] < 60)).sum() > 1000  # NO SIGNAL
    assert never.notes == []


def test_a_picture_follows_the_next_and_the_size_of_its_camera(window: Window) -> None:
    tile = window.add("cam1", painter(), lambda: LIVE)
    for index, size in enumerate([(320, 180), (180, 320), (16, 16), (1920, 1080)]):
        tile.write(detected(index, size=size))
        before = seen(window)
        tile.write(detected(index + 1, size=size))
        assert np.any(seen(window) != before)


def test_a_camera_that_is_gone_turns_grey_and_one_that_is_let_go_vanishes(window: Window) -> None:
    tile, other = (window.add(name, painter(), lambda: LIVE) for name in ("cam1", "cam2"))
    for one in (tile, other):
        one.write(detected(0, size=(320, 180)))
    red = redness(seen(window))
    tile.gone(AWAY, 1060.0)
    assert redness(seen(window)) < red * 0.9  # the plate is red as well
    other.finish(complete=True)
    other.close()
    assert seen(window)[400:440, :100].std() > 10  # the one that is left takes all the room
    tile.close()
    assert np.all(seen(window)[:540, :720] == (16, 17, 20))


def key(display: str, name: str) -> None:
    """Press a key in the window, by the server's own test extension."""
    subprocess.run(["xdotool", "key", name], env={**os.environ, "DISPLAY": display}, check=True)


def wait_for_end(window: Window) -> str | None:
    deadline = time.monotonic() + 10
    while window.refresh() is None and window._process is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    return window.refresh()


@pytest.mark.skipif(shutil.which("xdotool") is None, reason="needs xdotool")
def test_q_ends_the_run(window: Window, display: str) -> None:
    window.add("cam1", painter(), lambda: LIVE).write(detected(0))
    seen(window)
    key(display, "x")
    key(display, "q")
    assert wait_for_end(window) == "q in the window"


def test_closing_the_window_ends_the_run(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    window._hear({"stop": "the window was closed"})
    assert window.refresh() == "the window was closed"


def test_a_window_that_is_gone_leaves_the_run_alone(window: Window) -> None:
    tile = window.add("cam1", painter(), lambda: LIVE)
    seen(window)
    assert window._process is not None
    window._process.kill()
    assert wait_for_end(window) is None
    assert tile.write(detected(0))
    assert window.notes == ["the window's screen went away: the run went on without it"]


def test_a_screen_that_stands_still_stops_nobody(window: Window) -> None:
    tile = window.add("cam1", painter(), lambda: LIVE)
    seen(window)
    assert window._process is not None
    window._process.send_signal(signal.SIGSTOP)
    slowest = 0.0
    for index in range(20):
        started = time.monotonic()
        tile.write(detected(index))
        window.refresh()
        slowest = max(slowest, time.monotonic() - started)
    window.close()
    assert slowest < 1


def test_an_x_server_that_dies_leaves_the_run_alone(monkeypatch: pytest.MonkeyPatch, display: str) -> None:
    command = ["Xvfb", "-displayfd", "1", "-nolisten", "tcp"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        monkeypatch.setenv("DISPLAY", f":{server.stdout.readline().strip()}")
        window = Window("streamdet")
        server.kill()
    tile = window.add("cam1", painter(), lambda: LIVE)
    tile.write(detected(0))
    assert wait_for_end(window) is None
    window.close()
    assert window.notes == ["the window's screen went away: the run went on without it"]


def test_without_a_screen_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tkinter")
    for display in ("", ":4711"):
        monkeypatch.setenv("DISPLAY", display)
        with pytest.raises(OutputError, match="--show needs a screen and there is none"):
            Window("streamdet")


def test_without_tk_there_is_one_sentence(window: Window) -> None:
    with pytest.raises(OutputError, match="apt install python3-tk"):
        window._hear({"error": "tk"})


@pytest.mark.parametrize(
    ("tiles", "size", "expected"),
    [
        (0, (1280, 720), (1, 1)),
        (1, (1280, 720), (1, 1)),
        (2, (1400, 720), (2, 1)),
        (2, (1280, 720), (1, 2)),
        (2, (400, 900), (1, 2)),
        (4, (1280, 720), (2, 2)),
        (9, (1280, 720), (3, 3)),
        (8, (1280, 720), (3, 3)),
    ],
)
def test_tiles_are_arranged_as_large_as_they_can_be(
    tiles: int, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert arrangement(tiles, *size) == expected
