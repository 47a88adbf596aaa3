"""What a user may choose about training, and what follows from it for each step: input size and learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from streamdet.detection.resize import PAD_MULTIPLE
from streamdet.training.augment import AugmentRule
from streamdet.training.losses import LossRule

REFERENCE_BATCH = 16
OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "steps")
CACHES = ("auto", "memory", "off")
RATE_DROPS = (2 / 3, 8 / 9)
"""The paper's 60,000 and 80,000 of 90,000 steps."""


@dataclass(frozen=True)
class TrainOptions:
    """What a user may choose about training."""

    images_seen: int = 28_000
    """Samples that the run takes in all."""
    batch_size: int = 16
    """Samples that go through the network at once, over all processes together."""
    accumulate: int = 1
    """Batches whose gradients are added up before each step of the optimizer."""
    learning_rate: float = 6e-4
    """Peak, at 16 samples per step; scaled linearly to the real number (Goyal et al., arXiv 1706.02677)."""
    optimizer: str = "adamw"
    """"adamw", or "sgd" with momentum 0.9 (the paper's: a rate of 0.01 and a weight decay of 1e-4)."""
    body_rate: float = 0.5
    """Factor on the learning rate for the backbone."""
    weight_decay: float = 0.05
    schedule: str = "cosine"
    """"cosine" down to 1 % of the peak, or "steps": a tenth after 2/3 of the run, a hundredth after 8/9."""
    warmup: float = 0.03
    """Share of the steps in which the rate rises."""
    clip_norm: float | None = 5.0
    """Gradients are scaled down to this norm; None: never."""
    average_decay: float = 0.998
    """Of the exponential moving average of the weights, which is what is evaluated and saved."""
    start_share: float = 0.0
    """Share of the run's first weights in these, so that it forgets less (Wortsman et al., arXiv 2109.01903)."""
    sizes: tuple[tuple[float, int, int], ...] = ((0.4, 352, 256), (1.0, 448, 320))
    """Input sizes in the course of the run: (until this share of it, width, height); small first is faster."""
    multi_scale: tuple[float, float] = (1.0, 1.0)
    """Range of a factor on the input size, drawn anew for each step."""
    frozen_stages: int = 2
    """Stages of the backbone, from the input on, that keep their weights: 0 to 5 (see `freezing`)."""
    evaluate_every: int = 4_000
    """Samples between two evaluations."""
    workers: int = 1
    """Processes that prepare samples, per training process."""
    cache: str = "auto"
    """Keep decoded pictures in memory: "auto" as many as a quarter of the free memory holds, "memory" all, "off"."""
    seed: int = 0
    repeats: dict[str, int] = field(default_factory=dict)
    """How often each source's pictures come per epoch."""
    loss: LossRule = field(default_factory=LossRule)
    augment: AugmentRule = field(default_factory=AugmentRule)

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.accumulate < 1 or self.images_seen < self.effective_batch:
            raise ValueError(
                f"{self.images_seen} samples make no step of {self.effective_batch}; take at least one step's worth"
            )
        for name, values in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("cache", CACHES)):
            if getattr(self, name) not in values:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(values)}")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate is {self.learning_rate}; it must be more than 0, such as 6e-4")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay is {self.weight_decay}; it must be 0 or more")
        for name, value in (("warmup", self.warmup), ("average_decay", self.average_decay)):
            if not 0 <= value < 1:
                raise ValueError(f"{name} is {value}, expected 0 to less than 1")
        if self.evaluate_every < 1:
            raise ValueError(f"evaluate_every is {self.evaluate_every}, expected 1 sample or more")
        if not 0 <= self.frozen_stages <= 5:
            raise ValueError(f"frozen_stages is {self.frozen_stages}, expected 0 to 5")
        if not 0 <= self.start_share < 1:
            raise ValueError(f"start_share is {self.start_share}, expected 0 to less than 1")
        if any(side < PAD_MULTIPLE or side % PAD_MULTIPLE for _, *sides in self.sizes for side in sides):
            raise ValueError(f"sizes are {self.sizes}; every width and height must be a multiple of {PAD_MULTIPLE}")
        shares = [share for share, _, _ in self.sizes]
        if shares != sorted(set(shares)) or not shares or shares[-1] != 1:
            raise ValueError(f"sizes are {self.sizes}; their shares of the run must rise and end with 1")
        if not 0 < self.multi_scale[0] <= self.multi_scale[1]:
            raise ValueError(f"multi_scale is {self.multi_scale}; give two positive factors that rise")

    @property
    def effective_batch(self) -> int:
        """Samples per step of the optimizer."""
        return self.batch_size * self.accumulate

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.images_seen // self.effective_batch

    @property
    def evaluate_every_steps(self) -> int:
        """Steps between two evaluations."""
        return max(1, self.evaluate_every // self.effective_batch)

    def step_sizes(self) -> list[tuple[int, int]]:
        """Input (width, height) of each step, multiples of 32."""
        return [self._step_size(step) for step in range(self.steps)]

    def _step_size(self, step: int) -> tuple[int, int]:
        width, height = next((w, h) for share, w, h in self.sizes if step / self.steps < share)
        low, high = self.multi_scale
        if low == high == 1:
            return width, height
        factor = float(np.random.default_rng((self.seed, 0x512E, step)).uniform(low, high))
        return _to_multiple(width * factor), _to_multiple(height * factor)

    @property
    def peak_rate(self) -> float:
        """The highest learning rate, after the warm-up."""
        return self.learning_rate * self.effective_batch / REFERENCE_BATCH

    def rate(self, step: int) -> float:
        """Learning rate of a step: linear warm-up, then down by the schedule."""
        warm = max(1, round(self.warmup * self.steps))
        peak = self.peak_rate
        if step < warm:
            return peak * (step + 1) / warm
        if self.schedule == "steps":
            return peak * 0.1 ** sum(step >= drop * self.steps for drop in RATE_DROPS)
        share = (step - warm) / max(1, self.steps - warm)
        return peak * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2)


def _to_multiple(side: float) -> int:
    return max(PAD_MULTIPLE, round(side / PAD_MULTIPLE) * PAD_MULTIPLE)
