"""`postprocess` for a whole batch on a GPU, where it is waiting for the device that costs time, not arithmetic.

The host waits once per level, twice per batch and once per image (three times where boxes vote), however many
candidates there are; then all results come in one copy. Detections are the same as those of `postprocess`.

Shape legend: N images, L levels, R rows of a level, K classes, C candidates of a batch, D detections of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from streamdet.detection import boxes
from streamdet.detection.postprocess import (
    ImageDetections,
    PostprocessRule,
    kept,
    least_logit,
    scores_of,
    with_voters,
)
from streamdet.detection.retinanet import HeadOutputs

UNFIT = -1.0
"""In place of a score that doesn't count."""


def postprocess_batch(
    heads: HeadOutputs,
    anchors: tuple[Tensor, ...],
    height: int,
    width: int,
    rule: PostprocessRule,
    least: Tensor | None = None,
) -> list[ImageDetections]:
    """Detections of each image, on the device of the heads; arguments as those of `postprocess`."""
    images = heads.logits[0].shape[0]
    scores, groups, rows, class_ids = _candidates(heads, *with_voters(rule, least))
    best = _best(scores, groups, rule.top_k)
    scores, rows, class_ids = scores[best], rows[best], class_ids[best]
    image_of = groups[best].div(len(heads.logits), rounding_mode="floor")

    by_image = image_of.argsort(stable=True)  # best first within each image
    image_of, scores, rows, class_ids = image_of[by_image], scores[by_image], rows[by_image], class_ids[by_image]
    deltas = torch.cat(heads.deltas, dim=1)[image_of, rows]
    candidates = boxes.clip(boxes.decode(deltas, torch.cat(anchors)[rows]), height, width)

    bounds = torch.searchsorted(image_of, torch.arange(images + 1, device=image_of.device)).tolist()
    return [
        kept(candidates[begin:end], scores[begin:end], class_ids[begin:end], max(height, width), rule, least)
        for begin, end in pairwise(bounds)
    ]


def _candidates(
    heads: HeadOutputs, rule: PostprocessRule, least: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """All logits that may count: scores, groups (image * L + level), rows among all levels' and classes, each (C,).

    They come level by level, in a level image by image, in an image in the order of rows and classes. Scores that are
    too small after all are `UNFIT`: taking them out would mean to wait for their number.
    """
    levels, begin = len(heads.logits), 0
    parts = []
    for level, logits in enumerate(heads.logits):
        _, rows, classes = logits.shape
        flat = logits.flatten()
        places = (flat > least_logit(rule, flat.dtype)).nonzero().squeeze(1)
        scores, class_ids = scores_of(flat[places]), places % classes
        good = scores > rule.score_threshold
        if least is not None:
            good &= scores > least[class_ids]
        all_rows = places.div(classes, rounding_mode="floor")
        image = all_rows.div(rows, rounding_mode="floor")
        parts.append((scores.where(good, UNFIT), image * levels + level, all_rows - image * rows + begin, class_ids))
        begin += rows
    scores, groups, rows_of, class_ids = (torch.cat(part) for part in zip(*parts, strict=True))
    return scores, groups, rows_of, class_ids


def _best(scores: Tensor, groups: Tensor, k: int) -> Tensor:
    """Places of the best `k` scores of each group (all that count, where they are fewer), best first over all groups.

    Of equal scores the first ones come first.
    """
    order = scores.argsort(descending=True, stable=True)
    within = groups[order].argsort(stable=True)
    sorted_groups = groups[order][within]
    rank = torch.arange(len(scores), device=scores.device) - torch.searchsorted(sorted_groups, sorted_groups)
    among_best = torch.empty_like(rank, dtype=torch.bool)
    among_best[within] = rank < k
    return order[among_best & (scores[order] != UNFIT)]


def to_host(found: Sequence[ImageDetections]) -> list[ImageDetections]:
    """The same in the host's memory: on a GPU one copy for all images."""
    if not found or not found[0].boxes.is_cuda:
        return list(found)
    rows = packed(found)
    host = torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True)
    host.copy_(rows, non_blocking=True)
    torch.cuda.current_stream(rows.device).synchronize()
    return unpacked(host, [len(each.scores) for each in found])


def packed(found: Sequence[ImageDetections]) -> Tensor:
    """(D, 6) float32: box, score, class; float32 holds every class number below 2 ** 24."""
    columns = [(each.boxes, each.scores[:, None], each.class_ids[:, None].float()) for each in found]
    return torch.cat([torch.cat(each, dim=1) for each in columns])


def unpacked(rows: Tensor, counts: Sequence[int]) -> list[ImageDetections]:
    """What `packed` packed, of images with so many detections; copies, as `rows` may be memory that others wait for."""
    parts = torch.split(rows, list(counts))
    return [ImageDetections(part[:, :4].clone(), part[:, 4].clone(), part[:, 5].long()) for part in parts]
