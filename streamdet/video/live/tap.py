"""Lets others have the packets of a live source as they come, before they are decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from av.video.stream import VideoStream

    from streamdet.video.live.packets import VideoPacket


class PacketTap(Protocol):
    """Is told of every packet; called from the thread that reads, which must not be held up. Must not raise."""

    def begin(self, stream: VideoStream) -> None:
        """A new connection: its packets can't be joined to earlier ones."""

    def add(self, packet: VideoPacket, arrival_s: float, arrival_pts: int | None) -> None:
        """The next packet, not empty.

        Args:
            packet: as it came; not to be kept or changed.
            arrival_s: monotonic clock.
            arrival_pts: microseconds since the first one, where the stream has no times of its own; else None.
        """
