"""Lines, zones and bays of rendered parking lots against what truly happened there.

python benchmarks/parking.py samples/parking.mp4 [MORE.mp4 ...] [--boxes DIR]

Each clip has its truth beside it (same name, .json), as samples/render_parking.py writes it. Without --boxes the true
boxes are followed, with the true identities as tracks: that measures the places alone. With it, DIR holds a file of
detections by the clip's name (parking.jsonl), as `streamdet run --jsonl ... --keep 0.05` writes it; they are tracked here.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "samples"))
from parking_places import Site, to_toml

from streamdet.results.places import BayRule, Places, read_places
from streamdet.scene import Happening, Scene
from streamdet.types import Detections


@dataclass
class Outcome:
    """How one clip went."""

    lines_right: int
    lines: int
    zones_right: int
    zones: int
    bay_frames_right: int
    bay_frames: int
    ms_per_frame: float
    faults: list[str]


def main() -> int:
    """Print a row per clip; exit code 1 when a count is wrong, or fewer than 99 % of the bay-seconds are right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--boxes", type=Path)
    options = parser.parse_args()
    failed = False
    for clip in options.clips:
        truth = json.loads(clip.with_suffix(".json").read_text())
        site = Site.of(truth["info"]["seed"])
        seen = true_boxes(truth) if options.boxes is None else tracked(options.boxes / f"{clip.stem}.jsonl", truth)
        outcome = follow(site, truth, seen)
        share = outcome.bay_frames_right / outcome.bay_frames
        failed |= bool(outcome.lines != outcome.lines_right or outcome.zones != outcome.zones_right or share < 0.99)
        print(
            f"{clip.name}: lines {outcome.lines_right}/{outcome.lines}, zones {outcome.zones_right}/{outcome.zones}, "
            f"bay-seconds right {share:.2%}, {outcome.ms_per_frame:.2f} ms a frame"
        )
        for fault in outcome.faults:
            print(f"    {fault}")
    return int(failed)


def places_of(site: Site, seed: int) -> Places:
    """The places of a site as a user gives them."""
    import tomllib

    table = tomllib.loads(to_toml(site, seed, ""))
    table.pop("bays")
    rules = read_places(table)
    bays = [BayRule(name, tuple((x, y) for x, y in site.pixels(corners))) for name, corners in site.bays.items()]
    return Places(rules.lines, rules.zones, bays, rules.homography)


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


def tracked(path: Path, truth: dict[str, Any]) -> Iterator[Detections]:
    """What the tracker makes of the detections in a file."""
    raise NotImplementedError


def follow(site: Site, truth: dict[str, Any], seen: Iterator[Detections]) -> Outcome:
    """Feed a clip's boxes to the places, and compare."""
    info = truth["info"]
    places = places_of(site, info["seed"])
    times = [image["time_s"] for image in truth["images"]]
    scene, right, total, spent = Scene(), 0, 0, 0.0
    wrong: Counter[str] = Counter()
    happenings: list[Happening] = []
    for time_s, shown in zip(times, seen, strict=True):
        started = time.perf_counter()
        scene = places.update(shown, time_s, (info["width"], info["height"]))
        spent += time.perf_counter() - started
        happenings += scene.happenings
        occupied = site.occupied(time_s)
        for bay in scene.bays:
            total += 1
            right += bay.occupied == occupied[bay.name]
            wrong[bay.name] += bay.occupied != occupied[bay.name]
    faults, lines_right, zones_right = [], 0, 0
    for line in scene.lines:
        want = {key: n for key, n in site.crossings(times)[line.name].items()}
        got = {("in", name): n for name, n in line.in_counts.items()}
        got |= {("out", name): n for name, n in line.out_counts.items()}
        lines_right += want == got
        if want != got:
            faults.append(f"line {line.name}: {got}, truly {want}")
    for zone in scene.zones:
        want_in = dict(site.entered(times)[zone.name])
        zones_right += want_in == dict(zone.entered)
        if want_in != dict(zone.entered):
            faults.append(f"zone {zone.name}: entered {dict(zone.entered)}, truly {want_in}")
    faults += [f"bay {name}: {n} of {len(times)} frames wrong" for name, n in (+wrong).items()]
    per_frame = spent / len(times) * 1000
    return Outcome(lines_right, len(scene.lines), zones_right, len(scene.zones), right, total, per_frame, faults)


if __name__ == "__main__":
    sys.exit(main())
