"""Sees that a camera is back without asking it for its stream: its port accepts a connection again.

The waits between two attempts grow to half a minute, for the sake of cameras that take failed attempts ill. One that
refused, or was not there at all, is only knocked at meanwhile, and is asked for its stream as soon as it opens.
"""

from __future__ import annotations

import socket

from streamdet.video.live.failures import Kind, Place, place_of
from streamdet.video.location import Location

KNOCK_EVERY_S = 1.0
PATIENCE_S = 0.5
"""How long a knock waits for an answer."""
AWAY = (Kind.REFUSED, Kind.NO_ROUTE, Kind.TIMEOUT)
"""Failures after which a port that opens is news."""


def door_of(location: Location, kind: str) -> Place | None:
    """Where to knock after a failure of this kind; None where a knock would tell nothing."""
    return place_of(location) if kind in AWAY else None


def opens(door: Place) -> bool:
    """True when the port accepts a connection; it is closed at once."""
    try:
        with socket.create_connection((door.host, door.port), timeout=PATIENCE_S):
            return True
    except OSError:
        return False
