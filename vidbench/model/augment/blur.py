"""Blurs of clips: one kernel for all frames."""

from __future__ import annotations

import torch
from torch import Tensor

from vidbench.model.augment.draws import pixels, uniform, whole
from vidbench.model.augment.frames import mapped
from vidbench.model.augment.kernels import disk_kernel, filtered, gaussian, line_kernel
from vidbench.model.augment.operations import DefocusBlur, GaussianBlur, GlassBlur, MotionBlur, RingBlur, ZoomBlur

# by severity: sigma in pixels, reach in pixels, rounds
_GLASS = ((0.7, 1, 2), (0.9, 2, 1), (1.0, 2, 3), (1.1, 3, 2), (1.5, 4, 2))
# radius of the disk, sigma of the Gaussian after it; pixels
_DEFOCUS = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))
# length and sigma; pixels
_MOTION = ((20, 3), (30, 5), (30, 8), (30, 12), (40, 15))
# last enlargement and step
_ZOOM = ((1.10, 0.01), (1.15, 0.01), (1.20, 0.02), (1.24, 0.02), (1.30, 0.03))


def gaussian_blur(clip: Tensor, given: GaussianBlur, generator: torch.Generator) -> Tensor:
    """A Gaussian of a whole number of pixels."""
    return gaussian(clip, pixels(whole(generator, *given.radius), clip)).clamp_(0, 1)


def ring_blur(clip: Tensor, given: RingBlur, generator: torch.Generator) -> Tensor:
    """A 5 x 5 square without its inner 3 x 3; unlike Pillow's, two pixels at the edge are blurred, too."""
    kernel = torch.full((5, 5), 1 / 16)
    kernel[1:4, 1:4] = 0
    return filtered(clip, kernel).clamp_(0, 1)


def glass_blur(clip: Tensor, given: GlassBlur, generator: torch.Generator) -> Tensor:
    """Blur, then some rounds of taking each pixel from nearby, then blur.

    The original exchanges pixels one after the other; here a round looks all of them up at once, so that some appear
    twice and some not at all.
    """
    sigma, reach, rounds = _GLASS[whole(generator, *given.severity) - 1]
    sigma, reach = pixels(sigma, clip), max(1, round(pixels(reach, clip)))
    height, width = clip.shape[2:]
    down, across = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    changed = gaussian(clip, sigma)
    for _ in range(rounds):
        moves = torch.randint(-reach, reach + 1, (2, height, width), generator=generator)
        changed = changed[..., (down + moves[0]).clamp_(0, height - 1), (across + moves[1]).clamp_(0, width - 1)]
    return gaussian(changed, sigma).clamp_(0, 1)


def defocus_blur(clip: Tensor, given: DefocusBlur, generator: torch.Generator) -> Tensor:
    """A disk, its edge softened."""
    radius, sigma = _DEFOCUS[whole(generator, *given.severity) - 1]
    return gaussian(filtered(clip, disk_kernel(pixels(radius, clip))), pixels(sigma, clip)).clamp_(0, 1)


def motion_blur(clip: Tensor, given: MotionBlur, generator: torch.Generator) -> Tensor:
    """A trail that fades to one side."""
    length, sigma = _MOTION[whole(generator, *given.severity) - 1]
    degrees = 90 + uniform(generator, -45, 45)
    return filtered(clip, line_kernel(pixels(length, clip), degrees, pixels(sigma, clip))).clamp_(0, 1)


def zoom_blur(clip: Tensor, given: ZoomBlur, generator: torch.Generator) -> Tensor:
    """The mean of the clip and its enlargements about the middle, the first of them the clip itself."""
    last, step = _ZOOM[whole(generator, *given.severity) - 1]
    total, count = 2 * clip, round((last - 1) / step)
    for place in range(1, count + 1):
        total = total + mapped(clip, zoom=1 + place * step)
    return (total / (count + 2)).clamp_(0, 1)
