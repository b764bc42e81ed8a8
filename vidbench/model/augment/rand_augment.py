"""RandAugment over clips: each drawn operation, its strength and its direction serve all frames.

Cubuk et al. 2019, arXiv:1909.13719, with the magnitudes and the increasing variant of timm, which the published MViT
recipes use. Frames are warped bilinearly about a grey of 128/255; timm draws bilinear or bicubic.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vidbench.model.augment.draws import chance, normal, sign, uniform, whole
from vidbench.model.augment.frames import (
    bright,
    contrasted,
    equalized,
    mapped,
    posterized,
    saturated,
    sharpened,
    stretched,
    turned,
)
from vidbench.model.augment.magnitude import MOST, OPERATIONS, RandAugmentPolicy, argument

FILL = 128 / 255


def _levels(clip: Tensor) -> Tensor:
    return (clip * 255.0).round_().to(torch.uint8)


def _equalize(clip: Tensor, _: float) -> Tensor:
    # the histogram is one of 256 levels
    return equalized(_levels(clip)).float().div_(255.0)


def _posterize(clip: Tensor, bits: float) -> Tensor:
    return posterized(_levels(clip), int(bits)).float().div_(255.0)


def _solarize(clip: Tensor, level: float) -> Tensor:
    return torch.where(clip >= level / 255.0, 1.0 - clip, clip)


def _solarize_add(clip: Tensor, levels: float) -> Tensor:
    return torch.where(clip < 128 / 255.0, clip + levels / 255.0, clip)


def _degrees(slope: float) -> float:
    return math.degrees(math.atan(slope))


_CHANGES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "AutoContrast": lambda clip, _: stretched(clip),
    "Equalize": _equalize,
    "Invert": lambda clip, _: 1.0 - clip,
    "Rotate": lambda clip, degrees: turned(clip, degrees, smooth=True, fill=FILL),
    "Posterize": _posterize,
    "Solarize": _solarize,
    "SolarizeAdd": _solarize_add,
    "Color": saturated,
    "Contrast": contrasted,
    "Brightness": bright,
    "Sharpness": sharpened,
    "ShearX": lambda clip, slope: mapped(clip, shear=(_degrees(slope), 0.0), corner=True, fill=FILL),
    "ShearY": lambda clip, slope: mapped(clip, shear=(0.0, _degrees(slope)), corner=True, fill=FILL),
    "TranslateX": lambda clip, share: mapped(clip, move=(share * clip.shape[3], 0.0), fill=FILL),
    "TranslateY": lambda clip, share: mapped(clip, move=(0.0, share * clip.shape[2]), fill=FILL),
}


def change(clip: Tensor, name: str, amount: float) -> Tensor:
    """One operation of RandAugment on a clip `(3, T, H, W)`.

    AutoContrast, Contrast and Equalize look at each frame by itself, as the published recipes do. Equalize and
    Posterize round to 256 levels, because they are defined on these; the others do not round.

    Args:
        clip: RGB in [0, 1].
        name: One of `magnitude.OPERATIONS`.
        amount: As `magnitude.argument` gives it.
    """
    return _CHANGES[name](clip, amount).clamp(0.0, 1.0)


def rand_augment(clip: Tensor, policy: RandAugmentPolicy, generator: torch.Generator) -> Tensor:
    """`policy.number` operations, drawn with replacement; each is applied with the policy's probability."""
    for _ in range(policy.number):
        name = OPERATIONS[whole(generator, 0, len(OPERATIONS) - 1)]
        if not chance(generator, policy.probability):
            continue
        magnitude = drawn_magnitude(policy, generator)
        clip = change(clip, name, argument(name, magnitude, policy.increasing, sign(generator)))
    return clip


def drawn_magnitude(policy: RandAugmentPolicy, generator: torch.Generator) -> float:
    """The policy's magnitude with its spread, cut off at 0 and 10."""
    if policy.spread == 0:
        return policy.magnitude
    if math.isinf(policy.spread):
        return uniform(generator, 0.0, policy.magnitude)
    return min(max(policy.magnitude + policy.spread * float(normal(generator, 1)), 0.0), MOST)
