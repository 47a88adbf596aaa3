"""How long to wait before a source that is gone is tried again."""

from __future__ import annotations

import random

JITTER = 0.2
"""Share by which a wait is made longer or shorter by chance, so that many cameras of one switch don't come at once."""


class Backoff:
    """Waits that double from one failure to the next; they begin anew only after a time of good frames.

    A source that opens, gives a picture and breaks is as much trouble as one that doesn't open: an opened connection
    alone resets nothing.
    """

    def __init__(
        self, first_s: float, most_s: float, settled_after_s: float, dice: random.Random | None = None
    ) -> None:
        """Nothing has failed yet.

        Args:
            first_s: the first wait, before jitter.
            most_s: the longest wait, jitter included.
            settled_after_s: good frames for this long make the next wait the first one again.
            dice: source of the jitter.
        """
        self._first_s = first_s
        self._most_s = most_s
        self._settled_after_s = settled_after_s
        self._dice = dice or random.Random()
        self._failures = 0
        self._good_since_s: float | None = None

    def good(self, now_s: float) -> None:
        """A frame without damage came."""
        if self._good_since_s is None:
            self._good_since_s = now_s
        elif now_s - self._good_since_s >= self._settled_after_s:
            self._failures = 0

    def failed(self) -> float:
        """The source is gone: seconds to wait before the next attempt."""
        self._good_since_s = None
        # the exponent is bounded: after weeks of failures 2**n is no float any more
        wait_s = min(self._first_s * 2.0 ** min(self._failures, 32), self._most_s)
        self._failures += 1
        return min(wait_s * self._dice.uniform(1 - JITTER, 1 + JITTER), self._most_s)
