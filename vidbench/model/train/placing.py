"""Where in its frames a training clip lies: a random scale and place, or a random part, and the flip."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vidbench.errors import UsageError
from vidbench.model.zoo import Preprocess
from vidbench.video.sampling import Box, scaled_size, spatial_crop

Jitter = float | str
JITTER = 1.25
"""Unless something else is asked for."""
_RANGE = re.compile(r"(\d+)-(\d+)")
_RESIZED = re.compile(r"random-resized(?::(0?\.\d+|[01](?:\.\d*)?)\.\.(0?\.\d+|[01](?:\.\d*)?))?")
_AREA = (0.08, 1.0)
_ASPECT = (3 / 4, 4 / 3)
_TRIES = 10


def parse_jitter(value: Jitter) -> Jitter:
    """A multiple of the crop as a number, a range of pixels as it is written: 1.25, "256-320".

    Raises:
        ValueError: Neither.
    """
    if isinstance(value, str) and (found := _RANGE.fullmatch(value.strip())):
        low, high = int(found[1]), int(found[2])
        if not 0 < low <= high <= 4096:
            raise ValueError("a range of short sides rises, as 256-320")
        return f"{low}-{high}"
    try:
        multiple = float(value)
    except ValueError:
        raise ValueError("a multiple of the crop, as 1.25, or short sides in pixels, as 256-320") from None
    if not 1 <= multiple <= 4:
        raise ValueError("a multiple of the crop is from 1 to 4")
    return multiple


def parse_area(crop: str) -> tuple[float, float] | None:
    """The least and largest share of a frame that `random-resized[:LOW..HIGH]` takes; None for `jitter`.

    Raises:
        ValueError: Neither of the two.
    """
    if crop == "jitter":
        return None
    found = _RESIZED.fullmatch(crop)
    if found is None:
        raise ValueError("jitter, random-resized, or random-resized:LOW..HIGH with shares of the frame's area")
    low, high = (float(found[1]), float(found[2])) if found[1] else _AREA
    if not 0 < low <= high <= 1:
        raise ValueError("shares of the frame's area rise from above 0 to at most 1")
    return low, high


@dataclass(frozen=True)
class Placing:
    """How random clips are placed.

    Attributes:
        crop: Side of the clips in pixels.
        low: Least short side of a frame that is scaled and then cropped.
        high: Largest.
        inverse: The inverse of the short side is uniform between them, not the short side itself.
        area: Take a random part of this share of the frame's area, of an aspect of 3/4 to 4/3, and scale it to the
            crop instead; None crops.
        flip: Probability of a horizontal flip.
    """

    crop: int
    low: int
    high: int
    inverse: bool = False
    area: tuple[float, float] | None = None
    flip: float = 0.5

    @classmethod
    def of(cls, preprocess: Preprocess, jitter: Jitter, rule: str, crop: str, flip: float) -> Placing:
        """What the options mean for a network.

        Raises:
            UsageError: Short sides below the crop, or short sides for parts that have none.
        """
        side, area = preprocess.crop, parse_area(crop)
        if area is not None and jitter != JITTER:
            raise UsageError(f"--jitter {jitter} with --crop {crop}: a random part has no short side", "Leave one out.")
        if isinstance(jitter, str):
            low, high = map(int, jitter.split("-"))
            if low < side:
                raise UsageError(
                    f"--jitter {jitter}: a crop of {side} pixels does not fit into a short side of {low}",
                    f"Begin at {side} or above.",
                )
        else:
            low, high = side, round(side * jitter)
        return cls(side, low, high, rule == "inverse", area, flip)

    @property
    def short_side(self) -> int:
        """Pixels of the short side that frames are kept at: more would be scaled away again.

        A random part of a frame may be a small one, so twice the crop is kept.
        """
        return self.high if self.area is None else 2 * self.crop

    def __call__(self, images: Tensor, draw: list[float], generator: torch.Generator) -> Tensor:
        """One clip; a place, a scale and a flip serve all its frames.

        Args:
            images: `(T, 3, H, W)` uint8.
            draw: Four numbers of [0, 1): scale, left, top, flip.
            generator: For what a random part draws besides.

        Returns:
            `(3, T, S, S)` float32 in [0, 1].
        """
        high, wide = images.shape[2:]
        if self.area is not None:
            left, top, right, bottom = random_part(wide, high, self.area, generator)
            placed = resized(images[:, :, top:bottom, left:right], self.crop, self.crop)
        else:
            width, height = scaled_size(wide, high, self._side(draw[0]))
            left = int(draw[1] * (width - self.crop + 1))
            top = int(draw[2] * (height - self.crop + 1))
            placed = scaled_crop(images, width, height, (left, top, left + self.crop, top + self.crop))
        if draw[3] < self.flip:
            placed = placed.flip(3)
        return placed.transpose(0, 1)

    def side(self, drawn: float) -> int:
        """Short side in pixels that a number of [0, 1) stands for."""
        return self._side(drawn)

    def _side(self, drawn: float) -> int:
        """Short side in pixels, as PySlowFast's `random_short_side_scale_jitter` draws it."""
        if self.inverse:
            return round(1 / (1 / self.high + drawn * (1 / self.low - 1 / self.high)))
        return round(self.low + drawn * (self.high - self.low))


