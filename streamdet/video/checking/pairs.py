"""Which frame of an output belongs to which of its source: decided by their times, before any picture is decoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from statistics import median
from typing import Generic, Protocol, TypeVar

GOOD_SHARE = 0.9
"""Frames that must find a partner by their times, or else they are paired one after the other, if there are as many."""
NEAR = 0.45
"""Of the usual time between two frames: how far apart the times of partners may be."""


class Timed(Protocol):
    """Anything with a time."""

    @property
    def exact_s(self) -> Fraction:
        """In seconds."""


A = TypeVar("A", bound=Timed)
B = TypeVar("B", bound=Timed)


@dataclass(frozen=True, slots=True)
class Pairing:
    """How frames find their partners."""

    offset_s: Fraction
    """The output's times are later than the source's by about this."""
    near_s: Fraction
    """Times that differ by less belong together."""
    by_place: bool = False
    """One after the other, whatever their times."""


@dataclass(frozen=True, slots=True)
class Pair(Generic[A, B]):
    """A frame of the source and one of the output; one of them may be missing."""

    expected: A | None
    found: B | None


def choose_pairing(expected_s: Sequence[Fraction], found_s: Sequence[Fraction], shift_s: Fraction) -> Pairing:
    """The pairing with which most frames find a partner; `shift_s`: what the output's times are said to be later by."""
    gaps = [later - earlier for earlier, later in pairwise(expected_s or found_s)]
    near = Fraction(median(gaps)) * Fraction(NEAR) if gaps else Fraction(1)
    if not expected_s or not found_s:
        return Pairing(shift_s, near)
    ends = (found_s[0] - expected_s[0], found_s[-1] - expected_s[-1])
    candidates = list(dict.fromkeys([shift_s, Fraction(0), *ends]))
    scores = [_partners(expected_s, found_s, offset, near) for offset in candidates]
    best = max(range(len(candidates)), key=lambda place: scores[place])  # the first of equals
    most = max(len(expected_s), len(found_s))
    by_place = scores[best] < GOOD_SHARE * most and len(expected_s) == len(found_s)
    return Pairing(shift_s if by_place else candidates[best], near, by_place)


def _partners(expected_s: Sequence[Fraction], found_s: Sequence[Fraction], offset_s: Fraction, near: Fraction) -> int:
    places, partners = (0, 0), 0
    while places[0] < len(expected_s) and places[1] < len(found_s):
        late = found_s[places[1]] - expected_s[places[0]] - offset_s
        partners += abs(late) <= near
        places = (places[0] + (late >= -near), places[1] + (late <= near))
    return partners


def pairs_of(expected: Iterable[A], found: Iterable[B], pairing: Pairing) -> Iterator[Pair[A, B]]:
    """All frames of both, in order."""
    ours, theirs = iter(expected), iter(found)
    left, right = next(ours, None), next(theirs, None)
    while left is not None or right is not None:
        if left is None or right is None:
            take_left, take_right = left is not None, right is not None
        elif pairing.by_place:
            take_left = take_right = True
        else:
            late = right.exact_s - left.exact_s - pairing.offset_s
            take_left, take_right = late >= -pairing.near_s, late <= pairing.near_s
        yield Pair(left if take_left else None, right if take_right else None)
        left = next(ours, None) if take_left else left
        right = next(theirs, None) if take_right else right
