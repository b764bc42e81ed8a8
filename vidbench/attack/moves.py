"""How the iterates of an attack move inside a budget: in the pixels of a clip, or as one colour offset per frame."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vidbench.attack.threat import TINY, Budget

Draw = Callable[[Budget, tuple[int, ...], torch.Generator], Tensor]
"""A ball, the shape of one point and a generator to a float32 perturbation on the CPU."""
Step = Callable[[Budget, Tensor], Tensor]
"""A ball and `(N, ...)` gradients, or perturbations, to steps or perturbations of the same shape, in a new tensor."""


@dataclass(frozen=True)
class Moves:
    """The points among which an attack on clips of `shape` chooses.

    A point is the clip itself, `(3, T, H, W)`; under a flicker it is the offset, `(3, T, 1, 1)`, to which the box
    does not apply. `ball` is the budget in terms of points: an offset counts once for each pixel of its frame.

    Attributes:
        budget: Of whole clips; a support of several rows has one for each clip of the batch.
        shape: Of one clip, `(3, T, H, W)`.
        spare: Whether a gradient counts as 0 where it points out of the box, so that steps which are shared among
            few values are not spent on values that cannot move (as sparse L1 descent does, arXiv:1904.13000).
    """

    budget: Budget
    shape: tuple[int, ...]
    spare: bool = False

    @property
    def flicker(self) -> bool:
        """Whether points are offsets."""
        return self.budget.support is not None and self.budget.support.flicker

    @property
    def weight(self) -> float:
        """The size of a perturbed clip by that of its point."""
        pixels = self.shape[2] * self.shape[3] if self.flicker else 1
        return {"linf": 1.0, "l2": math.sqrt(pixels), "l1": float(pixels), "l21": math.sqrt(pixels)}[self.budget.norm]

    @property
    def ball(self) -> Budget:
        """The ball around a point."""
        return Budget(self.budget.norm, self.budget.eps / self.weight)

    def start(self, clean: Tensor, rows: Tensor, noise: Tensor | None = None) -> Tensor:
        """`(n, ...)` first points, in new memory: of the clean clips, or of those with noise, cut to the box.

        Args:
            clean: `(n, 3, T, H, W)`.
            rows: `(n,)` their indices in the batch.
            noise: `(n, ...)` in the shape of points; only its part in the support is taken.
        """
        if self.flicker:
            return clean.new_zeros(len(clean), *self.shape[:2], 1, 1) if noise is None else noise.to(clean)
        if noise is None:
            return clean.clone()
        return self._masked(noise.to(clean), rows).add_(clean).clamp_(0.0, 1.0)

    def draw(self, draw: Draw, row: int, generator: torch.Generator) -> Tensor:
        """Noise for one clip, in the shape of a point, float32 on the CPU, within its support.

        What a mask leaves of an L2, L1 or L2,1 draw is stretched to the size that was drawn: a start in a patch
        would otherwise hardly leave the clip.
        """
        drawn = draw(self.ball, (*self.shape[:2], 1, 1) if self.flicker else self.shape, generator)
        if self.flicker or self.budget.support is None:
            return drawn
        mask = self.budget.support.mask
        kept = drawn[None] * mask[row if len(mask) > 1 else 0].cpu()
        if self.budget.norm != "linf":
            kept *= float(self.budget.sizes(drawn[None]) / self.budget.sizes(kept).clamp_min(TINY))
        return kept[0]

    def clips(self, clean: Tensor, point: Tensor) -> Tensor:
        """`(n, 3, T, H, W)` clips at points."""
        return (clean + point).clamp_(0.0, 1.0) if self.flicker else point

    def pull(self, gradient: Tensor, clean: Tensor, point: Tensor, rows: Tensor) -> Tensor:
        """Gradients by the clips' values to gradients by points, up to a factor."""
        if self.flicker:
            shown = clean + point
            return (gradient * ((shown >= 0) & (shown <= 1))).mean((3, 4), keepdim=True)
        if self.spare:
            gradient = gradient.masked_fill(((point <= 0) & (gradient < 0)) | ((point >= 1) & (gradient > 0)), 0.0)
        return self._masked(gradient, rows)

    def move(self, clean: Tensor, point: Tensor, step: Tensor, project: Step) -> Tensor:
        """The next points: step, cut to the box, project onto the ball, add to the clean clip, in this order.

        The order is that of the Adversarial Robustness Toolbox. `step` is used up.
        """
        if self.flicker:
            return project(self.ball, step.add_(point))
        return project(self.ball, step.add_(point).clamp_(0.0, 1.0).sub_(clean)).add_(clean)

    def _masked(self, values: Tensor, rows: Tensor) -> Tensor:
        support = self.budget.support
        return values if support is None else support.of(rows).pull(values)
