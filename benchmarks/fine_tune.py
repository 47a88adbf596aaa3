"""The fine-tuning story: how many labelled frames of a new camera are needed, and from where to start.

    python benchmarks/fine_tune.py --data ../shared/data --out runs/fine_tune [--frames 10,25,50,100,240] [--seeds 1]

From some of `newcamera_train.json`'s frames (the first 10, 25, ... of a shuffled list) three starts are trained with
the same number of samples, crops of the frames, as `streamdet train` does: `model`, the shipped model with its heads;
`backbone`, its backbone with a new pyramid and new heads; `imagenet`, an ImageNet backbone. Each is measured on
`newcamera_test.json`, the camera's other days, and on `val_street.json`, which says what it forgot. `OUT` gets
results.json, table.md and curve.png. Resumable: what is in results.json isn't done again (benchmarks/fine_tune.json is
the one behind README.md's table), what was cut off goes on.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from fine_tune_table import BEFORE, OLD, STARTS, TEST, draw_curve, make_table, mean_and_spread, values
from record import Record, Run

from streamdet.detection.checkpoint import Model, ModelCard, load_model
from streamdet.detection.models import find_model
from streamdet.detection.precision import Placement, choose_placement
from streamdet.detection.retinanet import RetinaNet
from streamdet.errors import StreamdetError
from streamdet.options import parse_size
from streamdet.training.arguments import labels_sha256
from streamdet.training.augment import AugmentRule
from streamdet.training.dataset import Dataset, LabelledImage
from streamdet.training.evaluate import evaluate, evaluation_detector
from streamdet.training.formats.coco import read_coco
from streamdet.training.progress import Progress
from streamdet.training.recipe import AIMED, CROP, START_SHARE, recipe_for, scale_for, training_sizes
from streamdet.training.schedule import TrainOptions
from streamdet.training.start import NONE, continue_network, start_network
from streamdet.training.trainer import Trainer

GOAL_AP50, GOAL_FRAMES = 0.60, 50
LINE_EVERY_S = 30.0


@dataclass(frozen=True)
class Story:
    """What all runs share."""

    out: Path
    pictures: tuple[LabelledImage, ...]
    tests: tuple[Dataset, ...]
    model: str
    weights: str
    samples: int
    input_size: tuple[int, int]
    minutes: float
    placement: Placement

    def frames(self, count: int, seed: int) -> list[LabelledImage]:
        """The first `count` pictures in the seed's order: fewer are part of more."""
        order = np.random.default_rng((seed, 0xF4A3E5)).permutation(len(self.pictures))
        return [self.pictures[place] for place in order[:count]]

    def settings(self) -> dict[str, Any]:
        """What must be the same for all that meets in a table."""
        return {
            "model": find_model(self.model).sha256,
            "labels": labels_sha256(self.pictures),
            "samples": self.samples,
            "input": list(self.input_size),
            "crop": CROP,
            "scale": list(scale_for(CROP)),
            "aimed": AIMED,
            "start_share": START_SHARE,
        }

    def run(self, start: str, count: int, seed: int) -> Run:
        """Train, and measure what came of it."""
        folder = self.out / f"{start}-{count}-seed{seed}"
        trainer = self._trainer(folder, start, count, seed)
        if trainer.files.state.exists():
            trainer.resume()
        spent = folder / "seconds.txt"  # before it was cut off
        before = float(spent.read_text()) if spent.exists() and trainer.step else 0.0
        folder.mkdir(parents=True, exist_ok=True)
        clock = Clock(f"{start}, {count} frames", self.minutes * 60 - before)

        def show(progress: Progress) -> None:
            clock.show(progress)
            spent.write_text(f"{before + clock.seconds:.1f}")

        outcome = trainer.run(show, asked_to_stop=clock.is_over)
        return {
            "start": start,
            "frames": count,
            "seed": seed,
            "precision": self.placement.precision,
            "minutes": round((before + clock.seconds) / 60, 2),
            "stopped_early": outcome.stopped,
            "scores": self.measure(load_model(folder / "last.safetensors")),
        }

    def before(self) -> Run:
        """The same of the model as it is shipped."""
        scores = self.measure(find_model(self.model))
        return {"start": BEFORE, "frames": 0, "seed": 0, "stopped_early": False, "scores": scores}

    def measure(self, model: Model) -> dict[str, Any]:
        """Scores on each test set."""
        detector = evaluation_detector(model, self.placement)
        return {dataset.name: evaluate(detector, dataset).to_json() for dataset in self.tests}

    def _trainer(self, folder: Path, start: str, count: int, seed: int) -> Trainer:
        pictures = self.frames(count, seed)
        recipe = recipe_for(count, "detector" if start == "model" else "backbone", "adamw")
        network, card = self._network(start, seed)
        options = TrainOptions(
            images_seen=self.samples,
            batch_size=min(recipe.batch_size, self.samples),
            learning_rate=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            warmup=recipe.warmup,
            average_decay=0.99,
            start_share=recipe.start_share,
            sizes=training_sizes(pictures, card.input_rule, CROP),
            frozen_stages=recipe.frozen_stages,
            evaluate_every=self.samples,
            seed=seed,
            augment=AugmentRule(mosaic=0, scale=scale_for(CROP), aimed=AIMED),
        )
        # Nothing is validated on the way: the last weights count, and nothing is picked by the test set.
        return Trainer(folder, card, network, pictures, [], options, self.placement)

    def _network(self, start: str, seed: int) -> tuple[RetinaNet, ModelCard]:
        model = find_model(self.model)
        classes = self.tests[0].class_names
        rule = replace(model.card.input_rule, short_side=self.input_size[0], long_side=self.input_size[1])
        if start == "model":
            network, config, _ = continue_network(model, classes, seed)
        else:
            config = replace(model.card.config, num_classes=len(classes))
            network, config = start_network(config, self.weights if start == "imagenet" else NONE, seed)
        if start == "backbone":
            network.backbone.body.load_state_dict(model.network.backbone.body.state_dict())
        return network, ModelCard(start, classes, config, rule, {"*": 0.4}, voting=True)


