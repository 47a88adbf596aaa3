"""Detections without sinks: of a batch of frames, and of a whole file."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from streamdet.detecting import detect, detect_batch
from streamdet.detection.detector import Detector
from streamdet.detection.precision import Placement
from streamdet.errors import StreamdetError
from streamdet.report import RunReport
from streamdet.types import Detections, Frame
from tests.media import make_clip, truncate
from tests.networks import tiny_model

CPU = Placement(torch.device("cpu"), torch.float32)


@pytest.fixture
def tiny_detector() -> Detector:
    return Detector(tiny_model(), CPU)


class Overtaxed:
    """Has no room for any picture."""

    placement = CPU

    def __call__(self, pictures: Sequence[av.VideoFrame]) -> list[Detections]:
        raise torch.OutOfMemoryError("no room")


def frames(count: int) -> list[Frame]:
    picture = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
    return [Frame(picture, "test", index, index * 2, Fraction(1, 50), 0.0) for index in range(count)]


def test_out_of_memory_with_one_frame_says_what_to_do() -> None:
    with pytest.raises(StreamdetError, match="single frame of 64x48; use a smaller --size"):
        detect_batch(Overtaxed(), frames(2), RunReport({}))  # type: ignore[arg-type]


def test_other_errors_are_not_taken_for_memory() -> None:
    def broken(pictures: Any) -> Any:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        detect_batch(broken, frames(2), RunReport({}))  # type: ignore[arg-type]


def test_detect_yields_frames_with_boxes_in_source_pixels(tmp_path: Path, tiny_detector: Detector) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=7)
    results = list(detect(clip, model=tiny_detector, every=2))
    assert [result.frame.index for result in results] == [0, 2, 4, 6]
    assert [result.frame.time_s for result in results] == pytest.approx([0, 0.08, 0.16, 0.24])


def test_leaving_detect_early_leaves_no_thread(tmp_path: Path, tiny_detector: Detector) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=60)
    for result in detect(clip, model=tiny_detector):
        assert result.frame.index == 0
        break
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("streamdet")]


def test_detect_warns_of_a_fragment(tmp_path: Path, tiny_detector: Detector) -> None:
    whole = make_clip(tmp_path / "whole.mp4", frames=60, container_options={"movflags": "faststart"})
    cut = truncate(whole, tmp_path / "cut.mp4", 0.6)
    with pytest.warns(UserWarning, match="cut.mp4"):
        results = list(detect(cut, model=tiny_detector))
    assert 0 < len(results) < 60
