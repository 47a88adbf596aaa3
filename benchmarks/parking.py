"""Lines, zones and bays of rendered parking lots against what truly happened there, and what they cost.

python benchmarks/parking.py samples/parking.mp4 [MORE.mp4 ...] [--boxes DIR [--model FILE]]
python benchmarks/parking.py --cost

Each clip has its truth beside it (same name, .json), as samples/render_parking.py writes it. Without --boxes the true
boxes are followed, with the true identities as tracks: that measures the places alone. With it, DIR holds a file of
detections by the clip's name (parking.jsonl), as `streamdet run --no-video --conf 0.05 --jsonl` writes it; they are
tracked here as `streamdet run --track` does, from the model's own thresholds on (--model: where the file of detections
doesn't name a model that can be found). --cost: processor time of a frame with 100 moving objects, 5 lines, 5
zones and 40 bays.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "samples"))
from parking_places import Site, to_toml

from streamdet.detection.models import find_model
from streamdet.results.analysis import as_written
from streamdet.results.jsonl_reading import read_jsonl
from streamdet.results.places import BayRule, Places, ZoneRule, parse_line, read_places
from streamdet.results.tracks import Tracker, TrackRule
from streamdet.scene import Scene
from streamdet.types import Detections

LEAST_SHARE = 0.99
"""Of the bay-seconds that must be right."""


@dataclass
class Outcome:
    """How one clip went."""

    places_right: int = 0
    places: int = 0
    """Lines and zones: one is right when all its counts are, by class and direction."""
    bay_frames_right: int = 0
    bay_frames: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def fails(self) -> bool:
        """A count is wrong, or too many bay-seconds are."""
        return self.places_right < self.places or self.bay_frames_right < LEAST_SHARE * self.bay_frames


def main() -> int:
    """Print a row per clip; exit code 1 when one fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="*")
    parser.add_argument("--boxes", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--cost", action="store_true")
    options = parser.parse_args()
    if options.cost:
        print("places: {:.2f} ms of processor time a frame (median), {:.2f} ms (95 %)".format(*cost_ms()))
    failed = False
    for clip in options.clips:
        truth = json.loads(clip.with_suffix(".json").read_text())
        site = Site.of(truth["info"]["seed"])
        found = None if options.boxes is None else options.boxes / f"{clip.stem}.jsonl"
        seen = true_boxes(truth) if found is None else tracked(found, size_of(truth), options.model)
        outcome = follow(site, truth, seen)
        failed |= outcome.fails
        print(
            f"{clip.name}: {outcome.places_right} of {outcome.places} lines and zones right, bay-seconds right "
            f"{outcome.bay_frames_right / outcome.bay_frames:.2%}"
        )
        for fault in outcome.faults:
            print(f"    {fault}")
    return int(failed)


def true_boxes(truth: dict[str, Any]) -> Iterator[Detections]:
    """The true boxes of each frame with true identities; those that are hardly visible are left out."""
    names = tuple(category["name"] for category in truth["categories"])
    by_image: dict[int, list[dict[str, Any]]] = {}
    for annotation in truth["annotations"]:
        if not annotation["iscrowd"]:
            by_image.setdefault(annotation["image_id"], []).append(annotation)
    for image in truth["images"]:
        here = by_image.get(image["id"], [])
        xywh = np.array([a["bbox"] for a in here], np.float32).reshape(-1, 4)
        yield Detections(
            np.concatenate((xywh[:, :2], xywh[:, :2] + xywh[:, 2:]), 1),
            np.ones(len(here), np.float32),
            np.array([a["category_id"] - 1 for a in here], np.int64),
            names,
            np.array([a["instance_id"] for a in here], np.int64),
        )


def size_of(truth: dict[str, Any]) -> tuple[int, int]:
    """Width and height of the clip's pictures."""
    return truth["info"]["width"], truth["info"]["height"]


def tracked(path: Path, size_wh: tuple[int, int], model: str | None) -> Iterator[Detections]:
    """What the tracker makes of the detections in a file: those that would be shown."""
    header, lines = read_jsonl(path)
    card = find_model(model or header["model"]).card
    starts = tuple(card.threshold(name) for name in header["classes"])
    tracker = Tracker(TrackRule(start_score=starts), tuple(header["classes"]))
    for line in lines:
        detections = tracker.update(as_written(line.detections), line.time_s, size_wh)
        yield detections[detections.track_ids >= 0]


def follow(site: Site, truth: dict[str, Any], seen: Iterator[Detections]) -> Outcome:
    """Feed a clip's boxes to the places, and compare."""
    table = tomllib.loads(to_toml(site, truth["info"]["seed"], ""))
    rules = read_places({key: value for key, value in table.items() if key != "bays"})
    bays = [BayRule(name, tuple((x, y) for x, y in site.pixels(corners))) for name, corners in site.bays.items()]
    places = Places(rules.lines, rules.zones, bays, rules.homography)
    times = [image["time_s"] for image in truth["images"]]
    answers = site.answers(times)
    scene, outcome, wrong = Scene(), Outcome(), Counter[str]()
    for time_s, shown in zip(times, seen, strict=True):
        scene = places.update(shown, time_s, size_of(truth))
        for bay in scene.bays:
            state = [occupied for since_s, occupied in answers["bays"][bay.name] if since_s <= time_s + 1e-3][-1]
            wrong[bay.name] += bay.occupied is not state
    outcome.bay_frames = len(times) * len(bays)
    outcome.bay_frames_right = outcome.bay_frames - sum(wrong.values())
    found: dict[str, Any] = {
        line.name: {"in": dict(line.in_counts), "out": dict(line.out_counts)} for line in scene.lines
    }
    found |= {zone.name: dict(zone.entered) for zone in scene.zones}
    for name, expected in (answers["lines"] | answers["entered"]).items():
        outcome.places += 1
        outcome.places_right += found[name] == expected
        if found[name] != expected:
            outcome.faults.append(f"{name}: {found[name]}, truly {expected}")
    outcome.faults += [f"bay {name}: {n} of {len(times)} frames wrong" for name, n in wrong.items() if n > 1]
    return outcome


def cost_ms() -> tuple[float, float]:
    """Median and 95th percentile of the processor time of a frame."""
    rng = np.random.default_rng(0)
    around = np.linspace(0, 6, 8)
    zones = [
        ZoneRule(f"z{k}", tuple((600 + (200 + 50 * k) * np.cos(a), 400 + (200 + 20 * k) * np.sin(a)) for a in around))
        for k in range(5)
    ]
    bays = [BayRule(f"b{k}", ((k * 30, 100), (k * 30 + 28, 100), (k * 30 + 28, 150), (k * 30, 150))) for k in range(40)]
    lines = [parse_line(f"l{k}:0,{k * 50},1200,{k * 60}") for k in range(1, 6)]
    places = Places(lines, zones, bays, np.eye(3).tolist())
    corners, sides, way = rng.uniform(0, 600, (100, 2)), rng.uniform(20, 80, (100, 2)), rng.normal(0, 3, (100, 2))
    spent = []
    for frame in range(400):
        boxes = np.concatenate((corners, corners + sides), 1).astype(np.float32)
        shown = Detections(
            boxes, np.full(100, 0.9, np.float32), np.zeros(100, np.int64), ("car",), np.arange(100, dtype=np.int64)
        )
        started = time.process_time()
        places.update(shown, frame / 15, (1280, 720))
        spent.append((time.process_time() - started) * 1000)
        corners, way = corners + way, way + rng.normal(0, 1, (100, 2))
    return float(np.median(spent)), float(np.percentile(spent, 95))


if __name__ == "__main__":
    sys.exit(main())
