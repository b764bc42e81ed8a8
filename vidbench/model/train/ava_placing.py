"""Where in its frames a training clip of a detector lies, and where persons' boxes are in it then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidbench.model.ava_sampling import boxes_in_clip
from vidbench.model.train.placing import Placing, random_part, resized, scaled_crop
from vidbench.video.sampling import Box, scaled_size

Boxes = NDArray[np.float64]
MIN_VISIBLE = 0.25
"""The share of a person's box that has to be in the clip, unless something else is asked for."""
_LEAST = 1.0
_TRIES = 10


@dataclass(frozen=True)
class Placed:
    """A random clip and its boxes.

    Attributes:
        clip: `(3, T, S, S)` float32 in [0, 1].
        boxes: `(M, 4)` float64: x1, y1, x2, y2 in pixels of the clip, within [0, S - 1]; M is at least 1.
        kept: `(M,)` which of the keyframe's boxes they are, rising.
    """

    clip: Tensor
    boxes: Boxes
    kept: NDArray[np.int64]


@dataclass(frozen=True)
class _Part:
    """A part of the scaled frame, and what of each box is in it."""

    size: tuple[int, int]
    part: Box
    boxes: Boxes
    shares: NDArray[np.float64]

    def kept(self, min_visible: float) -> NDArray[np.int64]:
        sides = self.boxes[:, 2:] - self.boxes[:, :2]
        return np.flatnonzero((sides >= _LEAST).all(axis=1) & (self.shares >= min_visible))


@dataclass(frozen=True)
class AvaPlacing:
    """How random clips of a detector are placed.

    A box of which less than `min_visible` is in the crop, or that is less than a pixel wide or high there, is left
    out. Where no box is left, place and scale are drawn again, ten times at most; then the crop is laid around one of
    the boxes, drawn at random. That box stays even if it is less than a pixel wide.

    Attributes:
        placing: Scale, crop or part, flip.
        min_visible: In [0, 1].
        faithful: As PySlowFast and the code of the SEVERE benchmark do: one draw, and every box stays, though nothing
            of it be in the crop; a box that is outside has no area, so that it is all zeros to the network, and its
            labels are learnt all the same.
    """

    placing: Placing
    min_visible: float = MIN_VISIBLE
    faithful: bool = False

    def __call__(self, images: Tensor, width: int, height: int, boxes: Boxes, generator: torch.Generator) -> Placed:
        """One clip; a place, a scale and a flip serve all its frames.

        Args:
            images: `(T, 3, h, w)` uint8: the frames, perhaps scaled down.
            width: Of the frames before any scaling, in pixels.
            height: Likewise.
            boxes: `(M, 4)` fractions of the frame, M at least 1.
            generator: All that is random is drawn from it.
        """
        flip = float(torch.rand(1, generator=generator)) < self.placing.flip
        found, kept = self._draw(width, height, boxes, generator)
        side = self.placing.crop
        if self.placing.area is None:
            clip = scaled_crop(images, *found.size, found.part)
        else:
            high, wide = images.shape[2:]
            left, top, right, bottom = _on_grid(found.part, (width, height), (wide, high))
            clip = resized(images[:, :, top:bottom, left:right], side, side)
        placed = found.boxes[kept]
        if flip:
            clip = clip.flip(3)
            placed[:, [0, 2]] = side - 1 - placed[:, [2, 0]]
        return Placed(clip.transpose(0, 1), placed, kept)

    def _draw(
        self, width: int, height: int, boxes: Boxes, generator: torch.Generator
    ) -> tuple[_Part, NDArray[np.int64]]:
        found = self._random(width, height, boxes, generator)
        if self.faithful:
            return found, np.arange(len(boxes))
        kept = found.kept(self.min_visible)
        for _ in range(_TRIES):
            if len(kept):
                return found, kept
            found = self._random(width, height, boxes, generator)
            kept = found.kept(self.min_visible)
        if len(kept):
            return found, kept
        chosen = int(torch.randint(len(boxes), (1,), generator=generator))
        found = self._around(width, height, boxes, chosen, generator)
        kept = found.kept(self.min_visible)
        return found, kept if len(kept) else np.array([chosen])

    def _random(self, width: int, height: int, boxes: Boxes, generator: torch.Generator) -> _Part:
        if self.placing.area is not None:
            part = random_part(width, height, self.placing.area, generator)
            return self._seen((width, height), part, boxes_in_clip(boxes, width, height, min(width, height)))
        draw = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
        short_side, side = self.placing.side(draw[0]), self.placing.crop
        wide, high = scaled_size(width, height, short_side)
        left, top = int(draw[1] * (wide - side + 1)), int(draw[2] * (high - side + 1))
        pixels = boxes_in_clip(boxes, width, height, short_side)
        return self._seen((wide, high), (left, top, left + side, top + side), pixels)

    def _around(self, width: int, height: int, boxes: Boxes, chosen: int, generator: torch.Generator) -> _Part:
        """A crop with the centre of a box in its middle, or as near to it as the frame lets it be."""
        if self.placing.area is None:
            short_side = self.placing.side(float(torch.rand(1, generator=generator)))
            side = self.placing.crop
        else:
            short_side = side = min(width, height)
        wide, high = scaled_size(width, height, short_side)
        pixels = boxes_in_clip(boxes, width, height, short_side)
        x1, y1, x2, y2 = pixels[chosen]
        left = min(max(round((x1 + x2 - side) / 2), 0), wide - side)
        top = min(max(round((y1 + y2 - side) / 2), 0), high - side)
        return self._seen((wide, high), (left, top, left + side, top + side), pixels)

    def _seen(self, size: tuple[int, int], part: Box, pixels: Boxes) -> _Part:
        """What of boxes, in pixels of the scaled frame, is in a part of it; in pixels of the clip."""
        left, top, right, bottom = part
        side = self.placing.crop
        scale = np.array([side / (right - left), side / (bottom - top)] * 2)
        moved = (pixels - (left, top, left, top)) * scale
        inside = np.clip(moved, 0.0, side - 1.0)
        whole, seen = _areas(moved), _areas(inside)
        shares = np.divide(seen, whole, out=np.zeros_like(whole), where=whole > 0)
        return _Part(size, part, inside, shares)


def _areas(boxes: Boxes) -> NDArray[np.float64]:
    sides = boxes[:, 2:] - boxes[:, :2]
    areas: NDArray[np.float64] = sides[:, 0] * sides[:, 1]
    return areas


def _on_grid(part: Box, size: tuple[int, int], kept: tuple[int, int]) -> Box:
    """A part of the frame in pixels of the frame as it was kept, at least one pixel wide and high."""
    x, y = kept[0] / size[0], kept[1] / size[1]
    left, top = min(round(part[0] * x), kept[0] - 1), min(round(part[1] * y), kept[1] - 1)
    return left, top, max(round(part[2] * x), left + 1), max(round(part[3] * y), top + 1)
