"""Batches for the trainer: which pictures, in which order, at which size, made in worker processes."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
import torch.utils.data
from torch import Tensor

from streamdet.errors import DataError, StreamdetError
from streamdet.training.augment import AugmentRule, Sample, make_sample
from streamdet.training.cache import PictureCache
from streamdet.training.dataset import LabelledImage, UInt8Array


@dataclass(frozen=True)
class Batch:
    """Samples of one size."""

    images_rgb: Tensor
    """(N, H, W, 3) uint8"""
    samples: tuple[Sample, ...]
    """Their labels; their pixels are in `images_rgb` alone, so that they travel between processes once."""

    def pin_memory(self) -> Batch:
        """The same in memory that a GPU fetches from by itself (DataLoader's protocol)."""
        return replace(self, images_rgb=self.images_rgb.pin_memory())

    def single(self, place: int) -> Batch:
        """A batch of one of the samples."""
        return Batch(self.images_rgb[place : place + 1], self.samples[place : place + 1])


class SampleSet(torch.utils.data.Dataset[list[Sample] | StreamdetError]):
    """Batches of samples by number: number b always is the same batch, whoever asks."""

    def __init__(
        self,
        images: Sequence[LabelledImage],
        repeats: Mapping[str, int],
        sizes: Sequence[tuple[int, int]],
        batch_size: int,
        rule: AugmentRule,
        seed: int,
        *,
        cache_bytes: int = 0,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        """`sizes`: (width, height) of each batch by number; `repeats`: how often a source's pictures come per epoch.

        `share`: this process's number and how many there are; each gets an equal part of every batch, so that all
        together see what one process alone would see.

        Raises DataError when there is no picture.
        """
        self.images = images
        self.order = [place for place, image in enumerate(images) for _ in range(repeats.get(image.source, 1))]
        if not self.order:
            raise DataError("there is no picture to train on; look into the training sets' labels")
        self.sizes = sizes
        self.batch_size = batch_size
        self.rule = rule
        self.seed = seed
        own, parts = share
        self.offsets = range(batch_size)[own * batch_size // parts : (own + 1) * batch_size // parts]
        self.cache = PictureCache(images, sizes, rule.scale[1], cache_bytes)
        self.place_of = {image.path: place for place, image in enumerate(images)}

    def __len__(self) -> int:
        return len(self.sizes)

    def read(self, image: LabelledImage) -> UInt8Array:
        """Pixels of a picture, as large as a sample may need them. Raises DataError when it can't be read."""
        return self.cache.read(self.place_of[image.path])

    def __getitem__(self, number: int) -> list[Sample] | StreamdetError:
        """This process's samples of batch `number`; an error is handed over, as raising it would mangle its message."""
        first = number * self.batch_size
        try:
            return [self._sample(first + offset, self.sizes[number]) for offset in self.offsets]
        except StreamdetError as error:
            return error

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


def batches(samples: SampleSet, first: int, workers: int, *, pin: bool = False) -> Generator[Batch, None, None]:
    """Batches from number `first` to the last, made ahead by `workers` processes (0: in this one).

    Raises DataError when a picture can't be read, StreamdetError when a worker was killed.
    """
    if workers:
        # OpenCV's threads don't survive a fork, and a worker that wanted to stop them would wait for ever: so here.
        cv2.setNumThreads(1)
    loader = torch.utils.data.DataLoader(
        samples,
        batch_size=None,
        sampler=range(first, len(samples)),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        collate_fn=_collate,
        pin_memory=pin,
        worker_init_fn=_begin_work,
        # Forked workers share the cache; other kinds would each get a copy of it.
        multiprocessing_context=multiprocessing.get_context("fork") if workers else None,
    )
    try:
        for made in loader:
            if isinstance(made, DataError):
                raise DataError(f"{made}; `streamdet data check` names all such pictures at once") from made
            if isinstance(made, StreamdetError):
                raise made
            yield made
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise StreamdetError(
            "a process that prepares samples was killed, most likely for want of memory; take fewer --workers, or "
            "--cache off"
        ) from error


def _collate(samples: list[Sample] | StreamdetError) -> Batch | StreamdetError:
    if isinstance(samples, StreamdetError):
        return samples
    pixels = torch.from_numpy(np.stack([sample.image_rgb for sample in samples]))
    nothing = np.zeros((0, 0, 3), np.uint8)
    return Batch(pixels, tuple(replace(sample, image_rgb=nothing) for sample in samples))


def _begin_work(_: int) -> None:
    # A terminal's Ctrl-C reaches workers too, but the training process still needs them to finish its step. They end
    # when it tells them to, or when it is gone.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
