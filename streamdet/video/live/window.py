"""A window that shows the cameras side by side.

The cameras' threads only leave their newest picture; whoever calls `Window.refresh` puts them together and hands them
to a process of its own, which shows them with Tk: see `window_process`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

from streamdet.errors import OutputError
from streamdet.types import DetectedFrame
from streamdet.video.live.drawing import Painter
from streamdet.video.live.gone import NO_SIGNAL, empty_tile
from streamdet.video.live.status import SourceState, SourceStatus

_OPEN_TIMEOUT_S = 20.0
_SEND_S = 0.1
"""The most that a refresh waits for a slow screen."""
_END_S = 2.0
_BACKGROUND_RGB = (16, 17, 20)
_MARGIN = 6
_LEAST_TILE = 16
_NO_SCREEN = "--show needs a screen and there is none: log in to a desktop, use ssh -X, or leave --show out"
_NO_TK = "--show needs Tk, which this Python lacks: install it (Debian: apt install python3-tk), or leave --show out"


class WindowTile:
    """A live sink: one camera's part of a `Window`. It keeps nothing: its frames must not count as written.

    Attributes:
        notes, refusal, lost: none, ever.
    """

    refusal = ""
    lost = 0

    def __init__(
        self,
        name: str,
        painter: Painter,
        status: Callable[[], SourceStatus],
        remove: Callable[[WindowTile], None],
    ) -> None:
        """`status` of the camera, asked until it gives pictures; `remove`: take the tile out of the window."""
        self.notes: list[str] = []
        self.name = name
        self.status = status
        self.picture: av.VideoFrame | None = None
        """The newest one, to be shown; set by the camera's thread, read by the window's."""
        self._painter = painter
        self._remove = remove

    def write(self, detected: DetectedFrame) -> bool:
        """Show one frame."""
        self.picture = self._painter.draw(detected)
        return True

    def gone(self, status: SourceStatus, now_s: float) -> None:
        """Show the last picture with NO SIGNAL on it."""
        self.picture = self._painter.draw_gone(status, now_s) or self.picture

    def finish(self, *, complete: bool) -> None:
        """Leave the window."""
        self._remove(self)

    def close(self) -> None:
        """Leave the window."""
        self._remove(self)


class Window:
    """Tiles of all cameras, as large as the window allows; `q`, Escape or its cross ask for the end of the run.

    All but `add` is for one thread. When the screen goes away the run goes on without the window.

    Attributes:
        notes: what a user should know, a sentence each.
    """

    def __init__(self, title: str) -> None:
        """Open it.

        Raises:
            OutputError: there is no screen, or this Python has no Tk.
        """
        self.notes: list[str] = []
        self._tiles: tuple[WindowTile, ...] = ()
        self._shown: list[object] = []
        self._stop_reason: str | None = None
        self._size: tuple[int, int] | None = None
        self._is_ready = False
        self._words = b""
        self._unsent = memoryview(b"")
        self._reformatter = VideoReformatter()  # pictures' own ones are used by other threads
        self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
            [sys.executable, "-m", "streamdet.video.live.window_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is for the run: it closes the window itself
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._input, False)
        self._unsent = memoryview(json.dumps({"title": title}).encode() + b"\n")
        try:
            self._await_opening()
        except BaseException:
            self.close()
            raise

    def add(self, name: str, painter: Painter, status: Callable[[], SourceStatus]) -> WindowTile:
        """A tile for one more camera; any thread."""
        tile = WindowTile(name, painter, status, self._remove)
        self._tiles = (*self._tiles, tile)
        return tile

    def refresh(self) -> str | None:
        """Show what is new, and tell why the run should end; None as long as it should not. To be called often."""
        if self._process is not None:
            try:
                self._listen(0)
                if self._is_ready and not self._unsent:
                    self._compose()
                self._send()
            except (OSError, _GoneError):
                self.close()
                if self._stop_reason is None:
                    self.notes.append("the window's screen went away: the run went on without it")
        return self._stop_reason

    def close(self) -> None:
        """Close it; may be called twice."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _remove(self, tile: WindowTile) -> None:
        self._tiles = tuple(other for other in self._tiles if other is not tile)

    def _await_opening(self) -> None:
        deadline_s = time.monotonic() + _OPEN_TIMEOUT_S
        while not self._is_ready:
            if time.monotonic() > deadline_s:
                raise OutputError(f"the window did not open within {_OPEN_TIMEOUT_S:g} s; leave --show out")
            try:
                self._send()
                self._listen(0.1)
            except (OSError, _GoneError):
                raise OutputError(_NO_SCREEN) from None

    def _listen(self, wait_s: float) -> None:
        """Take in what the window says. Raises _GoneError when it is not there any more."""
        while select.select([self._output], [], [], wait_s)[0]:
            words = os.read(self._output, 4096)
            if not words:
                raise _GoneError
            *lines, self._words = (self._words + words).split(b"\n")
            for line in lines:
                self._hear(json.loads(line))
            wait_s = 0

    def _hear(self, words: dict[str, Any]) -> None:
        if "error" in words:
            raise OutputError(_NO_TK if words["error"] == "tk" else _NO_SCREEN)
        if "size" in words:
            width, height = words["size"]
            self._size = width, height
        self._is_ready = self._is_ready or "ready" in words
        self._stop_reason = self._stop_reason or words.get("stop")

    def _send(self) -> None:
        deadline_s = time.monotonic() + _SEND_S
        while self._unsent and time.monotonic() < deadline_s:
            if select.select([], [self._input], [], _SEND_S)[1]:
                with contextlib.suppress(BlockingIOError):
                    self._unsent = self._unsent[os.write(self._input, self._unsent) :]

    def _compose(self) -> None:
        """Put the tiles together, if there is anything new, to be sent."""
        if self._size is None:
            return
        tiles, (width, height) = self._tiles, self._size
        new: list[object] = [self._size]
        new += [tile.picture or (tile.name, tile.status().state, tile.status().kind) for tile in tiles]
        if len(new) == len(self._shown) and all(
            one is other or (isinstance(one, tuple) and one == other)
            for one, other in zip(new, self._shown, strict=True)
        ):
            return
        self._shown = new
        columns, rows = arrangement(len(tiles), width, height)
        cell = width // columns, height // rows
        canvas = np.full((height, width, 3), _BACKGROUND_RGB, np.uint8)
        labels = []
        for place, (tile, what) in enumerate(zip(tiles, new[1:], strict=True)):
            x, y = place % columns * cell[0], place // columns * cell[1]
            if min(cell) >= _LEAST_TILE:
                picture = what if isinstance(what, av.VideoFrame) else _tile_without_picture(tile, *cell)
                self._paste(canvas, picture, x, y, cell)
            labels.append([x + _MARGIN, y + cell[1] - _MARGIN, tile.name])
        head = json.dumps({"size": [width, height], "labels": labels}).encode() + b"\n"
        self._unsent = memoryview(head + canvas.tobytes())
        self._is_ready = False

    def _paste(
        self, canvas: npt.NDArray[np.uint8], picture: av.VideoFrame, x: int, y: int, cell: tuple[int, int]
    ) -> None:
        scale = min(cell[0] / picture.width, cell[1] / picture.height)
        width, height = max(1, int(picture.width * scale)), max(1, int(picture.height * scale))
        x, y = x + (cell[0] - width) // 2, y + (cell[1] - height) // 2
        canvas[y : y + height, x : x + width] = self._reformatter.reformat(
            picture, width, height, format="rgb24"
        ).to_ndarray()


class _GoneError(Exception):
    """The process of the window has ended."""


def arrangement(tiles: int, width: int, height: int) -> tuple[int, int]:
    """Columns and rows in which that many 16:9 pictures are largest in width x height pixels."""

    def picture_width(columns: int) -> float:
        return min(width / columns, height / math.ceil(tiles / columns) * 16 / 9)

    columns = max(range(1, tiles + 1), key=picture_width, default=1)
    return columns, max(1, math.ceil(tiles / columns))


def _tile_without_picture(tile: WindowTile, width: int, height: int) -> av.VideoFrame:
    status = tile.status()
    calm = {SourceState.CONNECTING: "connecting", SourceState.LIVE: "first picture comes"}
    headline = NO_SIGNAL if status.kind else calm.get(status.state, NO_SIGNAL)
    return empty_tile(width, height, tile.name, headline=headline, reason=status.kind)
