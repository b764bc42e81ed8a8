"""Each value from those around it: over time or within its frame."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from vidbench.errors import UsageError
from vidbench.model.defence.layer import Defence
from vidbench.model.defence.setting import odd, parts

FRAMES = 3
SIDE = 3
LARGEST = 15


class SmoothTime(Defence):
    """The mean or the median of a value over a window of frames, the first and last frame repeated at the ends.

    Args:
        frames: Of the window, odd.
        kind: "mean" or "median".
    """

    def __init__(self, frames: int = FRAMES, kind: str = "mean") -> None:
        super().__init__(f"smooth-time:{frames}:{kind}")
        self.frames = frames
        self.kind = kind

    def change(self, clips: Tensor) -> Tensor:
        """Each pixel by itself."""
        count, reach = clips.shape[2], self.frames // 2
        window = [
            clips.index_select(2, (torch.arange(count) + offset).clamp(0, count - 1).to(clips.device))
            for offset in range(-reach, reach + 1)
        ]
        if self.kind == "mean":
            return torch.stack(window).mean(0)
        return torch.stack(window).median(0).values


class SmoothSpace(Defence):
    """The median (Xu et al. 2018, arXiv:1704.01155) or a Gaussian mean of a square around each pixel.

    Frames and channels are smoothed by themselves; pixels at the edge are repeated beyond it. The Gaussian's
    standard deviation is a quarter of the reach from side to side, `(side - 1) / 4` pixels, its weights add up to 1.

    Args:
        side: Of the square in pixels, odd.
        kind: "median" or "gaussian".
    """

    def __init__(self, side: int = SIDE, kind: str = "median") -> None:
        super().__init__(f"smooth-space:{side}:{kind}")
        self.side = side
        self.kind = kind

    def change(self, clips: Tensor) -> Tensor:
        """Frame by frame: a median's window is `side * side` times as large as what it is of."""
        smooth = self._median if self.kind == "median" else self._gaussian
        return torch.stack([smooth(frames) for frames in clips.unbind(2)], 2)

    def _median(self, frames: Tensor) -> Tensor:
        height, width = frames.shape[2:]
        padded = self._padded(frames)
        window = [
            padded[..., top : top + height, left : left + width]
            for top in range(self.side)
            for left in range(self.side)
        ]
        return torch.stack(window).median(0).values

    def _gaussian(self, frames: Tensor) -> Tensor:
        height, width = frames.shape[2:]
        away = torch.arange(self.side, dtype=torch.float64) - self.side // 2
        bell = torch.exp(-((away / ((self.side - 1) / 4)) ** 2) / 2)
        weights = (bell / bell.sum()).tolist()
        padded = self._padded(frames)
        rows = torch.stack([weight * padded[..., top : top + height, :] for top, weight in enumerate(weights)]).sum(0)
        return torch.stack([weight * rows[..., left : left + width] for left, weight in enumerate(weights)]).sum(0)

    def _padded(self, frames: Tensor) -> Tensor:
        return functional.pad(frames, (self.side // 2,) * 4, mode="replicate")


def build_time(setting: str) -> SmoothTime:
    """From "", "3" or "3:median"."""
    found = parts("smooth-time", setting, 2, "[:FRAMES[:mean|median]]")
    frames = odd("smooth-time", "frames", found[0], LARGEST) if found else FRAMES
    return SmoothTime(frames, _kind("smooth-time", found, ("mean", "median")))


def build_space(setting: str) -> SmoothSpace:
    """From "", "3" or "3:gaussian"."""
    found = parts("smooth-space", setting, 2, "[:SIDE[:median|gaussian]]")
    side = odd("smooth-space", "side", found[0], LARGEST) if found else SIDE
    return SmoothSpace(side, _kind("smooth-space", found, ("median", "gaussian")))


def _kind(name: str, found: tuple[str, ...], kinds: tuple[str, str]) -> str:
    """The second part of a setting; the first kind where there is none."""
    kind = found[1] if len(found) > 1 else kinds[0]
    if kind not in kinds:
        raise UsageError(f"defence {name}: {kind!r} is neither {kinds[0]} nor {kinds[1]}")
    return kind
