"""What the tests of sources read with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from streamdet.types import Frame
from streamdet.video import Source, SourceCounts, open_source


def read(path: Path, **window: float) -> tuple[list[Frame], Source]:
    with open_source(path, **window) as source:  # type: ignore[arg-type]
        frames = list(source)
    return frames, source


def assert_accounts(counts: SourceCounts) -> None:
    assert counts.packets == counts.decoded + counts.lost + counts.hidden
    assert counts.decoded == counts.yielded + counts.skipped


def rgb(frame: Frame) -> np.ndarray:
    return frame.picture.to_ndarray(format="rgb24")
