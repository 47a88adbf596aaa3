from __future__ import annotations

from typing import Any

import pytest

from streamdet.errors import UsageError
from streamdet.results.tracks import TrackRule


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"start_score": 0.0}, "start_score is 0; give a number above 0"),
        ({"start_score": (0.4, 1.5)}, r"start_score is 1\.5"),
        ({"low_score": -1.0}, "low_score is -1"),
        ({"weak_iou": 2.0}, "weak_iou is 2"),
        ({"lost_s": -1.0}, "lost_s is -1 s; give a time of 0 or more"),
        ({"bridge_s": float("inf")}, "bridge_s is inf s"),
        ({"sightings": 0}, "sightings is 0; give 1 or more"),
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        TrackRule(**values)
