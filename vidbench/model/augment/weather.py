"""Weather before the lens: one pattern for all frames, drawn at 224 pixels and scaled to the clip's size."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from vidbench.model.augment.draws import BASE_SIDE, field, normal, uniform, whole
from vidbench.model.augment.kernels import filtered, gaussian, line_kernel, resized
from vidbench.model.augment.operations import Fog, Frost, Rain, Snow, Spatter

# by severity: strength, and how fast finer clouds are fainter
_FOG = ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4))
# share of the clip, share of the ice
_FROST = ((1.0, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))
_ICE = (0.84, 0.93, 1.0)
# mean, std, enlargement, threshold, length and sigma of the trail in pixels, share of the clip
_SNOW = (
    (0.1, 0.3, 3.0, 0.5, 10, 4, 0.8),
    (0.2, 0.3, 2.0, 0.5, 12, 4, 0.7),
    (0.55, 0.3, 4.0, 0.9, 12, 8, 0.7),
    (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
    (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
)
# mean, std, sigma in pixels, threshold, strength (water) or sigma of the edges (mud), mud
_SPATTER = (
    (0.65, 0.3, 4.0, 0.69, 0.6, False),
    (0.65, 0.3, 3.0, 0.68, 0.6, False),
    (0.65, 0.3, 2.0, 0.68, 0.5, False),
    (0.65, 0.3, 1.0, 0.65, 1.5, True),
    (0.67, 0.4, 1.0, 0.65, 1.5, True),
)
_WATER = (175 / 255, 238 / 255, 238 / 255)
_MUD = (63 / 255, 42 / 255, 20 / 255)


def rain(clip: Tensor, given: Rain, generator: torch.Generator) -> Tensor:
    """Random points drawn out to streaks, laid over the clip."""
    share = uniform(generator, *given.drops)
    degrees = uniform(generator, -given.degrees, given.degrees)
    beta = uniform(generator, *given.beta)
    points = (field(generator, *_base_size(clip)) > 1 - share).float()
    streaks = filtered(points, line_kernel(given.length, degrees))
    streaks = _fitted(streaks / streaks.amax().clamp(min=1e-6), clip)
    return (clip * (1 - streaks) + beta * streaks).clamp_(0, 1)


def fog(clip: Tensor, given: Fog, generator: torch.Generator) -> Tensor:
    """Clouds added, then all of it darkened so that the brightest value of the clip stays what it was."""
    strength, decay = _FOG[whole(generator, *given.severity) - 1]
    brightest = clip.max()
    clouds = _fitted(_clouds(_base_size(clip), decay, generator), clip)
    return ((clip + strength * clouds) * (brightest / (brightest + strength))).clamp_(0, 1)


def frost(clip: Tensor, given: Frost, generator: torch.Generator) -> Tensor:
    """Ridges between clouds, in a bluish white, added to a darker clip."""
    kept, share = _FROST[whole(generator, *given.severity) - 1]
    size = _base_size(clip)
    ridges = (1 - (2 * _clouds(size, 1.7, generator) - 1).abs()) ** 4
    cover = _clouds(size, 2.5, generator)
    ice = _fitted(0.25 * cover + 0.75 * ridges * cover.sqrt(), clip) * torch.tensor(_ICE).view(3, 1, 1, 1)
    return (kept * clip + share * ice).clamp_(0, 1)


def snow(clip: Tensor, given: Snow, generator: torch.Generator) -> Tensor:
    """A paler clip under flakes with trails, and under the same flakes turned by 180 degrees."""
    mean, std, zoom, threshold, length, sigma, kept = _SNOW[whole(generator, *given.severity) - 1]
    high, wide = _base_size(clip)
    flakes = mean + std * normal(generator, math.ceil(high / zoom), math.ceil(wide / zoom))
    flakes = resized(flakes, high, wide)
    flakes = torch.where(flakes < threshold, 0.0, flakes).clamp_(0, 1)
    degrees = uniform(generator, -45, 45)
    flakes = _fitted(filtered(flakes, line_kernel(length, degrees, sigma)), clip)
    grey = (clip * torch.tensor((0.299, 0.587, 0.114)).view(3, 1, 1, 1)).sum(0, keepdim=True)
    pale = kept * clip + (1 - kept) * torch.maximum(clip, grey * 1.5 + 0.5)
    return (pale + flakes + flakes.flip(-1, -2)).clamp_(0, 1)


def spatter(clip: Tensor, given: Spatter, generator: torch.Generator) -> Tensor:
    """Drops where smooth noise is above a threshold: water brightens, mud covers.

    ImageNet-C shades drops of water by an edge detector and a distance; here a drop is the brighter the thicker it is.
    """
    mean, std, sigma, threshold, strength, mud = _SPATTER[whole(generator, *given.severity) - 1]
    noise = gaussian(mean + std * normal(generator, *_base_size(clip)), sigma)
    if mud:
        mask = gaussian((noise > threshold).float(), strength)
        mask = _fitted(torch.where(mask < 0.8, 0.0, mask), clip)
        return (clip * (1 - mask) + mask * torch.tensor(_MUD).view(3, 1, 1, 1)).clamp_(0, 1)
    drops = (noise - threshold).clamp(min=0)
    drops = _fitted((drops / drops.amax().clamp(min=1e-6)).sqrt() * strength, clip)
    return (clip + drops * torch.tensor(_WATER).view(3, 1, 1, 1)).clamp_(0, 1)


def _base_size(clip: Tensor) -> tuple[int, int]:
    height, width = clip.shape[2:]
    scale = BASE_SIDE / min(height, width)
    return round(height * scale), round(width * scale)


def _fitted(pattern: Tensor, clip: Tensor) -> Tensor:
    """`(h, w)` to `(1, 1, H, W)`."""
    return resized(pattern, clip.shape[2], clip.shape[3])[None, None]


def _clouds(size: tuple[int, int], decay: float, generator: torch.Generator) -> Tensor:
    """Fractal noise over [0, 1]: octaves of smooth noise, each `decay` times fainter than the next coarser one.

    ImageNet-C's is made by the diamond-square rule, which the octaves here resemble.
    """
    total = torch.zeros(size)
    cells, weight = 2, 1.0
    while cells <= 2 * max(size):
        octave = field(generator, cells + 1, cells + 1)[None, None]
        total += weight * functional.interpolate(octave, size=size, mode="bicubic", align_corners=True)[0, 0]
        cells, weight = cells * 2, weight / decay
    total -= total.amin()
    return total / total.amax().clamp(min=1e-6)
