"""Noise on clips: one pattern for all frames, so that a still clip stays still."""

from __future__ import annotations

import torch
from torch import Tensor

from vidbench.model.augment.draws import field, normal, uniform, whole
from vidbench.model.augment.operations import (
    ColourPoints,
    GaussianNoise,
    ImpulseNoise,
    PepperSalt,
    ShotNoise,
    SpeckleNoise,
)

_PHOTONS = (60.0, 25.0, 12.0, 5.0, 3.0)
_IMPULSES = (0.03, 0.06, 0.09, 0.17, 0.27)
_SPECKLES = (0.15, 0.2, 0.35, 0.45, 0.6)


def pepper_salt(clip: Tensor, given: PepperSalt, generator: torch.Generator) -> Tensor:
    """White where the draw is in the upper half of what `snr` leaves, black in the lower."""
    drawn = field(generator, 1, 1, *clip.shape[2:])
    half = (1 - given.snr) / 2
    clip = torch.where(drawn < half, 1.0, clip)
    return torch.where((drawn >= half) & (drawn < 2 * half), 0.0, clip)


def colour_points(clip: Tensor, given: ColourPoints, generator: torch.Generator) -> Tensor:
    """Quarters of what `snr` leaves become red, green, blue, and any colour."""
    drawn = field(generator, 1, 1, *clip.shape[2:])
    anything = field(generator, 3, 1, *clip.shape[2:])
    quarter = (1 - given.snr) / 4
    pure = torch.eye(3)
    for place in range(4):
        colour = anything if place == 3 else pure[place].view(3, 1, 1, 1)
        here = (drawn >= place * quarter) & (drawn < (place + 1) * quarter)
        clip = torch.where(here, colour, clip)
    return clip


def gaussian_noise(clip: Tensor, given: GaussianNoise, generator: torch.Generator) -> Tensor:
    """Normal noise, added."""
    std = uniform(generator, *given.std)
    return (clip + std * normal(generator, 3, 1, *clip.shape[2:])).clamp_(0, 1)


def shot_noise(clip: Tensor, given: ShotNoise, generator: torch.Generator) -> Tensor:
    """Poisson counts by inversion of one uniform pattern: equal frames get equal counts."""
    photons = _PHOTONS[whole(generator, *given.severity) - 1]
    drawn = field(generator, 3, 1, *clip.shape[2:])
    rate = clip * photons
    chance = torch.exp(-rate)
    reached = chance.clone()
    counts = torch.zeros_like(clip)
    # brighter than full brightness is cut off anyway
    for count in range(1, int(photons) + 1):
        counts += drawn >= reached
        chance *= rate / count
        reached += chance
    return (counts / photons).clamp_(0, 1)


def impulse_noise(clip: Tensor, given: ImpulseNoise, generator: torch.Generator) -> Tensor:
    """Values of single channels at 0 or 1, as often one as the other."""
    share = _IMPULSES[whole(generator, *given.severity) - 1]
    drawn = field(generator, 3, 1, *clip.shape[2:])
    clip = torch.where(drawn < share / 2, 1.0, clip)
    return torch.where((drawn >= share / 2) & (drawn < share), 0.0, clip)


def speckle_noise(clip: Tensor, given: SpeckleNoise, generator: torch.Generator) -> Tensor:
    """Normal noise in proportion to the value."""
    std = _SPECKLES[whole(generator, *given.severity) - 1]
    return (clip + clip * std * normal(generator, 3, 1, *clip.shape[2:])).clamp_(0, 1)