class Clock:
    """Time spent training, and a line of progress now and then."""

    def __init__(self, name: str, limit_s: float) -> None:
        self.name = name
        self.limit_s = limit_s
        self._began = time.monotonic()
        self._shown = self._began

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    def is_over(self) -> bool:
        """The limit is reached."""
        return self.seconds > self.limit_s

    def show(self, progress: Progress) -> None:
        """Print a line if it is time."""
        if time.monotonic() - self._shown >= LINE_EVERY_S or progress.step == progress.steps:
            self._shown = time.monotonic()
            losses = f"loss {progress.classification_loss:.3f} + {progress.box_loss:.3f}"
            speed = f"{progress.images_per_s:.1f} images/s"
            print(f"  {self.name}: step {progress.step}/{progress.steps}, {losses}, {speed}", file=sys.stderr)


def main() -> None:
    """Run what is missing; write the table and the picture after each run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with newcamera_*.json and val_street.json")
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs, the table and the picture")
    parser.add_argument("--frames", default="10,25,50,100,240", help="how many labelled frames")
    parser.add_argument("--starts", default=",".join(STARTS), help="what to start from")
    parser.add_argument("--seeds", type=int, default=1, help="choices of the frames")
    parser.add_argument("--model", default="street", help="the shipped model: a name, a folder or a file")
    parser.add_argument("--weights", default="imagenet", help="ImageNet's: imagenet (fetched), or a .pth file")
    parser.add_argument("--images", type=int, default=6000, help="samples per run")
    parser.add_argument("--input", default="576x1024", help="short x long side of the trained models' input")
    parser.add_argument("--minutes", type=float, default=19, help="a run is stopped after so many")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    chosen = parser.parse_args()
    counts, starts = [int(count) for count in chosen.frames.split(",")], chosen.starts.split(",")
    if unknown := [start for start in starts if start not in STARTS]:
        raise SystemExit(f"--starts names {', '.join(unknown)}; choose among {', '.join(STARTS)}")
    input_size = parse_size(chosen.input) or (576, 1024)
    try:
        pictures = read_coco(chosen.data / "newcamera_train.json").images
        tests = tuple(read_coco(chosen.data / f"{name}.json") for name in (TEST, OLD))
        if max(counts) > len(pictures) or min(counts) < 1:
            raise SystemExit(f"--frames is {chosen.frames}; there are {len(pictures)} frames, give 1 to that many")
        placement = choose_placement(chosen.device, "auto")
        story = Story(
            chosen.out,
            pictures,
            tests,
            chosen.model,
            chosen.weights,
            chosen.images,
            input_size,
            chosen.minutes,
            placement,
        )
        record = Record(chosen.out / "results.json", story.settings())
        if not record.find(start=BEFORE):
            record.add(story.before())
        # The model's own start first, and all counts before the next seed: what matters most is there soonest.
        todo = [(start, count, seed) for seed in range(chosen.seeds) for start in starts for count in counts]
        for number, (start, count, seed) in enumerate(todo, 1):
            if not record.find(start=start, frames=count, seed=seed):
                print(f"{number}/{len(todo)} {start}, {count} frames, seed {seed}", file=sys.stderr)
                record.add(story.run(start, count, seed))
            (chosen.out / "table.md").write_text(make_table(record.runs))
            draw_curve(record.runs, chosen.out / "curve.png")
    except StreamdetError as error:
        raise SystemExit(str(error)) from error
    print((chosen.out / "table.md").read_text())
    goal = values(record.runs, "model", GOAL_FRAMES, TEST)
    if goal:
        print(f"goal: {GOAL_AP50:.2f} from {GOAL_FRAMES} frames; reached {mean_and_spread(goal)}")


if __name__ == "__main__":
    main()
