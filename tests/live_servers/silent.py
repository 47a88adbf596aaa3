"""Ports where nobody answers: one that accepts and stays silent, and one that refuses."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Self


class ClosedPort:
    """A TCP port of 127.0.0.1 that refuses connections, and that nobody else can take meanwhile."""

    def __init__(self, port: int = 0) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._socket.close()


class SilentServer(ClosedPort):
    """A TCP server whose kernel accepts up to 64 connections, and that reads and says nothing (no thread needed)."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self._socket.listen(64)
