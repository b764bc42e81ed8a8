"""Augmentation as a training loop calls it: `ClipAugment` clip by clip, then `BatchMix` batch by batch."""

from __future__ import annotations

import torch
from torch import Tensor

from vidbench.model.augment.colour import jitter
from vidbench.model.augment.draws import chance
from vidbench.model.augment.erasing import erase
from vidbench.model.augment.frames import greyed
from vidbench.model.augment.magnitude import parse_randaugment
from vidbench.model.augment.mix import blend, blend_targets, draw_mix, smooth, soften
from vidbench.model.augment.rand_augment import rand_augment
from vidbench.model.augment.settings import AugmentSettings
from vidbench.model.augment.w4 import applied_by_chance


class ClipAugment:
    """Changes single clips as the settings say: the robust-training list, colour, grey, RandAugment, erasing.

    Whatever happens to a clip happens to all its frames alike: a still clip stays still.

    All that is random comes from the generator of the call: the same settings, clip and generator state
    give the same clip, whatever was augmented before.

    Args:
        settings: What to do; mixing is left to `BatchMix`.
    """

    def __init__(self, settings: AugmentSettings) -> None:
        self.settings = settings
        self._policy = None if settings.randaugment is None else parse_randaugment(settings.randaugment)

    def __call__(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        """The clip, changed; its argument never is.

        Args:
            clip: `(3, T, H, W)` float32 RGB in [0, 1], finite, on the CPU.
            generator: On the CPU; best one of its own for each clip and epoch.

        Returns:
            `(3, T, H, W)` float32 in [0, 1].

        Raises:
            ValueError: A clip of another shape or type.
        """
        if clip.ndim != 4 or clip.shape[0] != 3 or clip.dtype != torch.float32:
            raise ValueError(f"a clip is (3, T, H, W) float32, not {tuple(clip.shape)} {clip.dtype}")
        settings, changed = self.settings, clip
        changed = applied_by_chance(changed, settings.w4, generator)
        if settings.brightness or settings.contrast or settings.saturation or settings.hue:
            changed = jitter(changed, settings, generator)
        if settings.grey and chance(generator, settings.grey):
            changed = greyed(changed)
        if self._policy is not None:
            changed = rand_augment(changed, self._policy, generator)
        if settings.erasing and chance(generator, settings.erasing):
            changed = erase(changed, settings, generator)
        return changed


class BatchMix:
    """Mixes the clips of a batch and makes soft targets of its labels, of one class each or of several.

    Args:
        settings: Alphas, probabilities and label smoothing.
        classes: Number of classes.
    """

    def __init__(self, settings: AugmentSettings, classes: int) -> None:
        self.settings, self.classes = settings, classes

    def __call__(self, clips: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The batch, mixed; its argument is never changed.

        Each clip meets the one before it in the batch; a batch of one clip has nothing to be mixed with.
        One draw serves the batch, so a batch's result depends on its clips, their order and the generator alone.

        Args:
            clips: `(N, 3, T, H, W)` floats in [0, 1], on any device.
            labels: On the same device: `(N,)` integers in [0, classes), or `(N, classes)` of 0 and 1 where a clip may
                have several classes.
            generator: On the CPU, best one of its own for each batch.

        Returns:
            Clips of the same shape, and targets `(N, classes)` float32. Of one class each their rows sum to 1; of
            several each is in [0, 1], what the class's share of the clip is, smoothed towards a half.

        Raises:
            ValueError: Other shapes, or a label outside [0, classes).
        """
        several = labels.shape == (len(clips), self.classes)
        if clips.ndim != 5 or (labels.shape != clips.shape[:1] and not several):
            raise ValueError(f"clips {tuple(clips.shape)} and labels {tuple(labels.shape)} are no batch")
        mix = draw_mix(self.settings, clips.shape[3], clips.shape[4], generator)
        smoothing = self.settings.smoothing
        targets = soften(labels, smoothing) if several else smooth(labels, self.classes, smoothing)
        return blend(clips, mix), blend_targets(targets, mix)
