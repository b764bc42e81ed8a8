"""Examples near clips while a network is trained: steps, projections, and gradients for clips alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from vidbench.model.train.adversarial_settings import Mode
from vidbench.model.train.batch import Batch, Network
from vidbench.model.train.draws import each
from vidbench.model.train.optimizers import batch_norms

Ascended = Callable[[Tensor], Tensor]
"""From logits, a row per thing, to what a step goes up, `()`; a sum over things keeps clips independent."""

_FP16_SCALE = 2.0**10


@dataclass(frozen=True)
class Ball:
    """What examples may be: within a radius of their clip, and in [0, 1].

    Attributes:
        norm: "linf", or "l2" of the change of a whole clip.
        eps: Radius.
    """

    norm: Literal["linf", "l2"]
    eps: float

    def direction(self, gradient: Tensor) -> Tensor:
        """The steepest step of unit norm, for `(N, ...)` gradients."""
        if self.norm == "linf":
            return gradient.sign()
        return gradient / _lengths(gradient).clamp_min(torch.finfo(gradient.dtype).tiny)

    def nearest(self, clips: Tensor, moved: Tensor) -> Tensor:
        """The examples, for `(N, ...)` clips and where a step has moved them to: in the ball, then in the box."""
        if self.norm == "linf":
            return torch.minimum(torch.maximum(moved, clips - self.eps), clips + self.eps).clamp_(0.0, 1.0)
        delta = moved - clips
        # in float64: float32 factors drift out of the ball over many steps
        factor = (self.eps / _lengths(delta.double()).clamp_min(1e-300)).clamp_max(1.0).to(delta.dtype)
        return (clips + delta * factor).clamp_(0.0, 1.0)

    def start(self, clips: Tensor, generator: torch.Generator) -> Tensor:
        """A uniform draw from the ball around each clip, cut by the box; drawn on the CPU, clip by clip (`each`)."""
        drawn = torch.stack(each(len(clips), lambda: self._draw(clips.shape[1:], generator))).to(clips.device)
        return (clips + drawn).clamp_(0.0, 1.0)

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> Tensor:
        if self.norm == "linf":
            return (torch.rand(shape, generator=generator) * 2 - 1) * self.eps
        # Gaussian direction, radius u^(1/d) (Muller 1959)
        noise = torch.randn(shape, generator=generator)
        radius = float(torch.rand((), generator=generator, dtype=torch.float64)) ** (1 / math.prod(shape))
        return noise * float(self.eps * radius / noise.double().norm())


def _lengths(values: Tensor) -> Tensor:
    lengths: Tensor = values.flatten(1).norm(dim=1)
    return lengths.view(-1, *[1] * (values.ndim - 1))


def gradient_of(model: Network, batch: Batch, clips: Tensor, ascended: Ascended) -> tuple[Tensor, Tensor]:
    """The gradient for clips in the batch's place, float32, and the logits, detached.

    Parameters' gradients are not touched. What is not finite is 0: it says nothing about a direction.
    """
    point = clips.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = batch.through(model, point)
        value = ascended(logits)
        # autocast to float16 loses what is below 6e-8
        scale = _FP16_SCALE if _in_float16(clips.device) else 1.0
        (gradient,) = torch.autograd.grad(value * scale, point)
    return gradient.float().nan_to_num_(0.0, 0.0, 0.0).div_(scale), logits.detach()


def climb(
    model: Network, batch: Batch, ball: Ball, ascended: Ascended, *, begin: Tensor, steps: int, step: float,
    seen: Callable[[Tensor], None] | None = None,
) -> Tensor:  # fmt: skip
    """Projected gradient steps up; the last iterate, detached, in the shape and type of the batch's clips.

    Args:
        model: As it is to compute; see `quiet`.
        batch: The clips that the ball is around, with their boxes.
        ball: Where examples may be.
        ascended: What the steps go up.
        begin: The first iterate.
        steps: How many.
        step: Of each, in the ball's norm.
        seen: Is told the logits of each iterate that a step is taken from.
    """
    at = begin.detach()
    for _ in range(steps):
        gradient, logits = gradient_of(model, batch, at, ascended)
        if seen is not None:
            seen(logits)
        at = ball.nearest(batch.clips, at + step * ball.direction(gradient))
    return at


@contextmanager
def quiet(net: nn.Module, mode: Mode) -> Iterator[None]:
    """Inside, a network may be asked without leaving a trace in it: dropout is off, no statistics are gathered.

    With "train" the batch normalisations that are in training mode go on using the statistics of the batch, but
    keep their own.
    """
    before = {module: module.training for module in net.modules()}
    by_batch = [norm for norm in batch_norms(net) if norm.training and mode == "train"]
    net.eval()
    for norm in by_batch:
        norm.training = True
        # in training this leaves the running statistics alone
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in by_batch:
            norm.track_running_stats = True
        for module, training in before.items():
            module.training = training


def _in_float16(device: torch.device) -> bool:
    return torch.is_autocast_enabled(device.type) and torch.get_autocast_dtype(device.type) == torch.float16
