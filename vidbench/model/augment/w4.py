"""The robust-training list at work: each of its operations by its parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from vidbench.model.augment import blur, noise, operations, place, tone, weather
from vidbench.model.augment.draws import chance
from vidbench.model.augment.operations import Operation

_CHANGES: dict[type[Operation], Callable[[Tensor, Any, torch.Generator], Tensor]] = {
    operations.PepperSalt: noise.pepper_salt,
    operations.ColourPoints: noise.colour_points,
    operations.GaussianNoise: noise.gaussian_noise,
    operations.Mosaic: place.mosaic,
    operations.ChannelShuffle: tone.channel_shuffle,
    operations.Rotate: place.rotate,
    operations.HorizontalFlip: place.horizontal_flip,
    operations.VerticalFlip: place.vertical_flip,
    operations.GaussianBlur: blur.gaussian_blur,
    operations.RingBlur: blur.ring_blur,
    operations.Rain: weather.rain,
    operations.Extend: place.extend,
    operations.BlockShuffle: place.block_shuffle,
    operations.LocalShuffle: place.local_shuffle,
    operations.RandomPadding: place.random_padding,
    operations.RandomCut: place.random_cut,
    operations.Fog: weather.fog,
    operations.ShotNoise: noise.shot_noise,
    operations.ImpulseNoise: noise.impulse_noise,
    operations.SpeckleNoise: noise.speckle_noise,
    operations.GlassBlur: blur.glass_blur,
    operations.DefocusBlur: blur.defocus_blur,
    operations.MotionBlur: blur.motion_blur,
    operations.ZoomBlur: blur.zoom_blur,
    operations.Frost: weather.frost,
    operations.Snow: weather.snow,
    operations.Spatter: weather.spatter,
    operations.Contrast: tone.contrast,
    operations.Brightness: tone.brightness,
    operations.Saturate: tone.saturate,
    operations.Compress: tone.compress,
    operations.Pixelate: tone.pixelate,
    operations.Elastic: place.elastic,
}


def applied(clip: Tensor, operation: Operation, generator: torch.Generator) -> Tensor:
    """The clip `(3, T, H, W)` in [0, 1] after the operation, whatever its probability; of the same shape and range."""
    return _CHANGES[type(operation)](clip, operation, generator)


def applied_by_chance(clip: Tensor, some: Iterable[Operation], generator: torch.Generator) -> Tensor:
    """The clip after those of the operations that its draws pick, in their order."""
    for operation in some:
        if chance(generator, operation.probability):
            clip = applied(clip, operation, generator)
    return clip
