from __future__ import annotations

import io
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from rich.console import Console

from streamdet.detection.detector import Detector
from streamdet.detection.precision import choose_placement
from tests.networks import tiny_model
from tests.threads import one_torch_thread

__all__ = ["one_torch_thread"]

pytestmark = pytest.mark.usefixtures("scripts")


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(tiny_model(), choose_placement("cpu", "float32"))


def test_the_clip_is_ours_at_any_size_and_length(tmp_path: Path) -> None:
    from clips import PARKING, scaled_clip

    with av.open(str(PARKING)) as container:
        [first] = [next(container.decode(video=0)).to_ndarray(format="gray")]
        length = container.streams.video[0].frames
    clip = scaled_clip(tmp_path / "clip.mp4", (64, 36), length + 3)
    with av.open(str(clip)) as container:
        pictures = [frame.to_ndarray(format="gray").astype(float) for frame in container.decode(video=0)]
    assert len(pictures) == length + 3
    assert pictures[0].shape == (36, 64)
    assert np.abs(pictures[0] - cv2.resize(first, (64, 36), interpolation=cv2.INTER_AREA)).mean() < 8
    assert np.abs(pictures[length] - pictures[0]).mean() < 3  # from its beginning again


def test_streams_are_drawn_frame_by_frame_and_sizes_have_all_stages(detector: Detector, tmp_path: Path) -> None:
    from scaling_work import by_size, by_streams

    one, two = by_streams(detector, [1, 2], 3, tmp_path)
    assert (len(one.wall_ms), len(two.wall_ms)) == (3, 6)
    assert two.more.endswith("frames/s in all")
    [size] = by_size(detector, [(64, 48)], 4, tmp_path)
    assert list(size.cpu_ms) == ["decode", "resize", "post-process", "draw", "encode"]
    assert size.whole_cpu_ms == pytest.approx(sum(size.cpu_ms.values()))
    assert len(size.wall_ms) == 4


@pytest.mark.parametrize("count", [1, 30, 300])
def test_as_many_objects_come_out_of_the_heads_as_were_put_in(count: int) -> None:
    from scaling_work import POST_HW, heads_with

    from streamdet.detection.anchors import AnchorRule, anchors_per_level
    from streamdet.detection.postprocess import PostprocessRule, postprocess

    anchors = anchors_per_level(AnchorRule(), *POST_HW, torch.device("cpu"))
    [found] = postprocess(heads_with(count, anchors), anchors, *POST_HW, PostprocessRule(score_threshold=0.3))
    assert len(found.scores) == pytest.approx(count, rel=0.02)


def test_tables_and_picture(detector: Detector, tmp_path: Path) -> None:
    from scaling import TITLES, table
    from scaling_picture import draw_scaling
    from scaling_work import Cost, by_batch, by_boxes

    costs = {
        "streams": [Cost("1", 1, [1.0, 2.0], {"all but the network": 4.0}, "5.0 frames/s in all")],
        "size": [Cost("64x48", 1, [1.0], {"decode": 1.0, "encode": 2.5})],
        "batch": list(by_batch(detector, [1, 2], 2)),
        "boxes": list(by_boxes([2], 2)),
    }
    assert list(costs) == list(TITLES)
    console = Console(width=120, file=io.StringIO(), record=True)
    for kind, each in costs.items():
        console.print(table(kind, each))
    words = " ".join(console.export_text().split())
    assert "1 1.5 1.9 4.0 5.0 frames/s in all" in words
    assert "64x48 1.0 1.0 3.5 decode 1.0, encode 2.5" in words
    assert "2 after NMS" in words
    draw_scaling(tmp_path / "scaling.png", "tiny", costs)
    picture = cv2.imread(str(tmp_path / "scaling.png"))
    assert picture.shape[0] > 1000
    assert picture.std() > 10
