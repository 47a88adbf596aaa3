"""A run's folder: what training writes there, and reads to go on.

`last.safetensors` and `best.safetensors` (models), `state.pt` (all that `--resume` needs), `metrics.csv`, TensorBoard's
events, `args.json` (what it was started with), `bad_steps.jsonl` (steps that were skipped, if there were any).
"""

from __future__ import annotations

import csv
import json
import math
import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from streamdet.detection.checkpoint import ModelCard, save_model
from streamdet.detection.retinanet import RetinaNet
from streamdet.errors import OutputError, StreamdetError
from streamdet.training.evaluate import Scores
from streamdet.training.events import EventFile
from streamdet.training.progress import StepResult


class RunFolder:
    """One run on disk. Models and state are written aside first and then renamed."""

    def __init__(self, path: Path, validation_names: Sequence[str], *, writes: bool = True) -> None:
        """`writes`: False in the processes that leave writing to another one."""
        self.path = path
        self.validation_names = tuple(validation_names)
        self.writes = writes
        self._events: EventFile | None = None

    @property
    def last_model(self) -> Path:
        """The newest model."""
        return self.path / "last.safetensors"

    @property
    def best_model(self) -> Path:
        """The best model so far."""
        return self.path / "best.safetensors"

    @property
    def state(self) -> Path:
        """What `--resume` continues from."""
        return self.path / "state.pt"

    @property
    def arguments(self) -> Path:
        """What the run was started with."""
        return self.path / "args.json"

    def start(self, arguments: Mapping[str, Any], step: int) -> None:
        """Make the folder ready for a run that goes on after `step` steps (0: a new one). Raises OutputError."""
        if not self.writes:
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not step:
                self.arguments.write_text(json.dumps(arguments, indent=2) + "\n", encoding="utf-8")
            # What was logged after the last saved state will come again.
            self._keep_rows("metrics.csv", step)
            self._keep_rows("bad_steps.jsonl", step)
            self._events = EventFile(self.path, step)
        except OSError as error:
            raise OutputError(f"{self.path} can't be written ({error.strerror}); give another --out") from error

    def _keep_rows(self, name: str, step: int) -> None:
        """Drop the rows of a log that are of steps after `step`; `metrics.csv` gets its header."""
        path = self.path / name
        lines = path.read_text(encoding="utf-8").splitlines() if step and path.exists() else []
        if name == "metrics.csv":
            header = ["step", "classification_loss", "box_loss", "positives", "learning_rate"]
            header += [f"{kind} {name}" for name in self.validation_names for kind in ("AP", "AP50")]
            with path.open("w", newline="", encoding="utf-8") as file:
                # A killed process may have left half a line.
                whole = [row for row in csv.reader(lines) if len(row) == len(header) and row[0].isdecimal()]
                csv.writer(file).writerows([header, *(row for row in whole if int(row[0]) <= step)])
        elif path.exists():
            kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
            path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def log(
        self, step: int, result: StepResult, rate: float, scores: Mapping[str, Scores], images_per_s: float
    ) -> None:
        """Append a step to `metrics.csv` and the events; `scores` are those of an evaluation after it, if any."""
        if self._events is None:
            return
        row = [str(step), f"{result.classification_loss:.6f}", f"{result.box_loss:.6f}", str(result.positives)]
        row.append(f"{rate:.3e}")
        for name in self.validation_names:
            row += [f"{scores[name].ap:.4f}", f"{scores[name].ap50:.4f}"] if name in scores else ["", ""]
        values = {
            "loss/classification": result.classification_loss,
            "loss/box": result.box_loss,
            "train/learning_rate": rate,
            "train/gradient_norm": result.gradient_norm,
            "train/positive_anchors": float(result.positives),
            "train/images_per_s": images_per_s,
        }
        for name, score in scores.items():
            values |= {f"AP/{name}": score.ap, f"AP50/{name}": score.ap50}
        with self._writing("metrics.csv"):
            with (self.path / "metrics.csv").open("a", newline="", encoding="utf-8") as file:
                csv.writer(file).writerow(row)
            self._events.write(step, values)

    def log_bad_step(self, step: int, result: StepResult, rate: float, samples: Sequence[Mapping[str, Any]]) -> None:
        """Append a step that was skipped to `bad_steps.jsonl`; numbers that aren't finite become null."""
        if not self.writes:
            return
        numbers = {
            "learning_rate": rate,
            "gradient_norm": result.gradient_norm,
            "classification_loss": result.classification_loss,
            "box_loss": result.box_loss,
        }
        finite = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
        record = {"step": step, "problem": result.problem, **finite, "samples": samples}
        with self._writing("bad_steps.jsonl"), (self.path / "bad_steps.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def save_models(self, network: RetinaNet, card: ModelCard, *, best: bool) -> None:
        """Write the newest model, and the same as the best one so far if it is."""
        if self.writes:
            with self._writing(self.last_model.name):
                save_model(self.last_model, network, card)
            if best:
                with self._writing(self.best_model.name):
                    save_model(self.best_model, network, card)

    def save_state(self, state: dict[str, Any]) -> None:
        """Write what `load_state` gives back. Whenever the process is killed, the file is whole: the old or the new."""
        if not self.writes:
            return
        aside = self.state.with_name("state.pt.part")
        with self._writing(self.state.name):
            try:
                with aside.open("wb") as file:
                    torch.save(state, file)
                    file.flush()
                    os.fsync(file.fileno())
                aside.replace(self.state)
            except BaseException:
                aside.unlink(missing_ok=True)
                raise

    @contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        """Say so where the disk refuses (torch and safetensors have errors of their own). Raises OutputError."""
        try:
            yield
        except (OSError, RuntimeError, SafetensorError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
            stands = "what was saved there before stands" if self.state.exists() else "nothing is saved there"
            raise OutputError(
                f"{self.path / name} can't be written ({reason}); {stands}; make room or give another --out"
            ) from error

    def load_state(self, device: torch.device) -> dict[str, Any]:
        """The last saved state. Raises StreamdetError when there is none or it can't be read."""
        if not self.state.exists():
            raise StreamdetError(f"nothing to resume: {self.state} does not exist; leave out --resume to start anew")
        try:
            state: dict[str, Any] = torch.load(self.state, map_location=device, weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise StreamdetError(f"{self.state} is damaged; leave out --resume and give another --out") from error
        return state

    def close(self) -> None:
        """Nothing more is written."""
        if self._events is not None:
            self._events.close()
            self._events = None
