"""The RetinaNet paper's ablations in small, on any labelled pictures: one command, resumable.

    python benchmarks/paper/run.py --data ../shared/data --out runs/paper [--only loss,gamma] [--seeds 3]

Each configuration is trained with each seed in a folder of its own, `OUT/NAME/seed0`; what was cut off goes on. What
came of it stands in `OUT/results.json` and is not done again, also where only that file was copied from an earlier run.
`OUT/README.md`, the tables beside the paper's numbers, is written after each run.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from ablations import chosen_tables, configurations_of
from laboratory import Laboratory
from record import Record
from report import write_page

from streamdet.detection.precision import choose_placement
from streamdet.errors import ModelError, StreamdetError
from streamdet.training.arguments import labels_sha256
from streamdet.training.dataset import read_sets


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
    record = Record(chosen.out / "results.json", settings)
    laboratory = Laboratory(
        chosen.out, pictures, validation, chosen.images, chosen.weights, chosen.resnet_weights, placement
    )
    configurations = configurations_of(tables)

    def write() -> None:
        results = {
            each.name: [run for run in record.runs if run["configuration"] == each.name] for each in configurations
        }
        page = write_page(tables, results, [dataset.name for dataset in validation], laboratory.about())
        (chosen.out / "README.md").write_text(page)

    # Seed by seed: after a third of the time there is a whole table, without its noise.
    todo = [(each, seed) for seed in range(chosen.seeds) for each in configurations]
    for number, (configuration, seed) in enumerate(todo, 1):
        if chosen.table_only or record.find(configuration=configuration.name, seed=seed):
            continue
        print(f"{number}/{len(todo)} {configuration.name} seed {seed}", file=sys.stderr)
        try:
            record.add(laboratory.run(configuration, seed))
        except ModelError as error:
            print(f"  left out: {error}", file=sys.stderr)
        write()
    write()
    print(f"written: {chosen.out / 'README.md'}")


if __name__ == "__main__":
    main()
