"""Every failure in plain words, without the password; against real sockets."""

from __future__ import annotations

import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from streamdet.errors import SourceError
from streamdet.options import LiveOptions
from streamdet.video.credentials import Secret
from streamdet.video.live.failures import Kind, SourceGoneError, failure, unexpected
from streamdet.video.live.opening import connect
from streamdet.video.location import Location, parse_location
from tests.live_servers.clip import make_clip
from tests.live_servers.silent import ClosedPort, SilentServer
from tests.live_servers.web import MjpegServer, WebServer

PASSWORD = "S3cr/et@?#% ü"
USER = "john.doe"
OPTIONS = LiveOptions(open_timeout_s=1.0, read_timeout_s=1.0)
SCHEMES = ("rtsp", "rtsps", "rtmp", "http", "https")


def at(scheme: str, port: int, *, host: str = "127.0.0.1", path: str = "/live/1") -> Location:
    password = "S3cr@et:%" if scheme == "rtmp" else PASSWORD  # RTMP can't carry the others
    return parse_location(f"{scheme}://{host}:{port}{path}", user=USER, password=password)


def why(location: Location, options: LiveOptions = OPTIONS) -> SourceGoneError:
    """Why it can't be opened; makes sure that nothing of the error holds the password."""
    with pytest.raises(SourceGoneError) as caught:
        connect(location, options, threading.Event())
    error = caught.value
    assert isinstance(error, SourceError)
    assert error.__cause__ is None
    assert error.__context__ is None
    told = "".join(traceback.format_exception(error)) + repr(error) + repr(error.__dict__)
    for secret in (PASSWORD, "S3cr", "S3cr%2Fet", USER):
        assert secret not in told
    assert "\n" not in str(error)
    return error


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port whose connections are each handed to `answer` and closed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        ending = threading.Event()

        def serve() -> None:
            while not ending.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.settimeout(2)
                    with suppress(OSError):
                        answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        ending.set()
        thread.join()


@pytest.mark.parametrize("scheme", [*SCHEMES, "tcp"])
def test_refused(scheme: str) -> None:
    with ClosedPort() as port:
        error = why(at(scheme, port.port))
    assert error.kind == "refused"
    assert f"port {port.port}" in str(error)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_host_unknown(scheme: str) -> None:
    error = why(at(scheme, 554, host="camera.invalid"))
    assert error.kind == "host unknown"
    assert "camera.invalid" in str(error)


@pytest.mark.parametrize("scheme", [*SCHEMES, "tcp"])
@pytest.mark.parametrize("shorter", ["open", "read"])
def test_half_open_is_told_in_time(scheme: str, shorter: str) -> None:
    """A server that accepts and stays silent: both timeouts are obeyed, each alone."""
    short, long = {"open": (1.0, 8.0), "read": (8.0, 1.0)}[shorter]
    with SilentServer() as server:
        began_s = time.monotonic()
        error = why(at(scheme, server.port), LiveOptions(open_timeout_s=short, read_timeout_s=long))
        waited_s = time.monotonic() - began_s
    assert error.kind == "half-open"
    assert "says nothing within 1" in str(error)
    # asking whether the port speaks TLS takes two seconds more
    assert 0.9 <= waited_s <= (1.7 if scheme in ("rtsp", "rtmp", "http", "tcp") else 3.7)


def test_nothing_arrives_by_udp() -> None:
    with ClosedPort() as port:
        error = why(parse_location(f"udp://127.0.0.1:{port.port}"))
    assert error.kind == "timeout"
    assert "nothing arrives" in str(error)


@pytest.mark.parametrize("scheme", ["rtsps", "https"])
def test_no_tls(scheme: str) -> None:
    with answering(lambda connection: connection.sendall(b"RTSP/1.0 400 Bad Request\r\n\r\n")) as port:
        error = why(at(scheme, port))
    assert error.kind == "TLS"
    assert f"{scheme[:-1]}:// is the way without" in str(error)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, "401"), (403, "403"), (404, "404"), (400, "request rejected"), (429, "request rejected")]
    + [(500, "server error"), (503, "server error")],
)
@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_answers(scheme: str, status: int, kind: str) -> None:
    def answer(connection: socket.socket) -> None:
        request = connection.recv(4096)
        protocol = "RTSP/1.0" if scheme == "rtsp" else "HTTP/1.0"
        number = next((line for line in request.split(b"\r\n") if line.startswith(b"CSeq")), b"CSeq: 1").decode()
        connection.sendall(f"{protocol} {status} No\r\n{number}\r\nContent-Length: 0\r\n\r\n".encode())

    with answering(answer) as port:
        assert why(at(scheme, port)).kind == kind


def test_a_wrong_password_and_a_missing_one_are_told_apart() -> None:
    with WebServer(user=USER, password="right") as server:
        wrong, missing = why(at("http", server.port)), why(parse_location(server.url))
    assert wrong.kind == missing.kind == "401"
    assert "refuses the user name or the password" in str(wrong)
    assert "asks for a user name and a password" in str(missing)


def test_the_right_password_opens() -> None:
    with MjpegServer(make_clip("mjpeg", frames=5), user=USER, password=PASSWORD) as server:
        connection = connect(at("http", server.port, path=server.path), OPTIONS, threading.Event())
        connection.close()


@pytest.mark.parametrize("scheme", ["http", "tcp"])
def test_not_a_stream(scheme: str) -> None:
    text = b"<html>log in</html>" * 100
    head = b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(text)

    def answer(connection: socket.socket) -> None:
        if scheme == "http":
            connection.recv(4096)
        connection.sendall((head if scheme == "http" else b"") + text)

    with answering(answer) as port:
        error = why(at(scheme, port))
    assert error.kind == "not a stream"


@pytest.mark.parametrize("scheme", ["rtsp", "rtmp"])
def test_closed_at_once(scheme: str) -> None:
    with answering(lambda connection: None) as port:
        assert why(at(scheme, port)).kind in ("closed", "not a stream")


def test_a_camera_that_is_not_there() -> None:
    error = why(parse_location("/dev/video77"))
    assert error.kind == "no such camera"
    assert "/dev/video77" in str(error)
    assert "plugged in" in str(error)


def test_a_camera_that_is_none(tmp_path: Path) -> None:
    not_a_camera = tmp_path / "video0"
    not_a_camera.write_bytes(b"no camera")
    location = Location("camera", "", "camera 0", Secret(str(not_a_camera)))
    assert why(location).kind == "not a stream"


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("where", ["rtsps://cam/1", "http://cam/1", "udp://127.0.0.1:5000", "0", "-"])
def test_each_kind_has_one_sentence_with_the_next_step(kind: Kind, where: str) -> None:
    sentence = str(failure(parse_location(where), kind, timeout_s=5))
    assert "\n" not in sentence
    assert not sentence.endswith(".")
    assert ":" in sentence or ";" in sentence


def test_an_error_that_nobody_thought_of_is_named_by_its_place() -> None:
    try:
        raise ZeroDivisionError(f"rtsp://{USER}:{PASSWORD}@cam/")
    except ZeroDivisionError as error:
        told = unexpected(parse_location("rtsp://cam/1"), error)
    assert told.kind == "unexpected"
    assert "ZeroDivisionError in test_failures.py:" in str(told)
    assert PASSWORD not in str(told)
