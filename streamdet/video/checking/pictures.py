"""Whether each frame of an output shows the picture of its time: small grey copies are compared.

Boxes and labels, blurred people and the encoder's noise change pictures; movement tells them apart all the same. A
picture that looks like an earlier or later one of the source where these differ is that of another time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

from streamdet.types import Frame

Grey = npt.NDArray[np.int16]
"""(h, w), 0..255."""

LONG_SIDE = 256
"""Of a small copy, in pixels."""
NEIGHBOURS = 8
"""Frames before and after that a picture is compared with."""
MOVED = 12
"""Grey levels by which a pixel differs where something moved."""
EXPLAINED = 10
"""Grey levels within which a pixel is that of one of the candidates; others are drawn over."""
LEAST_MOVED = 40
"""Pixels that must have moved before anything is said."""
DOUBT, CERTAIN = 0.3, 0.75
"""Shares of them that speak for another picture: from the first on all are looked at, from the second on it is one."""
STILL = 0.2
"""An output stands still when fewer pixels move in it, as a share of those that move in its source."""
OTHER_PICTURE = 0.5
"""Least correlation with the source's picture; an annotated one has more than 0.8."""


@dataclass(frozen=True, slots=True)
class Glance:
    """A frame, and what it looks like."""

    exact_s: Fraction
    grey: Grey | None
    """None where there is no picture to look at (JSON lines)."""


def glancer(width: int, height: int) -> Callable[[Frame], Glance]:
    """Looks at frames; all are brought to the shape of a picture of this size in pixels."""
    scale = min(1.0, LONG_SIDE / max(width, height))
    columns, rows = max(1, round(width * scale)), max(1, round(height * scale))

    def glance(frame: Frame) -> Glance:
        small = frame.picture.reformat(width=columns, height=rows, format="gray", interpolation="AREA")
        return Glance(frame.pts * frame.time_base, grey_of(small))

    return glance


def grey_of(picture: av.VideoFrame) -> Grey:
    """The pixels of a grey picture."""
    return picture.to_ndarray().astype(np.int16)


def with_neighbours(glances: Iterator[Glance]) -> Iterator[tuple[Glance, Sequence[Glance], int]]:
    """Each glance, with those around it and its place among them."""
    around: deque[Glance] = deque()
    place = 0
    for glance in glances:
        around.append(glance)
        if len(around) <= NEIGHBOURS:
            continue
        yield around[place], tuple(around), place
        if place < NEIGHBOURS:
            place += 1
        else:
            around.popleft()
    while place < len(around):
        yield around[place], tuple(around), place
        if place < NEIGHBOURS:
            place += 1
        else:
            around.popleft()


def shows_another_picture(found: Grey, expected: Grey) -> bool:
    """True when it is something else altogether: black, torn, turned, of another clip."""
    ours, theirs = expected.astype(np.float32).ravel(), found.astype(np.float32).ravel()
    deviations = float(ours.std()), float(theirs.std())
    if deviations[0] < 4:  # a plain picture has no structure to compare
        return abs(float(ours.mean()) - float(theirs.mean())) > 40 or deviations[1] > 40
    if deviations[1] < 1:
        return True
    correlation = float(((ours - ours.mean()) * (theirs - theirs.mean())).mean()) / (deviations[0] * deviations[1])
    return correlation < OTHER_PICTURE


def shown_instead(found: Grey, around: Sequence[Glance], place: int) -> int | None:
    """Which of `around` a picture shows when that is not the one at `place`; None when it is, or can't be told."""
    greys = [glance.grey for glance in around if glance.grey is not None]
    if len(greys) < len(around):
        return None
    own = np.abs(found - greys[place])
    if all(_votes(found, own, greys[place], other) < DOUBT for other in greys[max(0, place - 1) : place + 2]):
        return None
    certain = [each for each, other in enumerate(greys) if _votes(found, own, greys[place], other) >= CERTAIN]
    best = min(certain, key=lambda each: float(np.abs(found - greys[each]).mean()), default=None)
    return None if best is None or shows_another_picture(found, greys[best]) else best


def _votes(found: Grey, own: Grey, expected: Grey, other: Grey) -> float:
    """Share of the pixels in which two pictures of the source differ that speak for the other one.

    `own`: by how much `found` differs from what is expected. 0 where too little differs.
    """
    differ = np.abs(expected - other) > MOVED
    ours, theirs = own[differ], np.abs(found[differ] - other[differ])
    explained = np.minimum(ours, theirs) <= EXPLAINED
    if int(explained.sum()) < LEAST_MOVED:
        return 0.0
    return float((theirs < ours)[explained].mean())


def is_repeated(found: Grey, found_before: Grey, expected: Grey, expected_before: Grey) -> bool:
    """True when the output stands still where its source moves."""
    moves = int((np.abs(expected - expected_before) > MOVED).sum())
    return moves >= LEAST_MOVED and int((np.abs(found - found_before) > MOVED).sum()) < STILL * moves
