"""People of the parking lot, on foot, on bicycles and motorcycles.

Local axes: x forward, y left, z up, metres, origin on the ground below the middle. Colours are linear BGR.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from parking_mesh import DARK, HEAD, STEEL, TAIL, TYRE, Floats, Mesh, Pile, Rng, ball, loft, rod

SKIN_TONES = ((0.36, 0.45, 0.62), (0.20, 0.29, 0.47), (0.09, 0.14, 0.26), (0.045, 0.07, 0.13))


@dataclass(frozen=True)
class Look:
    """How a person looks; colours linear BGR, height in metres."""

    height: float
    skin: Sequence[float]
    hair: Sequence[float]
    top: Floats
    legs: Floats
    shoes: Sequence[float]
    long_coat: bool
    bag: Floats | None
    girth: float


def look_of(rng: Rng) -> Look:
    """A person as one meets in the street."""
    cloth = lambda: (rng.choice([0.02, 0.05, 0.15, 0.45]) * rng.uniform(0.5, 1.5, 3)).clip(0.01, 0.7)  # noqa: E731
    bright = (rng.uniform(0.02, 0.6, 3) ** 1.6).clip(0.01, 0.7)
    jeans = np.array((0.13, 0.06, 0.03)) * rng.uniform(0.5, 2.0)
    dark = np.full(3, rng.uniform(0.012, 0.05))
    return Look(
        height=float(rng.choice([rng.normal(1.72, 0.08), rng.normal(1.2, 0.12)], p=[0.92, 0.08]).clip(0.95, 1.95)),
        skin=SKIN_TONES[rng.integers(4)],
        hair=[(0.01, 0.012, 0.016), (0.02, 0.04, 0.08), (0.12, 0.25, 0.4), (0.35, 0.35, 0.35)][rng.integers(4)],
        top=bright.astype(np.float32) if rng.random() < 0.5 else cloth().astype(np.float32),
        legs=(jeans if rng.random() < 0.5 else dark if rng.random() < 0.7 else cloth()).astype(np.float32),
        shoes=(0.03, 0.03, 0.03) if rng.random() < 0.6 else (0.6, 0.6, 0.6),
        long_coat=bool(rng.random() < 0.25),
        bag=cloth().astype(np.float32) if rng.random() < 0.3 else None,
        girth=float(rng.uniform(0.9, 1.2)),
    )


def person(look: Look, phase: float, stride: float = 1.0) -> Mesh:
    """A walking person; `phase` in radians of the double step, `stride` 0 = standing."""
    h, g, pile = look.height, look.girth, Pile()
    for side, turn in ((-1, phase), (1, phase + np.pi)):
        swing = 0.48 * stride * np.sin(turn)
        knee_bend = 0.12 + stride * 0.75 * max(0.0, float(np.cos(turn))) * 0.9
        hip = np.array((0.0, side * 0.055 * h * g, 0.52 * h))
        knee = hip + 0.245 * h * np.array((np.sin(swing), 0, -np.cos(swing)))
        ankle = knee + 0.235 * h * np.array((np.sin(swing - knee_bend), 0, -np.cos(swing - knee_bend)))
        pile.add(rod(hip, knee, 0.050 * h * g, 0.036 * h * g), look.legs)
        pile.add(rod(knee, ankle, 0.036 * h * g, 0.025 * h), look.legs)
        pile.add(
            rod(ankle + (-0.02, 0, -0.015 * h), ankle + (0.085 * h, 0, -0.022 * h), 0.025 * h, 0.02 * h), look.shoes
        )
        arm = -0.8 * swing
        shoulder = np.array((0.0, side * 0.112 * h * g, 0.795 * h))
        elbow = shoulder + 0.165 * h * np.array((np.sin(arm), side * 0.12, -np.cos(arm)))
        hand = elbow + 0.15 * h * np.array((np.sin(arm + 0.35), 0, -np.cos(arm + 0.35)))
        pile.add(rod(shoulder, elbow, 0.032 * h * g, 0.026 * h), look.top)
        pile.add(rod(elbow, hand, 0.025 * h, 0.019 * h), look.top)
        pile.add(ball(hand, (0.02 * h, 0.016 * h, 0.026 * h), 4, 6), look.skin)
    _torso(pile, look, np.array((0.0, 0.0, 0.0)), 0.03 * stride)
    mesh = pile.mesh()
    return mesh.placed(0, 0, 0, -float(mesh.quads[..., 2].min()))


def _torso(pile: Pile, look: Look, at: Floats, lean: float) -> None:
    """Trunk, neck, head and bag; `lean` is how far the shoulders are before the hips, as share of the height."""
    h, g = look.height, look.girth
    bottom = 0.36 if look.long_coat else 0.47
    heights = np.array((bottom, 0.53, 0.62, 0.73, 0.80, 0.835, 0.86))
    wide = np.array((0.105, 0.100, 0.092, 0.112, 0.118, 0.06, 0.032)) * h * g
    deep = np.array((0.075, 0.072, 0.062, 0.072, 0.062, 0.045, 0.032)) * h * g
    forward = (heights - 0.5).clip(0) / 0.36 * lean * h
    angles = np.arange(9) * 2 * np.pi / 9
    rings = np.stack(
        [
            np.column_stack((f + d * np.cos(angles), w * np.sin(angles), np.full(9, z * h)))
            for z, w, d, f in zip(heights, wide, deep, forward, strict=True)
        ]
    )
    pile.add(loft(rings) + at, look.top)
    x = lean * h * 1.25
    pile.add(ball(at + (x + 0.01, 0, 0.925 * h), (0.055 * h, 0.046 * h, 0.068 * h)), look.skin)
    pile.add(ball(at + (x - 0.012 * h, 0, 0.945 * h), (0.055 * h, 0.050 * h, 0.060 * h)), look.hair)
    if look.bag is not None:
        pile.add(ball(at + (-0.10 * h + x * 0.5, 0, 0.70 * h), (0.055 * h, 0.085 * h, 0.11 * h)), look.bag)


def bicycle(paint: Floats) -> Mesh:
    """A bicycle that stands or rolls along x."""
    pile = Pile()
    for x in (-0.52, 0.52):
        _hoop(pile, x, 0.34, 0.04)
    joints = {"rear": (-0.52, 0, 0.34), "front": (0.52, 0, 0.34), "crank": (-0.08, 0, 0.30)}
    seat, head = (-0.24, 0, 0.82), (0.36, 0, 0.84)
    for a, b in (
        (joints["crank"], seat), (joints["crank"], head), (seat, head), (seat, joints["rear"]),
        (joints["crank"], joints["rear"]), (head, joints["front"]),
    ):  # fmt: skip
        pile.add(rod(a, b, 0.024, 0.024, 4), paint, 0.3)
    pile.add(rod((0.34, -0.28, 1.0), (0.34, 0.28, 1.0), 0.018, 0.018, 4), DARK)
    pile.add(rod(head, (0.34, 0, 1.0), 0.018, 0.018, 4), DARK)
    pile.add(ball((-0.27, 0, 0.92), (0.14, 0.07, 0.04), 4, 7), DARK)
    pile.add(rod((-0.08, -0.12, 0.22), (-0.08, 0.12, 0.38), 0.02, 0.02, 4), DARK)
    return pile.mesh()


def _hoop(pile: Pile, x: float, radius: float, thick: float) -> None:
    angles = np.arange(17)[:-1] * 2 * np.pi / 16
    rim = np.column_stack((np.cos(angles), np.zeros(16), np.sin(angles)))
    rings = np.stack([rim * r + (x, 0, radius) for r in (radius, radius - thick)])
    pile.add(loft(rings), TYRE, 0.05, outward=(0, 1, 0), two_sided=True)
    pile.add(rod((x, -thick * 0.8, radius), (x, thick * 0.8, radius), thick * 1.2, thick * 1.2, 6), STEEL, 0.3)


def rider(look: Look, phase: float, seat_z: float = 0.95, bars: tuple[float, float] = (0.33, 1.02)) -> Mesh:
    """A person who sits on a bicycle or motorcycle; `phase` of the pedals in radians."""
    h, pile = look.height, Pile()
    hip = np.array((-0.22, 0.0, seat_z + 0.04))
    for side, turn in ((-1, phase), (1, phase + np.pi)):
        foot = np.array((-0.08 + 0.16 * np.cos(turn), side * 0.11, 0.32 + 0.16 * np.sin(turn)))
        start = hip + (0, side * 0.09, 0)
        knee = (start + foot) / 2 + np.array((0.22, side * 0.03, 0.10))
        pile.add(rod(start, knee, 0.05 * h, 0.038 * h), look.legs)
        pile.add(rod(knee, foot, 0.036 * h, 0.026 * h), look.legs)
        pile.add(rod(foot + (-0.06, 0, -0.03), foot + (0.12, 0, -0.03), 0.045, 0.035), look.shoes)
        shoulder, hand = hip + (0.30, side * 0.18, 0.47), np.array((bars[0], side * 0.25, bars[1]))
        elbow = (shoulder + hand) / 2 + (-0.05, side * 0.06, -0.05)
        pile.add(rod(shoulder, elbow, 0.032 * h, 0.027 * h), look.top)
        pile.add(rod(elbow, hand, 0.025 * h, 0.02 * h), look.top)
    upright = replace(look, long_coat=False)
    _torso(pile, upright, hip - (0, 0, 0.5 * h), 0.19)
    return pile.mesh()


def motorcycle(paint: Floats) -> Mesh:
    """A motorcycle on its stand or rolling."""
    pile = Pile()
    for x in (-0.66, 0.70):
        _hoop(pile, x, 0.31, 0.11)
    pile.add(rod((0.70, 0.06, 0.31), (0.42, 0.06, 0.98), 0.035, 0.035, 5), STEEL, 0.5)
    pile.add(rod((0.70, -0.06, 0.31), (0.42, -0.06, 0.98), 0.035, 0.035, 5), STEEL, 0.5)
    pile.add(rod((0.36, -0.36, 1.04), (0.36, 0.36, 1.04), 0.022, 0.022, 4), DARK)
    pile.add(ball((0.02, 0, 0.48), (0.30, 0.17, 0.22)), (0.05, 0.05, 0.05), 0.4)
    pile.add(ball((0.16, 0, 0.82), (0.30, 0.15, 0.14)), paint, 0.6)
    pile.add(ball((-0.36, 0, 0.80), (0.38, 0.14, 0.08)), DARK, 0.15)
    pile.add(ball((-0.72, 0, 0.78), (0.20, 0.10, 0.09)), paint, 0.5)
    pile.add(rod((-0.1, -0.16, 0.32), (-0.75, -0.19, 0.40), 0.045, 0.06, 6), STEEL, 0.6)
    pile.add(ball((0.52, 0, 0.90), (0.09, 0.10, 0.10), 5, 8), (0.6, 0.6, 0.58), 0.9, HEAD)
    pile.add(ball((-0.92, 0, 0.76), (0.03, 0.06, 0.04), 4, 6), (0.02, 0.015, 0.3), 0.6, TAIL)
    return pile.mesh()
