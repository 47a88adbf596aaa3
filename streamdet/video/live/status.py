"""The nouns of a live source: what it is doing, since when, what became of its packets, and why frames are left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from streamdet.report import StageTimes

OUTPUT_FAILED, DISK_FULL, NOT_CONNECTED, NOT_CONNECTED_YET, LOST = (
    "output failed",
    "disk full",
    "receiver not connected",
    "receiver not connected yet",
    "lost on its way",
)
"""Why a detected frame is not in an output."""


class SourceState(Enum):
    """What a live source is doing."""

    CONNECTING = "connecting"
    LIVE = "live"
    WAITING = "waiting"
    """Gone; the next attempt follows after the back-off."""
    ENDED = "ended"
    """A finite source came to its end."""
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """A snapshot of a live source."""

    state: SourceState
    since_s: float
    """Monotonic clock when this state began."""
    problem: str = ""
    """Why it is gone, or what is wrong while it lives: one sentence with the next step; never a password."""
    kind: str = ""
    """The problem in a word or two: refused, 401, 404, host unknown, timeout, no packets, frozen picture."""
    retry_at_s: float | None = None
    """Monotonic clock of the next attempt while waiting."""


@dataclass(slots=True)
class LiveCounts:
    """What became of the packets of a live source, over all its sessions. Written by its own thread."""

    packets: int = 0
    bytes: int = 0
    decoded: int = 0
    """Pictures given out by `frames()`."""
    lost: int = 0
    """Packets from which no picture came."""
    damaged: int = 0
    """Pictures that the decoder flagged as damaged (part of `decoded`)."""
    sessions: int = 0
    """Connections that gave at least one picture."""
    attempts: int = 0
    stalls: dict[str, int] = field(default_factory=dict)
    """By kind: "no packets", "times stand still", "frozen picture", "only damaged frames"."""
    failures: dict[str, int] = field(default_factory=dict)
    """Failed attempts and broken connections by `SourceStatus.kind`."""
    outages: StageTimes = field(default_factory=StageTimes)
    """From the last frame before an outage to the first one after it."""

    @property
    def reconnects(self) -> int:
        """Sessions after the first."""
        return max(0, self.sessions - 1)
