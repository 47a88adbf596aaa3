"""Our tracking beside ByteTrack of the package `trackers`, judged by `trackeval`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamdet.results.tracks import Tracker, TrackRule
from streamdet.types import Detections

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
SAMPLE = Path(__file__).parents[3] / "samples" / "parking.json"


@pytest.fixture(autouse=True)
def helpers_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("trackers", "trackeval", "supervision"):
        if not os.environ.get("CI"):
            pytest.importorskip(name)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def mot_scores(folder: Path, seed: int) -> tuple[dict[str, float], dict[str, float]]:
    """Of ours and of the library's, with the same thresholds, on the same files."""
    import mot_fixture as mot
    import supervision
    from trackers import ByteTrackTracker
    from tracking_scores import Objects, scores

    mot.write(folder, seed)
    found, true = mot.read(folder / "det" / "det.txt"), mot.read(folder / "gt" / "gt.txt")
    rule = TrackRule(start_score=0.6, low_score=0.1, strong_iou=0.2, weak_iou=0.2, fresh_iou=0.2, lost_s=1, bridge_s=0)
    ours = Tracker(rule, ("person",))
    theirs = ByteTrackTracker(
        lost_track_buffer=30, frame_rate=mot.FPS, track_activation_threshold=0.6, high_conf_det_threshold=0.6,
        minimum_iou_threshold=0.2,
    )  # fmt: skip
    truth: list[Objects] = []
    told: tuple[list[Objects], list[Objects]] = ([], [])

    def objects(boxes: Any, ids: Any) -> Objects:
        return Objects(boxes, ids.astype(np.int64), np.zeros(len(ids), np.int64))

    for frame in range(1, mot.FRAMES + 1):
        rows = true[true[:, 0] == frame]
        truth.append(objects(np.concatenate((rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]), axis=1), rows[:, 1]))
        rows = found[found[:, 0] == frame]
        rows = rows[np.argsort(-rows[:, 6], kind="stable")]
        boxes = np.concatenate((rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]), axis=1).astype(np.float32)
        values, classes = rows[:, 6].astype(np.float32), np.zeros(len(rows), np.int64)
        mine = ours.update(Detections(boxes, values, classes, ("person",)), frame / mot.FPS)
        mine = mine[mine.track_ids >= 0]
        told[0].append(objects(mine.boxes_xyxy, mine.track_ids))
        other = theirs.update(
            supervision.Detections(xyxy=boxes, confidence=values, class_id=classes), timestamp=frame / mot.FPS
        )
        known = other.tracker_id >= 0
        told[1].append(objects(other.xyxy[known], other.tracker_id[known]))
    return scores(truth, told[0]), scores(truth, told[1])


def test_on_a_mot_fixture_ours_scores_as_the_library(tmp_path: Path) -> None:
    ours, theirs = mot_scores(tmp_path, seed=2)
    assert ours["MOTA"] == pytest.approx(theirs["MOTA"], abs=1e-9)
    assert ours["IDF1"] == pytest.approx(theirs["IDF1"], abs=1e-9)
    assert 0.9 < ours["IDF1"] < 1  # neither a trivial nor a hopeless scene


@pytest.mark.slow
def test_over_several_crowds_ours_changes_ids_no_more_often(tmp_path: Path) -> None:
    pairs = [mot_scores(tmp_path / str(seed), seed) for seed in range(4)]
    assert sum(ours["IDSW"] for ours, _ in pairs) <= sum(theirs["IDSW"] for _, theirs in pairs)
    assert np.mean([ours["IDF1"] for ours, _ in pairs]) >= np.mean([theirs["IDF1"] for _, theirs in pairs]) - 0.001


def test_with_true_boxes_no_parked_car_changes_its_id() -> None:
    from tracking import CAR, as_detections, track
    from tracking_scores import read_truth, scores, staying, switches

    truth = read_truth(SAMPLE)
    frames = [(i / 15, as_detections(objects.only(~objects.ignored))) for i, objects in enumerate(truth)]
    tracks = track(frames, TrackRule(), bridged=True)
    assert len(staying(SAMPLE, CAR)) > 30
    assert switches(truth, tracks, staying(SAMPLE, CAR)) == {}
    assert scores(truth, tracks)["HOTA"] >= 0.85
