"""Clips a little smaller, at a random place on black."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from vidbench.errors import UsageError
from vidbench.model.card import Preprocess
from vidbench.model.defence.layer import Defence
from vidbench.model.defence.setting import parts, whole
from vidbench.model.train.draws import each

USUAL = 218 / 224
"""The smallest size of the published layer, as a share of the side that it was made for."""


class Placement(NamedTuple):
    """One outcome: the size of the shrunken frames, and the black rows and columns before them."""

    height: int
    width: int
    top: int
    left: int


class ResizePad(Defence):
    """Nearest-neighbour scaling to a random size, then black on random sides (Xie et al. 2018, arXiv:1711.01991).

    Size and place are those of the `ResizedPaddingLayer` of Pei's Robust-Classification: for a side S the size s is
    uniform in [l, S), the rows above and the columns to the left uniform in [0, S - s), so that at least one black
    row and column follow. For l = 218 and S = 224 these are 91 outcomes. Frames that are not square keep their
    shape: s is of their shorter side. Each clip draws once, for all its frames.

    Args:
        smallest: l in pixels; None for 218/224 of the side.
    """

    random = True

    def __init__(self, smallest: int | None = None) -> None:
        super().__init__("resize-pad" if smallest is None else f"resize-pad:{smallest}")
        self.smallest = smallest

    def change(self, clips: Tensor) -> Tensor:
        """Each clip at a place of its own."""
        height, width = clips.shape[3:]
        drawn = each(len(clips), lambda: self.draw(height, width))
        return torch.stack([place(clip, at) for clip, at in zip(clips, drawn, strict=True)])

    def check(self, preprocess: Preprocess) -> None:
        """Refuse a smallest size that is no smaller than the clips."""
        if self.smallest is not None and self.smallest >= preprocess.crop:
            side = preprocess.crop
            raise UsageError(f"defence {self.text}: clips are {side}x{side}, so the size is at most {side - 1}")

    def draw(self, height: int, width: int) -> Placement:
        """A random outcome for frames of that size, from torch's global generator of the CPU."""
        side = min(height, width)
        size = _below(self._least(side), side)
        high, wide = _scaled(height, size, side), _scaled(width, size, side)
        return Placement(high, wide, _below(0, height - high), _below(0, width - wide))

    def outcomes(self, height: int, width: int) -> tuple[Placement, ...]:
        """All that `draw` can give; sizes are equally likely, and so are the places of one size."""
        side = min(height, width)
        return tuple(
            Placement(high, wide, top, left)
            for size in range(self._least(side), side)
            for high, wide in [(_scaled(height, size, side), _scaled(width, size, side))]
            for top in range(height - high)
            for left in range(width - wide)
        )

    def _least(self, side: int) -> int:
        least = min(round(USUAL * side), side - 1) if self.smallest is None else self.smallest
        if not 0 < least < side:
            raise ValueError(f"no size in [{least}, {side}) for {self.text}")
        return least


def place(clip: Tensor, outcome: Placement) -> Tensor:
    """One outcome for `(3, T, H, W)`; differentiable."""
    height, width = clip.shape[2:]
    high, wide, top, left = outcome
    small = functional.interpolate(clip, size=(high, wide), mode="nearest")
    return functional.pad(small, (left, width - wide - left, top, height - high - top))


def _below(low: int, high: int) -> int:
    return int(torch.randint(low, high, ()))


def _scaled(length: int, size: int, side: int) -> int:
    return round(length * size / side)


def build(setting: str) -> ResizePad:
    """From "" or "218"."""
    found = parts("resize-pad", setting, 1, "[:SIZE]")
    return ResizePad(whole("resize-pad", "size", found[0], 1, 65535) if found else None)
