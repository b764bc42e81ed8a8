"""The batch that fits into a GPU's memory, found by halving after one that did not."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace

import torch

from vidbench.model.train.batch import Batch


def what_fits(attempt: Callable[[Batch], None], batch: Batch) -> str:
    """Words for a message: the largest half, quarter and so on of a batch that goes through; nothing on a CPU.

    Args:
        attempt: Forward and backward pass of a batch. The gradients that it leaves are of no use to a training.
        batch: What did not fit.
    """
    if batch.clips.device.type != "cuda":
        return ""
    size = len(batch) // 2
    while size:
        if _goes(attempt, first(batch, size)):
            return f"; one of {size} does"
        size //= 2
    return ", and neither does one of a single clip"


def first(batch: Batch, clips: int) -> Batch:
    """The first clips of a batch, with what is true of them."""
    if batch.boxes is None:
        return replace(batch, clips=batch.clips[:clips], targets=batch.targets[:clips], names=batch.names[:clips])
    owned = batch.boxes[:, 0] < clips
    return Batch(batch.clips[:clips], batch.targets[owned], batch.boxes[owned], batch.names[:clips])


def _goes(attempt: Callable[[Batch], None], batch: Batch) -> bool:
    torch.cuda.empty_cache()
    try:
        attempt(batch)
    except torch.OutOfMemoryError as error:
        traceback.clear_frames(error.__traceback__)
        return False
    return True
