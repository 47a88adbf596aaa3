"""`streamdet zones`: with a grid, and with the mouse in a real window on a screen that nobody sees."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from streamdet.cli.place_picture import grid_step
from streamdet.results.places import read_places
from tests.cli.conftest import Streamdet
from tests.media import make_clip

SIZE = (480, 360)
PLACES = """
[lines]
gate = [100, 100, 300, 100]
[zones]
yard = [[50, 200], [200, 200], [200, 300], [50, 300]]
"""


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(
        tmp_path / "yard.mp4", frames=3, size=SIZE, draw=lambda _, size: np.full((*size[::-1], 3), 60, np.uint8)
    )


def pixels(path: str) -> npt.NDArray[np.int64]:
    with Image.open(path) as picture:
        return np.asarray(picture).astype(np.int64)


def test_a_frame_with_a_grid_and_places(streamdet: Streamdet, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    Path("places.toml").write_text(PLACES)
    outcome = streamdet("zones", clip)
    assert outcome.exit_code == 0, outcome.err
    assert outcome.err.startswith("zones.png: a frame of 480x360 with a grid in pixels; read corners from it")
    grid = pixels("zones.png")
    assert grid.shape == (*SIZE[::-1], 3)
    for at in (50, 250):
        assert grid[310, at].mean() > grid[310, at + 7].mean() + 20
        assert grid[at, 310].mean() > grid[at + 7, 310].mean() + 20
    assert streamdet("zones", clip, "--grid", "places.png", "--places", "places.toml").exit_code == 0
    drawn = pixels("places.png")
    assert (drawn[100, 250] == (255, 214, 10)).all()  # on the line
    assert (drawn[200, 125] == (64, 200, 255)).all()  # on the zone's edge
    assert drawn[255, 155, 2] > drawn[255, 155, 0] + 15  # in it


def test_what_is_refused(streamdet: Streamdet, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)

    def error(*arguments: str | Path) -> tuple[int, str]:
        outcome = streamdet("zones", *arguments)
        return outcome.exit_code, outcome.err.strip().removeprefix("streamdet: ")

    assert error(tmp_path / "none.mp4")[0] == 3
    assert error(clip, "--grid", "zones.txt") == (2, "zones.txt is no name of a picture; give one that ends in .png")
    assert error(clip, "--grid", "zones.png", "--out", "places.toml")[0] == 2
    Path("far.toml").write_text("[lines]\ngate = [900, 0, 900, 10]\n")
    code, sentence = error(clip, "--places", "far.toml")
    assert (code, sentence[:58]) == (2, "line gate lies outside of the picture, which is 480x360 (i")
    assert not Path("zones.png").exists()
    assert error(clip)[0] == 0
    assert error(clip) == (
        2,
        "zones.png is there already; give --overwrite to replace it, or another name with --grid",
    )
    assert error(clip, "--overwrite")[0] == 0
    monkeypatch.setenv("DISPLAY", ":4711")
    code, sentence = error(clip)
    assert (code, sentence.startswith("no window could be opened: ")) == (2, True)


def test_a_live_source(streamdet: Streamdet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    clip = make_clip(tmp_path / "clip.ts", frames=40, size=SIZE)
    pipe = tmp_path / "camera"
    os.mkfifo(pipe)
    with subprocess.Popen(["sh", "-c", f"cat {clip} > {pipe}"]) as writer:
        outcome = streamdet("zones", pipe, "--grid", "live.png")
        writer.kill()
    assert outcome.exit_code == 0, outcome.err
    with Image.open("live.png") as picture:
        assert picture.size == SIZE


@pytest.mark.parametrize(("longest", "step"), [(160, 10), (480, 50), (1280, 100), (1920, 200), (3840, 500)])
def test_steps_of_the_grid(longest: int, step: int) -> None:
    assert grid_step(longest) == step


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """A screen of 800 x 600 that nobody sees."""
    for program in ("Xvfb", "xdotool"):
        if shutil.which(program) is None:
            if os.environ.get("CI"):
                pytest.fail(f"CI must have {program}")
            pytest.skip(f"needs {program}")
    pytest.importorskip("tkinter")
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "800x600x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        yield f":{server.stdout.readline().strip()}"
        server.terminate()


class Hand:
    """Uses mouse and keyboard of a `streamdet zones` that is on the screen."""

    def __init__(self, clip: Path, display: str, folder: Path) -> None:
        self._environment = {**os.environ, "DISPLAY": display}
        command = [sys.executable, "-m", "streamdet", "zones", str(clip), "--out", "drawn.toml"]
        self._process = subprocess.Popen(command, env=self._environment, cwd=folder, stderr=subprocess.PIPE, text=True)
        until_s = time.monotonic() + 60
        while not (window := self._do("search", "--onlyvisible", "--name", "streamdet zones").split()):
            assert time.monotonic() < until_s, "no window came"
            time.sleep(0.1)
        geometry = self._do("getwindowgeometry", "--shell", window[0])
        self._place = [int(line.partition("=")[2]) for line in geometry.splitlines() if line[:2] in ("X=", "Y=")]

    def click(self, *points: tuple[int, int], button: int = 1) -> None:
        for x, y in points:
            self._do("mousemove", str(self._place[0] + x), str(self._place[1] + y), "click", str(button))
            time.sleep(0.15)

    def press(self, *keys: str) -> None:
        for key in keys:
            self._do("key", key)
            time.sleep(0.15)

    def end(self) -> tuple[int, str]:
        _, err = self._process.communicate(timeout=60)
        return self._process.returncode, err

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def _do(self, *arguments: str) -> str:
        return subprocess.run(
            ["xdotool", *arguments], env=self._environment, stdout=subprocess.PIPE, text=True, check=False
        ).stdout


@pytest.fixture
def hand(clip: Path, display: str, tmp_path: Path) -> Iterator[Hand]:
    made = Hand(clip, display, tmp_path)
    yield made
    made.close()


def test_places_are_drawn_with_the_mouse(hand: Hand, tmp_path: Path) -> None:
    hand.click((100, 50), (300, 60))
    hand.press("z")
    hand.click((50, 100), (200, 100), (200, 200), (210, 210))
    hand.press("BackSpace", "Return", "b")
    hand.click((300, 200), (400, 200), (400, 300), (300, 300))
    hand.press("l")
    hand.click((10, 10), (20, 20))
    hand.press("BackSpace", "s")
    code, err = hand.end()
    assert code == 0, err
    assert "drawn.toml: 1 line, 1 zone, 1 bay; use it with `streamdet run ... --places drawn.toml`" in err
    rules = read_places(tomllib.loads((tmp_path / "drawn.toml").read_text()))
    assert (rules.lines[0].name, rules.lines[0].points_xy) == ("line1", ((100, 50), (300, 60)))
    assert (rules.zones[0].name, rules.zones[0].polygon_xy) == ("zone1", ((50, 100), (200, 100), (200, 200)))
    assert (rules.bays[0].name, rules.bays[0].polygon_xy[2]) == ("bay1", (400, 300))


def test_who_leaves_writes_nothing(hand: Hand, tmp_path: Path) -> None:
    hand.click((100, 50), (300, 60))
    hand.press("q")
    assert hand.end() == (0, "left without saving: nothing was written\n")
    assert not (tmp_path / "drawn.toml").exists()
