from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import av
import av.error
import numpy as np
import pytest

from streamdet.errors import UsageError
from streamdet.video.live import push as push_module
from streamdet.video.live.push import PushedStream, check_push_target, push_request
from streamdet.video.location import Location, parse_location
from tests.video.live.frames import AWAY, detected, painter

WAIT_S = 20.0
Make = Callable[..., PushedStream]


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class Receiver:
    """FFmpeg as a server that takes one stream; in a thread, until `enough` pictures came or the sender left."""

    url: str
    options: dict[str, str] = field(default_factory=dict)
    form: str | None = None
    enough: int = 10**9
    times: list[Fraction] = field(default_factory=list)
    shown: list[np.ndarray] = field(default_factory=list)

    def __enter__(self) -> Receiver:
        self._thread = threading.Thread(target=self._receive, name="receiver")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def _receive(self) -> None:
        quick = {"probesize": "4096", "analyzeduration": "1"}
        try:
            with av.open(self.url, options=quick | self.options, format=self.form, timeout=(10, 2)) as container:
                for picture in container.decode(video=0):
                    if picture.pts is None or picture.time_base is None:
                        continue  # of RTP, before the sender has told its clock
                    self.times.append(picture.pts * picture.time_base)
                    self.shown.append(picture.to_ndarray(format="rgb24"))
                    if len(self.times) >= self.enough:
                        break
        except av.error.FFmpegError:
            pass  # the sender left


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes streams, and ends them whatever happens."""
    with contextlib.ExitStack() as stack:

        def made(address: str | Location, **options: float) -> PushedStream:
            location = parse_location(address) if isinstance(address, str) else address
            pushed = PushedStream(location, painter(), **options)
            stack.callback(pushed.close)
            return pushed

        yield made


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)


def feed(
    pushed: PushedStream, enough: Callable[[], bool], *, first: int = 0, size: tuple[int, int] = (160, 120)
) -> int:
    """Frames at 50 a second until `enough`; the index of the next one."""
    index = first

    def another() -> bool:
        nonlocal index
        pushed.write(detected(index, at_s=index / 50, pts=1800 * index, size=size))
        index += 1
        time.sleep(0.02)
        return enough()

    until(another)
    return index


RTSP_LISTEN = {"rtsp_flags": "listen", "listen_timeout": "10"}


@pytest.mark.parametrize(
    ("address", "listening", "options", "form"),
    [
        ("udp://127.0.0.1:{port}", "udp://127.0.0.1:{port}", {}, "mpegts"),
        ("tcp://127.0.0.1:{port}", "tcp://127.0.0.1:{port}?listen=1", {}, "mpegts"),
        ("rtmp://127.0.0.1:{port}/live/cam", "rtmp://127.0.0.1:{port}/live/cam", {"listen": "1"}, None),
        ("rtsp://127.0.0.1:{port}/cam", "rtsp://127.0.0.1:{port}/cam", RTSP_LISTEN, None),
    ],
    ids=["udp", "tcp", "rtmp", "rtsp"],
)
def test_a_real_receiver_gets_the_pictures_at_their_times(
    address: str, listening: str, options: dict[str, str], form: str | None, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_module, "LONGEST_WAIT_S", 0.5)
    port = free_port(socket.SOCK_DGRAM if address.startswith("udp") else socket.SOCK_STREAM)
    pushed = make(address.format(port=port))
    with Receiver(listening.format(port=port), options, form, enough=40) as receiver:
        feed(pushed, lambda: len(receiver.times) >= 40)
        pushed.finish(complete=True)
    steps = {round(float(after - before), 3) for before, after in zip(receiver.times, receiver.times[1:], strict=False)}
    assert min(steps) == 0.02
    assert receiver.shown[-1].shape == (120, 160, 3)
    assert receiver.shown[-1][:20, :20, 0].mean() > 180  # the red corner
    assert receiver.shown[-1][:20, :20, 2].mean() < 80
    assert pushed.connections == 1
    assert not pushed.is_open


def test_a_receiver_that_comes_late_and_goes_away_costs_frames_but_never_the_run(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_module, "LONGEST_WAIT_S", 0.3)
    port = free_port()
    pushed = make(f"tcp://127.0.0.1:{port}")
    index = feed(pushed, lambda: bool(pushed.problem))
    assert pushed.problem == f"cannot push to tcp://127.0.0.1:{port}: connection refused; it is tried again"
    for round_ in (1, 2):
        with Receiver(f"tcp://127.0.0.1:{port}?listen=1", form="mpegts", enough=10) as receiver:
            index = feed(pushed, lambda receiver=receiver: len(receiver.times) >= 10, first=index)
        index = feed(pushed, lambda: bool(pushed.problem), first=index)
        assert pushed.connections == round_
    pushed.finish(complete=True)
    assert pushed.left_out > 0
    assert pushed.frames + pushed.lost + pushed.left_out == index
    assert any("went on" in note for note in pushed.notes)
    assert pushed.notes[-1].endswith(f"were not pushed to tcp://127.0.0.1:{port}: it was not connected")


@pytest.mark.parametrize("scheme", ["rtsp", "rtmp"])
def test_a_receiver_that_accepts_and_stays_silent_stops_nobody(scheme: str, make: Make) -> None:
    """In this process the interpreter would stand still, for ever with rtmp."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        location = parse_location(f"{scheme}://127.0.0.1:{port}/live/cam")
        pushed = make(location, open_timeout_s=1.0)
        slowest = 0.0

        def another() -> bool:
            nonlocal slowest
            started = time.monotonic()
            assert not pushed.write(detected(0))
            slowest = max(slowest, time.monotonic() - started)
            time.sleep(0.02)
            return bool(pushed.problem)

        until(another)
        assert "did not answer within 1 s" in pushed.problem
        started = time.monotonic()
        pushed.finish(complete=True)
        assert time.monotonic() - started < 4
    assert slowest < 1


