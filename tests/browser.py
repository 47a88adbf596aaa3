"""A real browser without a screen: Debian's Chromium, told what to do over a pipe (the DevTools protocol)."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
ANSWERS_WITHIN_S = 60.0


def missing() -> str | None:
    """Why there is no browser; None when there is one."""
    return None if _executable() else "needs Chromium (Debian: apt-get install chromium)"


def _executable() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Tab:
    """One page of a browser that is as wide as asked, and what the page asked of the network and the console."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self.requests: list[str] = []
        self.messages: list[str] = []
        self._out, self._in = to_browser, from_browser
        self._number = 0
        self._read = b""
        self._answers: dict[int, dict[str, Any]] = {}
        self._session: str | None = None
        self._loaded = False
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def open(self, path: Path, *, width: int, dark: bool = False, height: int = 900) -> None:
        """Load a file, as wide as a screen of so many CSS pixels."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._call("Emulation.setEmulatedMedia", features=features)
        mobile = width < 600
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        self.requests.clear()
        self.messages.clear()
        self._loaded = False
        self._call("Page.navigate", url=path.resolve().as_uri())
        self._until(lambda: self._loaded)

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        result = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def move_pointer(self, x: float, y: float) -> None:
        """To this place of what is in view."""
        self._call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, x: float, y: float) -> None:
        """The left button, there."""
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Save a PNG of the page."""
        data = self._call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        text = json.dumps(message).encode() + b"\0"
        while text:
            text = text[os.write(self._out, text) :]
        number = self._number
        self._until(lambda: number in self._answers)
        answer = self._answers.pop(number)
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    def _until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + ANSWERS_WITHIN_S
        while not done():
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            got = os.read(self._in, 1 << 20)
            assert got, "the browser has ended"
            self._read += got
            self._take()

    def _take(self) -> None:
        """Work off what was read."""
        while b"\0" in self._read:
            text, _, self._read = self._read.partition(b"\0")
            message = json.loads(text)
            if "id" in message:
                self._answers[message["id"]] = message
            method, parameters = message.get("method"), message.get("params", {})
            if method == "Page.loadEventFired":
                self._loaded = True
            elif method == "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])
            elif method == "Runtime.exceptionThrown":
                self.messages.append(str(parameters["exceptionDetails"]))
            elif method == "Log.entryAdded":
                self.messages.append(parameters["entry"]["text"])
            elif method == "Runtime.consoleAPICalled":
                self.messages.append(str(parameters["args"]))


@contextmanager
def browser(folder: Path) -> Iterator[Tab]:
    """A browser with one tab; `folder`: for what it stores."""
    executable = _executable()
    assert executable is not None
    read_by_it, to_browser = os.pipe()
    from_browser, written_by_it = os.pipe()

    def place_pipes() -> None:
        # the browser reads from 3 and writes to 4
        a, b = os.dup(read_by_it), os.dup(written_by_it)
        os.dup2(a, 3)
        os.dup2(b, 4)

    options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
               "--hide-scrollbars", "--remote-debugging-pipe", "--disable-background-networking")  # fmt: skip
    process = subprocess.Popen(
        [executable, *options, f"--user-data-dir={folder}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        close_fds=False,
        preexec_fn=place_pipes,  # nothing else can put pipes at 3 and 4
        start_new_session=True,
    )
    os.close(read_by_it)
    os.close(written_by_it)
    try:
        yield Tab(to_browser, from_browser)
    finally:
        os.close(to_browser)  # it ends when its pipe does
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(from_browser)
