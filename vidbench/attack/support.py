"""Where in a clip a perturbation may be: frames, a patch, a border, one colour offset per frame."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from vidbench.errors import UsageError

FORMS = "all, frames:0,3, patch:32x32+10+20 (width x height + left + top), border:8, flicker"


@dataclass(frozen=True)
class Support:
    """A part of a clip, as a mask, and whether all pixels of a frame share one offset.

    Perturbations `P(theta)` of a support are linear in what is chosen: `pull` takes a gradient to the part of it that
    the support can follow. Attacks step, and random starts are pulled, by it; then everything else works as on
    whole clips.

    Attributes:
        text: As typed.
        mask: `(1 or N, 1, T or 1, H or 1, W or 1)` float32 of 0 and 1, on the clips' device.
        flicker: Each frame has one RGB offset for all its pixels (Pony et al. 2021, arXiv:2002.05123, eq. 1). The
            box [0, 1] is then cut off after the offset is added, as a camera would, so that saturated pixels move less.
    """

    text: str
    mask: Tensor
    flicker: bool = False

    @classmethod
    def parse(cls, text: str, clip_shape: tuple[int, ...], device: torch.device | None = None) -> Support | None:
        """Read a support for clips of `(3, T, H, W)`; None for "all".

        Raises:
            UsageError: No such support, or one that does not lie in such clips.
        """
        _, frames, height, width = clip_shape
        mask = torch.zeros(1, 1, frames, height, width, device=device)
        kind, _, rest = text.strip().partition(":")
        if text.strip() == "all":
            return None
        if text.strip() == "flicker":
            return cls("flicker", torch.ones(1, 1, 1, 1, 1, device=device), True)
        if kind == "frames" and re.fullmatch(r"\d+(,\d+)*", rest):
            chosen = sorted({int(index) for index in rest.split(",")})
            if chosen[-1] >= frames:
                raise UsageError(f"--support {text}: clips have frames 0 to {frames - 1}")
            mask[:, :, chosen] = 1.0
        elif kind == "border" and re.fullmatch(r"\d+", rest):
            thick = int(rest)
            if not 0 < 2 * thick < min(height, width):
                raise UsageError(f"--support {text}: frames are {width}x{height}")
            mask += 1.0
            mask[..., thick : height - thick, thick : width - thick] = 0.0
        elif kind == "patch" and (found := re.fullmatch(r"(\d+)x(\d+)\+(\d+)\+(\d+)", rest)):
            wide, high, left, top = (int(number) for number in found.groups())
            if not (wide and high and left + wide <= width and top + high <= height):
                raise UsageError(f"--support {text}: it does not lie in frames of {width}x{height}")
            mask[..., top : top + high, left : left + wide] = 1.0
        else:
            raise UsageError(f"--support {text!r} is none", f"There are {FORMS}.")
        return cls(text.strip(), mask)

    def of(self, chosen: Tensor) -> Support:
        """The support of a part of the batch: indices or a mask."""
        return self if len(self.mask) == 1 else Support(self.text, self.mask[chosen], self.flicker)

    def meet(self, other: Support | None) -> Support:
        """What lies in both; None is everywhere.

        Raises:
            UsageError: One is a flicker, which is no region, or they have nothing in common.
        """
        if other is None:
            return self
        if self.flicker or other.flicker:
            raise UsageError(f"{self.text} and {other.text} do not go together", "Choose regions or a flicker.")
        mask = self.mask * other.mask
        if not bool(mask.flatten(1).any(1).all()):
            raise UsageError(f"{self.text} and {other.text} have no place in common")
        return Support(f"{self.text} in {other.text}", mask)

    def pull(self, values: Tensor) -> Tensor:
        """The orthogonal projection of `(N, C, T, H, W)` values onto the perturbations that there are."""
        if self.flicker:
            return values.mean((3, 4), keepdim=True).expand_as(values)
        return values * self.mask

    def holds(self, delta: Tensor) -> bool:
        """Whether `(N, C, T, H, W)` perturbations lie in it; of a flicker only the sign can be told after the cut."""
        if self.flicker:
            low, high = delta.amin((3, 4)), delta.amax((3, 4))
            return bool((low * high >= -1e-12).all())
        return not bool(delta.masked_fill(self.mask > 0, 0.0).any())
