"""Clips as the bytes that codecs take, and back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Bytes = NDArray[np.uint8]


def by_bytes(clips: Tensor, change: Callable[[Bytes], Bytes]) -> Tensor:
    """Clips through a function of the frames `(T, H, W, 3)` uint8 of one of them, on the CPU.

    Values outside [0, 1] are cut off and the others rounded to k/255, halves to the even k.
    """
    levels = (clips.detach().clamp(0.0, 1.0) * 255.0).round_().to(torch.uint8).permute(0, 2, 3, 4, 1)
    changed = [torch.from_numpy(change(np.ascontiguousarray(clip))) for clip in levels.cpu().numpy()]
    frames = torch.stack(changed).to(clips.device).permute(0, 4, 1, 2, 3)
    return frames.to(clips.dtype).div_(255.0)
