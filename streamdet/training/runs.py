"""A run's folder: what training writes there, and reads to go on.

`last.safetensors` and `best.safetensors` (models), `state.pt` (all that `--resume` needs), `metrics.csv`, `args.json`.
"""

from __future__ import annotations

import csv
import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from streamdet.detection.checkpoint import ModelCard, save_model
from streamdet.detection.retinanet import RetinaNet
from streamdet.errors import StreamdetError
from streamdet.training.evaluate import Scores
from streamdet.training.schedule import TrainOptions


class RunFolder:
    """One run on disk. Models and state are written aside first and then renamed."""

    def __init__(self, path: Path, validation_names: Sequence[str]) -> None:
        self.path = path
        self.validation_names = tuple(validation_names)

    @property
    def last_model(self) -> Path:
        """The newest model."""
        return self.path / "last.safetensors"

    @property
    def _metrics(self) -> Path:
        return self.path / "metrics.csv"

    def start(self, options: TrainOptions, step: int) -> None:
        """Make the folder ready for a run that goes on after `step` steps (0: a new one)."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "args.json").write_text(json.dumps(asdict(options), indent=2) + "\n")
        header = ["step", "classification_loss", "box_loss", "positives", "learning_rate"]
        header += [f"{kind} {name}" for name in self.validation_names for kind in ("AP", "AP50")]
        rows = []
        if step and self._metrics.exists():
            with self._metrics.open(newline="") as file:
                # What was logged after the last saved state will come again.
                rows = [row for row in csv.reader(file) if row and row[0].isdecimal() and int(row[0]) <= step]
        with self._metrics.open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])

    def log(
        self, step: int, losses: tuple[float, float], positives: int, rate: float, scores: Mapping[str, Scores]
    ) -> None:
        """Append a row to `metrics.csv`; `losses`: classification and box."""
        row = [str(step), *(f"{loss:.6f}" for loss in losses), str(positives), f"{rate:.3e}"]
        for name in self.validation_names:
            row += [f"{scores[name].ap:.4f}", f"{scores[name].ap50:.4f}"] if name in scores else ["", ""]
        with self._metrics.open("a", newline="") as file:
            csv.writer(file).writerow(row)

    def save_models(self, network: RetinaNet, card: ModelCard, *, best: bool) -> None:
        """Write the newest model, and the same as the best one so far if it is."""
        save_model(self.last_model, network, card)
        if best:
            save_model(self.path / "best.safetensors", network, card)

    def save_state(self, state: dict[str, Any]) -> None:
        """Write what `load_state` gives back."""
        aside = self.path / "state.pt.part"
        torch.save(state, aside)
        aside.replace(self.path / "state.pt")

    def load_state(self, device: torch.device) -> dict[str, Any]:
        """The last saved state. Raises StreamdetError when there is none or it can't be read."""
        path = self.path / "state.pt"
        if not path.exists():
            raise StreamdetError(f"nothing to resume: {path} does not exist; leave out --resume to start anew")
        try:
            state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise StreamdetError(f"{path} is damaged; leave out --resume and give another --out") from error
        return state
