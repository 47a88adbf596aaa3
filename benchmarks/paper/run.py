"""The RetinaNet paper's ablations in small, on any labelled pictures: one command, resumable.

    python benchmarks/paper/run.py --data ../shared/data --out runs/paper [--only loss,gamma] [--seeds 3]

Each configuration is trained with each seed in a folder of its own, `OUT/NAME/seed0`; what is finished there is not
done again, what was cut off goes on. `OUT/README.md`, the tables beside the paper's numbers, is written after each run.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ablations import chosen_tables, configurations_of
from laboratory import Laboratory
from report import write_page

from streamdet.detection.precision import choose_placement
from streamdet.errors import ModelError, StreamdetError
from streamdet.training.arguments import labels_sha256
from streamdet.training.dataset import read_sets


def check_settings(out: Path, settings: dict[str, Any]) -> None:
    """Results of different settings must not meet in a table. Raises SystemExit."""
    path = out / "settings.json"
    if path.exists() and (before := json.loads(path.read_text())) != settings:
        changed = ", ".join(
            f"{key} {before.get(key)} -> {settings[key]}" for key in settings if before.get(key) != settings[key]
        )
        raise SystemExit(f"{out} holds runs with other settings ({changed}); give the same ones or another --out")
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings, indent=2) + "\n")


def main() -> None:
    """Run what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, action="append", required=True, help="labelled pictures, as for train")
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs and the page")
    parser.add_argument("--only", default="", help="tables, such as loss,gamma,anchors,ohem,scale,depth (default: all)")
    parser.add_argument("--images", type=int, default=6000, help="samples per run")
    parser.add_argument("--seeds", type=int, default=3, help="runs per configuration")
    parser.add_argument(
        "--weights", default="imagenet", help="for MobileNetV2: imagenet (fetched), none or a .pth file"
    )
    parser.add_argument("--resnet-weights", default="imagenet", help="for the ResNets: imagenet (fetched) or none")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--table-only", action="store_true", help="train nothing, write the page from what is there")
    chosen = parser.parse_args()
    tables = chosen_tables([key for key in chosen.only.split(",") if key])
    try:
        training, validation = read_sets(chosen.data)
        placement = choose_placement(chosen.device, "auto")
    except StreamdetError as error:
        raise SystemExit(str(error)) from error
    pictures = [image for dataset in training for image in dataset.images]
    if not pictures or not validation:
        raise SystemExit(
            f"--data must hold a training set and a validation set; found {len(training)}, {len(validation)}"
        )
    settings = {"images": chosen.images, "data": labels_sha256(pictures), "precision": placement.precision}
    settings |= {"weights": Path(chosen.weights).name, "resnet_weights": Path(chosen.resnet_weights).name}
    check_settings(chosen.out, settings)
    laboratory = Laboratory(
        chosen.out, pictures, validation, chosen.images, chosen.weights, chosen.resnet_weights, placement
    )
    configurations = configurations_of(tables)

    def write() -> None:
        results = {
            each.name: [found for seed in range(chosen.seeds) if (found := laboratory.result(each, seed))]
            for each in configurations
        }
        page = write_page(tables, results, [dataset.name for dataset in validation], laboratory.about(chosen.seeds))
        (chosen.out / "README.md").write_text(page)

    # Seed by seed: after a third of the time there is a whole table, without its noise.
    todo = [(each, seed) for seed in range(chosen.seeds) for each in configurations]
    for number, (configuration, seed) in enumerate(todo, 1):
        if chosen.table_only or laboratory.result(configuration, seed):
            continue
        print(f"{number}/{len(todo)} {configuration.name} seed {seed}", file=sys.stderr)
        try:
            laboratory.run(configuration, seed)
        except ModelError as error:
            print(f"  left out: {error}", file=sys.stderr)
        write()
    write()
    print(f"written: {chosen.out / 'README.md'}")


if __name__ == "__main__":
    main()
