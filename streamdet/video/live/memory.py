"""Memory that was freed goes back to the system, so that a run of weeks keeps its size.

glibc gives each thread a heap of its own, up to eight for each core, and keeps what is freed in them. A live run has
threads that come and go with every connection and every segment's encoder: its size grew by 10 to 30 MB at each cut,
for a long time, though all of that was free. Elsewhere than on glibc these functions do nothing.
"""

from __future__ import annotations

import ctypes
import os
import sys

_M_ARENA_MAX = -8
"""Of `mallopt`, from malloc.h."""
LEAST_HEAPS = 2


def limit_heaps() -> None:
    """No more heaps than cores. Takes effect for threads that are started later."""
    _call("mallopt", _M_ARENA_MAX, max(LEAST_HEAPS, os.cpu_count() or 1))


def give_back_free_memory() -> None:
    """Let go of what is free: some milliseconds."""
    _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> None:
    if sys.platform == "linux":
        function = getattr(ctypes.CDLL(None), name, None)
        if function is not None:
            function(*arguments)
