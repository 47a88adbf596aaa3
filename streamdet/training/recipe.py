"""What to train with when the user doesn't say: from the number of pictures, and from what the run starts.

| starts from          | pictures | frozen stages | samples                   | batch | AdamW rate | SGD rate |
|----------------------|----------|---------------|---------------------------|-------|------------|----------|
| a trained detector   | < 20     | 5             | 400 sqrt(pictures)        | 8     | 3e-4       | 2.5e-3   |
|                      | < 100    | 4             | "                         | 8     | 3e-4       | 2.5e-3   |
|                      | < 1,000  | 3             | "                         | 8     | 3e-4       | 2.5e-3   |
|                      | more     | 2             | " (most: 40,000)          | 16    | 6e-4       | 1e-2     |
| an ImageNet backbone | < 100    | 4             | 1,500 sqrt(pictures)      | 16    | 8e-4       | 1e-2     |
|                      | < 1,000  | 3             | "                         | 16    | 8e-4       | 1e-2     |
|                      | more     | 2             | " (8,000 to 28,000)       | 16    | 8e-4       | 1e-2     |
| nothing              | any      | 0             | 28,000                    | 16    | 8e-4       | 1e-2     |

Why:
- Few pictures can't teach edges and textures anew, they can only spoil them: the fewer, the more of the backbone stays
  (torchvision and Detectron2 freeze two stages on COCO's 118,000 pictures; keras-retinanet's advice for small data is
  to freeze all of it). Frozen stages also need no backward pass.
- A detector has learned its heads: a half or a quarter of the rate, so that it doesn't forget (MMDetection: "smaller
  learning rate and fewer epochs"; retinanet-examples: a twentieth).
- Small steps are many steps: 50 pictures give 2,800 samples, 350 steps of 8, some six minutes on two CPU cores.
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

from streamdet.detection.resize import PAD_MULTIPLE, InputRule
from streamdet.training.dataset import LabelledImage

Start = Literal["detector", "backbone", "nothing"]
MANY_PICTURES = 10_000
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


def recipe_for(pictures: int, start: Start, optimizer: str, *, on_gpu: bool = False) -> Recipe:
    """The row of the table above. `pictures`: how many different ones there are to train on."""
    many = pictures >= 1000
    sgd = optimizer == "sgd"
    if start == "detector":
        samples = _rounded(400 * math.sqrt(pictures), 800, 40_000)
        rate = (1e-2 if sgd else 6e-4) if many else (2.5e-3 if sgd else 3e-4)
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
    )


def _frozen_stages(pictures: int, start: Start) -> int:
    if start == "nothing":
        return 0
    if pictures < 20 and start == "detector":
        return 5
    return 4 if pictures < 100 else 3 if pictures < 1000 else 2


def _rounded(samples: float, least: int, most: int) -> int:
    return min(max(round(samples / 100) * 100, least), most)


def training_sizes(images: Sequence[LabelledImage], input_rule: InputRule) -> tuple[tuple[float, int, int], ...]:
    """Input sizes for a run: what the finished model will scale the middle picture to, and four fifths of it before.

    See `TrainOptions.sizes`. The middle picture has the median aspect.
    """
    aspect = median(image.width / image.height for image in images)
    fitting = input_rule.fit(round(1000 * aspect), 1000)
    small, full = (
        [
            max(PAD_MULTIPLE, round(side * factor / PAD_MULTIPLE) * PAD_MULTIPLE)
            for side in (fitting.width, fitting.height)
        ]
        for factor in (0.8, 1.0)
    )
    if small == full:
        return ((1.0, full[0], full[1]),)
    return ((SMALL_FIRST, small[0], small[1]), (1.0, full[0], full[1]))
