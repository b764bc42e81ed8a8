"""The fast memory layout: the same network, arranged for speed.

Channels-last memory, batch normalisation folded into the convolutions of videos and of images, SiLU in
place of pytorchvideo's scripted Swish, and a depthwise convolution whose input gradient is computed as a
convolution: oneDNN has no fast kernel for the depthwise gradient in three dimensions, while its
forward kernel is 15 times faster. The result is the same function up to the order of float32 sums.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

M = TypeVar("M", bound=nn.Module)
Triple = tuple[int, int, int]


def fast_layout(classifier: M) -> M:
    """A frozen copy for inference and for gradients with respect to clips; `classifier` stays as it is.

    Logits agree with the original's to about 1e-6 of their size. Parameters want no gradient.
    """
    fast = copy.deepcopy(classifier).eval().requires_grad_(False)
    for module in list(fast.modules()):
        _fold_batch_norms(module)
        _fold_image_norms(module)
    _replace(fast)
    return channels_last(fast)


def training_layout(classifier: M) -> M:
    """The same network, in place, with channels-last memory and fast depthwise gradients; names are kept."""
    for name, child in list(classifier.named_modules()):
        if isinstance(child, nn.Conv3d) and _is_depthwise(child):
            parent = classifier.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2], DepthwiseConv3d.of(child))
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
    for name, child in list(module.named_children()):
        if type(child).__name__ == "Swish":
            setattr(module, name, _Silu())
        elif isinstance(child, nn.ReLU):
            # what goes in is a convolution's or a sum's output, which no gradient needs
            setattr(module, name, nn.ReLU(inplace=True))
        elif isinstance(child, nn.Conv3d) and _is_depthwise(child):
            setattr(module, name, DepthwiseConv3d.of(child))
        else:
            _replace(child)


class _Silu(nn.Module):
    """SiLU that overwrites its input when no gradient will ask for it."""

    def forward(self, values: Tensor) -> Tensor:
        return functional.silu(values, inplace=not torch.is_grad_enabled())


def _is_depthwise(conv: nn.Conv3d) -> bool:
    return (
        conv.groups == conv.in_channels == conv.out_channels
        and conv.groups > 1
        and conv.dilation == (1, 1, 1)
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
    )


class DepthwiseConv3d(nn.Conv3d):
    """A depthwise `Conv3d` whose gradient with respect to its input is itself a convolution."""

    @classmethod
    def of(cls, conv: nn.Conv3d) -> DepthwiseConv3d:
        """The same convolution, sharing its parameters."""
        new = copy.copy(conv)
        new.__class__ = cls
        return new  # type: ignore[return-value]

    def forward(self, images: Tensor) -> Tensor:
        """As `Conv3d`."""
        if torch.is_grad_enabled() and images.requires_grad and images.device.type == "cpu":
            result: Tensor = _Depthwise.apply(images, self.weight, self.bias, self.stride, self.padding)
            return result
        return super().forward(images)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weight: Tensor, bias: Tensor | None, stride: Triple, padding: Triple
    ) -> Tensor:
        ctx.save_for_backward(images if weight.requires_grad else None, weight)
        ctx.shape, ctx.stride, ctx.padding, ctx.with_bias = images.shape, stride, padding, bias is not None
        return functional.conv3d(images, weight, bias, stride, padding, 1, len(weight))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, weight = ctx.saved_tensors
        # under autocast the gradient comes in the low precision, and the weight is float32 still
        weight = weight.to(gradient.dtype)
        wanted: Callable[[int], bool] = lambda index: ctx.needs_input_grad[index]  # noqa: E731
        to_images = _input_gradient(gradient, weight, ctx.shape, ctx.stride, ctx.padding) if wanted(0) else None
        to_weight = None
        if wanted(1):
            _, to_weight, _ = torch.ops.aten.convolution_backward(
                gradient, images.to(gradient.dtype), weight, None, ctx.stride, ctx.padding, (1, 1, 1), False,
                (0, 0, 0), len(weight), (False, True, False),
            )  # fmt: skip
        to_bias = gradient.sum((0, 2, 3, 4)) if ctx.with_bias and wanted(2) else None
        return to_images, to_weight, to_bias, None, None


def _input_gradient(gradient: Tensor, weight: Tensor, shape: torch.Size, stride: Triple, padding: Triple) -> Tensor:
    """Gradient of a depthwise convolution with respect to its `(N, C, T, H, W)` input.

    For stride 1 it is the correlation of the output's gradient with the reversed kernel. With a
    stride the input splits into phases, one for each remainder of the coordinates; each phase is
    reached by its own part of the kernel, so no product with an inserted zero is computed.
    """
    if stride == (1, 1, 1):
        whole: Tensor = _phase(gradient, weight, tuple(shape[2:]), (1, 1, 1), padding, (0, 0, 0))
        return whole
    result = torch.zeros(shape, dtype=gradient.dtype, device=gradient.device).contiguous(
        memory_format=torch.channels_last_3d
    )
    for t in range(min(stride[0], shape[2])):
        for y in range(min(stride[1], shape[3])):
            for x in range(min(stride[2], shape[4])):
                phase = (t, y, x)
                sizes = tuple(-(-(size - at) // step) for size, at, step in zip(shape[2:], phase, stride, strict=True))
                part = _phase(gradient, weight, sizes, stride, padding, phase)
                if part is not None:
                    result[:, :, t :: stride[0], y :: stride[1], x :: stride[2]] = part
    return result


def _phase(
    gradient: Tensor, weight: Tensor, sizes: tuple[int, ...], stride: Triple, padding: Triple, phase: Triple
) -> Any:
    kernel = weight
    pads: list[int] = []
    for axis in (2, 1, 0):
        offset = (phase[axis] + padding[axis]) % stride[axis]
        kernel = kernel[(slice(None),) * (2 + axis) + (slice(offset, None, stride[axis]),)]
        length = kernel.shape[2 + axis]
        if length == 0:
            return None
        ahead = (phase[axis] + padding[axis] - offset) // stride[axis]
        before = length - 1 - ahead
        after = sizes[axis] + ahead - gradient.shape[2 + axis]
        pads += [before, after]
    kernel = kernel.flip(2, 3, 4)
    if all(pads[i] == pads[i + 1] >= 0 for i in (0, 2, 4)):
        return functional.conv3d(gradient, kernel, None, 1, (pads[4], pads[2], pads[0]), 1, len(kernel))
    padded = functional.pad(gradient, pads).contiguous(memory_format=torch.channels_last_3d)
    return functional.conv3d(padded, kernel, None, 1, 0, 1, len(kernel))
