"""What to train with when the user doesn't say: from the number of pictures, and from what the run starts.

| starts from          | pictures | frozen stages | samples              | batch | AdamW rate | SGD rate | crop | kept |
|----------------------|----------|---------------|----------------------|-------|------------|----------|------|------|
| a trained detector   | < 20     | 4             | 850 sqrt(pictures)   | 8     | 2e-3       | 5e-3     | 0.45 | 0.25 |
|                      | < 1,000  | 2             | "                    | 8     | 2e-3       | 5e-3     | 0.45 | 0.25 |
|                      | more     | 2             | " (most: 40,000)     | 16    | 6e-4       | 1e-2     | 1    | 0    |
| an ImageNet backbone | < 100    | 4             | 1,500 sqrt(pictures) | 16    | 8e-4       | 1e-2     | 1    | 0    |
|                      | < 1,000  | 3             | "                    | 16    | 8e-4       | 1e-2     | 1    | 0    |
|                      | more     | 2             | " (8,000 to 28,000)  | 16    | 8e-4       | 1e-2     | 1    | 0    |
| nothing              | any      | 0             | 28,000               | 16    | 8e-4       | 1e-2     | 1    | 0    |

`crop`: sides of a sample as a share of the finished model's input. `kept`: share of the start's weights in the result.

Why:
- Few pictures can't teach edges and textures anew, they can only spoil them: the fewer, the more of the backbone stays
  (torchvision and Detectron2 freeze two stages on COCO's 118,000 pictures; keras-retinanet's advice for small data is
  to freeze all of it). Frozen stages also need no backward pass.
- Who labels a few frames wants that camera: more steps at a higher rate, with more of the backbone, and for small
  objects an input as large as the frames. What the model knew besides is forgotten faster, and the mean of the weights
  with a quarter of the start's brings most of it back, nearly for nothing: docs/decisions_street.md.
- Crops of about half the input's sides, at the scale that the finished model will see, give five times the steps in
  the same time, and no sample comes twice. Small steps are many steps: 50 pictures give 750 of 8. Half the crops are
  aimed at an object of a class drawn evenly: one cut anywhere seldom holds a bus where there are three of them.
- Fewer epochs of more pictures: the square root lies between a fixed number of samples and a fixed number of epochs.
- Batch norm is folded: batches of 8 or 16 of one camera's frames have no statistics worth learning, and folded it costs
  nothing. With 10,000 pictures or more and an ImageNet backbone on GPUs it is live, as in torchvision's second recipe.
  Random weights need it live: frozen statistics of nothing don't train.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

import numpy as np

from streamdet.detection.resize import PAD_MULTIPLE, InputRule
from streamdet.training.dataset import LabelledImage

Start = Literal["detector", "backbone", "nothing"]
MANY_PICTURES = 10_000
FEW_PICTURES = 1000
CROP = 0.45
"""Of few pictures: a fifth of the cost, so five times the steps, and never twice the same sample."""
MOST_OF_CROP, WHOLE_SHARE = 0.6, 0.9
"""Samples are crops where this share of the objects takes less than this much of a crop's sides."""
SCALE = (0.6, 1.6)
"""Range of the scale jitter, relative to how the finished model will see a picture."""
CROP_SCALE = (0.49, 0.97)
"""The same for crops: what a model learned from crops it finds best when seen somewhat larger."""
AIMED = 0.5
"""Share of the crops that hold a whole object of a class drawn evenly, so that rare ones are seen."""
START_SHARE = 0.25
"""Of a detector that few pictures teach: it keeps most of what it knew."""
SMALL_FIRST = 0.65
"""Share of the run at four fifths of the size: half the cost, and it sees the objects at another scale."""


@dataclass(frozen=True)
class Recipe:
    """Defaults for one run."""

    images_seen: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup: float
    frozen_stages: int
    batch_norm: str
    crop: float = 1.0
    """Sides of a training sample as a share of the finished model's input, where the objects are small (`crop_for`)."""
    start_share: float = 0.0
    """Share of the start's weights in the result; only where it knows all classes: rows that begin anew would lose."""


