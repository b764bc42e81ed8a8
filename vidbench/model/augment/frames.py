"""torchvision's operations on images, typed, for the frames of clips `(3, T, H, W)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torchvision.transforms.v2 import functional as images_of  # type: ignore[import-untyped]
from torchvision.transforms.v2.functional import InterpolationMode  # type: ignore[import-untyped]

BILINEAR, NEAREST = InterpolationMode.BILINEAR, InterpolationMode.NEAREST


def by_frame(clip: Tensor, change: Callable[..., Any], *given: object, **named: object) -> Tensor:
    """`change` on the frames as a batch of images `(T, 3, H, W)`."""
    changed: Tensor = change(clip.transpose(0, 1), *given, **named)
    return changed.transpose(0, 1)


def bright(clip: Tensor, factor: float) -> Tensor:
    """Values times the factor."""
    return by_frame(clip, images_of.adjust_brightness, factor)


def contrasted(clip: Tensor, factor: float) -> Tensor:
    """Distances from the frame's mean grey level times the factor."""
    return by_frame(clip, images_of.adjust_contrast, factor)


def saturated(clip: Tensor, factor: float) -> Tensor:
    """Distances from the pixel's grey level times the factor."""
    return by_frame(clip, images_of.adjust_saturation, factor)


def sharpened(clip: Tensor, factor: float) -> Tensor:
    """Distances from the smoothed frame times the factor; the outermost pixels stay."""
    return by_frame(clip, images_of.adjust_sharpness, factor)


def hued(clip: Tensor, turn: float) -> Tensor:
    """The hue turned by a share of the circle, -0.5 to 0.5; a turn of 0 leaves the clip alone."""
    return clip if turn == 0 else by_frame(clip, images_of.adjust_hue, turn)


def greyed(clip: Tensor) -> Tensor:
    """Three equal channels of the luma of ITU-R BT.601."""
    return by_frame(clip, images_of.rgb_to_grayscale, num_output_channels=3)


def stretched(clip: Tensor) -> Tensor:
    """Each channel of each frame stretched to [0, 1]."""
    return by_frame(clip, images_of.autocontrast)


def equalized(levels: Tensor) -> Tensor:
    """Each channel of each frame with an even histogram; uint8 to uint8."""
    return by_frame(levels, images_of.equalize)


def posterized(levels: Tensor, bits: int) -> Tensor:
    """The upper bits alone; uint8 to uint8."""
    return by_frame(levels, images_of.posterize, bits)


def turned(clip: Tensor, degrees: float, *, smooth: bool, fill: float) -> Tensor:
    """Turned to the left about the middle; by 0 degrees, left alone."""
    return _about(clip, fill, images_of.rotate, degrees, BILINEAR if smooth else NEAREST)


def mapped(
    clip: Tensor,
    *,
    move: tuple[float, float] = (0.0, 0.0),
    zoom: float = 1.0,
    shear: tuple[float, float] = (0.0, 0.0),
    corner: bool = False,
    fill: float = 0.0,
) -> Tensor:
    """Moved by pixels, enlarged, sheared by degrees in x and y, about the middle or the top left corner; bilinear."""
    centre = [0.0, 0.0] if corner else None
    return _about(clip, fill, images_of.affine, 0.0, list(move), zoom, list(shear), BILINEAR, center=centre)


def _about(clip: Tensor, fill: float, change: Callable[..., Any], *given: object, **named: object) -> Tensor:
    # torchvision weighs the pixels at the edge of its own filling twice, which leaves a dark line
    return by_frame(clip - fill, change, *given, **named) + fill
