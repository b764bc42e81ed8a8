"""Convolutions of videos that are computed as convolutions of images: the same function, faster on CPUs.

Channels-last, the frames of a batch of videos lie in memory as a batch of images does, so that going from one to
the other copies nothing. oneDNN has a fast kernel for the gradients of a depthwise convolution in two dimensions,
and none in three; and torch refuses it pointwise convolutions of fewer than 16 videos in a process of one thread,
where it takes those of 16 images. Modules share the parameters, and their names, of what they stand for.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Triple = tuple[int, int, int]
FEW = 16
"""Images below which torch computes a pointwise convolution on its own, in a process of one thread."""


def as_image_convs(module: nn.Module) -> None:
    """Have the convolutions below a module, in place, computed as those of images where that is possible."""
    for name, child in list(module.named_children()):
        kind = _kind(child) if isinstance(child, nn.Conv3d) else None
        if isinstance(child, nn.Conv3d) and kind is not None:
            setattr(module, name, kind.of(child))
        else:
            as_image_convs(child)


def _kind(conv: nn.Conv3d) -> type[DepthwiseConv3d | PointwiseConv3d] | None:
    if conv.dilation != (1, 1, 1) or conv.padding_mode != "zeros" or isinstance(conv.padding, str):
        return None
    if conv.groups == 1:
        return PointwiseConv3d if conv.kernel_size == (1, 1, 1) and conv.padding == (0, 0, 0) else None
    return DepthwiseConv3d if conv.groups == conv.in_channels == conv.out_channels else None


class PointwiseConv3d(nn.Conv3d):
    """A `Conv3d` of kernel 1 without padding, computed on frames."""

    @classmethod
    def of(cls, conv: nn.Conv3d) -> PointwiseConv3d:
        """The same convolution, sharing its parameters."""
        new = copy.copy(conv)
        new.__class__ = cls
        return new  # type: ignore[return-value]

    def forward(self, videos: Tensor) -> Tensor:
        """As `Conv3d`."""
        if videos.device.type != "cpu" or videos.ndim != 5:
            return super().forward(videos)
        along, down, across = self.stride
        frames = _last(videos)[:, :, ::along].transpose(1, 2)
        images = frames.flatten(0, 1)
        if len(images) < FEW and torch.get_num_threads() == 1:
            # one matrix product
            rows = images[:, :, ::down, ::across].permute(0, 2, 3, 1)
            result = functional.linear(rows, self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)
        else:
            result = functional.conv2d(images, self.weight[:, :, 0], self.bias, (down, across))
        return result.view(*frames.shape[:2], *result.shape[1:]).transpose(1, 2)


def _last(videos: Tensor) -> Tensor:
    return videos.contiguous(memory_format=torch.channels_last_3d)


class DepthwiseConv3d(nn.Conv3d):
    """A depthwise `Conv3d` whose gradients are computed as a convolution and as gradients of images."""

    @classmethod
    def of(cls, conv: nn.Conv3d) -> DepthwiseConv3d:
        """The same convolution, sharing its parameters."""
        new = copy.copy(conv)
        new.__class__ = cls
        return new  # type: ignore[return-value]

    def forward(self, videos: Tensor) -> Tensor:
        """As `Conv3d`."""
        if videos.device.type != "cpu" or videos.ndim != 5:
            return super().forward(videos)
        if self.kernel_size[1:] == self.stride[1:] == (1, 1) and not any(self.padding[1:]):
            return _along_time(_last(videos), self.weight, self.bias, self.stride[0], int(self.padding[0]))
        if torch.is_grad_enabled() and (videos.requires_grad or self.weight.requires_grad):
            result: Tensor = _Depthwise.apply(videos, self.weight, self.bias, self.stride, self.padding)
            return result
        return super().forward(videos)


def _along_time(videos: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """A depthwise convolution of kernel `(t, 1, 1)`: that of images of times and places."""
    image = functional.conv2d(videos.flatten(3), weight[..., 0], bias, (stride, 1), (padding, 0), 1, len(weight))
    return image.view(*image.shape[:3], *videos.shape[3:])


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, videos: Tensor, weight: Tensor, bias: Tensor | None, stride: Triple, padding: Triple
    ) -> Tensor:
        ctx.save_for_backward(videos if weight.requires_grad else None, weight)
        ctx.shape, ctx.stride, ctx.padding, ctx.with_bias = videos.shape, stride, padding, bias is not None
        return functional.conv3d(videos, weight, bias, stride, padding, 1, len(weight))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        videos, weight = ctx.saved_tensors
        # under autocast the gradient comes in the low precision, and the weight is float32 still
        low = weight.to(gradient.dtype)
        gradient = _last(gradient)
        wanted: Callable[[int], bool] = lambda index: ctx.needs_input_grad[index]  # noqa: E731
        to_videos = _input_gradient(gradient, low, ctx.shape, ctx.stride, ctx.padding) if wanted(0) else None
        to_weight = None
        if wanted(1):
            to_weight = _weight_gradient(gradient, _last(videos.to(gradient.dtype)), weight, ctx.stride, ctx.padding)
        to_bias = gradient.sum((0, 2, 3, 4)) if ctx.with_bias and wanted(2) else None
        return to_videos, to_weight, to_bias, None, None


def _weight_gradient(gradient: Tensor, videos: Tensor, weight: Tensor, stride: Triple, padding: Triple) -> Tensor:
    """Gradient of a depthwise convolution with respect to its `(C, 1, t, h, w)` weight.

    Each time step of the kernel is a depthwise convolution of those frames that it meets; they are taken clip by
    clip, where they lie in memory one after the other.
    """
    result = torch.zeros_like(weight)
    times, length = videos.shape[2], gradient.shape[2]
    for at in range(weight.shape[2]):
        flat = weight[:, :, at].to(gradient.dtype)
        # what output o sees at this step is frame o * stride + shift
        shift = at - padding[0]
        first = max(0, -(shift // stride[0]))
        end = min(length, (times - 1 - shift) // stride[0] + 1)
        if first >= end:
            continue
        start = first * stride[0] + shift
        for clip, slope in zip(videos, gradient, strict=True):
            seen = clip[:, start : start + (end - first - 1) * stride[0] + 1 : stride[0]].transpose(0, 1)
            _, part, _ = torch.ops.aten.convolution_backward(
                slope[:, first:end].transpose(0, 1), seen, flat, None, stride[1:], padding[1:], (1, 1), False, (0, 0),
                len(flat), (False, True, False),
            )  # fmt: skip
            result[:, :, at] += part
    return result


def _input_gradient(gradient: Tensor, weight: Tensor, shape: torch.Size, stride: Triple, padding: Triple) -> Tensor:
    """Gradient of a depthwise convolution with respect to its `(N, C, T, H, W)` input.

    For stride 1 it is the correlation of the output's gradient with the reversed kernel. With a
    stride the input splits into phases, one for each remainder of the coordinates; each phase is
    reached by its own part of the kernel, so no product with an inserted zero is computed.
    """
    if stride == (1, 1, 1):
        whole: Tensor = _phase(gradient, weight, tuple(shape[2:]), (1, 1, 1), padding, (0, 0, 0))
        return whole
    result = torch.empty(shape, dtype=gradient.dtype, memory_format=torch.channels_last_3d)
    for t in range(min(stride[0], shape[2])):
        for y in range(min(stride[1], shape[3])):
            for x in range(min(stride[2], shape[4])):
                phase = (t, y, x)
                sizes = tuple(-(-(size - at) // step) for size, at, step in zip(shape[2:], phase, stride, strict=True))
                part = _phase(gradient, weight, sizes, stride, padding, phase)
                result[:, :, t :: stride[0], y :: stride[1], x :: stride[2]] = 0 if part is None else part
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
    if kernel.shape[3:] == (1, 1) and not any(pads[:4]) and pads[4] == pads[5] >= 0:
        return _along_time(gradient, kernel, None, 1, pads[4])
    if all(pads[i] == pads[i + 1] >= 0 for i in (0, 2, 4)):
        return functional.conv3d(gradient, kernel, None, 1, (pads[4], pads[2], pads[0]), 1, len(kernel))
    padded = functional.pad(gradient, pads).contiguous(memory_format=torch.channels_last_3d)
    return functional.conv3d(padded, kernel, None, 1, 0, 1, len(kernel))