def random_part(width: int, height: int, area: tuple[float, float], generator: torch.Generator) -> Box:
    """A random rectangle `x0, y0, x1, y1` of a frame, its area uniform, its aspect log-uniform in [3/4, 4/3].

    Ten that do not fit into the frame make way for the largest centred one of a possible aspect.

    Source: Szegedy et al., "Going deeper with convolutions", 2015, section 6; torchvision's `RandomResizedCrop`.
    """
    low, high = (math.log(aspect) for aspect in _ASPECT)
    for _ in range(_TRIES):
        share, shape, left, top = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
        pixels = (area[0] + share * (area[1] - area[0])) * width * height
        aspect = math.exp(low + shape * (high - low))
        wide, tall = round(math.sqrt(pixels * aspect)), round(math.sqrt(pixels / aspect))
        if 0 < wide <= width and 0 < tall <= height:
            x, y = int(left * (width - wide + 1)), int(top * (height - tall + 1))
            return x, y, x + wide, y + tall
    wide = min(width, max(1, round(height * _ASPECT[1])))
    tall = min(height, max(1, round(width / _ASPECT[0])))
    x, y = (width - wide) // 2, (height - tall) // 2
    return x, y, x + wide, y + tall


def centred(images: Tensor, preprocess: Preprocess) -> Tensor:
    """The centre crop of the test protocol: `(T, 3, H, W)` uint8 to `(3, T, S, S)` float32 in [0, 1]."""
    width, height = scaled_size(images.shape[3], images.shape[2], preprocess.short_side)
    box = spatial_crop(width, height, preprocess.crop, 1)
    return scaled_crop(images, width, height, box).transpose(0, 1)


def resized(images: Tensor, width: int, height: int) -> Tensor:
    """`(T, 3, H, W)` uint8 at another size, float32 in [0, 1]: bilinear, half-pixel centres, no antialiasing."""
    floats = images.float().div_(255.0)
    if tuple(images.shape[2:]) == (height, width):
        return floats
    return functional.interpolate(floats, size=(height, width), mode="bilinear", align_corners=False)


def scaled_crop(images: Tensor, width: int, height: int, box: Box) -> Tensor:
    """The part `box` of `resized(images, width, height)`, to the order of float32 sums; the rest is not computed.

    Frames whose short side is 320 pixels are ten times as large as the crop of 112 that recipes take of them.
    """
    left, top, right, bottom = box
    above, below, down = _taps(images.shape[2], height, top, bottom)
    before, after, across = _taps(images.shape[3], width, left, right)
    y, x = int(above[0]), int(before[0])
    part = images[:, :, y : int(below[-1]) + 1, x : int(after[-1]) + 1].float().div_(255.0)
    if (height, width) == tuple(images.shape[2:]):
        return part[:, :, : bottom - top, : right - left]
    rows = torch.lerp(part.index_select(2, above - y), part.index_select(2, below - y), down[:, None])
    return torch.lerp(rows.index_select(3, before - x), rows.index_select(3, after - x), across)


def _taps(size: int, wanted: int, first: int, stop: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of pixels `first` to `stop` of `wanted` along an axis of `size`: those before and after, the latter's share."""
    places = ((torch.arange(first, stop) + 0.5) * (size / wanted) - 0.5).clamp_(min=0)
    before = places.long().clamp_(max=size - 1)
    return before, (before + 1).clamp_(max=size - 1), (places - before).clamp_(max=1.0)