def recipe_for(pictures: int, start: Start, optimizer: str, *, on_gpu: bool = False) -> Recipe:
    """The row of the table above. `pictures`: how many different ones there are to train on."""
    many = pictures >= FEW_PICTURES
    sgd = optimizer == "sgd"
    if start == "detector":
        samples = _rounded(850 * math.sqrt(pictures), 800, 40_000)
        rate = (1e-2 if sgd else 6e-4) if many else (5e-3 if sgd else 2e-3)
    else:
        samples = _rounded(1500 * math.sqrt(pictures), 8_000, 28_000) if start == "backbone" else 28_000
        rate = 1e-2 if sgd else 8e-4
    live = start == "nothing" or (start == "backbone" and on_gpu and pictures >= MANY_PICTURES)
    return Recipe(
        images_seen=samples,
        batch_size=16 if many or start != "detector" else 8,
        learning_rate=rate,
        weight_decay=1e-4 if sgd else 0.05,
        warmup=0.03 if samples >= 10_000 else 0.1,
        frozen_stages=_frozen_stages(pictures, start),
        batch_norm="live" if live else "folded",
        crop=CROP if start == "detector" and not many else 1.0,
        start_share=START_SHARE if start == "detector" and not many else 0.0,
    )


def _frozen_stages(pictures: int, start: Start) -> int:
    if start == "nothing":
        return 0
    if start == "detector":
        return 4 if pictures < 20 else 2
    return 4 if pictures < 100 else 3 if pictures < 1000 else 2


def _rounded(samples: float, least: int, most: int) -> int:
    return min(max(round(samples / 100) * 100, least), most)


def crop_for(images: Sequence[LabelledImage], input_rule: InputRule, crop: float) -> float:
    """`crop`, or 1 where so small a part of a picture would cut too many objects to pieces."""
    fits = [
        np.all(sides * [fitting.width / image.width, fitting.height / image.height] < shares, axis=1)
        for image in images
        for fitting in [input_rule.fit(image.width, image.height)]
        for sides in [image.boxes_xyxy[:, 2:] - image.boxes_xyxy[:, :2]]
        for shares in [np.array([fitting.width, fitting.height]) * crop * MOST_OF_CROP]
    ]
    return crop if fits and np.mean(np.concatenate(fits)) >= WHOLE_SHARE else 1.0


def scale_for(crop: float) -> tuple[float, float]:
    """Range of the scale jitter, relative to a picture that fits into the sample."""
    low, high = SCALE if crop == 1 else CROP_SCALE
    return round(low / crop, 2), round(high / crop, 2)


def aimed_for(crop: float) -> float:
    """Share of samples aimed at an object: whole pictures hold all of theirs anyway."""
    return 0.0 if crop == 1 else AIMED


def training_sizes(
    images: Sequence[LabelledImage], input_rule: InputRule, crop: float = 1.0
) -> tuple[tuple[float, int, int], ...]:
    """Sizes of a run's samples: what the finished model will scale the middle picture to, and four fifths of it before.

    With `crop` below 1 that share of it throughout. See `TrainOptions.sizes`. The middle picture has the median aspect.
    """
    aspect = median(image.width / image.height for image in images)
    fitting = input_rule.fit(round(1000 * aspect), 1000)
    small, full = (
        [
            max(PAD_MULTIPLE, round(side * factor / PAD_MULTIPLE) * PAD_MULTIPLE)
            for side in (fitting.width, fitting.height)
        ]
        for factor in ((crop, crop) if crop < 1 else (0.8, 1.0))
    )
    if small == full:
        return ((1.0, full[0], full[1]),)
    return ((SMALL_FIRST, small[0], small[1]), (1.0, full[0], full[1]))
