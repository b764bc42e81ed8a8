"""Film strips: rows of pictures over one time axis, written as PNG files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

STRIP_FRAMES = 8
LONGEST_WIDTH = 1280


def strip_frames(total: int, count: int = STRIP_FRAMES) -> tuple[int, ...]:
    """Which of `total` frames a strip shows: `count` spread evenly from the first to the last, or all."""
    return tuple(int(index) for index in np.linspace(0, total - 1, min(count, total)).round())


def film_strip(
    rows: Sequence[NDArray[np.uint8]], *, between: int = 0, shade: int = 255, least_side: int = 0
) -> Image.Image:
    """One picture of several rows, 4 pixels apart; at most `LONGEST_WIDTH` wide.

    Args:
        rows: Each `(n, H, W, 3)` RGB in [0, 255], all of one shape.
        between: Pixels between the pictures of a row.
        shade: Grey level of all gaps.
        least_side: Pixels that a picture's longer side is enlarged to; 0 leaves small pictures small.
    """
    count, height, width, _ = rows[0].shape
    if any(row.shape != rows[0].shape for row in rows):
        raise ValueError(f"rows of different shapes: {[row.shape for row in rows]}")
    gap = 4
    canvas = np.full((len(rows) * (height + gap) - gap, count * (width + between) - between, 3), shade, dtype=np.uint8)
    # gaps keep their size: pictures are scaled before they are put together
    side = max(height, width)
    if least_side > side:
        scale = least_side / side
        size = (round(width * scale), round(height * scale))
        larger = [
            np.stack([np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BICUBIC)) for one in row])
            for row in rows
        ]
        return film_strip(larger, between=between, shade=shade)
    for index, row in enumerate(rows):
        for place, picture in enumerate(row):
            top, left = index * (height + gap), place * (width + between)
            canvas[top : top + height, left : left + width] = picture
    image = Image.fromarray(canvas)
    if image.width > LONGEST_WIDTH:
        image = image.resize(
            (LONGEST_WIDTH, round(image.height * LONGEST_WIDTH / image.width)), Image.Resampling.LANCZOS
        )
    return image


def save_png(path: Path, image: Image.Image) -> None:
    """Write a picture as PNG, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        image.save(temporary, format="PNG")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
