"""Which parts of a backbone learn."""

from __future__ import annotations

from torch import nn

from streamdet.detection.retinanet import RetinaNet


def freeze(network: RetinaNet, stages: int, *, on_cpu: bool = True) -> None:
    """Stop learning in the first `stages` stages of the backbone; the others learn.

    On a CPU depthwise convolutions of 5x5 don't learn either: the gradients of their few weights take more time than
    all others of the backbone together (EfficientNet-Lite2: 1.8 instead of 0.75 s for 16 pictures of 256x352).
    """
    for number, modules in enumerate(network.backbone.body.stages()):
        for module in modules:
            module.requires_grad_(number >= stages)
    if on_cpu:
        for module in network.backbone.body.modules():
            if isinstance(module, nn.Conv2d) and module.groups > 1 and module.kernel_size == (5, 5):
                module.requires_grad_(False)


def set_training(network: RetinaNet, stages: int) -> None:
    """Training mode, but for the first `stages` stages: their batch norm must not gather statistics either.

    Evaluation mode alone would leave a batch norm's scale and offset learning; `freeze` stops those.
    """
    network.train()
    for modules in network.backbone.body.stages()[:stages]:
        for module in modules:
            module.eval()
