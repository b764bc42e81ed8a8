"""The pictures of a video at chosen moments of the steady grid: a seek, and no more frames than they need."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from vidbench.video.clip import VideoError
from vidbench.video.fit import Fit, pixels
from vidbench.video.steady import GRID_FPS, Plan, Reader

_SHORT_S = Fraction(1)
"""How much earlier than its container says a video may end: the last picture then lasts until there."""


def read_moments(
    path: Path, numbers: Sequence[int], *, from_s: Fraction = Fraction(0), fit: Fit | None = None
) -> tuple[NDArray[Any], int, int]:
    """Pictures at moments of the grid, the same that `Steady` gives from `from_s` on.

    Args:
        path: The video.
        numbers: Moments, rising, each once, at least one: `from_s + number / 30` seconds from the container's start.
        from_s: Where number 0 lies; a multiple of 1/30.
        fit: The size that the pictures get; None keeps theirs.

    Returns:
        `(len(numbers), H, W, 3)` RGB in [0, 255], upright, and width and height before any scaling.

    Raises:
        VideoError: The video is missing or damaged, or ends more than a second before a moment.
    """
    first = from_s + Fraction(numbers[0], GRID_FPS)
    rows = {number - numbers[0]: row for row, number in enumerate(numbers)}
    last = numbers[-1] - numbers[0]
    data: NDArray[Any] | None = None
    scaler = VideoReformatter()
    width = height = done = 0
    image: NDArray[Any] | None = None
    with Reader(path, 1) as reader:
        # of a video that ends early its last frame is needed, so the plan begins where frames may still be
        plan = Plan(reader, first, first + Fraction(last + 1, GRID_FPS))
        for frame, shown in plan.paced(Fraction(GRID_FPS)):
            done = shown.stop
            wanted = [rows[number] for number in shown if number in rows]
            if not wanted:
                continue
            image = _picture(frame, scaler, fit)
            if data is None:
                data = np.empty((len(numbers), *image.shape), image.dtype)
                turned = round(frame.rotation / 90) % 2
                width, height = (frame.height, frame.width) if turned else (frame.width, frame.height)
            data[wanted] = image
        ended_s = reader.end_s
    if data is None or image is None or (last + 1 - done) > _SHORT_S * GRID_FPS:
        moment = float(first + Fraction(last, GRID_FPS))
        raise VideoError(f"ends at {float(ended_s):.3f} s, before the moment at {moment:.3f} s")
    # numbers after the end show the last picture that was taken
    missing = [row for number, row in rows.items() if number >= done]
    data[missing] = image
    return data, width, height


def length_s(path: Path) -> Fraction | None:
    """Seconds that a video lasts as its container tells; None where it does not. Nothing is decoded.

    Raises:
        VideoError: The video is missing, or cannot be opened.
    """
    with Reader(path, 1) as reader:
        return reader.duration_s


def _picture(frame: Any, scaler: VideoReformatter, fit: Fit | None) -> NDArray[Any]:
    """`(h, w, 3)` of a frame, turned as the container asks for; valid until the scaler is used again."""
    image = pixels(scaler.reformat(frame, format="rgb24", threads=1)) if fit is None else fit.frame(frame, scaler)
    turns = round(frame.rotation / 90) % 4
    return np.rot90(image, k=turns) if turns else image
