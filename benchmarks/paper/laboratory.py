"""One training run per configuration and seed, with everything else equal, and what came of it."""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ablations import Configuration
from report import POOLED

from streamdet.detection.anchors import AnchorRule
from streamdet.detection.checkpoint import ModelCard, load_model
from streamdet.detection.precision import Placement
from streamdet.detection.resize import InputRule
from streamdet.detection.retinanet import RetinaNetConfig
from streamdet.training.augment import AugmentRule
from streamdet.training.dataset import Dataset, LabelledImage
from streamdet.training.diagnosis import DivergedError
from streamdet.training.evaluate import evaluation_detector, find_objects, score
from streamdet.training.progress import Progress
from streamdet.training.schedule import TrainOptions
from streamdet.training.start import NONE, start_network
from streamdet.training.trainer import Trainer

LINE_EVERY_S = 30.0


@dataclass(frozen=True)
class Laboratory:
    """What all runs share."""

    out: Path
    pictures: list[LabelledImage]
    validation: list[Dataset]
    samples: int
    weights: str
    """For MobileNetV2: imagenet, none or a file."""
    resnet_weights: str
    placement: Placement

    def folder(self, configuration: Configuration, seed: int) -> Path:
        """Of a run."""
        return self.out / configuration.name / f"seed{seed}"

    def run(self, configuration: Configuration, seed: int) -> dict[str, Any]:
        """Train and evaluate. Raises ModelError when there are no weights for the backbone."""
        folder = self.folder(configuration, seed)
        trainer = self._trainer(configuration, seed, folder)
        if trainer.files.state.exists():
            trainer.resume()
        display = Display(f"{configuration.name} seed {seed}")
        result: dict[str, Any] = {"configuration": configuration.name, "seed": seed, "diverged": ""}
        try:
            trainer.run(display.show)
        except DivergedError as error:
            result["diverged"] = f"at step {trainer.step} of {trainer.steps}"
            print(f"  {error}", file=sys.stderr)
        else:
            result |= self._evaluate(folder / "last.safetensors")
        return result | {"training_images_per_s": display.images_per_s}

    def _trainer(self, configuration: Configuration, seed: int, folder: Path) -> Trainer:
        classes, unprotected = self.validation[0].class_names, configuration.unprotected
        weights = self.weights if configuration.backbone == "mobilenet_v2" else self.resnet_weights
        network, config = start_network(
            RetinaNetConfig(
                num_classes=len(classes),
                backbone=configuration.backbone,
                anchors=AnchorRule(
                    base_sides=(20.0, 40.0, 80.0, 160.0, 320.0),
                    scales=tuple(2 ** (step / configuration.scales) for step in range(configuration.scales)),
                    ratios=configuration.ratios,
                ),
                channels=96,
                head_depth=2,
                head_norm="none" if unprotected else "group",
                prior=configuration.prior,
            ),
            weights,
            seed,
            # Fixed statistics of random weights don't train.
            batch_norm="live" if weights == NONE else "folded",
        )
        options = TrainOptions(
            images_seen=self.samples,
            batch_size=min(16, self.samples),
            learning_rate=0.01 if unprotected else 8e-4,
            optimizer="sgd" if unprotected else "adamw",
            weight_decay=1e-4 if unprotected else 0.05,
            clip_norm=None if unprotected else 5.0,
            warmup=0.05,
            average_decay=0.99,
            sizes=((1.0, configuration.width, configuration.height),),
            frozen_stages=0 if weights == NONE else 2,
            evaluate_every=self.samples,
            seed=seed,
            loss=configuration.loss,
            augment=AugmentRule(mosaic=0, scale=(0.6, 1.6)),
        )
        input_rule = InputRule(configuration.height, configuration.width)
        card = ModelCard(configuration.name, classes, config, input_rule, {"*": 0.4})
        # No validation on the way: the last weights are compared, so nothing is picked by the sets it is judged by.
        return Trainer(folder, card, network, self.pictures, [], options, self.placement)

    def _evaluate(self, path: Path) -> dict[str, Any]:
        """Scores per validation set and of all of them as one, and milliseconds per image."""
        detector = evaluation_detector(load_model(path), Placement(self.placement.device, torch.float32))
        found = [find_objects(detector, dataset.images, batch=1) for dataset in self.validation]
        scores = {
            dataset.name: score(dataset, each.detections).to_json()
            for dataset, each in zip(self.validation, found, strict=True)
        }
        images = tuple(image for dataset in self.validation for image in dataset.images)
        together = Dataset(POOLED, self.validation[0].class_names, images)
        scores[POOLED] = score(together, [one for each in found for one in each.detections]).to_json()
        milliseconds = [float(value) for each in found for value in each.milliseconds]
        return {"scores": scores, "ms_per_image": round(statistics.median(milliseconds), 2)}

    def about(self) -> str:
        """What the tables were made with, for their reader."""
        sets = ", ".join(f"{dataset.name} ({len(dataset.images)})" for dataset in self.validation)
        return (
            f"{self.samples:,} samples of {len(self.pictures):,} pictures per run (± is the standard deviation "
            f"over seeds), {self.placement.device.type}, {self.placement.precision}. AP, AP50 and AP75 in "
            f"percent, over all validation sets as one, for the order's sake; beside it AP50 of each: {sets}.\n\n"
            "MobileNetV2 with a pyramid and heads of 96 channels and two convolutions at 256 x 352, AdamW, GIoU, where "
            "a row doesn't say otherwise. The paper: ResNet-50 at 600 pixels, 90,000 steps of 16, COCO. A finding "
            "counts as shown where the difference of the means is more than two of its standard errors."
        )


class Display:
    """A line of progress now and then, and the median speed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._shown = time.monotonic()
        self._speeds: list[float] = []

    @property
    def images_per_s(self) -> float | None:
        """Median over the run."""
        return round(statistics.median(self._speeds), 2) if self._speeds else None

    def show(self, progress: Progress) -> None:
        """Take note; print a line if it is time."""
        self._speeds.append(progress.images_per_s)
        if time.monotonic() - self._shown >= LINE_EVERY_S or progress.step == progress.steps:
            self._shown = time.monotonic()
            print(
                f"  {self.name}: step {progress.step}/{progress.steps}, loss {progress.classification_loss:.3f} + "
                f"{progress.box_loss:.3f}, {progress.images_per_s:.1f} images/s {progress.note}",
                file=sys.stderr,
            )
