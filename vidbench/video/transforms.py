"""From decoded frames to clips in [0, 1]: scaling, cropping, flipping."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from vidbench.video.clip import Frames
from vidbench.video.sampling import Box, scaled_size


def scale(frames: Frames, short_side: int) -> Tensor:
    """Frames with their shorter side at `short_side`: `(n, 3, H, W)` float32 in [0, 1].

    Bilinear on the uint8 values, not rounded afterwards, half-pixel centres, no antialiasing: PySlowFast's
    `random_short_side_scale_jitter` (`torch.nn.functional.interpolate`, `align_corners=False`).
    """
    images = torch.from_numpy(frames.data).permute(0, 3, 1, 2).contiguous().float()
    height, width = images.shape[2:]
    wide, high = scaled_size(width, height, short_side)
    if (wide, high) != (width, height):
        images = functional.interpolate(images, size=(high, wide), mode="bilinear", align_corners=False)
    return images.div_(255.0)


def crop(images: Tensor, box: Box) -> Tensor:
    """The part `x0, y0, x1, y1` of `(..., H, W)` images, as a view."""
    left, top, right, bottom = box
    return images[..., top:bottom, left:right]


def clip_of(images: Tensor, places: list[int]) -> Tensor:
    """`(3, T, H, W)` from `(n, 3, H, W)` images: the clip whose frames are at `places`."""
    return images[places].transpose(0, 1)
