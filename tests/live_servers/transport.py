"""MPEG-TS over TCP and UDP: a sender as an encoder box has it, and the endless stream it sends."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from types import TracebackType
from typing import Self

import av

from tests.live_servers.clip import Clip

DATAGRAM = 7 * 188


class TransportMuxer:
    """A clip round and round as one MPEG-TS whose times and counters go on over the seams."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._written = bytearray()
        self._container = av.open(self, "w", format="mpegts", container_options={"flush_packets": "1"})
        self._stream = self._container.add_mux_stream(clip.codec, rate=clip.rate)
        self._stream.width, self._stream.height = clip.size  # type: ignore[attr-defined]
        self._stream.time_base = Fraction(1, 90_000)
        self._index = 0

    def write(self, data: bytes) -> int:
        """For PyAV."""
        self._written += data
        return len(data)

    def next_frame(self) -> bytes:
        """The next frame's packets of 188 bytes."""
        number = self._index % len(self._clip.packets)
        packet = av.Packet(self._clip.packets[number])
        packet.stream, packet.time_base = self._stream, 1 / self._clip.rate
        packet.pts = packet.dts = self._index + 1
        packet.is_keyframe = self._clip.keys[number]
        self._container.mux_one(packet)
        self._index += 1
        data = bytes(self._written)
        self._written.clear()
        return data

    def next_group(self) -> tuple[float, bytes]:
        """From a key frame to the one before the next: its duration in seconds, and its bytes."""
        data, frames, keys = b"", 0, self._clip.keys
        while not frames or not keys[self._index % len(keys)]:
            data += self.next_frame()
            frames += 1
        return float(frames / self._clip.rate), data


class TransportSender:
    """Sends a clip as MPEG-TS at its rate, as a context manager: to whoever connects by TCP, or to a UDP port.

    Attributes:
        stalled: set, nothing is sent, and connections stay.
        url: what to open.
    """

    def __init__(self, clip: Clip, protocol: str = "tcp", *, port: int = 0, rounds: int | None = None) -> None:
        """
        Args:
            clip: of codec h264 or hevc.
            protocol: tcp, where this end listens, or udp, where the other one does.
            port: 0 takes a free one.
            rounds: a TCP connection is closed after playing the clip so many times; None: never.
        """
        self._clip, self._udp, self._rounds = clip, protocol == "udp", rounds
        self._socket = socket.socket(type=socket.SOCK_DGRAM if self._udp else socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        if self._udp:  # the other end is to have this port
            self._socket.close()
            self._socket = socket.socket(type=socket.SOCK_DGRAM)
        else:
            self._socket.listen(8)
        self._socket.settimeout(0.05)
        self.url = f"{protocol}://127.0.0.1:{self.port}"
        self.stalled = threading.Event()
        self._ending, self._breaking = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._send_datagrams if self._udp else self._serve, name="ts-sender")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._ending.set()
        self._thread.join()
        self._socket.close()

    def break_connection(self) -> None:
        """Close the TCP connection in the middle; the port goes on listening."""
        self._breaking.set()

    def _serve(self) -> None:
        while not self._ending.is_set():
            try:
                connection, _ = self._socket.accept()
            except TimeoutError:
                continue
            self._breaking.clear()
            with connection, contextlib.suppress(OSError):  # the other end has gone, or doesn't read
                connection.settimeout(2)
                self._play(connection.sendall)

    def _send_datagrams(self) -> None:
        def send(data: bytes) -> None:
            for start in range(0, len(data), DATAGRAM):
                self._socket.sendto(data[start : start + DATAGRAM], ("127.0.0.1", self.port))

        while not self._ending.is_set():
            self._play(send)

    def _play(self, send: Callable[[bytes], object]) -> None:
        muxer, due, frames = TransportMuxer(self._clip), time.monotonic(), 0
        while self._rounds is None or frames < self._rounds * len(self._clip.packets):
            data = muxer.next_frame()
            if not self.stalled.is_set():
                send(data)
            frames += 1
            due += float(1 / self._clip.rate)
            if self._ending.wait(max(0.0, due - time.monotonic())) or self._breaking.is_set():
                return
