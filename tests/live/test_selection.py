from __future__ import annotations

import numpy as np
import pytest

from streamdet.live.selection import Selection
from streamdet.types import Detections

FOUND = Detections(
    np.float32([[0, 0, 20, 20], [100, 0, 120, 20], [100, 0, 120, 20]]),
    np.float32([0.9, 0.8, 0.2]),
    np.array([0, 0, 0], np.int64),
    ("person",),
)


@pytest.mark.parametrize("roi", [(0, 0, 50, 100), (0, 0, 0.25, 1)])
def test_what_lies_outside_of_the_region_is_kept_apart(roi: tuple[float, float, float, float]) -> None:
    selection = Selection(np.float32([0.5]), roi)
    outside = selection.outside(FOUND, 200, 100)
    assert selection(FOUND, 200, 100).scores.tolist() == pytest.approx([0.9])
    assert outside is not None
    assert outside.scores.tolist() == pytest.approx([0.8])


def test_without_a_region_nothing_is_outside() -> None:
    selection = Selection(np.float32([0.5]))
    assert len(selection(FOUND, 200, 100)) == 2
    assert selection.outside(FOUND, 200, 100) is None
