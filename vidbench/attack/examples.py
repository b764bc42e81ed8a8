"""Film strips of attacked clips: the clean frames, the perturbation made visible, the attacked frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

STRIP_FRAMES = 8
LONGEST_WIDTH = 1280


def film_strip(clean: Tensor, attacked: Tensor) -> Image.Image:
    """Three rows over one time axis: clean, perturbation stretched to the full range, attacked.

    Args:
        clean: `(3, T, H, W)` in [0, 1].
        attacked: The same shape.
    """
    chosen = torch.linspace(0, clean.shape[1] - 1, min(STRIP_FRAMES, clean.shape[1])).round().long()
    first, last = clean[:, chosen], attacked[:, chosen]
    delta = last - first
    largest = float(delta.abs().max())
    visible = delta / (2 * largest) + 0.5 if largest > 0 else torch.full_like(delta, 0.5)
    rows = [row.permute(2, 1, 3, 0).flatten(1, 2) for row in (first, visible, last)]
    gap = torch.ones(4, rows[0].shape[1], 3)
    picture = torch.cat([rows[0], gap, rows[1], gap, rows[2]])
    pixels = (picture.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if image.width > LONGEST_WIDTH:
        image = image.resize(
            (LONGEST_WIDTH, round(image.height * LONGEST_WIDTH / image.width)), Image.Resampling.LANCZOS
        )
    return image


def save_strip(path: Path, clean: Tensor, attacked: Tensor) -> None:
    """Write a film strip as PNG, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    film_strip(clean.cpu(), attacked.cpu()).save(temporary, format="PNG")
    temporary.replace(path)
