"""Cameras over HTTP on 127.0.0.1: motion JPEG and HLS (live and finished), with passwords and faults."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from tests.live_servers.clip import Clip
from tests.live_servers.transport import TransportMuxer


class WebServer:
    """An HTTP server as a context manager; every thread of it has ended when the context has.

    Attributes:
        user: with one, `password` is asked for (basic).
        status: a number other than 200 is the answer to everything.
        stalled: set, answers stop in the middle and connections stay.
    """

    path = "/"

    def __init__(self, *, user: str | None = None, password: str = "", port: int = 0) -> None:
        login = f"{user}:{password}".encode()
        self._authorization = None if user is None else f"Basic {base64.b64encode(login).decode()}"
        self.status = 200
        self.stalled = threading.Event()
        self.ending = threading.Event()
        self.requests: list[str] = []
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = False  # server_close() waits for them
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="web-server")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.ending.set()
        self.break_connections()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """What to open."""
        return f"http://127.0.0.1:{self.port}{self.path}"

    def break_connections(self) -> None:
        """Close every open connection in the middle of what it carries."""
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):  # its other end was faster
                    connection.shutdown(socket.SHUT_RDWR)

    def wait(self, seconds: float) -> bool:
        """Sleep so long, and on while stalled; False when the server is ending."""
        ending = self.ending.wait(max(0.0, seconds))
        while self.stalled.is_set() and not ending:
            ending = self.ending.wait(0.02)
        return not ending

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a GET of a path."""
        raise NotImplementedError

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 30

            def do_GET(self) -> None:
                server.requests.append(self.path)
                with server._lock:
                    server._connections.add(self.connection)
                try:
                    if server._authorization not in (None, self.headers.get("Authorization")):
                        self.send_response(401)
                        self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                        self.end_headers()
                    elif server.status != 200:
                        self.send_error(server.status)
                    elif server.wait(0):
                        server.answer(self)
                except OSError:
                    pass  # the client has gone
                finally:
                    with server._lock:
                        server._connections.discard(self.connection)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler


class MjpegServer(WebServer):
    """Motion JPEG as network cameras serve it: one endless multipart answer."""

    path = "/video.mjpg"

    def __init__(
        self,
        clip: Clip,
        *,
        with_length: bool = True,
        rounds: int | None = None,
        user: str | None = None,
        password: str = "",
        port: int = 0,
    ) -> None:
        """
        Args:
            clip: of codec mjpeg.
            with_length: each part tells its length, as most cameras do.
            rounds: the answer ends after playing the clip so many times; None: never.
        """
        super().__init__(user=user, password=password, port=port)
        assert clip.codec == "mjpeg"
        self.clip, self.with_length, self.rounds = clip, with_length, rounds

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Send pictures at their rate, until the client or the server has had enough."""
        if request.path != self.path:
            request.send_error(404)
            return
        request.send_response(200)
        request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        request.end_headers()
        due, sent = time.monotonic(), 0
        while self.rounds is None or sent < self.rounds * len(self.clip.packets):
            picture = self.clip.packets[sent % len(self.clip.packets)]
            length = f"Content-Length: {len(picture)}\r\n" if self.with_length else ""
            head = f"--frame\r\nContent-Type: image/jpeg\r\n{length}\r\n".encode()
            request.wfile.write(head + picture + b"\r\n")
            sent += 1
            due = max(due + float(1 / self.clip.rate), time.monotonic() - 0.2)
            if not self.wait(due - time.monotonic()):
                return


class HlsServer(WebServer):
    """An HLS playlist with a segment of MPEG-TS for every key frame of the clip.

    Live, a window of four segments moves with the clock, for ever; else the clip is there as a finished recording.
    """

    path = "/index.m3u8"

    def __init__(
        self, clip: Clip, *, live: bool = True, user: str | None = None, password: str = "", port: int = 0
    ) -> None:
        super().__init__(user=user, password=password, port=port)
        self.live = live
        self._muxer = TransportMuxer(clip)
        self._segments: list[tuple[float, bytes]] = []
        self._making = threading.Lock()
        self._started_s = time.monotonic()
        self._keys = sum(clip.keys)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """The playlist, or a segment of it."""
        if request.path == self.path:
            kind, content = "application/vnd.apple.mpegurl", self._playlist().encode()
        elif request.path.startswith("/segment") and (content := self._segment(int(request.path[8:-3]))):
            kind = "video/mp2t"
        else:
            request.send_error(404)
            return
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def _playlist(self) -> str:
        if self.live:
            self._make_until(time.monotonic() - self._started_s + 3 * self._longest_s())
            first, last = max(0, len(self._segments) - 4), len(self._segments)
        else:
            first, last = 0, self._keys
            self._segment(last - 1)
        lines = ["#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-TARGETDURATION:{max(1, round(self._longest_s() + 0.499))}"]
        lines += [f"#EXT-X-MEDIA-SEQUENCE:{first}"]
        for number in range(first, last):
            lines += [f"#EXTINF:{self._segments[number][0]:.6f},", f"segment{number}.ts"]
        return "\n".join(lines + ([] if self.live else ["#EXT-X-ENDLIST"])) + "\n"

    def _longest_s(self) -> float:
        self._segment(0)
        return max(duration for duration, _ in self._segments)

    def _make_until(self, time_s: float) -> None:
        with self._making:
            made_s = sum(duration for duration, _ in self._segments)
            while made_s < time_s:
                self._segments.append(self._muxer.next_group())
                made_s += self._segments[-1][0]

    def _segment(self, number: int) -> bytes:
        if not self.live and number >= self._keys:
            return b""
        with self._making:
            while len(self._segments) <= number < len(self._segments) + self._keys:
                self._segments.append(self._muxer.next_group())
            return self._segments[number][1] if number < len(self._segments) else b""
