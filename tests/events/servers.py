"""A real broker (mosquitto) and a real web server, as processes that can be killed and started again."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
REPOSITORY = Path(__file__).parents[2]
HERE = Path(__file__).parent


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(true: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    """Wait; raises AssertionError when it takes too long."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.03)


class ServerProcess:
    """A server as a context manager."""

    def __init__(self, command: Sequence[str], port: int) -> None:
        self.port = port
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it listens."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._listens, f"port {self.port}")

    def kill(self) -> None:
        """With signal 9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"{self._command[0]} ended at once"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.kill()


class WebReceiver(ServerProcess):
    """Keeps what it is sent in a file."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "received.jsonl"
        port = free_port()
        super().__init__([sys.executable, str(HERE / "receiver_process.py"), str(port), str(self.file)], port)

    @property
    def received(self) -> list[dict[str, Any]]:
        """`headers` (lower case) and `body` of each message, in order of arrival."""
        if not self.file.exists():
            return []
        # a line that a kill has cut off was never acknowledged
        return [json.loads(line) for line in self.file.read_text("utf-8").splitlines(True) if line.endswith("\n")]


class Broker(ServerProcess):
    """mosquitto, whose sessions and messages outlive a kill."""

    def __init__(self, folder: Path, *, extra: Sequence[str] = ("allow_anonymous true",), files: str = "") -> None:
        assert MOSQUITTO is not None
        port = free_port()
        data = folder / "broker"
        data.mkdir()
        data.chmod(0o777)  # started by root, mosquitto goes on as its own user
        lines = [f"listener {port} 127.0.0.1", f"persistence_location {data}/", *extra]
        lines += ["persistence true", "autosave_on_changes true", "autosave_interval 1", "max_inflight_messages 0"]
        lines += ["max_queued_messages 0", "user root"]
        config = folder / "mosquitto.conf"
        config.write_text("\n".join(lines) + "\n")
        super().__init__([MOSQUITTO, "-c", str(config)], port)
