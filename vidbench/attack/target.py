"""A classifier as attacks see it: float clips in [0, 1] to logits, and gradients with respect to the clips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vidbench.attack.losses import Loss
from vidbench.model.scoring import autocast

Logits = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Pass:
    """One forward and backward pass.

    Attributes:
        logits: `(N, K)` float32, detached; the mean over draws where the target takes several.
        loss: `(N,)` float32, detached.
        gradient: Of the summed loss, in the shape of the clips, float32. A sum keeps clips independent of their
            batch. What is not finite is 0: it says nothing about a direction.
        backward: Whether there was a backward pass.
    """

    logits: Tensor
    loss: Tensor
    gradient: Tensor
    backward: bool = True


class Target:
    """What attacks may ask.

    Args:
        logits: `(N, 3, T, H, W)` float32 clips in [0, 1] to `(N, K)` logits: normalisation, packing of pathways and
            defences inside; its parameters should want no gradient.
        num_classes: K.
        precision: "fp32", "bf16" or "fp16": of the network's products while an attack is crafted. Logits, losses,
            gradients and perturbations stay float32, and every success is confirmed elsewhere in float32.
        draws: Passes per clip whose logits and gradients are averaged: expectation over transformation, for a
            model that is random (Athalye et al. 2018, arXiv:1707.07397). Each row of a batch must draw for itself.

    Attributes:
        random: Whether the model draws random numbers, as a randomised defence does: whoever runs attacks gives
            it clips one by one then, each after its own `torch.manual_seed`.
    """

    def __init__(
        self, logits: Logits, num_classes: int, *, precision: str = "fp32", draws: int = 1, random: bool = False
    ) -> None:
        if draws < 1:
            raise ValueError(f"{draws = }")
        self.num_classes = num_classes
        self.precision = precision
        self.draws = draws
        self.random = random
        self._logits = logits

    def __call__(self, clips: Tensor) -> Tensor:
        """`(N, K)` float32 logits, detached; no gradient is kept for."""
        with torch.no_grad():
            return self._mean(self._forward(clips))

    def logits(self, clips: Tensor) -> Tensor:
        """`(N, K)` float32 logits with their graph, for attacks that take their own gradients."""
        return self._mean(self._forward(clips))

    def ascend(self, clips: Tensor, loss: Loss, done: Callable[[Tensor], Tensor] | None = None) -> Pass:
        """Logits, losses and the gradient at clips.

        Args:
            clips: `(N, 3, T, H, W)` in [0, 1].
            loss: `(N, K)` logits to `(N,)`.
            done: `(N, K)` detached logits to `(N,)` bool: the backward pass is left out, and the gradient 0, where
                all rows are done.
        """
        point = clips.detach().requires_grad_(True)
        output = self._mean(self._forward(point))
        logits = output.detach()
        values = loss(output)
        if done is not None and bool(done(logits).all()):
            return Pass(logits, values.detach(), torch.zeros_like(clips), False)
        (gradient,) = torch.autograd.grad(values.sum(), point)
        return Pass(logits, values.detach(), gradient.nan_to_num(0.0, 0.0, 0.0), True)

    def _forward(self, clips: Tensor) -> Tensor:
        if self.draws > 1:
            clips = clips.repeat_interleave(self.draws, 0)
        with autocast(clips.device, self.precision):
            return self._logits(clips).float()

    def _mean(self, logits: Tensor) -> Tensor:
        return logits if self.draws == 1 else logits.view(-1, self.draws, logits.shape[1]).mean(1)
