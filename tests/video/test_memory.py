from __future__ import annotations

import gc
from pathlib import Path

import av

from streamdet.video import open_source
from tests.media import make_clip


def test_a_picture_is_freed_as_soon_as_nobody_holds_it(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=60)
    gc.collect()
    gc.disable()  # pictures are large and few: Python's collector comes by too seldom to be of help
    try:
        with open_source(clip) as source:
            most = max(sum(type(thing) is av.VideoFrame for thing in gc.get_objects()) for _ in source)
    finally:
        gc.enable()
    assert most < 20