def test_a_receiver_that_stops_reading_is_given_up(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        location = parse_location(f"tcp://127.0.0.1:{server.getsockname()[1]}")
        pushed = make(location, send_timeout_s=1.0)
        pictures = [detected(k, size=(640, 360), snow=True) for k in range(30)]

        def another() -> bool:
            index = pushed.frames + pushed.lost + pushed.left_out
            pushed.write(pictures[index % 30])
            time.sleep(0.01)
            return bool(pushed.problem)

        until(another)
        pushed.finish(complete=True)
    assert "took nothing for 1 s" in pushed.problem
    assert pushed.lost > 0
    assert any("slower than the camera" in note for note in pushed.notes)


def test_a_camera_that_is_gone_or_changes_its_size_keeps_the_stream_alive(make: Make) -> None:
    port = free_port()
    pushed = make(f"tcp://127.0.0.1:{port}")
    with Receiver(f"tcp://127.0.0.1:{port}?listen=1", form="mpegts") as receiver:
        index = feed(pushed, lambda: len(receiver.times) >= 10, size=(161, 121))
        for second in range(5):
            pushed.gone(AWAY, 1000 + index / 50 + second)
        index = feed(pushed, lambda: len(receiver.times) >= 40, first=index + 300, size=(320, 180))
        pushed.finish(complete=True)
    assert {picture.shape for picture in receiver.shown} == {(122, 162, 3)}
    grey = [bool(abs(p[:20, :20, 0].astype(int) - p[:20, :20, 2]).mean() < 12) for p in receiver.shown]
    assert 3 <= sum(grey) <= 40
    assert pushed.connections == 1


def test_nothing_is_opened_without_a_frame(make: Make) -> None:
    pushed = make("rtmp://127.0.0.1:1/live/cam")
    pushed.gone(AWAY, 1000.0)
    pushed.finish(complete=True)
    pushed.close()
    assert pushed.notes == []


def test_a_password_shows_nowhere(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "hunter2:@/p w"
    location = parse_location(f"rtsp://127.0.0.1:{free_port()}/cam", user="me", password=secret)
    pushed = make(location)
    commands: list[bytes] = []
    popen = push_module.PushProcess

    class Watched(popen):  # type: ignore[misc, valid-type]
        def __init__(self, *args: object, **options: object) -> None:
            try:
                super().__init__(*args, **options)
            finally:
                commands.append(repr(self._process.args).encode())

    monkeypatch.setattr(push_module, "PushProcess", Watched)
    feed(pushed, lambda: bool(pushed.problem))
    pushed.finish(complete=True)
    assert "connection refused" in pushed.problem
    assert commands
    assert "hunter2" in push_request(location, detected(0).frame.picture).url
    for text in (*pushed.notes, pushed.problem, repr(pushed), *map(repr, commands)):
        assert "hunter2" not in text
    assert sys.executable in commands[0].decode()


@pytest.mark.parametrize("address", ["http://127.0.0.1/x", "rtp://127.0.0.1:5004"])
def test_what_can_not_be_pushed_to_is_one_sentence(address: str) -> None:
    with pytest.raises(UsageError, match="video can't be pushed there; give rtsp://"):
        check_push_target(parse_location(address))


def test_udp_packets_fit_into_ethernet() -> None:
    picture = detected(0, size=(161, 121)).frame.picture
    request = push_request(parse_location("udp://127.0.0.1:1234"), picture)
    assert request.url == "udp://127.0.0.1:1234?pkt_size=1316"
    assert (request.width, request.height) == (162, 122)
    assert push_request(parse_location("udp://127.0.0.1:1?pkt_size=188"), picture).url.endswith("1?pkt_size=188")
