"""Our training against torchvision's: AP50 on each validation set, and images per second, in one run.

    python benchmarks/against_torchvision.py --data ../shared/data --out runs/against [--images 6000] [--history]

Equal: the backbone (MobileNetV2 with the same ImageNet weights, the same stages frozen), the size of the input, the
number of images seen, float32, the scorer. The rest is each one's own: `torchvision_recipe.py` says what theirs is;
ours is what `streamdet train` does, with its own pyramid and heads (--same-network: with torchvision's).

Speed is measured afterwards, a few steps of each in turn, on pictures in memory: from the picture to the changed
weights, with all that is done to it on the way. Resumable: what is finished in OUT isn't done again.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision
from torchvision_recipe import BATCH, Reference, build, detect

from streamdet.detection.anchors import AnchorRule
from streamdet.detection.checkpoint import ModelCard, load_model
from streamdet.detection.precision import Placement, choose_placement
from streamdet.detection.resize import InputRule
from streamdet.detection.retinanet import RetinaNetConfig, count_parameters
from streamdet.detection.weights import load_torch_file
from streamdet.errors import StreamdetError
from streamdet.training.augment import AugmentRule
from streamdet.training.dataset import Dataset, LabelledImage, read_sets
from streamdet.training.evaluate import Scores, evaluate, evaluation_detector, score
from streamdet.training.loader import batches
from streamdet.training.progress import Progress
from streamdet.training.schedule import TrainOptions
from streamdet.training.start import NONE, start_network
from streamdet.training.trainer import Trainer

HISTORY = Path(__file__).with_name("HISTORY.md")
LINE_EVERY_S = 30.0
NEEDED_RATIO = 1.5


@dataclass(frozen=True)
class Match:
    """The rules that hold for both."""

    out: Path
    pictures: list[LabelledImage]
    validation: list[Dataset]
    samples: int
    short_side: int
    long_side: int
    weights: str
    version: str
    same_network: bool
    seed: int
    device: torch.device

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of all sets."""
        return self.validation[0].class_names

    def our_trainer(self, folder: Path, samples: int, workers: int = 1) -> Trainer:
        """Our side, at its start."""
        none = self.weights == NONE
        same = self.same_network
        config = RetinaNetConfig(
            num_classes=len(self.class_names),
            backbone="mobilenet_v2",
            anchors=AnchorRule() if same else AnchorRule(base_sides=(20.0, 40.0, 80.0, 160.0, 320.0)),
            channels=256 if same else 96,
            head_depth=4 if same else 2,
            head_norm="none" if same and self.version == "v1" else "group",
            p6_from="p5" if same and self.version == "v1" else "c5",
        )
        batch_norm = "live" if none else "folded"
        network, config = start_network(config, self.weights, self.seed, batch_norm=batch_norm)
        options = TrainOptions(
            images_seen=samples,
            batch_size=BATCH,
            learning_rate=2e-4 if same else 8e-4,  # heads without norms don't stand as much
            warmup=0.05,
            average_decay=0.99 if samples < 10_000 else 0.998,
            sizes=((1.0, self.long_side, self.short_side),),
            frozen_stages=0 if none else 2,
            evaluate_every=samples,
            workers=workers,
            seed=self.seed,
            augment=AugmentRule(mosaic=0, scale=(0.6, 1.6)),
        )
        card = ModelCard("ours", self.class_names, config, InputRule(self.short_side, self.long_side), {"*": 0.4})
        return Trainer(folder, card, network, self.pictures, [], options, Placement(self.device, torch.float32))

    def reference(self, samples: int) -> Reference:
        """Their side, at its start."""
        torch.manual_seed(self.seed)
        if self.weights == "imagenet":
            weights = torchvision.models.mobilenet_v2(weights="IMAGENET1K_V1").state_dict()
        else:
            weights = None if self.weights == NONE else load_torch_file(Path(self.weights))
        network = build(self.class_names, weights, (self.short_side, self.long_side), self.version)
        return Reference(network, self.pictures, samples // BATCH, self.version, self.seed, self.device)


def train_ours(match: Match) -> dict[str, Any]:
    """Train and evaluate our side."""
    folder = match.out / "ours"
    trainer = match.our_trainer(folder, match.samples)
    if trainer.files.state.exists():
        trainer.resume()
    say = Lines("ours")

    def show(progress: Progress) -> None:
        say(progress.step, progress.steps, progress.classification_loss + progress.box_loss)

    trainer.run(show)
    model = load_model(folder / "last.safetensors")
    detector = evaluation_detector(model, Placement(match.device, torch.float32))
    scores = {dataset.name: evaluate(detector, dataset) for dataset in match.validation}
    return {"scores": plain(scores), "parameters": count_parameters(model.network)}


def train_theirs(match: Match) -> dict[str, Any]:
    """Train and evaluate torchvision's side."""
    folder = match.out / "torchvision"
    folder.mkdir(parents=True, exist_ok=True)
    reference = match.reference(match.samples)
    say = Lines("torchvision")
    for loss in reference.run(folder / "state.pt"):
        say(reference.step, reference.steps, loss)
    scores = {
        dataset.name: score(
            dataset,
            [detect(reference.network, image, match.class_names, match.device) for image in dataset.images],
        )
        for dataset in match.validation
    }
    return {"scores": plain(scores), "parameters": count_parameters(reference.network)}


def plain(scores: dict[str, Scores]) -> dict[str, Any]:
    """For JSON."""
    return {name: each.to_json() for name, each in scores.items()}


class Lines:
    """A line of progress now and then."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._shown = time.monotonic()

    def __call__(self, step: int, steps: int, loss: float) -> None:
        """Print one if it is time."""
        if time.monotonic() - self._shown >= LINE_EVERY_S or step == steps:
            self._shown = time.monotonic()
            print(f"  {self.name}: step {step}/{steps}, loss {loss:.3f}", file=sys.stderr)


def measure_speed(match: Match, rounds: int, steps: int) -> dict[str, Any]:
    """Images per second of both, a few steps of each in turn, everything in this process; the medians."""
    samples = BATCH * (steps * rounds + 1)
    trainer = match.our_trainer(match.out / "speed", samples, workers=0)
    reference = match.reference(samples)
    our_batches = batches(trainer.samples, 0, 0)
    their_batches = list(itertools.islice(reference.batches(), steps * rounds + 1))
    for pictures in their_batches:
        reference.load(pictures)  # decoded pictures stay in memory
    for number in range(len(trainer.samples)):
        trainer.samples[number]  # so do ours

    def ours(count: int) -> None:
        for batch in itertools.islice(our_batches, count):
            trainer.learner.learn([batch], trainer.step, 1e-5)
            trainer.step += 1

    def theirs(count: int) -> None:
        for _ in range(count):
            reference.learn(their_batches[reference.step])

    def clock(work: Any) -> float:
        started = time.perf_counter()
        work(steps)
        return steps * BATCH / (time.perf_counter() - started)

    ours(1)
    theirs(1)  # warm
    speeds: dict[str, list[float]] = {"ours": [], "torchvision": []}
    for round_ in range(rounds):
        speeds["ours"].append(clock(ours))
        speeds["torchvision"].append(clock(theirs))
        shown = ", ".join(f"{name} {values[-1]:.2f} images/s" for name, values in speeds.items())
        print(f"  round {round_ + 1}: {shown}", file=sys.stderr)
    return {name: round(statistics.median(values), 3) for name, values in speeds.items()}


def once(path: Path, work: Any) -> dict[str, Any]:
    """What `work` gives, from the file if it is there already."""
    if path.exists():
        return json.loads(path.read_text())
    result = work()
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps(result, indent=2) + "\n")
    aside.replace(path)
    return result


def write_history(match: Match, ours: dict[str, Any], theirs: dict[str, Any], speed: dict[str, Any]) -> None:
    """A row of HISTORY.md: the speeds, and what they bought."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    bought = ", ".join(
        f"{name} {theirs['scores'][name]['AP50']:.3f} → {ours['scores'][name]['AP50']:.3f}" for name in ours["scores"]
    )
    threads = f"{torch.get_num_threads()} threads"
    where = f"{torch.backends.cpu.get_cpu_capability()}, {threads}" if match.device.type == "cpu" else str(match.device)
    row = [
        datetime.date.today().isoformat(),
        f"against_torchvision ({match.version}{', same network' if match.same_network else ''}): training, "
        f"{match.samples:,} images at {match.short_side}x{match.long_side}",
        f"{where}, float32",
        f"torch {torch.__version__}",
        commit.stdout.strip(),
        f"{speed['torchvision']:.2f}",
        f"{speed['ours']:.2f}",
        f"{speed['ours'] / speed['torchvision']:.2f}",
        f"AP50: {bought}",
    ]
    with HISTORY.open("a") as file:
        file.write(f"| {' | '.join(row)} |\n")


