"""What can be wrong with an output, one sentence each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FaultKind = Literal[
    "frames missing",
    "frames added",
    "time",
    "pictures",
    "repeated",
    "damage",
    "cut off",
    "duration",
    "size",
    "colours",
    "audio missing",
    "audio added",
    "audio time",
    "audio changed",
]


@dataclass(frozen=True, slots=True)
class Fault:
    """One of them."""

    kind: FaultKind
    sentence: str
    is_loss: bool = False
    """Something of the source is missing; nothing else is said to be wrong by it."""


def span(first_s: float, last_s: float) -> str:
    """Words for a moment or a span of time."""
    return f"at {first_s:.3f} s" if first_s == last_s else f"from {first_s:.3f} s to {last_s:.3f} s"


def counted(n: int, noun: str) -> str:
    """`1 frame`, `2 frames`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
