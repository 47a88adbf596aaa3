"""What befalls the cameras of a soak, when, and for how long: drawn once from a seed, then done on the clock."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.live_servers.clip import Clip
from tests.live_servers.rtsp import RtspServer

QUIET_AT_FIRST_S = 30.0
QUIET_AT_LAST_S = 30.0

LENGTHS_S: dict[str, tuple[float, float]] = {
    "restart": (0.0, 0.0),
    "stall": (4.0, 20.0),
    "half-open": (4.0, 20.0),
    "refuse": (2.0, 25.0),
    "packet loss": (5.0, 15.0),
    "frozen picture": (10.0, 35.0),
    "other size": (10.0, 20.0),
    "times stand still": (4.0, 12.0),
    "damaged": (4.0, 12.0),
}
"""Kinds of faults, each with its shortest and longest time. A restart is over as soon as the server listens again."""


@dataclass
class Fault:
    """One fault of one camera. Times in seconds: planned ones after the start, done ones of the wall clock (UTC)."""

    camera: int
    kind: str
    begin_s: float
    length_s: float
    began_utc_s: float = 0.0
    over_utc_s: float = 0.0
    """When the camera was as good as before."""


def draw_schedule(cameras: int, faults: int, run_s: float, seed: int) -> list[Fault]:
    """Spread the faults over the cameras and the time, so that a camera has only one at a time; sorted by time.

    Every kind comes up once before one comes up again. A camera's time is cut into equal slots, one for a fault, of
    which the last 40 % stay quiet: long enough to see whether it recovers.
    """
    dice = random.Random(seed)
    kinds: list[str] = []
    while len(kinds) < faults:
        kinds += dice.sample(list(LENGTHS_S), len(LENGTHS_S))
    free_s = run_s - QUIET_AT_FIRST_S - QUIET_AT_LAST_S
    schedule = []
    for camera in range(cameras):
        own = kinds[camera:faults:cameras]
        slot_s = free_s / max(1, len(own))
        for number, kind in enumerate(own):
            shortest, longest = LENGTHS_S[kind]
            length_s = min(dice.uniform(shortest, longest), 0.5 * slot_s)
            wait_s = dice.uniform(0.0, max(0.0, 0.6 * slot_s - length_s))
            schedule.append(Fault(camera, kind, QUIET_AT_FIRST_S + number * slot_s + wait_s, length_s))
    return sorted(schedule, key=lambda fault: fault.begin_s)


class FaultInjector:
    """Does what the schedule says, when `work` is called often enough."""

    def __init__(self, servers: Sequence[RtspServer], schedule: Sequence[Fault], other: Clip) -> None:
        """`other`: a clip of another size than the cameras have."""
        self._servers, self._other = servers, other
        self._clips = [server.clip() for server in servers]
        self._waiting = list(schedule)
        self._running: list[Fault] = []

    def work(self, since_start_s: float, tell: Callable[[str], object]) -> None:
        """Begin and end the faults that are due."""
        for fault in [fault for fault in self._running if since_start_s >= fault.begin_s + fault.length_s]:
            self._running.remove(fault)
            self._end(fault)
            fault.over_utc_s = time.time()
            tell(f"{since_start_s:7.1f} s  camera {fault.camera}: {fault.kind} is over")
        while self._waiting and since_start_s >= self._waiting[0].begin_s:
            fault = self._waiting.pop(0)
            tell(f"{since_start_s:7.1f} s  camera {fault.camera}: {fault.kind} for {fault.length_s:.1f} s")
            fault.began_utc_s = time.time()
            self._begin(fault)
            self._running.append(fault)

    def _begin(self, fault: Fault) -> None:
        server = self._servers[fault.camera]
        if fault.kind in ("restart", "refuse"):
            server.kill()
        elif fault.kind == "half-open":
            server.hang()
        elif fault.kind == "packet loss":
            server.set_loss(0.1)
        elif fault.kind == "other size":
            server.switch(self._other)
        else:
            server.set_mode(fault.kind)  # type: ignore[arg-type]

    def _end(self, fault: Fault) -> None:
        server = self._servers[fault.camera]
        if fault.kind in ("restart", "refuse"):
            server.start()
        elif fault.kind == "half-open":
            server.wake()
        elif fault.kind == "packet loss":
            server.set_loss(0.0)
        elif fault.kind == "other size":
            server.switch(self._clips[fault.camera])
        else:
            server.set_mode("play")
