"""Batches for the trainer: which pictures, in which order, at which size, made in worker processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.utils.data
from torch import Tensor

from streamdet.errors import DataError
from streamdet.training.augment import AugmentRule, Sample, make_sample
from streamdet.training.dataset import LabelledImage, UInt8Array, read_rgb


@dataclass(frozen=True)
class Batch:
    """Samples of one size."""

    images_rgb: Tensor
    """(N, H, W, 3) uint8"""
    samples: tuple[Sample, ...]
    """Their labels; their pixels are in `images_rgb` alone, so that they travel between processes once."""

    @property
    def paths(self) -> list[str]:
        """The pictures that the samples were made of."""
        return sorted({path for sample in self.samples for path in sample.paths})


class SampleSet(torch.utils.data.Dataset[list[Sample]]):
    """Batches of samples by number: number b always is the same batch, whoever asks."""

    def __init__(
        self,
        images: list[LabelledImage],
        repeats: Mapping[str, int],
        sizes: list[tuple[int, int]],
        batch_size: int,
        rule: AugmentRule,
        seed: int,
        *,
        cache: bool = True,
    ) -> None:
        """`sizes`: (width, height) of each batch by number; `repeats`: how often a source's pictures come per epoch.

        Raises DataError when there is no picture, or one can't be read.
        """
        self.images = images
        self.order = [place for place, image in enumerate(images) for _ in range(repeats.get(image.source, 1))]
        if not self.order:
            raise DataError("there is no picture to train on; look into the training sets' train.json")
        self.sizes = sizes
        self.batch_size = batch_size
        self.rule = rule
        self.seed = seed
        self.pixels: list[UInt8Array] | None = [read_rgb(image) for image in images] if cache else None
        self.place_of = {image.path: place for place, image in enumerate(images)}

    def __len__(self) -> int:
        return len(self.sizes)

    def read(self, image: LabelledImage) -> UInt8Array:
        """Pixels of a picture, from memory if they are there."""
        if self.pixels is None:
            return read_rgb(image)
        return self.pixels[self.place_of[image.path]]

    def __getitem__(self, number: int) -> list[Sample]:
        first = number * self.batch_size
        return [self._sample(first + offset, self.sizes[number]) for offset in range(self.batch_size)]

    def _sample(self, number: int, size: tuple[int, int]) -> Sample:
        rng = np.random.default_rng((self.seed, number))
        chosen = [self.images[self._drawn(number)]]
        if rng.random() < self.rule.mosaic:
            chosen += [self.images[self.order[int(rng.integers(len(self.order)))]] for _ in range(3)]
        return make_sample(chosen, self.read, size, self.rule, rng)

    def _drawn(self, number: int) -> int:
        """Picture of a sample: each comes once per epoch (times its repeats), in an order of the epoch's own."""
        epoch, place = divmod(number, len(self.order))
        if getattr(self, "_epoch", None) != epoch:
            self._epoch = epoch
            self._permutation = np.random.default_rng((self.seed, 0xE90C, epoch)).permutation(len(self.order))
        return self.order[int(self._permutation[place])]


def batches(samples: SampleSet, first: int, workers: int) -> Iterator[Batch]:
    """Batches from number `first` to the last, made ahead by `workers` processes (0: in this one)."""
    numbers = range(first, len(samples))
    loader = torch.utils.data.DataLoader(
        samples,
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        collate_fn=_collate,
    )
    yield from loader


def _collate(samples: list[Sample]) -> Batch:
    pixels = torch.from_numpy(np.stack([sample.image_rgb for sample in samples]))
    nothing = np.zeros((0, 0, 3), np.uint8)
    return Batch(pixels, tuple(replace(sample, image_rgb=nothing) for sample in samples))
