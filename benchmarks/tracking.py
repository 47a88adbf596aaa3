"""Our tracking beside ByteTrack of the package `trackers`: how good, and how fast.

python benchmarks/tracking.py quality CLIP.json [DETECTIONS.jsonl] ...   truth by samples/render_parking.py, and what
                                                                  `streamdet run CLIP --conf 0.05 --jsonl` found in it
python benchmarks/tracking.py speed [--objects 100]

Without a file of detections the truth itself is tracked. Needs trackers, supervision and trackeval (`make venv`).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from tracking_scores import Objects, read_truth, scores, staying, switches

from streamdet.results.jsonl_reading import read_jsonl
from streamdet.results.tracks import Tracker, TrackRule
from streamdet.types import Detections

CLASSES = ("person", "bicycle", "car", "motorcycle", "bus", "truck")
CAR = CLASSES.index("car")
SIZE_WH = 1280, 720
Frames = list[tuple[float, Detections]]
"""Time in seconds, and what was detected."""


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    quality = verbs.add_parser("quality")
    quality.add_argument("files", nargs="+", type=Path)
    quality.add_argument("--start", type=float, default=0.6, help="least score to start a track")
    quality.add_argument("--fps", type=float, default=15.0)
    speed = verbs.add_parser("speed")
    speed.add_argument("--objects", type=int, default=100)
    speed.add_argument("--frames", type=int, default=300)
    chosen = parser.parse_args()
    if chosen.verb == "speed":
        compare_speed(chosen.objects, chosen.frames)
        return
    for truth, detections in pairs(chosen.files):
        compare_quality(truth, detections, chosen.start, chosen.fps)


def pairs(files: list[Path]) -> Iterator[tuple[Path, Path | None]]:
    """Each file of truth, with the file of detections behind it, if there is one."""
    for here, following in zip(files, [*files[1:], None], strict=True):
        if here.suffix == ".json":
            yield here, following if following is not None and following.suffix == ".jsonl" else None


def compare_quality(truth_path: Path, jsonl: Path | None, start: float, fps: float) -> None:
    """A line for each tracker: scores of all classes, then of cars alone."""
    truth = read_truth(truth_path)
    if jsonl is not None:
        found = [(line.time_s, line.detections) for line in read_jsonl(jsonl)[1]]
    else:
        found = [(i / fps, as_detections(objects.only(~objects.ignored))) for i, objects in enumerate(truth)]
    stay = staying(truth_path, CAR)
    print(f"{truth_path.name}, {jsonl.name if jsonl else 'true boxes'}: {len(stay)} cars stay in view")
    rule = TrackRule(start_score=start)
    for name, tracks in (
        ("ours", track(found, rule, bridged=True)),
        ("ours seen", track(found, rule)),
        ("trackers", track_by_library(found, start, rule.lost_s, fps)),
    ):
        every = scores(truth, tracks)
        cars = scores([t.only(t.class_ids == CAR) for t in truth], [t.only(t.class_ids == CAR) for t in tracks])
        changes = sum(len(ids) - 1 for ids in switches(truth, tracks, stay).values())
        print(f"  {name:9} all  {_line(every)}\n  {'':9} cars {_line(cars)}  changes of cars that stay: {changes}")


def _line(told: dict[str, float]) -> str:
    return "  ".join(
        f"{name} {value:.3f}" if isinstance(value, float) else f"{name} {value}" for name, value in told.items()
    )


def as_detections(objects: Objects) -> Detections:
    """True boxes as a detector that makes no mistake gives them."""
    n = len(objects.ids)
    return Detections(objects.boxes_xyxy.astype(np.float32), np.full(n, 0.9, np.float32), objects.class_ids, CLASSES)


def track(frames: Frames, rule: TrackRule, *, bridged: bool = False) -> list[Objects]:
    """By streamdet; `bridged`: with the boxes of what is out of sight."""
    tracker, tracks = Tracker(rule, CLASSES), []
    for time_s, found in frames:
        told = tracker.update(found, time_s, SIZE_WH)
        told = told[(told.track_ids >= 0) & (bridged | ~told.bridged)]
        tracks.append(Objects(told.boxes_xyxy.astype(np.float64), told.track_ids, told.class_ids))
    return tracks


def track_by_library(frames: Frames, start: float, lost_s: float, fps: float) -> list[Objects]:
    """By `trackers`, with our thresholds."""
    import supervision
    from trackers import ByteTrackTracker

    tracker = ByteTrackTracker(
        lost_track_buffer=round(lost_s * 30), frame_rate=fps, track_activation_threshold=start,
        high_conf_det_threshold=start, minimum_iou_threshold=TrackRule().strong_iou,
    )  # fmt: skip
    tracks = []
    for time_s, found in frames:
        found = found[found.scores >= TrackRule().low_score]
        given = supervision.Detections(xyxy=found.boxes_xyxy, confidence=found.scores, class_id=found.class_ids)
        told = tracker.update(given, timestamp=time_s)
        known = told.tracker_id >= 0
        tracks.append(Objects(told.xyxy[known], told.tracker_id[known], told.class_id[known]))
    return tracks


def compare_speed(objects: int, frames: int) -> None:
    """Milliseconds of one CPU for each frame with so many objects, some of them unseen now and then."""
    rng = np.random.default_rng(0)
    at, speed = rng.uniform((0, 0), (1800, 1000), (objects, 2)), rng.uniform(-2, 2, (objects, 2))
    content: Frames = []
    for i in range(frames):
        corner = at + speed * i + rng.normal(0, 1, (objects, 2))
        seen = rng.random(objects) > 0.05
        boxes = np.concatenate((corner, corner + (60, 40)), axis=1)[seen].astype(np.float32)
        found = np.sort(rng.uniform(0.3, 0.95, len(boxes)).astype(np.float32))[::-1].copy()
        content.append((i / 25, Detections(boxes, found, np.full(len(boxes), CAR), CLASSES)))

    def timed(name: str, run: Callable[[], object]) -> None:
        run()
        started = time.process_time()
        run()
        print(
            f"{name:9} {(time.process_time() - started) / frames * 1000:7.2f} ms of CPU a frame with {objects} objects"
        )

    timed("ours", lambda: track(content, TrackRule()))
    timed("trackers", lambda: track_by_library(content, 0.4, 2.0, 25.0))


if __name__ == "__main__":
    main()
