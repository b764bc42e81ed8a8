"""When an attack has succeeded."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Goal:
    """What an attack wants of each clip.

    Attributes:
        labels: `(N,)` the class to leave, or to reach when targeted.
        targeted: Reach it instead of leaving it.
    """

    labels: Tensor
    targeted: bool = False

    def reached(self, logits: Tensor) -> Tensor:
        """`(N,)` bool, by argmax; never by logits that are not finite, which say nothing."""
        equal = logits.argmax(dim=1) == self.labels
        return (equal if self.targeted else ~equal) & torch.isfinite(logits).all(dim=1)

    def of(self, chosen: Tensor) -> Goal:
        """The goal of a part of the batch: indices or a mask."""
        return Goal(self.labels[chosen], self.targeted)
