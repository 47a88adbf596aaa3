from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from streamdet.video import open_source
from tests.video.checking.planting import make_source


@pytest.mark.parametrize("ahead", [0, 6, 12, 18])
def test_sources_read_side_by_side_keep_their_frames(tmp_path: Path, ahead: int) -> None:
    clip = make_source(tmp_path / "clip.mp4", 75, options={"bf": "3"})
    with open_source(clip) as alone:
        times = [frame.pts for frame in alone]
    with open_source(clip) as left, open_source(clip) as right:
        first = iter(left)
        found, others = [frame.pts for frame in islice(first, ahead)], []
        for frame in right:
            others.append(frame.pts)
            found += [other.pts for other in islice(first, 1)]
        assert (found, others) == (times, times)
        assert left.counts.times_repaired == right.counts.times_repaired == 0
