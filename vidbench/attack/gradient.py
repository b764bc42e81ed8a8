"""The projected-gradient loop that all gradient attacks are settings of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vidbench.attack.threat import Budget

Logits = Callable[[Tensor], Tensor]


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
        """`(N,)` bool, by argmax."""
        equal = logits.argmax(dim=1) == self.labels
        return equal if self.targeted else ~equal

    def loss(self, logits: Tensor) -> Tensor:
        """The sum over clips of what the attack maximises; a sum keeps clips independent of their batch."""
        value = functional.cross_entropy(logits, self.labels, reduction="sum")
        return -value if self.targeted else value

    def of(self, chosen: Tensor) -> Goal:
        """The goal of a part of the batch."""
        return Goal(self.labels[chosen], self.targeted)


@dataclass(frozen=True)
class Outcome:
    """What an attack did to a batch.

    Attributes:
        clips: `(N, 3, T, H, W)` attacked clips.
        reached: `(N,)` bool: the goal was reached at `clips`, as the loop saw it.
        forwards: `(N,)` forward passes per clip.
        backwards: `(N,)` backward passes per clip.
    """

    clips: Tensor
    reached: Tensor
    forwards: Tensor
    backwards: Tensor


def projected_gradient(
    logits: Logits,
    clips: Tensor,
    goal: Goal,
    budget: Budget,
    *,
    steps: int,
    step_size: float,
    start: Tensor | None = None,
    stop_early: bool = True,
) -> Outcome:
    """Projected gradient ascent on the cross entropy (Madry et al. 2018, arXiv:1706.06083, eq. 4 and section 2.1).

    One step is `x + step_size * direction`, cut to the box [0, 1], then projected onto the ball
    around the clean clip: the order of the Adversarial Robustness Toolbox. FGSM (Goodfellow et al.
    2015) is one step of size eps.

    Args:
        logits: The model, differentiable in its input; its parameters should want no gradient.
        clips: `(N, 3, T, H, W)` clean clips in [0, 1].
        goal: What to reach.
        budget: The ball.
        steps: Number of steps, at least 1.
        step_size: In the budget's norm.
        start: First iterate, in ball and box; the clean clips when None.
        stop_early: Stop working on a clip at the first iterate that reaches the goal and return
            that iterate. Otherwise every clip takes all steps and the last iterate is returned.
    """
    count = len(clips)
    first = clips if start is None else start
    result = first.clone()
    reached = torch.zeros(count, dtype=torch.bool, device=clips.device)
    forwards = torch.zeros(count, dtype=torch.long)
    backwards = torch.zeros(count, dtype=torch.long)
    active = torch.arange(count, device=clips.device)
    clean, current, wanted = clips, first, goal
    for _ in range(steps):
        point = current.detach().requires_grad_(True)
        output = logits(point)
        forwards[active.cpu()] += 1
        going = torch.ones(len(active), dtype=torch.bool, device=clips.device)
        if stop_early:
            going = ~wanted.reached(output.detach())
            reached[active[~going]] = True
            result[active[~going]] = current[~going]
            active, clean, current, wanted = active[going], clean[going], current[going], wanted.of(going)
            if len(active) == 0:
                break
        (gradient,) = torch.autograd.grad(wanted.loss(output[going]), point)
        backwards[active.cpu()] += 1
        with torch.no_grad():
            # a gradient that is not a number says nothing about a direction
            rise = budget.direction(gradient[going].nan_to_num(0.0))
            stepped = (current + step_size * rise).clamp_(0.0, 1.0)
            current = clean + budget.project(stepped - clean)
    with torch.no_grad():
        if len(active):
            forwards[active.cpu()] += 1
            reached[active] = wanted.reached(logits(current))
            result[active] = current
    return Outcome(result, reached, forwards, backwards)
