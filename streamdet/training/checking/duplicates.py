"""Pictures that are the same file, near-copies (frames next to each other in a clip), or one view at several times.

Two pictures look alike when their 64-bit difference hashes (Krawetz 2013: is a cell of a small grey picture brighter
than its left neighbour?) are close, and their small grey pictures correlate. The hash alone takes pictures with little
texture for one another.

Shape legend: N pictures, B pictures of a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from streamdet.training.checking.glances import SIDE, Glance
from streamdet.training.dataset import UInt8Array
from streamdet.types import Float32Array, Int64Array

UInt64Array = npt.NDArray[np.uint64]

MOST_BITS = 10
"""Hashes that differ in more bits than this are of different pictures."""
NEAR_COPY, SAME_VIEW = 0.98, 0.90
"""Least correlation of near-copies, and of pictures from one fixed camera. In 6,195 labelled street pictures of 5,000
groups, no two of different groups reached 0.98 (another day of the same camera: 0.95 to 0.98), and none of different
cameras 0.90. Frames of a calm camera stay above 0.98 for about half a second, those of a busy one for 0.1 s."""
NEIGHBOUR = 0.60
"""Least correlation of a clip's neighbouring frames, whatever their hashes. Of 3,000 neighbours by name among unrelated
photographs 1 in 80 reaches it, of those within a clip more than half."""
LEAST_CONTRAST = 3.0
"""Standard deviation, in grey levels, below which a small picture shows nothing that could be compared."""
BLOCK = 512


@dataclass(frozen=True)
class Fingerprints:
    """What pictures look like, in numbers that can be compared."""

    hashes: UInt64Array
    """(N,)"""
    vectors: Float32Array
    """(N, SIDE * SIDE) small grey pictures with mean 0 and length 1, so that products are correlations; all 0 for
    pictures that can't be compared."""
    digests: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.digests)

    def __getitem__(self, places: Int64Array) -> Fingerprints:
        """Those of the pictures at `places`."""
        return Fingerprints(
            self.hashes[places], self.vectors[places], tuple(self.digests[place] for place in places.tolist())
        )


def fingerprints(glances: Sequence[Glance]) -> Fingerprints:
    """The fingerprints of pictures that were looked at."""
    blank = np.zeros((SIDE, SIDE), np.uint8)
    greys = [blank if glance.grey is None else glance.grey for glance in glances]
    vectors = np.array(greys, np.float32).reshape(len(greys), SIDE * SIDE)
    vectors -= vectors.mean(axis=1, keepdims=True)
    vectors[vectors.std(axis=1) < LEAST_CONTRAST] = 0
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1)
    return Fingerprints(difference_hashes(greys), vectors, tuple(glance.digest for glance in glances))


def difference_hashes(greys: Sequence[UInt8Array]) -> UInt64Array:
    """(N,) 64-bit difference hashes of grey pictures, each (H, W) of any size."""
    small = [cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA) for grey in greys]
    cells = np.array(small, np.int16).reshape(len(greys), 8, 9)
    bits = (cells[:, :, 1:] > cells[:, :, :-1]).reshape(len(greys), 64)
    hashes: UInt64Array = np.packbits(bits, axis=1).view(np.uint64)[:, 0]
    return hashes


def copies(prints: Fingerprints) -> list[Int64Array]:
    """The pictures whose files are equal: places of the first and of its copies, for each that has any."""
    places: dict[bytes, list[int]] = {}
    for place, digest in enumerate(prints.digests):
        if digest:
            places.setdefault(digest, []).append(place)
    return [np.array(found, np.int64) for found in places.values() if len(found) > 1]


def most_alike(prints: Fingerprints, among: Fingerprints) -> tuple[Int64Array, Float32Array]:
    """For each picture the one `among` others that it resembles most: its place, and their correlation.

    -1 stands for the correlation when no other's hash is close; 1 is for equal files alone.
    """
    places, values = np.zeros(len(prints), np.int64), np.full(len(prints), -1, np.float32)
    if len(among):
        for first, likeness in _likeness(prints, among):
            block = slice(first, first + len(likeness))
            places[block] = likeness.argmax(axis=1)
            values[block] = np.minimum(likeness.max(axis=1), np.nextafter(np.float32(1), np.float32(0)))
    first_with = {digest: place for place, digest in reversed(list(enumerate(among.digests))) if digest}
    for place, digest in enumerate(prints.digests):
        if digest in first_with:
            places[place], values[place] = first_with[digest], 1
    return places, values


def clusters(prints: Fingerprints, least: float) -> Int64Array:
    """(N,) the place of the first picture of each picture's cluster: linked by chains of correlations from `least`."""
    parents = np.arange(len(prints))
    for first, likeness in _likeness(prints, prints):
        alike = likeness >= least
        for row in np.nonzero(alike.sum(axis=1) > 1)[0].tolist():
            _unite(parents, np.append(np.nonzero(alike[row])[0], first + row))
    for equal in copies(prints):
        _unite(parents, equal)
    return _roots(parents, np.arange(len(prints)))


def views(prints: Fingerprints, order: Int64Array) -> Int64Array:
    """(N,) clusters of pictures that seem to be of one camera or clip; `order` (N,) is that of their names."""
    parents = clusters(prints, SAME_VIEW)
    alike = (prints.vectors[order[1:]] * prints.vectors[order[:-1]]).sum(axis=1) >= NEIGHBOUR
    for place in np.nonzero(alike)[0].tolist():
        _unite(parents, order[place : place + 2])
    return _roots(parents, np.arange(len(prints)))


def _likeness(prints: Fingerprints, others: Fingerprints) -> Iterator[tuple[int, Float32Array]]:
    """Blocks of the matrix of correlations, (B, N) each with its first row; -1 where hashes are far apart."""
    for first in range(0, len(prints), BLOCK):
        block = slice(first, first + BLOCK)
        correlation: Float32Array = prints.vectors[block] @ others.vectors.T
        bits = np.bitwise_count(prints.hashes[block, None] ^ others.hashes[None])
        correlation[bits > MOST_BITS] = -1
        yield first, correlation


def _unite(parents: Int64Array, members: Int64Array) -> None:
    roots = np.unique(_roots(parents, members))
    parents[roots] = roots[0]


def _roots(parents: Int64Array, members: Int64Array) -> Int64Array:
    while True:
        above = parents[members]
        if (above == parents[above]).all():
            return above
        members = above
