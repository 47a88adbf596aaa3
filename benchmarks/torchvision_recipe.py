"""Torchvision's own RetinaNet, trained as its reference scripts train it (references/detection of pytorch/vision).

From there: its network class with 256 channels and heads of four convolutions, anchors from 32 pixels on, frozen batch
norm; mirroring only; crowds dropped and pictures without boxes left out; batches grouped by aspect ratio; the rate down
to a tenth at 16/26 and a hundredth at 22/26 of the run, no clipping, no averaging. v1: SGD at 0.01 per 16 pictures,
L1 boxes, P6 from P5. v2: AdamW at 1e-4, GroupNorm in the heads, GIoU, P6 from C5.

In its favour: its warm-up of 1,000 steps, meant for runs of 90,000 and more, takes 5 % of a shorter one.
It knows no ignored regions and no classes that weren't labelled: it takes what is there for background.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.retinanet import RetinaNet, RetinaNetHead
from torchvision.ops import FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from streamdet.training.dataset import LabelledImage, read_rgb
from streamdet.types import Detections

BATCH = 16
WARMUP_STEPS, WARMUP_FACTOR = 1000, 1e-3
DROPS = (16 / 26, 22 / 26)
ASPECT_BOUNDS = 2 ** np.linspace(-1, 1, 7)
"""Of its option --aspect-ratio-group-factor 3."""
FROZEN_BLOCKS = 4
"""Of MobileNetV2: two of its five stages, as torchvision freezes two of ResNet's."""
SAVE_EVERY_STEPS = 25


def build(
    class_names: tuple[str, ...], weights: dict[str, Tensor] | None, size: tuple[int, int], version: str
) -> RetinaNet:
    """The network on a MobileNetV2 with these classifier's weights; `size`: short and long side of its input."""
    body = torchvision.models.mobilenet_v2(weights=None, norm_layer=FrozenBatchNorm2d if weights else None)
    if weights:
        body.load_state_dict({name: weights[name] for name in body.state_dict()})
        body.features[:FROZEN_BLOCKS].requires_grad_(False)
    new = version == "v2"
    # C3, C4 and C5 where ours are.
    backbone = BackboneWithFPN(
        body.features,
        {"6": "0", "13": "1", "17": "2"},
        [32, 96, 320],
        256,
        extra_blocks=LastLevelP6P7(320 if new else 256, 256),
    )
    anchors = AnchorGenerator(
        tuple((side, int(side * 2 ** (1 / 3)), int(side * 2 ** (2 / 3))) for side in (32, 64, 128, 256, 512)),
        ((0.5, 1.0, 2.0),) * 5,
    )
    classes = len(class_names) + 1  # "including the background"
    norm = partial(nn.GroupNorm, 32) if new else None
    head = RetinaNetHead(256, anchors.num_anchors_per_location()[0], classes, norm_layer=norm)
    if new:
        head.regression_head._loss_type = "giou"
    # Thresholds as in our evaluation.
    return RetinaNet(
        backbone,
        classes,
        min_size=size[0],
        max_size=size[1],
        anchor_generator=anchors,
        head=head,
        score_thresh=0.02,
        detections_per_img=100,
    )


