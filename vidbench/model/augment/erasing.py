"""Random erasing: one rectangle through all frames of a clip."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vidbench.model.augment.draws import normal, uniform, whole
from vidbench.model.augment.settings import AugmentSettings

MEAN, STD = 0.45, 0.225
"""Of PySlowFast's normalisation: what standard normal noise after it is in [0, 1]."""
_TRIES = 10


def erasing_box(
    settings: AugmentSettings, height: int, width: int, generator: torch.Generator
) -> tuple[int, int, int, int] | None:
    """`x0, y0, x1, y1` of a rectangle of random area, shape and place; None where ten draws do not fit the frame.

    Area uniform in `erasing_area`, ratio of height to width log-uniform in [a, 1 / a]: Zhong et al. 2017,
    arXiv:1708.04896; ratios as timm draws them.
    """
    bound = math.log(settings.erasing_aspect)
    for _ in range(_TRIES):
        area = uniform(generator, *settings.erasing_area) * height * width
        ratio = math.exp(uniform(generator, bound, -bound))
        tall, wide = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < tall < height and 0 < wide < width:
            top, left = whole(generator, 0, height - tall), whole(generator, 0, width - wide)
            return left, top, left + wide, top + tall
    return None


def erase(clip: Tensor, settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """The clip with a rectangle filled: a copy, or the clip itself where no rectangle fits.

    "pixel" draws a normal colour of mean 0.45 and standard deviation 0.225 for each pixel, cut off at 0 and 1 and the
    same in all frames. "const" fills with 0.45, which is 0 after normalisation.
    """
    box = erasing_box(settings, clip.shape[2], clip.shape[3], generator)
    if box is None:
        return clip
    left, top, right, bottom = box
    erased = clip.clone()
    if settings.erasing_mode == "const":
        erased[..., top:bottom, left:right] = MEAN
    else:
        noise = normal(generator, 3, 1, bottom - top, right - left).mul_(STD).add_(MEAN).clamp_(0, 1)
        erased[..., top:bottom, left:right] = noise
    return erased
