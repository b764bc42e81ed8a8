"""Film strips of attacked clips: the clean frames, the perturbation made visible, the attacked frames."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from vidbench.video import strip


def film_strip(clean: Tensor, attacked: Tensor) -> Image.Image:
    """Three rows over one time axis: clean, perturbation stretched to the full range, attacked.

    Args:
        clean: `(3, T, H, W)` in [0, 1].
        attacked: The same shape.
    """
    chosen = list(strip.strip_frames(clean.shape[1]))
    first, last = clean[:, chosen], attacked[:, chosen]
    delta = last - first
    largest = float(delta.abs().max())
    visible = delta / (2 * largest) + 0.5 if largest > 0 else torch.full_like(delta, 0.5)
    rows = [(row.permute(1, 2, 3, 0).clamp(0, 1) * 255).round().to(torch.uint8) for row in (first, visible, last)]
    return strip.film_strip([row.numpy() for row in rows])


def save_strip(path: Path, clean: Tensor, attacked: Tensor) -> None:
    """Write a film strip as PNG, whole or not at all."""
    strip.save_png(path, film_strip(clean.cpu(), attacked.cpu()))
