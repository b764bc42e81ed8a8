"""Random numbers from a given generator, and pixel lengths of other frame sizes."""

from __future__ import annotations

import torch
from torch import Tensor

BASE_SIDE = 224
"""Pixels of the short side that lengths in settings are given for."""


def chance(generator: torch.Generator, probability: float) -> bool:
    """True so often; one number is drawn whatever the probability."""
    return uniform(generator, 0.0, 1.0) < probability


def uniform(generator: torch.Generator, low: float, high: float) -> float:
    """A number of [low, high)."""
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


def whole(generator: torch.Generator, low: int, high: int) -> int:
    """A whole number from `low` to `high`, both possible."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def sign(generator: torch.Generator) -> int:
    """1 or -1."""
    return 1 - 2 * whole(generator, 0, 1)


def field(generator: torch.Generator, *shape: int) -> Tensor:
    """Uniform numbers of [0, 1), float32."""
    return torch.rand(shape, generator=generator)


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    """Standard normal numbers, float32."""
    return torch.randn(shape, generator=generator)


def pixels(length: float, clip: Tensor) -> float:
    """A length of frames whose short side is `BASE_SIDE`, in pixels of this clip's frames."""
    return length * min(clip.shape[-2:]) / BASE_SIDE
