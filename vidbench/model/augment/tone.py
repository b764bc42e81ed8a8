"""Tones and fineness of clips: channels, contrast, brightness, saturation, JPEG, large pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from vidbench.model.augment.draws import whole
from vidbench.model.augment.kernels import resized
from vidbench.model.augment.operations import Brightness, ChannelShuffle, Compress, Contrast, Pixelate, Saturate
from vidbench.model.defence.by_bytes import by_bytes
from vidbench.video.recompress import through_jpeg

_CONTRAST = (0.4, 0.3, 0.2, 0.1, 0.05)
_BRIGHTNESS = (0.1, 0.2, 0.3, 0.4, 0.5)
# factor and addend of the saturation
_SATURATION = ((0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (20.0, 0.2))
_QUALITY = (25, 18, 15, 10, 7)
_SIZE = (0.6, 0.5, 0.4, 0.3, 0.25)


def channel_shuffle(clip: Tensor, given: ChannelShuffle, generator: torch.Generator) -> Tensor:
    """One of the six orders, the present one among them."""
    return clip[torch.randperm(3, generator=generator)]


def contrast(clip: Tensor, given: Contrast, generator: torch.Generator) -> Tensor:
    """Closer to the mean of each channel of each frame."""
    factor = _CONTRAST[whole(generator, *given.severity) - 1]
    mean = clip.mean(dim=(2, 3), keepdim=True)
    return ((clip - mean) * factor + mean).clamp_(0, 1)


def brightness(clip: Tensor, given: Brightness, generator: torch.Generator) -> Tensor:
    """A larger value of HSV at the same hue and saturation; black becomes grey."""
    more = _BRIGHTNESS[whole(generator, *given.severity) - 1]
    value = clip.amax(0, keepdim=True)
    wanted = (value + more).clamp(max=1)
    black = value == 0
    return torch.where(black, wanted, clip * (wanted / value.where(~black, 1))).clamp_(0, 1)


def saturate(clip: Tensor, given: Saturate, generator: torch.Generator) -> Tensor:
    """Another saturation of HSV at the same hue and value; grey, which has no hue, stays grey."""
    factor, addend = _SATURATION[whole(generator, *given.severity) - 1]
    value = clip.amax(0, keepdim=True)
    span = value - clip.amin(0, keepdim=True)
    before = span / value.clamp(min=1e-6)
    after = (before * factor + addend).clamp(0, 1)
    ratio = torch.where(span > 0, after / before.clamp(min=1e-6), 0.0)
    return (value - (value - clip) * ratio).clamp_(0, 1)


def compress(clip: Tensor, given: Compress, generator: torch.Generator) -> Tensor:
    """JPEG, 4:2:0, frame by frame; values are rounded to 256 levels before."""
    quality = _QUALITY[whole(generator, *given.severity) - 1]
    return by_bytes(clip[None], lambda frames: through_jpeg(frames, quality))[0]


def pixelate(clip: Tensor, given: Pixelate, generator: torch.Generator) -> Tensor:
    """Smaller, and back to the same size by the nearest pixel."""
    scale = _SIZE[whole(generator, *given.severity) - 1]
    height, width = clip.shape[2:]
    small = resized(clip, max(1, int(height * scale)), max(1, int(width * scale)))
    return resized(small, height, width, "nearest-exact").clamp_(0, 1)
