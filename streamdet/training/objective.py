"""From a batch of samples to its losses: labels to targets, pixels through the network, both into the loss.

Shape legend: N images, A anchors of all levels, K classes, M objects of an image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from streamdet.detection.anchors import anchors_per_level
from streamdet.detection.checkpoint import ModelCard
from streamdet.detection.precision import Placement
from streamdet.detection.resize import normalise
from streamdet.detection.retinanet import HeadOutputs
from streamdet.training.loader import Batch
from streamdet.training.losses import Losses, LossRule, PositiveCount, compute_losses
from streamdet.training.matcher import Targets, make_targets


@dataclass(frozen=True)
class Prepared:
    """A batch with its targets on the device; its pixels follow when it is its turn."""

    batch: Batch
    anchors: Tensor
    """(A, 4)"""
    targets: list[Targets]
    boxes_xyxy: list[Tensor]
    """Per image (M, 4)."""
    class_ids: list[Tensor]
    """Per image (M,)."""

    @property
    def positives(self) -> int:
        """Positive anchors of all images."""
        return int(torch.stack([(target.matches >= 0).sum() for target in self.targets]).sum())


@dataclass(frozen=True)
class Objective:
    """What is to be made small."""

    card: ModelCard
    rule: LossRule
    placement: Placement

    def prepare(self, batch: Batch) -> Prepared:
        """The batch's targets."""
        height, width = batch.images_rgb.shape[1:3]
        device = self.placement.device
        anchors = torch.cat(anchors_per_level(self.card.config.anchors, height, width, device))

        def tensor(array: npt.NDArray[Any]) -> Tensor:
            return torch.from_numpy(array).to(device)

        boxes_xyxy = [tensor(sample.boxes_xyxy) for sample in batch.samples]
        class_ids = [tensor(sample.class_ids) for sample in batch.samples]
        targets = [
            make_targets(
                anchors,
                boxes,
                classes,
                tensor(sample.ignored_xyxy),
                tensor(sample.regions_xyxy),
                tensor(sample.region_labelled),
            )
            for sample, boxes, classes in zip(batch.samples, boxes_xyxy, class_ids, strict=True)
        ]
        return Prepared(batch, anchors, targets, boxes_xyxy, class_ids)

    def losses(
        self, network: Callable[[Tensor], HeadOutputs], prepared: Prepared, positives_per_image: float
    ) -> Losses:
        """Losses of a prepared batch; sums over its anchors are divided by its images' `positives_per_image`."""
        images = normalise(prepared.batch.images_rgb.to(self.placement.device, non_blocking=True), self.card.input_rule)
        images = images.contiguous(memory_format=torch.channels_last)
        half = self.placement.dtype
        with torch.autocast(self.placement.device.type, half, enabled=half != torch.float32):
            heads = network(images)
        return compute_losses(
            heads,
            prepared.anchors,
            prepared.targets,
            prepared.boxes_xyxy,
            prepared.class_ids,
            self.rule,
            PositiveCount(positives_per_image, momentum=1.0),
        )
