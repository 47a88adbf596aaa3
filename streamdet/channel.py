"""Hand-over between threads, bounded by bytes: the sender waits while the receiver is behind, or loses its oldest."""

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


class Exchange(Generic[T]):
    """Hand-over from several senders to one taker; each sender has a lane, so that none can starve another."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._lanes: list[Lane[T]] = []
        self._next = 0
        self._closed = False

    def lane(
        self, depth: int, max_bytes: int, size_of: Callable[[T], int], *, waits: Callable[[], bool] = lambda: False
    ) -> Lane[T]:
        """A new sender's lane: it holds at most `depth` items and `max_bytes`, but always at least one item.

        Full, it makes its sender wait if `waits` says so, else it drops its oldest item.
        """
        with self._changed:
            lane = Lane(self._changed, depth, max_bytes, size_of, waits=waits)
            if self._closed:
                lane.closed = True
            self._lanes.append(lane)
            return lane

    def take(self, count: int, timeout_s: float | None = None) -> list[tuple[Lane[T], T]]:
        """What is there, up to `count` items: one of each lane in turn, then a second one, and so on.

        Waits for the first item; empty after `timeout_s`, after `close`, and when every lane has ended.
        """
        with self._changed:
            self._changed.wait_for(self._has_news, timeout_s)
            taken: list[tuple[Lane[T], T]] = []
            while not self._closed and len(taken) < count and any(lane.items for lane in self._lanes):
                self._next = (self._next + 1) % len(self._lanes)
                lane = self._lanes[self._next]
                if lane.items:
                    taken.append((lane, lane.pop()))
            self._lanes = [lane for lane in self._lanes if lane.items or not lane.ended]
            self._changed.notify_all()
            return taken

    @property
    def over(self) -> bool:
        """Nothing will come any more: closed, or every lane has ended and is empty."""
        with self._changed:
            return self._closed or not any(lane.items or not lane.ended for lane in self._lanes)

    def close(self) -> None:
        """Give up: senders that wait are woken, the taker gets nothing more. What waited stays in its lane."""
        with self._changed:
            self._closed = True
            for lane in self._lanes:
                lane.closed = True
            self._changed.notify_all()

    def _has_news(self) -> bool:
        return self._closed or any(lane.items for lane in self._lanes) or all(lane.ended for lane in self._lanes)


class Lane(Generic[T]):
    """One sender's part of an `Exchange`; made by `Exchange.lane`."""

    def __init__(
        self,
        changed: threading.Condition,
        depth: int,
        max_bytes: int,
        size_of: Callable[[T], int],
        *,
        waits: Callable[[], bool],
    ) -> None:
        self.items: deque[T] = deque()
        self.ended = False
        self.closed = False
        self._changed = changed
        self._depth = depth
        self._max_bytes = max_bytes
        self._size_of = size_of
        self._waits = waits
        self._bytes = 0

    def put(self, item: T) -> list[T]:
        """Hand over `item`; the items that were dropped for it. Raises ChannelClosedError after `close`."""
        size = self._size_of(item)
        dropped: list[T] = []
        with self._changed:
            if self._waits():
                self._changed.wait_for(lambda: self.closed or self._fits(size))
            if self.closed:
                raise ChannelClosedError
            while not self._fits(size):
                dropped.append(self.pop())
            self.items.append(item)
            self._bytes += size
            self._changed.notify_all()
        return dropped

    def wait_below(self, count: int) -> None:
        """Wait until fewer than `count` items are there, or the lane is over."""
        with self._changed:
            self._changed.wait_for(lambda: self.closed or self.ended or len(self.items) < count)

    def end(self) -> None:
        """The sender has no more items; those handed over can still be taken."""
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def give_up(self) -> list[T]:
        """Take back all that waits, and close."""
        with self._changed:
            self.closed = self.ended = True
            left = [self.pop() for _ in range(len(self.items))]
            self._changed.notify_all()
            return left

    def pop(self) -> T:
        """The oldest item. Only with the exchange's lock held."""
        item = self.items.popleft()
        self._bytes -= self._size_of(item)
        return item

    def _fits(self, size: int) -> bool:
        return not self.items or (len(self.items) < self._depth and self._bytes + size <= self._max_bytes)