class Reference:
    """The training script."""

    def __init__(
        self,
        network: RetinaNet,
        pictures: list[LabelledImage],
        steps: int,
        version: str,
        seed: int,
        device: torch.device,
    ) -> None:
        self.network = network.to(device).train()
        self.pictures = [picture for picture in pictures if len(picture.boxes_xyxy)]
        self.steps = steps
        self.seed = seed
        self.device = device
        self.step = 0
        learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
        if version == "v1":
            self.optimizer: torch.optim.Optimizer = torch.optim.SGD(learning, lr=0.01, momentum=0.9, weight_decay=1e-4)
        else:
            norms = {
                id(p) for module in network.modules() if isinstance(module, nn.GroupNorm) for p in module.parameters()
            }
            groups = [
                {"params": [p for p in learning if id(p) not in norms], "weight_decay": 0.05},
                {"params": [p for p in learning if id(p) in norms], "weight_decay": 0.0},
            ]
            self.optimizer = torch.optim.AdamW(groups, lr=1e-4)
        self.peak = self.optimizer.param_groups[0]["lr"]
        self._pixels: dict[Path, np.ndarray[Any, Any]] = {}

    def batches(self, first: int = 0) -> Iterator[list[LabelledImage]]:
        """The pictures of each step from number `first` on: shuffled per epoch, of similar aspect within a batch."""
        groups: dict[int, list[LabelledImage]] = {}
        number, epoch = 0, 0
        while True:
            for place in np.random.default_rng((self.seed, epoch)).permutation(len(self.pictures)):
                picture = self.pictures[place]
                group = groups.setdefault(int(np.digitize(picture.width / picture.height, ASPECT_BOUNDS)), [])
                group.append(picture)
                if len(group) == BATCH:
                    if number >= first:
                        yield list(group)
                    number += 1
                    group.clear()
            epoch += 1

    def load(self, pictures: list[LabelledImage]) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
        """What the network takes: pictures (3, H, W) in 0-1, half of them mirrored, and their boxes and labels."""
        rng = np.random.default_rng((self.seed, self.step, 1))
        images, targets = [], []
        for picture in pictures:
            if picture.path not in self._pixels:
                self._pixels[picture.path] = read_rgb(picture)
            image = torch.from_numpy(self._pixels[picture.path]).permute(2, 0, 1).float().div_(255)
            boxes = torch.from_numpy(picture.boxes_xyxy.copy())
            if rng.random() < 0.5:
                image = image.flip(-1)
                boxes[:, [0, 2]] = picture.width - boxes[:, [2, 0]]
            images.append(image.to(self.device))
            labels = torch.from_numpy(picture.class_ids) + 1
            targets.append({"boxes": boxes.to(self.device), "labels": labels.to(self.device)})
        return images, targets

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        warm = min(WARMUP_STEPS, max(1, self.steps // 20))
        factor = WARMUP_FACTOR + (1 - WARMUP_FACTOR) * min(1, step / warm)
        return self.peak * factor * 0.1 ** sum(step >= drop * self.steps for drop in DROPS)

    def learn(self, pictures: list[LabelledImage]) -> float:
        """One step; its loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(self.step)
        losses = self.network(*self.load(pictures))
        total = sum(losses.values())
        if not bool(torch.isfinite(total)):
            raise SystemExit(f"torchvision's training diverged at step {self.step}: {losses}")
        self.optimizer.zero_grad()
        total.backward()
        self.optimizer.step()
        self.step += 1
        return float(total.detach())

    def run(self, state: Path) -> Iterator[float]:
        """The loss of each step to the end; goes on from the file `state`, and keeps it up to date."""
        if state.exists():
            saved = torch.load(state, map_location=self.device, weights_only=True)
            self.network.load_state_dict(saved["network"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.step = saved["step"]
        for pictures in self.batches(self.step):
            if self.step >= self.steps:
                return
            yield self.learn(pictures)
            if self.step % SAVE_EVERY_STEPS == 0 or self.step == self.steps:
                aside = state.with_suffix(".part")
                own = {
                    "network": self.network.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "step": self.step,
                }
                torch.save(own, aside)
                aside.replace(state)


@torch.inference_mode()
def detect(
    network: RetinaNet, picture: LabelledImage, class_names: tuple[str, ...], device: torch.device
) -> Detections:
    """What the network finds in a picture."""
    image = torch.from_numpy(read_rgb(picture)).permute(2, 0, 1).float().div_(255)
    found = network.eval()([image.to(device)])[0]
    known = found["labels"] > 0
    order = found["scores"][known].argsort(descending=True)
    boxes, scores, labels = (found[name][known][order].cpu() for name in ("boxes", "scores", "labels"))
    return Detections(boxes.numpy(), scores.numpy(), labels.numpy() - 1, class_names)
