"""Mixing the clips of a batch in pairs: mixup and CutMix, with label smoothing, as soft targets."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.special import betaincinv
from torch import Tensor
from torch.nn import functional

from vidbench.model.augment.settings import AugmentSettings


@dataclass(frozen=True)
class Mix:
    """How one batch is mixed.

    Attributes:
        share: What each clip keeps of its own, 0 to 1; for CutMix the exact share of the area.
        box: For CutMix: `x0, y0, x1, y1` of the rectangle that comes from the partner, in pixels; else None.
    """

    share: float
    box: tuple[int, int, int, int] | None = None


def smooth(labels: Tensor, classes: int, smoothing: float) -> Tensor:
    """Targets `(N, classes)` float32: one-hot, with `smoothing` of the mass spread evenly over all classes.

    Raises:
        ValueError: A label outside [0, classes).
    """
    if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(f"labels from {int(labels.min())} to {int(labels.max())} with {classes} classes")
    return functional.one_hot(labels.long(), classes).float() * (1 - smoothing) + smoothing / classes


def soften(labels: Tensor, smoothing: float) -> Tensor:
    """Targets `(N, classes)` float32 of several classes each, drawn towards a half: 1 becomes 1 - `smoothing` / 2.

    Each class is a question of its own, answered yes or no; so the mass is spread over these two.
    """
    return labels.float() * (1 - smoothing) + 0.5 * smoothing


def beta(alpha: float, generator: torch.Generator) -> float:
    """One draw from Beta(alpha, alpha), through the inverse of its distribution function."""
    uniform = float(torch.rand((), generator=generator, dtype=torch.float64))
    return float(betaincinv(alpha, alpha, uniform))


def cut_box(share: float, height: int, width: int, generator: torch.Generator) -> tuple[int, int, int, int]:
    """A rectangle of 1 - `share` of the area around a uniform centre, cut off at the frame: arXiv:1905.04899."""
    half = 0.5 * math.sqrt(1 - share)
    tall, wide = int(half * height), int(half * width)
    across, down = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    left, top = int(across * width), int(down * height)
    return max(left - wide, 0), max(top - tall, 0), min(left + wide, width), min(top + tall, height)


def draw_mix(settings: AugmentSettings, height: int, width: int, generator: torch.Generator) -> Mix:
    """What becomes of the next batch."""
    mixed, cut = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    if mixed >= settings.mix_probability or not (settings.mixup > 0 or settings.cutmix > 0):
        return Mix(1.0)
    if settings.cutmix > 0 and (settings.mixup == 0 or cut < settings.mix_switch):
        box = cut_box(beta(settings.cutmix, generator), height, width, generator)
        left, top, right, bottom = box
        return Mix(1 - (right - left) * (bottom - top) / (height * width), box)
    return Mix(beta(settings.mixup, generator))


def blend(clips: Tensor, mix: Mix) -> Tensor:
    """Each clip with the one before it in the batch, the first with the last: `(N, 3, T, H, W)`, new memory.

    One share and one rectangle serve the batch, the rectangle all frames of a clip.
    """
    partners = clips.roll(1, 0)
    if mix.box is None:
        return clips if mix.share == 1.0 else torch.lerp(partners, clips, mix.share)
    left, top, right, bottom = mix.box
    mixed = clips.clone()
    mixed[..., top:bottom, left:right] = partners[..., top:bottom, left:right]
    return mixed


def blend_targets(targets: Tensor, mix: Mix) -> Tensor:
    """The targets `(N, C)` that belong to `blend`'s clips; rows that sum to 1 still do."""
    return targets if mix.share == 1.0 else targets * mix.share + targets.roll(1, 0) * (1 - mix.share)
