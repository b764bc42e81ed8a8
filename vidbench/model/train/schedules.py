"""Learning rates as functions of the progress in epochs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

_OWN_START = 0.1
"""Without a start factor the rise begins as if a tenth of an epoch were over."""


@dataclass(frozen=True)
class Schedule:
    """The share of the largest learning rate, at any point of a training.

    Attributes:
        kind: "cosine" falls from 1 to `final`; "steps" multiplies by `factors`, each from its step on.
        epochs: Length of the training.
        warmup: Epochs of linear rise, whole or not, to what `kind` gives at their end. A cosine begins after them;
            steps count from the start of the training, as PySlowFast's `steps_with_relative_lrs` does.
        start: The share that the rise starts with; None starts near a tenth of an epoch's part.
        final: The share at the end of a cosine.
        steps: Epochs at which the factors begin, rising from 0.
        factors: A share for each of them.
    """

    kind: Literal["cosine", "steps"]
    epochs: int
    warmup: float = 0.0
    start: float | None = None
    final: float = 0.0
    steps: tuple[float, ...] = ()
    factors: tuple[float, ...] = ()

    def factor(self, progress: float) -> float:
        """The share at `progress` epochs since the start, 0 to `epochs`."""
        if progress >= self.warmup:
            return self._settled(progress)
        top = 1.0 if self.kind == "cosine" else self._settled(self.warmup)
        if self.start is None:
            return top * ((progress + _OWN_START) / (self.warmup + _OWN_START))
        return self.start + (top - self.start) * (progress / self.warmup)

    def _settled(self, progress: float) -> float:
        if self.kind == "steps":
            return self.factors[sum(progress >= step for step in self.steps) - 1]
        share = (progress - self.warmup) / max(self.epochs - self.warmup, 1e-9)
        return self.final + (1 - self.final) * (0.5 * (1 + math.cos(math.pi * min(share, 1.0))))


def scaled_rate(lr: float, batch: int, base_batch: int | None) -> float:
    """`lr`, which is meant for steps of `base_batch` clips, for steps of `batch` clips; in proportion.

    The rule is Goyal et al. 2017 (arXiv:1706.02677). Without a base, `lr` is taken as it is.
    """
    return lr if base_batch is None else lr * batch / base_batch
