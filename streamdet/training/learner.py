"""One step of learning, and all that it changes: weights, their average, the optimizer, the losses' normaliser."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any

import torch

from streamdet.detection.checkpoint import ModelCard
from streamdet.detection.precision import Placement
from streamdet.detection.retinanet import RetinaNet, build_retinanet, to_channels_last
from streamdet.training.distributed import Processes
from streamdet.training.freezing import freeze, set_training
from streamdet.training.loader import Batch
from streamdet.training.losses import PositiveCount
from streamdet.training.objective import Objective
from streamdet.training.optimizer import WeightAverage, clip, make_optimizer, set_rate
from streamdet.training.progress import StepResult
from streamdet.training.schedule import TrainOptions


class Learner:
    """A network that learns, alone or together with those of other processes."""

    def __init__(
        self, card: ModelCard, network: RetinaNet, options: TrainOptions, placement: Placement, processes: Processes
    ) -> None:
        """Takes `network` over."""
        self.card = card
        self.options = options
        self.placement = placement
        self.processes = processes
        processes.synchronise_batch_norm(network, placement.device)
        self.network = network.to(placement.device)
        to_channels_last(self.network)
        freeze(self.network, options.frozen_stages, on_cpu=placement.device.type == "cpu")
        set_training(self.network, options.frozen_stages)
        self.joined = processes.join(self.network, placement.device)
        self.objective = Objective(card, options.loss, placement)
        self.optimizer = make_optimizer(self.network, options)
        # Float16 gradients underflow; bfloat16 has float32's range.
        self.scaler = torch.amp.GradScaler(placement.device.type, enabled=placement.dtype == torch.float16)
        self.average = WeightAverage(self.network, options.average_decay)
        self.start = {name: tensor.clone() for name, tensor in self.average.tensors.items() if options.start_share}
        self.positive_count = PositiveCount(sum_over_processes=processes.sum_pair)

    def learn(self, taken: list[Batch], step: int, rate: float, *, stop: bool = False) -> StepResult:
        """Change the weights by the gradients of some batches, averaged; not at all where those aren't finite.

        `step`: number of steps before this one; `stop`: this process was asked to stop.
        """
        # Whatever is drawn in a step follows from the seed and its number, as samples do: no state has to be kept.
        torch.manual_seed(self.options.seed * 1_000_003 + step)
        set_rate(self.optimizer, rate)
        self.optimizer.zero_grad(set_to_none=True)
        prepared = [self.objective.prepare(batch) for batch in taken]
        images = sum(len(each.targets) for each in prepared)
        positives = sum(each.positives for each in prepared)
        per_image = self.positive_count.update(positives, images) / images  # the same for all batches and processes
        sums = torch.tensor([0.0, 0.0, positives, stop], dtype=torch.float64, device=self.placement.device)
        for number, each in enumerate(prepared, 1):
            with nullcontext() if number == len(prepared) else self.processes.apart(self.joined):
                losses = self.objective.losses(self.joined, each, per_image)
                # Not skipped where it isn't finite: other processes wait for these gradients.
                self.scaler.scale(losses.total / len(prepared)).backward()  # type: ignore[no-untyped-call]
            parts = torch.stack((losses.classification.detach(), losses.box.detach()))
            sums[:2] += parts / (len(prepared) * self.processes.count)
        classification, box, all_positives, stops = self.processes.sum(sums).tolist()
        self.scaler.unscale_(self.optimizer)
        norm = clip(self.network.parameters(), self.options.clip_norm)
        problem = ""
        if not math.isfinite(classification + box):
            problem = "a loss that is not finite"
        elif math.isfinite(norm):
            self.scaler.step(self.optimizer)
            self.average.update(self.network, step)
        elif self.scaler.get_scale() <= 1:  # above 1 the scaler is still looking for a scale that fits
            problem = "a gradient that is not finite"
        if self.scaler.is_enabled():
            self.scaler.update()
        return StepResult(classification, box, int(all_positives), norm, problem, stops > 0)

    def is_finite(self, batch: Batch) -> bool:
        """True when the batch gives a finite loss and finite gradients. Changes nothing."""
        self.network.eval()  # no statistics are gathered
        losses = self.objective.losses(self.network, self.objective.prepare(batch), self.positive_count.average)
        learning = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        gradients = torch.autograd.grad(losses.total, learning, allow_unused=True)
        set_training(self.network, self.options.frozen_stages)
        values = [losses.total.detach(), *(gradient for gradient in gradients if gradient is not None)]
        return all(bool(torch.isfinite(value).all()) for value in values)

    def averaged(self) -> RetinaNet:
        """A copy of the network with the averaged weights, and the share of those that it began with."""
        network = build_retinanet(self.card.config)
        tensors = dict(self.average.tensors)
        for name, tensor in self.start.items():
            if tensor.is_floating_point():
                tensors[name] = tensors[name].lerp(tensor, self.options.start_share)
        network.load_state_dict({name: tensor.cpu() for name, tensor in tensors.items()})
        return network.eval()

    def state(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return {
            "positive_count": self.positive_count.average,
            "network": self.network.state_dict(),
            "average": self.average.tensors,
            "start": self.start,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave. Raises RuntimeError, KeyError or ValueError when it is another network's."""
        own_groups, saved_groups = self.optimizer.param_groups, state["optimizer"]["param_groups"]
        if [group.keys() for group in own_groups] != [group.keys() for group in saved_groups]:
            raise ValueError("its optimizer is another kind")
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.average.tensors, self.start = state["average"], state["start"]
        self.positive_count.average = state["positive_count"]
