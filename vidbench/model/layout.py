"""The fast memory layout: the same network, arranged for speed.

Channels-last memory, batch normalisation folded into the convolutions of videos and of images, SiLU in
place of pytorchvideo's scripted Swish, and depthwise and pointwise convolutions as CPUs are fast at them
(`image_convs`). The result is the same function up to the order of float32 sums.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vidbench.model.image_convs import as_image_convs

M = TypeVar("M", bound=nn.Module)


def fast_layout(classifier: M) -> M:
    """A frozen copy for inference and for gradients with respect to clips; `classifier` stays as it is.

    Logits agree with the original's to about 1e-6 of their size. Parameters want no gradient.
    """
    fast = copy.deepcopy(classifier).eval().requires_grad_(False)
    for module in list(fast.modules()):
        _fold_batch_norms(module)
        _fold_image_norms(module)
    _replace(fast)
    as_image_convs(fast)
    return channels_last(fast)


def training_layout(classifier: M) -> M:
    """The same network, in place, with channels-last memory, fast convolutions and SiLU; names are kept."""
    for module in list(classifier.modules()):
        _replace_swish(module)
    as_image_convs(classifier)
    return channels_last(classifier)


def channels_last(module: M) -> M:
    """The module, in place, with the weights of its convolutions channels-last, those of images as of videos."""
    for part in module.modules():
        if isinstance(part, nn.Conv3d):
            part.to(memory_format=torch.channels_last_3d)
        elif isinstance(part, nn.Conv2d):
            part.to(memory_format=torch.channels_last)
    return module


# (convolution, its normalisation) as pytorchvideo names them in stems, residual blocks and heads
_PAIRS = (("conv_a", "norm_a"), ("conv_c", "norm_c"), ("branch1_conv", "branch1_norm"), ("pre_conv", "pre_norm"))


def _fold_batch_norms(module: nn.Module) -> None:
    for conv_name, norm_name in _PAIRS:
        conv, norm = getattr(module, conv_name, None), getattr(module, norm_name, None)
        if isinstance(conv, nn.Conv3d) and isinstance(norm, nn.BatchNorm3d):
            setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
            # blocks test their shortcut's normalisation for None, and call the others
            setattr(module, norm_name, None if norm_name in ("branch1_norm", "pre_norm") else nn.Identity())
    conv, norm = getattr(module, "conv_b", None), getattr(module, "norm_b", None)
    first = norm[0] if isinstance(norm, nn.Sequential) else norm
    if isinstance(conv, nn.Conv3d) and isinstance(first, nn.BatchNorm3d):
        module.conv_b = fuse_conv_bn_eval(conv, first)
        if isinstance(norm, nn.Sequential):
            norm[0] = nn.Identity()
        else:
            module.norm_b = nn.Identity()
    stem, after = getattr(module, "conv", None), getattr(module, "norm", None)
    last = getattr(stem, "conv_xy", None)
    # the stem's attributes are named the other way round: conv_xy is the temporal one, applied last
    if isinstance(last, nn.Conv3d) and isinstance(after, nn.BatchNorm3d) and not getattr(stem, "conv_xy_first", True):
        setattr(stem, "conv_xy", fuse_conv_bn_eval(last, after))  # noqa: B010
        setattr(module, "norm", None)  # noqa: B010


# likewise in timm's ResNets and EfficientNets, where it saves an eighth to a fifth of the time of a clip on a
# CPU; in its DenseNets, and in torchvision's networks of videos, it saves next to nothing
_IMAGE_PAIRS = {
    "ResNet": (("conv1", "bn1"),),
    "BasicBlock": (("conv1", "bn1"), ("conv2", "bn2")),
    "Bottleneck": (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3")),
    "EfficientNet": (("conv_stem", "bn1"), ("conv_head", "bn2")),
    "DepthwiseSeparableConv": (("conv_dw", "bn1"), ("conv_pw", "bn2")),
    "InvertedResidual": (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3")),
    # of a shortcut: the pair stands at its end, after a pooling or nothing
    "Sequential": (("0", "1"), ("1", "2")),
}


def _fold_image_norms(module: nn.Module) -> None:
    for conv_name, norm_name in _IMAGE_PAIRS.get(type(module).__name__, ()):
        conv, norm = getattr(module, conv_name, None), getattr(module, norm_name, None)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
            # timm's normalisations hold the activation that follows
            act = getattr(norm, "act", None)
            setattr(module, norm_name, act if isinstance(act, nn.Module) else nn.Identity())


def _replace(module: nn.Module) -> None:
    _replace_swish(module)
    for name, child in list(module.named_children()):
        if isinstance(child, nn.ReLU):
            # what goes in is a convolution's or a sum's output, which no gradient needs
            setattr(module, name, nn.ReLU(inplace=True))
        else:
            _replace(child)


def _replace_swish(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        if type(child).__name__ == "Swish":
            setattr(module, name, _Silu())


class _Silu(nn.Module):
    """SiLU that overwrites its input when no gradient will ask for it."""

    def forward(self, values: Tensor) -> Tensor:
        return functional.silu(values, inplace=not torch.is_grad_enabled())
