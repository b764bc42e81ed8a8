"""Blur kernels, filtering with them, and looking up pixels at other places; all on `(3, T, H, W)` clips."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def gaussian_kernel(sigma: float, truncate: float = 4.0) -> Tensor:
    """`(1, n)` weights of sum 1, out to `truncate` standard deviations; one weight where `sigma` is 0."""
    reach = round(truncate * sigma)
    if sigma <= 0 or reach == 0:
        return torch.ones(1, 1)
    steps = torch.arange(-reach, reach + 1, dtype=torch.float32)
    weights = torch.exp(-0.5 * (steps / sigma) ** 2)
    return (weights / weights.sum())[None]


def disk_kernel(radius: float) -> Tensor:
    """`(n, n)` weights of sum 1 on a disk; pixels at its edge count in part."""
    reach = math.ceil(radius)
    steps = torch.arange(-reach, reach + 1, dtype=torch.float32)
    distance = torch.hypot(steps[:, None], steps[None])
    weights = (radius + 0.5 - distance).clamp(0, 1)
    return weights / weights.sum()


def line_kernel(length: float, degrees: float, sigma: float | None = None) -> Tensor:
    """`(n, n)` weights of sum 1 on a line through the middle, 1 pixel wide.

    Args:
        length: Of the line, in pixels.
        degrees: 0 is upright, positive leans to the left at the top.
        sigma: None: even weights, the middle of the line in the middle of the kernel. Else the line begins there
            and its weights fall off as a Gaussian.
    """
    reach = max(1, math.ceil(length if sigma is not None else length / 2))
    steps = torch.arange(-reach, reach + 1, dtype=torch.float32)
    down, across = steps[:, None], steps[None]
    angle = math.radians(degrees)
    along = down * math.cos(angle) + across * math.sin(angle)
    beside = across * math.cos(angle) - down * math.sin(angle)
    weights = (1 - beside.abs()).clamp(min=0)
    if sigma is None:
        weights = weights * (length / 2 + 0.5 - along.abs()).clamp(0, 1)
    else:
        weights = weights * torch.exp(-0.5 * (along / sigma) ** 2) * (along > -0.5) * (along <= length)
    return weights / weights.sum()


def filtered(images: Tensor, kernel: Tensor) -> Tensor:
    """`(..., H, W)` images, each convolved with the kernel; pixels of the edge go on beyond it."""
    tall, wide = kernel.shape
    high, across = images.shape[-2:]
    flat = images.reshape(1, -1, high, across)
    padded = functional.pad(flat, (wide // 2, (wide - 1) // 2, tall // 2, (tall - 1) // 2), mode="replicate")
    turned = kernel.flip(0, 1)
    taps = turned.nonzero().tolist()
    if len(taps) * 8 > turned.numel():
        # one group for each image: a single channel in and out takes a path ten times slower
        count = flat.shape[1]
        return functional.conv2d(padded, turned.expand(count, 1, tall, wide), groups=count).reshape(images.shape)
    total = torch.zeros_like(flat)
    for down, right in taps:
        total.add_(padded[..., down : down + high, right : right + across], alpha=float(turned[down, right]))
    return total.reshape(images.shape)


def gaussian(images: Tensor, sigma: float) -> Tensor:
    """`(..., H, W)` images under a Gaussian of `sigma` pixels."""
    kernel = gaussian_kernel(sigma)
    return filtered(filtered(images, kernel), kernel.T)


def looked_up(clip: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The clip whose pixel (i, j) is what stands at `(x[i, j], y[i, j])`, bilinear, mirrored at the edges.

    Args:
        clip: `(3, T, H, W)`.
        x: `(H, W)` pixels from the middle of the leftmost column.
        y: `(H, W)` pixels from the middle of the top row.
    """
    height, width = clip.shape[-2:]
    grid = torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1), dim=-1)
    flat = clip.reshape(1, -1, height, width)
    found = functional.grid_sample(flat, grid[None], mode="bilinear", padding_mode="reflection", align_corners=False)
    return found.reshape(clip.shape)


def resized(images: Tensor, height: int, width: int, mode: str = "bilinear") -> Tensor:
    """`(..., H, W)` images of another size; bilinear with antialiasing, or "nearest-exact"."""
    flat = images.reshape(1, -1, *images.shape[-2:])
    smooth = mode == "bilinear"
    found = functional.interpolate(
        flat, size=(height, width), mode=mode, align_corners=False if smooth else None, antialias=smooth
    )
    return found.reshape(*images.shape[:-2], height, width)
