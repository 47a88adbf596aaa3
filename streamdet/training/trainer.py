"""The training loop: forward, loss, finite check, backward, clip, step, average, log, evaluate, save.

A run is a folder: `last.safetensors` and `best.safetensors` (models), `state.pt` (all that `--resume` needs),
`metrics.csv` and `args.json`.
"""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from streamdet.detection.anchors import anchors_per_level
from streamdet.detection.checkpoint import Model, ModelCard, save_model
from streamdet.detection.detector import Detector
from streamdet.detection.postprocess import PostprocessRule
from streamdet.detection.precision import Placement
from streamdet.detection.retinanet import RetinaNet, build_retinanet, to_channels_last
from streamdet.errors import StreamdetError
from streamdet.training.augment import AugmentRule
from streamdet.training.dataset import Dataset, LabelledImage
from streamdet.training.evaluate import Scores, evaluate
from streamdet.training.loader import Batch, SampleSet, batches
from streamdet.training.losses import Losses, LossRule, PositiveCount, compute_losses
from streamdet.training.matcher import make_targets

EVALUATION_RULE = PostprocessRule(score_threshold=0.02, max_detections=100)
BAD_STEPS_IN_A_ROW = 5


@dataclass(frozen=True)
class TrainOptions:
    """What a user may choose about training."""

    images_seen: int = 28_000
    """Samples that the run takes in all."""
    batch_size: int = 16
    learning_rate: float = 6e-4
    """Peak, at a batch of 16; scaled linearly to the real batch."""
    body_rate: float = 0.5
    """Factor on the learning rate for the backbone."""
    weight_decay: float = 0.05
    warmup: float = 0.03
    """Share of the steps in which the rate rises."""
    clip_norm: float = 5.0
    """Gradients are scaled down to this norm."""
    average_decay: float = 0.998
    """Of the exponential moving average of the weights, which is what is evaluated and saved."""
    sizes: tuple[tuple[float, int, int], ...] = ((0.4, 352, 256), (1.0, 448, 320))
    """Input sizes in the course of the run: (until this share of it, width, height); small first is faster."""
    frozen_stages: int = 4
    """Blocks of the backbone, from the input on, that keep their weights."""
    evaluate_every: int = 4_000
    """Samples between two evaluations."""
    workers: int = 1
    seed: int = 0
    repeats: dict[str, int] = field(default_factory=dict)
    """How often each source's pictures come per epoch."""
    loss: LossRule = field(default_factory=LossRule)
    augment: AugmentRule = field(default_factory=AugmentRule)


@dataclass(frozen=True)
class Progress:
    """State of a run, for whoever shows it."""

    step: int
    steps: int
    classification_loss: float
    box_loss: float
    learning_rate: float
    images_per_s: float
    wait_share: float
    """Share of the time spent waiting for samples."""
    note: str = ""
    scores: dict[str, Scores] | None = None