def main() -> None:
    """Train both, measure both, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, action="append", required=True, help="labelled pictures, as for train")
    parser.add_argument("--out", type=Path, required=True, help="folder for both runs")
    parser.add_argument("--images", type=int, default=6000, help="samples that each side sees")
    parser.add_argument("--size", default="320x448", help="short x long side of the input")
    parser.add_argument(
        "--weights", default="imagenet", help="of the backbone: imagenet (fetched), none or a .pth file"
    )
    parser.add_argument("--theirs", choices=("v1", "v2"), default="v1", help="which of torchvision's recipes")
    parser.add_argument(
        "--same-network", action="store_true", help="ours with torchvision's pyramid, heads and anchors"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--rounds", type=int, default=5, help="of the speed measurement")
    parser.add_argument("--steps", type=int, default=2, help="of each side in a round")
    parser.add_argument("--history", action="store_true", help="append a row to HISTORY.md")
    chosen = parser.parse_args()
    short_side, long_side = (int(side) for side in chosen.size.split("x"))
    if chosen.images < BATCH or short_side % 32 or long_side % 32:
        raise SystemExit(f"--images must be {BATCH} at least, and the sides in --size multiples of 32")
    try:
        training, validation = read_sets(chosen.data)
        device = choose_placement(chosen.device, "float32").device
        pictures = [image for dataset in training for image in dataset.images]
        match = Match(
            chosen.out,
            pictures,
            validation,
            chosen.images // BATCH * BATCH,
            short_side,
            long_side,
            chosen.weights,
            chosen.theirs,
            chosen.same_network,
            chosen.seed,
            device,
        )
        chosen.out.mkdir(parents=True, exist_ok=True)
        settings = {"images": match.samples, "size": chosen.size, "theirs": chosen.theirs, "seed": chosen.seed}
        settings |= {"same_network": chosen.same_network, "weights": Path(chosen.weights).name}
        if once(chosen.out / "settings.json", lambda: settings) != settings:
            raise SystemExit(f"{chosen.out} holds runs with other settings (settings.json); give another --out")
        ours = once(chosen.out / "ours.json", lambda: train_ours(match))
        theirs = once(chosen.out / "torchvision.json", lambda: train_theirs(match))
        speed = measure_speed(match, chosen.rounds, chosen.steps)
    except StreamdetError as error:
        raise SystemExit(str(error)) from error
    print(f"{'AP50 (AP)':24} {'torchvision':>16} {'ours':>16}")
    for name in ours["scores"]:
        cells = [f"{side['scores'][name]['AP50']:.3f} ({side['scores'][name]['AP']:.3f})" for side in (theirs, ours)]
        print(f"{name:24} {cells[0]:>16} {cells[1]:>16}")
    print(f"{'parameters, million':24} {theirs['parameters'] / 1e6:16.2f} {ours['parameters'] / 1e6:16.2f}")
    print(f"{'images/s in training':24} {speed['torchvision']:16.2f} {speed['ours']:16.2f}")
    ratio = speed["ours"] / speed["torchvision"]
    better = [name for name in ours["scores"] if ours["scores"][name]["AP50"] >= theirs["scores"][name]["AP50"]]
    print(
        f"\nours is {ratio:.2f} times as fast per image (needed: {NEEDED_RATIO}) and has at least torchvision's AP50 "
        f"on {len(better)} of {len(ours['scores'])} sets"
    )
    if chosen.history:
        write_history(match, ours, theirs, speed)


if __name__ == "__main__":
    main()
