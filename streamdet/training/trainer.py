"""The training loop: forward, loss, finite check, backward, clip, step, average, log, evaluate, save."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from streamdet.detection.anchors import anchors_per_level
from streamdet.detection.checkpoint import Model, ModelCard
from streamdet.detection.detector import Detector
from streamdet.detection.postprocess import PostprocessRule
from streamdet.detection.precision import Placement
from streamdet.detection.resize import normalise
from streamdet.detection.retinanet import RetinaNet, build_retinanet, to_channels_last
from streamdet.errors import StreamdetError
from streamdet.training.dataset import Dataset, LabelledImage
from streamdet.training.evaluate import Scores, evaluate
from streamdet.training.loader import Batch, SampleSet, batches
from streamdet.training.losses import Losses, PositiveCount, compute_losses
from streamdet.training.matcher import make_targets
from streamdet.training.runs import RunFolder
from streamdet.training.schedule import TrainOptions

__all__ = ["Progress", "TrainOptions", "Trainer"]

EVALUATION_RULE = PostprocessRule(score_threshold=0.02, max_detections=100)
BAD_STEPS_IN_A_ROW = 5
LOG_EVERY_STEPS = 10


@dataclass(frozen=True)
class Progress:
    """State of a run, for whoever shows it."""

    step: int
    steps: int
    first_step: int
    """Steps that were done before this start (0 unless resumed)."""
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
        self.files = RunFolder(folder, [dataset.name for dataset in validation])
        self.card = card
        self.options = options
        self.placement = placement
        self.validation = validation
        self.steps = options.steps
        self.network = to_channels_last(network.to(placement.device).train())
        _freeze(network, options.frozen_stages)
        self.average = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}
        self.optimizer = _make_optimizer(network, options)
        self.positive_count = PositiveCount()
        self.step = 0
        self.best = -1.0
        self.samples = SampleSet(
            images, options.repeats, options.step_sizes(), options.batch_size, options.augment, options.seed
        )

    def run(self, show: Callable[[Progress], None]) -> dict[str, Scores]:
        """Train to the end; the last evaluation's scores per validation set.

        Raises StreamdetError when several steps in a row give no finite loss.
        """
        options = self.options
        self.files.start(options, self.step)
        first_step, bad_steps = self.step, 0
        scores: dict[str, Scores] = {}
        waited, since, since_step = 0.0, time.perf_counter(), self.step
        asked = since
        for batch in batches(self.samples, self.step, options.workers):
            waited += time.perf_counter() - asked
            rate = self._set_rate()
            losses = self._losses(batch)
            note = self._update(losses)
            self.step += 1
            bad_steps = bad_steps + 1 if note else 0
            if note:
                note += " in a batch with " + ", ".join(batch.paths[:4])
            if bad_steps == BAD_STEPS_IN_A_ROW:
                raise StreamdetError(self._gave_up(note, rate))
            spent = max(time.perf_counter() - since, 1e-9)
            evaluated = self.step % options.evaluate_every_steps == 0 or self.step == self.steps
            if evaluated:
                scores = self.evaluate()
                self.save(scores)
            if evaluated or note or self.step % LOG_EVERY_STEPS == 0:
                values = float(losses.classification.detach()), float(losses.box.detach())
                self.files.log(self.step, values, losses.positives, rate, scores if evaluated else {})
                speed = (self.step - since_step) * options.batch_size / spent
                shown = scores if evaluated else None
                show(
                    Progress(self.step, self.steps, first_step, *values, rate, speed, waited / spent, note, shown),
                )
                waited, since, since_step = 0.0, time.perf_counter(), self.step
            asked = time.perf_counter()
        return scores

    def _set_rate(self) -> float:
        rate = self.options.rate(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["rate_factor"]
        return rate

    def _losses(self, batch: Batch) -> Losses:
        device = self.placement.device
        images = normalise(batch.images_rgb.to(device), self.card.input_rule)
        images = images.contiguous(memory_format=torch.channels_last)
        # bfloat16 whatever half precision the device prefers: float16 gradients would need loss scaling.
        with torch.autocast(device.type, torch.bfloat16, enabled=self.placement.dtype != torch.float32):
            heads = self.network(images)
        height, width = images.shape[-2:]
        anchors = torch.cat(anchors_per_level(self.card.config.anchors, height, width, device))

        def tensor(array: npt.NDArray[Any]) -> Tensor:
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
                if tensor.is_floating_point():
                    self.average[name].lerp_(tensor, 1 - decay)
                else:
                    self.average[name].copy_(tensor)
        return ""

    def _gave_up(self, note: str, rate: float) -> str:
        kept = f"; {self.files.last_model} is from before" if self.files.last_model.exists() else ""
        return (
            f"training stopped at step {self.step}: {BAD_STEPS_IN_A_ROW} steps in a row had no finite loss, the last "
            f"{note}; lower the learning rate (it is {rate:.2g}) or look at those pictures' labels{kept}"
        )

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
        """Write the models, and the state that `resume` continues from."""
        card = replace(self.card, metrics={name: score.to_json() for name, score in scores.items()})
        measured = [score.ap50 for score in scores.values() if np.isfinite(score.ap50)]
        mean_ap50 = float(np.mean(measured)) if measured else 0.0
        is_best = mean_ap50 >= self.best
        self.best = max(self.best, mean_ap50)
        self.files.save_models(self.averaged(), card, best=is_best)
        self.files.save_state(
            {
                "step": self.step,
                "best": self.best,
                "positive_count": self.positive_count.average,
                "network": self.network.state_dict(),
                "average": self.average,
                "optimizer": self.optimizer.state_dict(),
            }
        )

    def resume(self) -> None:
        """Go on from the run's last saved state. Raises StreamdetError when there is none that fits."""
        state = self.files.load_state(self.placement.device)
        try:
            own_groups, saved_groups = self.optimizer.param_groups, state["optimizer"]["param_groups"]
            if [group.keys() for group in own_groups] != [group.keys() for group in saved_groups]:
                raise ValueError("its optimizer is another kind")
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average = state["average"]
            self.positive_count.average = state["positive_count"]
            self.step, self.best = state["step"], state["best"]
        except (RuntimeError, KeyError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise StreamdetError(
                f"the state in {self.files.path} is another run's ({reason}); give the options it was started with"
            ) from error


def _freeze(network: RetinaNet, stages: int) -> None:
    """Stop learning in the first `stages` blocks of the backbone."""
    blocks: list[nn.Module] = list(getattr(network.backbone.body, "features", network.backbone.body.children()))
    for block in blocks[:stages]:
        block.requires_grad_(False)


def _make_optimizer(network: RetinaNet, options: TrainOptions) -> torch.optim.Optimizer:
    """Its learning rates are set before each step."""
    groups = _parameter_groups(network, options)
    if options.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=1.0, momentum=0.9)
    return torch.optim.AdamW(groups, lr=1.0)


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
