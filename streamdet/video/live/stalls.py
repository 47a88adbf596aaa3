"""Tells when a source that is connected gives nothing of use: four kinds of stall, told apart.

The clock is the caller's: each method is told the time.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import NamedTuple

import av
import numpy as np

from streamdet.options import LiveOptions

NO_PACKETS = "no packets"
TIMES_STAND_STILL = "times stand still"
FROZEN_PICTURE = "frozen picture"
ONLY_DAMAGED = "only damaged frames"

FEWEST = 5
"""Packets or pictures that a verdict about them needs: a slow camera is no stalled one."""
SAMPLE_STEP = 8
"""Every so many-th byte of every so many-th row is compared."""
FLAT = 4
"""A picture whose samples differ by less (a lens cap, a night without a light) can't be told from a frozen one."""
DAMAGE_PATIENCE = 4
"""Damaged pictures are endured for so much longer than none: a bad network stays bad after a new connection."""
MOST_PATIENCE = 64
"""Reconnecting in vain doubles the patience with that kind of stall, up to this factor."""


@dataclass(frozen=True, slots=True)
class Stall:
    """What is wrong with a connection that is open."""

    kind: str
    lasted_s: float
    reconnect: bool
    """True when it has lasted long enough to connect anew; False while it is only worth a warning."""
    is_new: bool = False
    """True the first time that this stall is reported."""


class Fingerprint(NamedTuple):
    """Enough of a picture to tell whether the next one is the same."""

    crc: int
    flat: bool
    """True when there is next to nothing in it."""


def fingerprint(picture: av.VideoFrame) -> Fingerprint:
    """The fingerprint of a picture's first plane: luma, or the packed colours."""
    plane = picture.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8)[: plane.height * plane.line_size].reshape(
        plane.height, plane.line_size
    )
    # behind the picture's width there is padding, which may hold anything
    samples = np.ascontiguousarray(rows[::SAMPLE_STEP, : min(plane.width, plane.line_size) : SAMPLE_STEP])
    flat = int(samples.max()) - int(samples.min()) < FLAT if samples.size else True
    return Fingerprint(zlib.crc32(samples.data) ^ zlib.crc32(f"{picture.width}x{picture.height}".encode()), flat)


@dataclass(slots=True)
class _Watch:
    """One kind of stall: since when there was nothing good, and how much evidence there is."""

    good_s: float = 0.0
    seen: int = 0
    """Packets or pictures since then."""
    reported: bool = False
    patience: int = 1

    def good(self, now_s: float) -> None:
        self.good_s, self.seen, self.reported, self.patience = now_s, 0, False, 1

    def restart(self, now_s: float) -> None:
        """A new connection: time begins anew, what is known of the source stays."""
        self.good_s, self.seen = now_s, 0


@dataclass(slots=True)
class StallWatch:
    """Watches the packets and pictures of one source over all its connections.

    - no packets: nothing has arrived for `read_timeout_s`;
    - times stand still: packets arrive, all with the same time, for `read_timeout_s`;
    - frozen picture: times move and the picture stays the same to the bit, although the camera sent enough to change
      it. A warning after `frozen_warn_s`, a reason to reconnect after `frozen_reconnect_s`. A static scene at night is
      none: there the packets between two key frames say "as before" in a few bytes, and the next key frame brings
      other noise. So only key frames and large packets count as evidence, and flat pictures never do;
    - only damaged frames: packets arrive and nothing whole comes out of them; the same two times, the second one
      longer while there are pictures at all.
    """

    options: LiveOptions
    _packets: _Watch = field(default_factory=_Watch)
    _times: _Watch = field(default_factory=_Watch)
    _picture: _Watch = field(default_factory=_Watch)
    _damage: _Watch = field(default_factory=_Watch)
    _pts: int | None = None
    _fingerprint: Fingerprint | None = None
    _evidence: bool = False
    _damaged_pictures: int = 0

    def connected(self, now_s: float) -> None:
        """A new connection is open."""
        for watch in (self._packets, self._times, self._picture, self._damage):
            watch.restart(now_s)
        self._packets.reported = False
        self._pts, self._evidence, self._damaged_pictures = None, False, 0

    def packet(self, now_s: float, pts: int | None, size: int, is_key: bool, pixels: int) -> None:
        """A packet arrived; `pixels` is the size of the last picture (0 = none yet)."""
        self._packets.good(now_s)
        self._damage.seen += 1
        if pts is None or pts != self._pts:
            self._times.good(now_s)
        else:
            self._times.seen += 1
        self._pts = pts
        if is_key or size > max(256, pixels // 1000):
            self._evidence = True

    def picture(self, now_s: float, seen: Fingerprint, damaged: bool) -> None:
        """A picture was decoded."""
        if seen != self._fingerprint:
            self._picture.good(now_s)
            self._evidence = False  # the packet that brought this picture proves nothing about the next one
        elif seen.flat:
            self._picture.restart(now_s)
        else:
            self._picture.seen += 1
        self._fingerprint = seen
        if damaged:
            self._damaged_pictures += 1
        else:
            self._damage.good(now_s)
            self._damaged_pictures = 0

    def look(self, now_s: float) -> Stall | None:
        """What is wrong now; None when all is well."""
        options, enough = self.options, FEWEST - 1
        quiet = max(options.read_timeout_s, 0.0)
        warn, most = options.frozen_warn_s, options.frozen_reconnect_s
        frozen = self._picture.seen >= enough and self._evidence
        damaged_most = most * (DAMAGE_PATIENCE if self._damaged_pictures else 1)
        found = (
            self._verdict(NO_PACKETS, self._packets, now_s, quiet, quiet, holds=True),
            self._verdict(TIMES_STAND_STILL, self._times, now_s, quiet, quiet, holds=self._times.seen >= enough),
            self._verdict(ONLY_DAMAGED, self._damage, now_s, warn, damaged_most, holds=self._damage.seen >= enough),
            self._verdict(FROZEN_PICTURE, self._picture, now_s, warn, most, holds=frozen),
        )
        return next((stall for stall in found if stall is not None), None)

    def reconnecting(self, kind: str) -> None:
        """The source is connected anew because of `kind`: the next time of the same kind is endured for longer."""
        watch = {TIMES_STAND_STILL: self._times, FROZEN_PICTURE: self._picture, ONLY_DAMAGED: self._damage}.get(kind)
        if watch is not None:
            watch.patience = min(watch.patience * 2, MOST_PATIENCE)

    def _verdict(
        self, kind: str, watch: _Watch, now_s: float, warn_s: float, reconnect_s: float, *, holds: bool
    ) -> Stall | None:
        lasted_s = now_s - watch.good_s
        if not holds or lasted_s < min(warn_s, reconnect_s):
            return None
        is_new, watch.reported = not watch.reported, True
        return Stall(kind, lasted_s, lasted_s >= reconnect_s * watch.patience, is_new)