class Trainer:
    """One run."""

    def __init__(
        self,
        folder: Path,
        card: ModelCard,
        network: RetinaNet,
        images: list[LabelledImage],
        validation: list[Dataset],
        options: TrainOptions,
        placement: Placement,
    ) -> None:
        """`network` starts the run (batch norm folded); `placement` says where, and in which mixed precision."""
        self.folder = folder
        self.card = card
        self.options = options
        self.placement = placement
        self.validation = validation
        self.steps = options.images_seen // options.batch_size
        self.network = to_channels_last(network.to(placement.device).train())
        _freeze(network, options.frozen_stages)
        self.average = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}
        self.optimizer = torch.optim.AdamW(_parameter_groups(network, options), lr=1.0)
        self.positive_count = PositiveCount()
        self.step = 0
        self.best = -1.0
        self.samples = SampleSet(
            images, options.repeats, self._sizes(), options.batch_size, options.augment, options.seed
        )

    def _sizes(self) -> list[tuple[int, int]]:
        sizes = []
        for step in range(self.steps):
            share = step / self.steps
            _, width, height = next(size for size in self.options.sizes if share < size[0])
            sizes.append((width, height))
        return sizes

    def run(self, show: Callable[[Progress], None]) -> dict[str, Scores]:
        """Train to the end; the last evaluation's scores per validation set.

        Raises StreamdetError when several steps in a row give no finite loss.
        """
        options = self.options
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "args.json").write_text(json.dumps(asdict(options), indent=2) + "\n")
        every = max(1, options.evaluate_every // options.batch_size)
        bad_steps, waited, since, since_step = 0, 0.0, time.perf_counter(), self.step
        scores: dict[str, Scores] = {}
        asked = time.perf_counter()
        for batch in batches(self.samples, self.step, options.workers):
            waited += time.perf_counter() - asked
            rate = self._set_rate()
            losses = self._losses(batch)
            note = self._update(losses)
            bad_steps = bad_steps + 1 if note else 0
            if note:
                note += " in a batch with " + ", ".join(sorted({path for s in batch.samples for path in s.paths})[:4])
            if bad_steps == BAD_STEPS_IN_A_ROW:
                raise StreamdetError(
                    f"training stopped at step {self.step}: {bad_steps} steps in a row had {note}; lower the learning "
                    f"rate (it is {rate:.2g}); {self.folder / 'last.safetensors'} is from before"
                )
            self.step += 1
            if self.step % every == 0 or self.step == self.steps:
                scores = self.evaluate()
                self.save(scores)
            if self.step % 10 == 0 or note or self.step == self.steps:
                now = time.perf_counter()
                self._log(losses, rate, scores if self.step % every == 0 or self.step == self.steps else {})
                show(
                    Progress(
                        self.step,
                        self.steps,
                        float(losses.classification.detach()),
                        float(losses.box.detach()),
                        rate,
                        (self.step - since_step) * options.batch_size / max(now - since, 1e-9),
                        waited / max(now - since, 1e-9),
                        note,
                        scores if self.step % every == 0 or self.step == self.steps else None,
                    )
                )
                waited, since, since_step = 0.0, now, self.step
            asked = time.perf_counter()
        return scores

    def _set_rate(self) -> float:
        """Linear warm-up, then a cosine to 1 % of the peak."""
        options = self.options
        warm = max(1, round(options.warmup * self.steps))
        peak = options.learning_rate * options.batch_size / 16
        if self.step < warm:
            rate = peak * (self.step + 1) / warm
        else:
            share = (self.step - warm) / max(1, self.steps - warm)
            rate = peak * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["rate_factor"]
        return rate

    def _losses(self, batch: Batch) -> Losses:
        device = self.placement.device
        rule = self.card.input_rule
        mean = torch.tensor(rule.mean, device=device).mul(255)[None, :, None, None]
        std = torch.tensor(rule.std, device=device).mul(255)[None, :, None, None]
        images = (batch.images_rgb.to(device).permute(0, 3, 1, 2).float() - mean) / std
        images = images.contiguous(memory_format=torch.channels_last)
        half = self.placement.dtype != torch.float32
        with torch.autocast(device.type, self.placement.dtype, enabled=half):
            heads = self.network(images)
        height, width = images.shape[-2:]
        anchors = torch.cat(anchors_per_level(self.card.config.anchors, height, width, device))

        def tensor(array: Any) -> Tensor:
            return torch.from_numpy(array).to(device)

        targets = [
            make_targets(
                anchors,
                tensor(sample.boxes_xyxy),
                tensor(sample.class_ids),
                tensor(sample.ignored_xyxy),
                tensor(sample.regions_xyxy),
                tensor(sample.region_labelled),
            )
            for sample in batch.samples
        ]
        return compute_losses(
            heads,
            anchors,
            targets,
            [tensor(sample.boxes_xyxy) for sample in batch.samples],
            [tensor(sample.class_ids) for sample in batch.samples],
            self.options.loss,
            self.positive_count,
        )

    def _update(self, losses: Losses) -> str:
        """One optimiser step; a step that isn't finite is skipped and named in the returned note."""
        self.optimizer.zero_grad(set_to_none=True)
        if not bool(torch.isfinite(losses.total)):
            return "a loss that is not finite"
        losses.total.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.options.clip_norm)
        if not bool(torch.isfinite(norm)):
            return "a gradient that is not finite"
        self.optimizer.step()
        decay = min(self.options.average_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, tensor in self.network.state_dict().items():
                self.average[name].lerp_(tensor, 1 - decay)
        return ""

    def averaged(self) -> RetinaNet:
        """A copy of the network with the averaged weights."""
        network = build_retinanet(self.card.config)
        network.load_state_dict({name: tensor.cpu() for name, tensor in self.average.items()})
        return network.eval()

    def evaluate(self) -> dict[str, Scores]:
        """Scores of the averaged network on each validation set."""
        detector = Detector(
            Model(self.averaged(), self.card, ""),
            Placement(self.placement.device, torch.float32),
            rule=EVALUATION_RULE,
            thresholds=(EVALUATION_RULE.score_threshold,) * len(self.card.class_names),
        )
        return {dataset.name: evaluate(detector, dataset) for dataset in self.validation}

    def save(self, scores: dict[str, Scores]) -> None:
        """Write the model, and the state that `resume` continues from; each aside first, then renamed."""
        metrics = {name: score.to_json() for name, score in scores.items()}
        card = ModelCard(**{**self.card.__dict__, "metrics": metrics})
        save_model(self.folder / "last.safetensors", self.averaged(), card)
        mean_ap50 = float(np.mean([score.ap50 for score in scores.values()])) if scores else 0.0
        if mean_ap50 >= self.best:
            self.best = mean_ap50
            save_model(self.folder / "best.safetensors", self.averaged(), card)
        aside = self.folder / "state.pt.part"
        torch.save(
            {
                "step": self.step,
                "best": self.best,
                "positive_count": self.positive_count.average,
                "network": self.network.state_dict(),
                "average": self.average,
                "optimizer": self.optimizer.state_dict(),
            },
            aside,
        )
        aside.replace(self.folder / "state.pt")

    def resume(self) -> None:
        """Go on from the run's last saved state. Raises StreamdetError when there is none."""
        path = self.folder / "state.pt"
        if not path.exists():
            raise StreamdetError(f"nothing to resume: {path} does not exist; leave out --resume to start anew")
        state = torch.load(path, map_location=self.placement.device, weights_only=True)
        self.step, self.best = state["step"], state["best"]
        self.positive_count.average = state["positive_count"]
        self.network.load_state_dict(state["network"])
        self.average = state["average"]
        self.optimizer.load_state_dict(state["optimizer"])

    def _log(self, losses: Losses, rate: float, scores: dict[str, Scores]) -> None:
        path = self.folder / "metrics.csv"
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                sets = [f"{kind} {dataset.name}" for dataset in self.validation for kind in ("AP", "AP50")]
                writer.writerow(["step", "classification_loss", "box_loss", "positives", "learning_rate", *sets])
            values = [
                f"{value:.4f}" if name in scores else ""
                for name in (dataset.name for dataset in self.validation)
                for value in ((scores[name].ap, scores[name].ap50) if name in scores else (0, 0))
            ]
            writer.writerow(
                [
                    self.step,
                    f"{float(losses.classification.detach()):.6f}",
                    f"{float(losses.box.detach()):.6f}",
                    losses.positives,
                    f"{rate:.3e}",
                    *values,
                ]
            )


def _freeze(network: RetinaNet, stages: int) -> None:
    """Stop learning in the first `stages` blocks of the backbone."""
    blocks: list[nn.Module] = list(getattr(network.backbone.body, "features", network.backbone.body.children()))
    for block in blocks[:stages]:
        block.requires_grad_(False)


def _parameter_groups(network: RetinaNet, options: TrainOptions) -> list[dict[str, Any]]:
    """Weights, with decay, and biases and norms, without; the backbone at its own rate."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name.startswith("backbone.body"), parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": options.weight_decay if decays else 0.0,
            "rate_factor": options.body_rate if in_body else 1.0,
        }
        for (in_body, decays), parameters in groups.items()
    ]
