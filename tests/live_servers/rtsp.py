"""An RTSP camera that fails on command: gst-rtsp-server in a process of its own (rtsp_process.py)."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote

from tests.live_servers.clip import Clip

PYTHON = "/usr/bin/python3"
"""Debian's own: the bindings of GStreamer (gi) live there and not in a virtual environment."""
PROCESS = Path(__file__).with_name("rtsp_process.py")
ANSWERS_WITHIN_S = 20.0
PACKAGES = (
    "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good glib-networking openssl"
)

Mode = Literal["play", "stall", "frozen picture", "times stand still", "damaged"]


@cache
def missing() -> str | None:
    """Why no RTSP server can run here, or None where one can."""
    check = (
        "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst, GstRtspServer; "
        "Gst.init(None); assert all(map(Gst.ElementFactory.find, ('appsrc', 'rtph264pay', 'rtpbin')))"
    )
    try:
        done = subprocess.run([PYTHON, "-I", "-c", check], capture_output=True, timeout=60)
    except OSError:
        done = None
    if done is not None and done.returncode == 0:
        return None
    return f"needs gst-rtsp-server: apt-get install {PACKAGES}"


def free_port() -> int:
    """A TCP port of 127.0.0.1 below those that the kernel hands out, so that it stays free while its server is away."""
    dice = random.Random(os.urandom(8))
    while True:
        port = dice.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def _make_certificate(folder: Path) -> Path:
    path, key = folder / "certificate.pem", folder / "key.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run([*command.split(), "-keyout", str(key), "-out", str(path)], check=True, capture_output=True)
    path.write_text(path.read_text() + key.read_text())
    return path


class RtspServer:
    """A server with one or more cameras, each a clip under a name, as a context manager.

    It serves tcp and udp, on 127.0.0.1, and keeps its port for as long as the object lives.
    """

    def __init__(
        self,
        clips: Clip | Mapping[str, Clip],
        *,
        loss: float = 0.0,
        user: str | None = None,
        password: str = "",
        auth: Literal["basic", "digest"] = "basic",
        tls: bool = False,
        receives: bool = False,
        seed: int = 1,
        port: int = 0,
    ) -> None:
        """
        Args:
            clips: a clip (its camera is called "cam"), or several by name.
            loss: share of RTP packets that never leave.
            tls: speaks rtsps, with a certificate that nobody vouches for (needs `openssl`).
            receives: takes H.264 that is pushed to `url("push")`, into `received`.
            port: 0 takes a free one.
        """
        self._clips = {"cam": clips} if isinstance(clips, Clip) else dict(clips)
        self._config: dict[str, Any] = {"loss": loss, "user": user, "password": password, "auth": auth, "seed": seed}
        self.port = port or free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="rtsp-server-")
        self.received = Path(self._folder.name, "received.h264")
        self._scheme = "rtsps" if tls else "rtsp"
        self._config["tls"] = str(_make_certificate(Path(self._folder.name))) if tls else None
        self._config["receives"] = str(self.received) if receives else None
        self._files: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""
        self._sent_before: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.kill()
        self._folder.cleanup()

    def url(self, camera: str = "cam", *, user: str | None = None, password: str | None = None) -> str:
        """Address of a camera; with a user the credentials are in it, percent-encoded."""
        login = "" if user is None else f"{quote(user, safe='')}:{quote(password or '', safe='')}@"
        return f"{self._scheme}://{login}127.0.0.1:{self.port}/{camera}"

    # The process.

    def start(self) -> None:
        """Start the process; returns when it listens."""
        assert self._process is None
        config = {**self._config, "port": self.port}
        config["cameras"] = {
            name: {"clip": self._file(clip), "loss": self._config["loss"]} for name, clip in self._clips.items()
        }
        log = Path(self._folder.name, "stderr.txt")
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [PYTHON, "-I", str(PROCESS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, bufsize=0
            )
        self._unread = b""
        try:
            self._ask(config)
        except OSError as error:
            self.kill()
            raise RuntimeError(f"the RTSP server did not start: {error}\n{log.read_text()[-2000:]}") from None

    def kill(self) -> None:
        """End the process at once: connections break, and the port refuses until `start`."""
        if self._process is None:
            return
        with suppress(OSError, RuntimeError):  # a process that hangs gives no number
            self._sent_before += Counter(self._ask({"do": "status"}, within_s=1.0)["sent"])
        process, self._process = self._process, None
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def restart(self) -> None:
        """Kill the process and start it again on the same port."""
        self.kill()
        self.start()

    def hang(self) -> None:
        """Go half-open: the kernel accepts and keeps connections, and nobody answers them, until `wake`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """End `hang`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    # Its cameras.

    def set_mode(self, mode: Mode, camera: str = "cam") -> None:
        """What the camera does from now on.

        "stall": nothing is sent and the connection stays. "frozen picture": the same picture at moving times. "times
        stand still": new pictures at one time. "damaged": every frame is noise behind its slice header.
        """
        self._ask({"do": "mode", "camera": camera, "mode": mode})

    def set_loss(self, share: float, camera: str = "cam") -> None:
        """Lose this share of the RTP packets from now on."""
        self._ask({"do": "loss", "camera": camera, "share": share})

    def switch(self, clip: Clip, camera: str = "cam") -> None:
        """Go on with another clip of the same codec, whatever its size, on the open connections."""
        self._ask({"do": "switch", "camera": camera, "clip": self._file(clip)})
        self._clips[camera] = clip

    def sent(self, camera: str = "cam") -> int:
        """Frames that the camera has handed to the network since the process started."""
        return int(self._ask({"do": "status"})["sent"][camera])

    def sent_ever(self, camera: str = "cam") -> int:
        """The same over all processes that this server had."""
        return self._sent_before[camera] + (self.sent(camera) if self._process is not None else 0)

    def clip(self, camera: str = "cam") -> Clip:
        """What the camera plays."""
        return self._clips[camera]

    @property
    def clients(self) -> int:
        """Connections that are open now."""
        return int(self._ask({"do": "status"})["clients"])

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None
        return self._process.pid

    def _file(self, clip: Clip) -> str:
        key = str(id(clip))
        if key not in self._files:
            path = Path(self._folder.name, f"{len(self._files)}.clip")
            self._files[key] = str(clip.save(path))
        return self._files[key]

    def _ask(self, command: dict[str, Any], within_s: float = ANSWERS_WITHIN_S) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        deadline = time.monotonic() + within_s
        while b"\n" not in self._unread:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                raise TimeoutError(f"no answer to {command.get('do', 'start')} within {within_s:g} s")
            if not (chunk := os.read(self._process.stdout.fileno(), 65536)):
                raise ConnectionError(f"it ended with {self._process.wait()}")
            self._unread += chunk
        line, self._unread = self._unread.split(b"\n", 1)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"the RTSP server: {answer['error']}")
        return answer
