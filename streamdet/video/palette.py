"""Colours for classes: bright, and apart from each other for people with and without colour blindness."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Rgb = tuple[int, int, int]

_FIRST: tuple[Rgb, ...] = (
    (255, 159, 28), (72, 219, 184), (64, 150, 255), (255, 84, 140), (232, 244, 110), (205, 170, 255)
)  # fmt: skip
"""Chosen by eye for the street classes, and checked to differ for the colour blind; `_spread` finds the rest."""

# Machado, Oliveira and Fernandes 2009, severity 1, for linear RGB.
_DEUTAN = np.array(((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)))
_PROTAN = np.array(((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)))
_TO_LMS = np.array(
    ((0.4122214708, 0.5363325363, 0.0514459929), (0.2119034982, 0.6806995451, 0.1073969566),
     (0.0883024619, 0.2817188376, 0.6299787005))
)  # fmt: skip
_TO_LAB = np.array(
    ((0.2104542553, 0.7936177850, -0.0040720468), (1.9779984951, -2.4285922050, 0.4505937099),
     (0.0259040371, 0.7827717662, -0.8086757660))
)  # fmt: skip


def class_colours(count: int) -> tuple[Rgb, ...]:
    """`count` colours (RGB 0..255). The first ones are the same whatever the count."""
    colours = list(_FIRST[:count])
    if count > len(colours):
        colours += _spread(colours, count - len(colours))
    return tuple(colours)


def _spread(taken: list[Rgb], count: int) -> list[Rgb]:
    """Colours that are each as far as can be from all before them, seen normally and by two kinds of colour blind."""
    candidates = _candidates()
    places = _seen(candidates)
    distance = np.full(len(candidates), np.inf)
    for colour in taken:
        distance = np.minimum(distance, _apart(places, _seen(np.array([colour], float))[0]))
    result = []
    for _ in range(count):
        best = int(distance.argmax())
        red, green, blue = candidates[best].astype(int).tolist()
        result.append((red, green, blue))
        distance = np.minimum(distance, _apart(places, places[best]))
    return result


def _candidates() -> Floats:
    """RGB 0..255 of all bright or lively colours on a coarse grid, (C, 3)."""
    steps = np.arange(17, 256, 17.0)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    lab = _lab(_linear(grid))
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    fit: Floats = grid[(lab[:, 0] > 0.62) & (lab[:, 0] < 0.92) & (chroma > 0.09)]
    return fit


def _linear(rgb: Floats) -> Floats:
    share = rgb / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def _lab(linear: Floats) -> Floats:
    """Linear RGB (C, 3) to OKLab (C, 3), in which equal steps look about equal."""
    result: Floats = np.cbrt(np.maximum(linear @ _TO_LMS.T, 0)) @ _TO_LAB.T
    return result


def _seen(rgb: Floats) -> Floats:
    """OKLab as seen by three kinds of eyes, (C, 3 eyes, 3)."""
    linear = _linear(rgb)
    return np.stack([_lab(linear), _lab(linear @ _DEUTAN.T), _lab(linear @ _PROTAN.T)], 1)


def _apart(places: Floats, place: Floats) -> Floats:
    """Distance (C,) for those eyes that tell them worst apart; the colour blind's counts half."""
    distance = np.linalg.norm(places - place, axis=-1) * (1.0, 1.6, 1.6)
    result: Floats = distance.min(1)
    return result
