"""Frames that are lost, the last one that arrived in their place."""

from __future__ import annotations

import torch
from torch import Tensor

from vidbench.model.defence.layer import Defence
from vidbench.model.defence.setting import parts, positive
from vidbench.model.train.draws import each

SHARE = 0.25


class FrameDrop(Defence):
    """A share of the frames, drawn for each clip, replaced by the nearest kept frame before them.

    Of T frames `share * T` are dropped, rounded, half upwards; never the first, which has none before it.

    Args:
        share: Above 0 and below 1.
    """

    random = True

    def __init__(self, share: float = SHARE) -> None:
        super().__init__(f"drop:{share:g}")
        self.share = share

    def change(self, clips: Tensor) -> Tensor:
        """Each clip by a draw of its own."""
        places = torch.stack(each(len(clips), lambda: self.draw(clips.shape[2]))).to(clips.device)
        return clips.gather(2, places[:, None, :, None, None].expand_as(clips))

    def draw(self, count: int) -> Tensor:
        """For each of `count` frames which one is shown, from torch's global generator of the CPU."""
        dropped = min(int(self.share * count + 0.5), count - 1)
        shown = torch.arange(count)
        shown[torch.randperm(count - 1)[:dropped] + 1] = 0
        return shown.cummax(0).values


def build(setting: str) -> FrameDrop:
    """From "" or "0.25"."""
    found = parts("drop", setting, 1, "[:SHARE]")
    return FrameDrop(positive("drop", "share", found[0], 1.0) if found else SHARE)
