"""What stands in the rendered parking lots that models are trained on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[1] / "samples"


def test_passers_by_come_on_top_of_who_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the pictures of a seed stay what they are where nobody asks for more people."""
    monkeypatch.syspath_prepend(str(SAMPLES))
    from parking_scene import BICYCLE, PERSON
    from parking_stage import add_passers_by, random_scene

    scene = random_scene(1000)
    before, state = list(scene.things), scene.rng.bit_generator.state
    add_passers_by(scene, 1000)
    assert scene.things[: len(before)] == before
    assert scene.rng.bit_generator.state == state
    added = Counter(thing.category for thing in scene.things[len(before) :])
    assert set(added) == {PERSON, BICYCLE}
    assert added[PERSON] >= 5 + added[BICYCLE]
