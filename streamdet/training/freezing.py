"""Which parts of a backbone learn.

A backbone has five stages, named by what their output's stride is: 1 (stem, stride 2 or 4), 2 (C2, stride 4), 3 (C3),
4 (C4) and 5 (C5).
"""

from __future__ import annotations

from torch import nn

from streamdet.detection.retinanet import MobileNetBody, RetinaNet

MOBILENET_STAGE_ENDS = (2, 4, 7, 14, 18)
"""Blocks of MobileNetV2's features up to the end of each stage."""


def backbone_stages(network: RetinaNet) -> list[list[nn.Module]]:
    """The modules of the backbone's five stages."""
    body = network.backbone.body
    if isinstance(body, MobileNetBody):
        blocks = list(body.features)
        starts = (0, *MOBILENET_STAGE_ENDS[:-1])
        return [blocks[start:end] for start, end in zip(starts, MOBILENET_STAGE_ENDS, strict=True)]
    children = dict(body.named_children())
    stem = [children[name] for name in ("conv1", "bn1", "relu", "maxpool")]
    return [stem, *([children[f"layer{number}"]] for number in range(1, 5))]


def freeze(network: RetinaNet, stages: int) -> None:
    """Stop learning in the first `stages` stages; the others learn."""
    for number, modules in enumerate(backbone_stages(network)):
        for module in modules:
            module.requires_grad_(number >= stages)


def set_training(network: RetinaNet, stages: int) -> None:
    """Training mode, but for the first `stages` stages: their batch norm must not gather statistics either.

    Evaluation mode alone would leave a batch norm's scale and offset learning; `freeze` stops those.
    """
    network.train()
    for modules in backbone_stages(network)[:stages]:
        for module in modules:
            module.eval()
