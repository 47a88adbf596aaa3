"""What a user may choose about training, and what follows from it for each step: input size and learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from streamdet.detection.resize import PAD_MULTIPLE
from streamdet.training.augment import AugmentRule
from streamdet.training.losses import LossRule

REFERENCE_BATCH = 16
OPTIMIZERS = ("adamw", "sgd")


@dataclass(frozen=True)
class TrainOptions:
    """What a user may choose about training."""

    images_seen: int = 28_000
    """Samples that the run takes in all."""
    batch_size: int = 16
    learning_rate: float = 6e-4
    """Peak, at a batch of 16; scaled linearly to the real batch."""
    optimizer: str = "adamw"
    """"adamw", or "sgd" with momentum 0.9 (it wants a rate about ten times as high, and a weight decay of 1e-4)."""
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

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.images_seen < self.batch_size:
            raise ValueError(f"{self.images_seen} samples make no step of {self.batch_size}; take at least one batch")
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer is {self.optimizer!r}, expected one of {', '.join(OPTIMIZERS)}")
        if any(side < PAD_MULTIPLE or side % PAD_MULTIPLE for _, *sides in self.sizes for side in sides):
            raise ValueError(f"sizes are {self.sizes}; every width and height must be a multiple of {PAD_MULTIPLE}")
        shares = [share for share, _, _ in self.sizes]
        if shares != sorted(set(shares)) or not shares or shares[-1] != 1:
            raise ValueError(f"sizes are {self.sizes}; their shares of the run must rise and end with 1")

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.images_seen // self.batch_size

    @property
    def evaluate_every_steps(self) -> int:
        """Steps between two evaluations."""
        return max(1, self.evaluate_every // self.batch_size)

    def step_sizes(self) -> list[tuple[int, int]]:
        """Input (width, height) of each step."""
        return [
            next((width, height) for share, width, height in self.sizes if step / self.steps < share)
            for step in range(self.steps)
        ]

    def rate(self, step: int) -> float:
        """Learning rate of a step: linear warm-up, then a cosine to 1 % of the peak."""
        warm = max(1, round(self.warmup * self.steps))
        peak = self.learning_rate * self.batch_size / REFERENCE_BATCH
        if step < warm:
            return peak * (step + 1) / warm
        share = (step - warm) / max(1, self.steps - warm)
        return peak * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2)
