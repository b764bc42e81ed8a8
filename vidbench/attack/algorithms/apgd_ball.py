"""Starts and steps of Auto-PGD inside a budget."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vidbench.attack.algorithms.l1_ball import nearest
from vidbench.attack.threat import TINY, Budget

MOMENTUM = 0.75
"""Weight of the new step; the rest goes to the step before (alpha of arXiv:2003.01690, algorithm 1)."""


@dataclass(frozen=True)
class Ball:
    """A budget around some clips, and how Auto-PGD moves in it.

    Points are `(n, 3, T, H, W)` clips. Under a flicker they are clips plus offsets, which the box cuts off only where
    the network looks at them (`shown`).

    Attributes:
        budget: Of these clips.
    """

    budget: Budget

    def of(self, rows: Tensor) -> Ball:
        """Around a part of the clips."""
        return Ball(self.budget.of(rows))

    def scaled(self, factor: float) -> Ball:
        """The same with another radius."""
        return Ball(Budget(self.budget.norm, self.budget.eps * factor, self.budget.support))

    @property
    def boxed(self) -> bool:
        """Whether points are in the box [0, 1] themselves."""
        return self.budget.support is None or not self.budget.support.flicker

    @property
    def first_step(self) -> float:
        """The step to begin with: 2 eps, eps for L1."""
        return self.budget.eps * (1.0 if self.budget.norm == "l1" else 2.0)

    def features(self, clean: Tensor) -> Tensor:
        """`(n,)` float32: how many values of each clip the support leaves."""
        count = torch.full((len(clean),), float(math.prod(clean.shape[1:])), device=clean.device)
        if self.budget.support is None or not self.boxed:
            return count
        return self.budget.support.mask.expand(len(clean), *clean.shape[1:]).flatten(1).sum(1)

    def shown(self, point: Tensor) -> Tensor:
        """The clips that the network sees."""
        return point if self.boxed else point.clamp(0.0, 1.0)

    def pull(self, gradient: Tensor, point: Tensor) -> Tensor:
        """The part of gradients, taken at `shown`, that the support can follow."""
        if self.budget.support is None:
            return gradient
        if not self.boxed:
            gradient = gradient * ((point >= 0) & (point <= 1))
        return self.budget.support.pull(gradient)

    def start(self, clean: Tensor, noise: Tensor) -> Tensor:
        """Points on the sphere around clean clips, cut to the box, in the direction of noise.

        Linf stretches the noise until its largest value is eps, L2 to eps; L1 projects it as it is.
        """
        if self.budget.support is not None:
            noise = self.budget.support.pull(noise)
        if self.budget.norm == "l1":
            return self.project(clean, clean + noise)
        if self.budget.norm == "linf":
            unit = noise / (_rows(noise.flatten(1).abs().amax(1), noise) + TINY)
        else:
            unit = noise / (_sizes(noise) + TINY)
        return self._cut(clean + self.budget.eps * unit)

    def project(self, clean: Tensor, point: Tensor) -> Tensor:
        """The nearest points in the ball and the box: exact for Linf and L1; for L2 first the ball, then the box."""
        if self.budget.norm == "l1":
            return clean + nearest(clean, point - clean, self.budget.eps, box=self.boxed)
        if self.budget.norm == "linf":
            low, high = clean - self.budget.eps, clean + self.budget.eps
            return self._cut(torch.minimum(torch.maximum(point, low), high))
        delta = point - clean
        sizes = _sizes(delta)
        return self._cut(clean + delta / (sizes + TINY) * sizes.clamp(max=self.budget.eps))

    def step(self, clean: Tensor, point: Tensor, before: Tensor, gradient: Tensor, size: Tensor, new: Tensor) -> Tensor:
        """The next point by a step and the momentum of the last (arXiv:2003.01690, section 3.1).

        Args:
            clean: `(n, ...)`.
            point: Where the gradient was taken.
            before: The point before it.
            gradient: Pulled.
            size: `(n,)` the step in the budget's norm.
            new: `(n,)` bool: the first step has no momentum.
        """
        direction = gradient.sign() if self.budget.norm == "linf" else gradient / (_sizes(gradient) + TINY)
        there = self.project(clean, point + _rows(size, point) * direction)
        share = _rows(torch.where(new, 1.0, MOMENTUM), point)
        return self._even(clean, self.project(clean, point + (there - point) * share + (point - before) * (1 - share)))

    def sparse_step(self, clean: Tensor, point: Tensor, gradient: Tensor, size: Tensor, share: Tensor) -> Tensor:
        """The next point by equal steps in the values with the largest gradients (arXiv:2103.01208, algorithm 2).

        Args:
            clean: `(n, ...)`.
            point: Where the gradient was taken.
            gradient: Pulled.
            size: `(n,)` the step in L1.
            share: `(n,)` the share of the values that the step changes; one at least. Values as large as the
                smallest of them go along.
        """
        flat = gradient.flatten(1)
        count = self.features(clean)
        skipped = torch.minimum(((1.0 - share) * count).clamp_min(0.0), count - 1).long()
        place = flat.shape[1] - count.long() + skipped
        threshold = flat.abs().sort(1).values.gather(1, place[:, None])
        signs = (flat * (flat.abs() >= threshold)).sign()
        direction = signs / (signs.abs().sum(1, keepdim=True) + 1e-10)
        moved = point + _rows(size, point) * direction.view_as(point)
        return self._even(clean, self.project(clean, moved))

    def _cut(self, point: Tensor) -> Tensor:
        return point.clamp(0.0, 1.0) if self.boxed else point

    def _even(self, clean: Tensor, point: Tensor) -> Tensor:
        """Offsets that are the same all over a frame, for float32 sums round each pixel on its own."""
        if self.boxed or self.budget.support is None:
            return point
        return clean + self.budget.support.pull(point - clean)


def windows(steps: int) -> tuple[int, int, int]:
    """Iterations before the first look at the step size, by how many each window is shorter, and the shortest.

    22, 3 and 6 percent of the steps (arXiv:2003.01690, section 3.2).
    """
    return max(int(0.22 * steps), 1), max(int(0.03 * steps), 1), max(int(0.06 * steps), 1)


def phases(steps: int) -> tuple[tuple[float, int], ...]:
    """Factors of eps and their iterations: 3, 2 and 1 for 30, 30 and 40 percent (arXiv:2103.01208, section 3.4).

    The last has one iteration at least, so the others may have none and be missing.
    """
    share = math.ceil(0.3 * steps)
    first = min(share, steps - 1)
    second = min(share, steps - 1 - first)
    legs = ((3.0, first), (2.0, second), (1.0, steps - first - second))
    return tuple(leg for leg in legs if leg[1])


def _rows(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.ndim - 1))


def _sizes(values: Tensor) -> Tensor:
    return _rows(values.square().flatten(1).sum(1).sqrt(), values)
