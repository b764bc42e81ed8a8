"""How the loss of a batch comes about: plainly here; adversarial training is another rule."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from vidbench.model.train.batch import Batch, Network
from vidbench.model.train.objective import Objective


class Rule(Protocol):
    """From a batch to the loss whose gradient is taken."""

    def __call__(
        self, model: Network, batch: Batch, objective: Objective, smoothing: float, epoch: float,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Loss, `()` float32, mean over the batch's things, and logits of its clips, a row per thing.

        Args:
            model: In training mode, and left so; parameters' gradients are not touched.
            batch: On the model's device, of at least one clip.
            objective: What is learnt.
            smoothing: Of labels.
            epoch: Epochs done so far, whole or not.
            generator: On the CPU, of this batch; all that is random is drawn from it.
        """


class Plain:
    """The objective's loss of the batch as it is."""

    def __call__(
        self, model: Network, batch: Batch, objective: Objective, smoothing: float, epoch: float,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """One pass."""
        logits = batch.through(model)
        return objective.loss(logits, batch.targets, smoothing), logits
