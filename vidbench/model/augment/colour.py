"""Colour jitter of clips: one draw for all frames."""

from __future__ import annotations

import torch
from torch import Tensor

from vidbench.model.augment.draws import chance, uniform
from vidbench.model.augment.frames import bright, contrasted, hued, saturated
from vidbench.model.augment.settings import AugmentSettings

_CHANGES = {"brightness": bright, "contrast": contrasted, "saturation": saturated, "hue": hued}


def jitter(clip: Tensor, settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """Brightness, contrast, saturation and hue in a random order, each by a random amount: torchvision's ColorJitter.

    A factor of 1 and a hue turn of 0 leave a clip as it is. Contrast is taken about each frame's own mean grey level.
    """
    if not chance(generator, settings.colour_probability):
        return clip
    names = list(_CHANGES)
    for place in torch.randperm(len(names), generator=generator).tolist():
        name = names[place]
        span: float = getattr(settings, name)
        if span == 0:
            continue
        amount = uniform(generator, -span, span)
        clip = _CHANGES[name](clip, amount if name == "hue" else 1 + amount)
    return clip
