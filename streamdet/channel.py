"""Hand-over between two threads, bounded by bytes, not frames: the sender waits while the receiver is behind."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class ChannelClosedError(Exception):
    """The other side has given up; whoever sees this ends its thread."""


class Channel(Generic[T]):
    """A queue from one thread to another that holds at most `max_bytes`, but always at least one item."""

    def __init__(self, max_bytes: int, size_of: Callable[[T], int]) -> None:
        """`size_of` tells the bytes of an item."""
        self._max_bytes = max_bytes
        self._size_of = size_of
        self._items: deque[T] = deque()
        self._bytes = 0
        self._ended = False
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: T) -> None:
        """Hand over `item`; waits while the channel is full. Raises ChannelClosedError after `close`."""
        size = self._size_of(item)
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or not self._items or self._bytes + size <= self._max_bytes,
            )
            if self._closed:
                raise ChannelClosedError
            self._items.append(item)
            self._bytes += size
            self._changed.notify_all()

    def take(self, count: int) -> list[T]:
        """The next `count` items, waiting for them; fewer at the end or when half full; none after the end.

        Raises ChannelClosedError after `close`.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or self._ended or len(self._items) >= count or self._bytes >= self._max_bytes // 2
            )
            if self._closed:
                raise ChannelClosedError
            taken = [self._items.popleft() for _ in range(min(count, len(self._items)))]
            self._bytes -= sum(self._size_of(item) for item in taken)
            self._changed.notify_all()
            return taken

    def end(self) -> None:
        """The sender has no more items; those handed over can still be taken."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def close(self) -> int:
        """Either side gives up: both are woken, nothing more goes through. The number of items thrown away."""
        with self._changed:
            self._closed = True
            thrown = len(self._items)
            self._items.clear()
            self._bytes = 0
            self._changed.notify_all()
            return thrown
