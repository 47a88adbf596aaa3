"""Folding batch norm into convolutions: the same outputs from fewer operations, for running and for training."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.ops import FrozenBatchNorm2d


def fold_batch_norm(module: nn.Module) -> None:
    """Fold each batch norm into the convolution that stands before it, in place; outputs stay the same.

    The norm's place is taken by an identity. Works in float32; fold before converting to half precision.
    """
    previous: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d | FrozenBatchNorm2d) and previous is not None:
            conv_name, conv = previous
            assert isinstance(conv, nn.Conv2d)
            setattr(module, conv_name, _fused(conv, child))
            setattr(module, name, nn.Identity())
        else:
            fold_batch_norm(child)
        previous = (name, child) if isinstance(child, nn.Conv2d) else None


def _fused(conv: nn.Conv2d, norm: nn.BatchNorm2d | FrozenBatchNorm2d) -> nn.Conv2d:
    if isinstance(norm, FrozenBatchNorm2d):
        live = nn.BatchNorm2d(conv.out_channels, eps=norm.eps)
        live.load_state_dict(norm.state_dict(), strict=False)
        norm = live
    fused = fuse_conv_bn_eval(conv.eval(), norm.eval())
    assert fused.bias is not None
    fused.bias.requires_grad_(fused.weight.requires_grad)  # torch leaves a bias that it adds out of training
    return fused
