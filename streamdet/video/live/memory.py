"""Memory that was freed goes back to the system."""

from __future__ import annotations

import ctypes
import sys


def give_back_free_memory() -> None:
    """Let go of what the C library keeps for later, where it is glibc: a few milliseconds.

    Every segment has an encoder with threads of its own, and glibc keeps heaps for threads that have ended: 10 to 30 MB
    more at each cut, for a long time, though all of it is free.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
