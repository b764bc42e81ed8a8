"""Small perturbations: where they may go, and the nearest clips that a search has found so far."""

from __future__ import annotations

import torch
from torch import Tensor

from vidbench.attack.method import Batch, Outcome
from vidbench.attack.support import Support
from vidbench.attack.target import Target
from vidbench.attack.threat import Norm, norms_of


class Nearest:
    """The nearest clip so far that reaches the goal, for each clip of a batch, and what the search took.

    Args:
        target: What is attacked.
        batch: Of N clips.
        norm: What "near" means.
    """

    def __init__(self, target: Target, batch: Batch, norm: Norm) -> None:
        labels = batch.goal.labels
        self.norm = norm
        self.draws = target.draws
        self.clips = batch.clips.clone()
        self.distance = torch.full(labels.shape, torch.inf, dtype=torch.float64, device=labels.device)
        """`(N,)` of the nearest; infinite where there is none."""
        self._forwards, self._backwards = torch.zeros_like(labels), torch.zeros_like(labels)
        self._when = torch.full_like(labels, -1)

    def look(self, rows: Tensor, clean: Tensor, clips: Tensor, reached: Tensor, when: Tensor) -> None:
        """Take the clips that reach the goal and are nearer than any before.

        Args:
            rows: `(n,)` their indices in the batch.
            clean: `(n, 3, T, H, W)` as they were.
            clips: `(n, 3, T, H, W)` in [0, 1], as the network has just seen them.
            reached: `(n,)` bool: what came of it.
            when: `(n,)` the iteration.
        """
        distance = norms_of(clips - clean, self.norm)
        before = self.distance[rows]
        self._when[rows] = torch.where(reached & before.isinf(), when, self._when[rows])
        places = (reached & (distance < before)).nonzero()[:, 0]
        self.clips[rows[places]] = clips[places]
        self.distance[rows[places]] = distance[places]
        self._forwards[rows] += self.draws

    def went_back(self, rows: Tensor, times: Tensor | int) -> None:
        """Count backward passes: of all rows alike, or `(n,)` numbers."""
        self._backwards[rows] += times * self.draws

    def outcome(self) -> Outcome:
        """The nearest clips, and the clean one where there is none."""
        return Outcome(
            self.clips, self.distance.isfinite(), self._forwards.cpu(), self._backwards.cpu(),
            torch.zeros(len(self.clips), dtype=torch.long), self._when.cpu(),
        )  # fmt: skip


def shown(clean: Tensor, delta: Tensor) -> Tensor:
    """`(n, 3, T, H, W)` clips with perturbations, cut to the box [0, 1]."""
    return (clean + delta).clamp_(0.0, 1.0)


def kept(support: Support | None, clean: Tensor, delta: Tensor) -> Tensor:
    """What of perturbations the search goes on with: what the box leaves of them; all of a flicker's offsets."""
    return delta if support is not None and support.flicker else shown(clean, delta).sub_(clean)


def pulled(support: Support | None, gradient: Tensor, clean: Tensor, delta: Tensor) -> Tensor:
    """`(n, 3, T, H, W)` gradients at `shown(clean, delta)` to what of them the support can follow."""
    if support is None:
        return gradient
    if support.flicker:
        # pixels that the box holds back do not move with their frame's offset
        offset = clean + delta
        gradient = gradient * ((offset >= 0) & (offset <= 1))
    return support.pull(gradient)


def farthest(support: Support | None, clean: Tensor, norm: Norm) -> Tensor:
    """`(n,)` float32: the largest norm of a perturbation that the box and the support allow.

    Offsets of a flicker are only cut off after they are added: each may be as large as 1.
    """
    room = torch.maximum(clean, 1 - clean)
    if support is not None and support.flicker:
        room = torch.ones_like(clean)
    elif support is not None:
        room = room * support.mask
    return norms_of(room, norm).float()


def unit(gradient: Tensor) -> Tensor:
    """`(n, ...)` gradients over their L2 norms; 0 stays 0, and the smallest float32 values do not vanish."""
    # the squares of a saturated network's gradients would be 0
    largest = gradient.flatten(1).abs().amax(1)
    scaled = gradient / per_row(torch.where(largest > 0, largest, 1.0), gradient)
    return scaled / per_row(scaled.flatten(1).norm(dim=1).clamp_min(torch.finfo(gradient.dtype).tiny), gradient)


def cosine(step: Tensor, steps: int, first: float, last: float) -> Tensor:
    """`(n,)` float32 values between `first` and `last`, along half a cosine over `steps` iterations (SGDR)."""
    return (last + (first - last) * (1 + torch.cos(torch.pi * step.double() / steps)) / 2).float()


def per_row(values: Tensor, like: Tensor) -> Tensor:
    """`(n,)` values in a shape that goes with `(n, ...)`."""
    return values.view(-1, *[1] * (like.ndim - 1))
