"""PGD that tells how it went: at which step each clip broke, and how its margin rose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vidbench.attack.losses import LossName, loss_for, margin
from vidbench.attack.method import Batch, Outcome
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget


@dataclass(frozen=True)
class Climb:
    """What PGD found, and how.

    Attributes:
        outcome: The first iterate that succeeds, or the last one.
        margins: `(N, len(marks))` the largest margin up to each mark; where a clip broke before, the one it broke at.
        start: `(N,)` the margin at the start.
    """

    outcome: Outcome
    margins: Tensor
    start: Tensor


def climb(
    target: Target,
    batch: Batch,
    budget: Budget,
    *,
    steps: int,
    step_size: float,
    loss: LossName = "ce",
    restart: int | None = None,
    marks: Sequence[int] = (),
) -> Climb:
    """Projected gradient ascent (Madry et al. 2018, arXiv:1706.06083) that stops at the first success of each clip.

    Args:
        target: Whose gradients are followed.
        batch: Clips that do not reach the goal yet.
        budget: Their ball.
        steps: Gradient steps.
        step_size: In the budget's norm.
        loss: What is ascended.
        restart: Begin at the random start of this number; None begins at the clip itself.
        marks: Numbers of steps after which the margin is told, ascending.
    """
    found = [_climb(target, part, budget.of(chosen), steps, step_size, loss, restart, marks)
             for chosen, part in batch.parts()]  # fmt: skip
    return Climb(
        Outcome.joined([one.outcome for one in found]),
        torch.cat([one.margins for one in found]),
        torch.cat([one.start for one in found]),
    )


def _climb(
    target: Target, batch: Batch, budget: Budget, steps: int, step_size: float, loss: LossName, restart: int | None,
    marks: Sequence[int],
) -> Climb:  # fmt: skip
    clean, goal, count = batch.clips, batch.goal, len(batch)
    current = clean
    if restart is not None:
        shape = tuple(clean.shape[1:])
        noise = [budget.random_start(shape, batch.generator(row, "verify", restart)) for row in range(count)]
        current = (clean + torch.stack(noise).to(clean)).clamp_(0.0, 1.0)
    result = current.clone()
    reached = torch.zeros(count, dtype=torch.bool, device=clean.device)
    forwards, backwards = torch.zeros(count, dtype=torch.long), torch.zeros(count, dtype=torch.long)
    when = torch.full((count,), -1, dtype=torch.long)
    best = torch.full((count,), -torch.inf, device=clean.device)
    begin = torch.zeros(count, device=clean.device)
    told = torch.zeros(count, len(marks), device=clean.device)
    active = torch.arange(count, device=clean.device)

    def note(step: int, logits: Tensor) -> Tensor:
        """Take in the logits of the active clips after a number of steps; which go on."""
        wanted = goal.of(active)
        best[active] = torch.maximum(best[active], margin(logits, wanted.labels).nan_to_num(-torch.inf))
        if step == 0:
            begin.copy_(best)
        forwards[active.cpu()] += 1
        over = wanted.reached(logits)
        reached[active[over]], when[active[over].cpu()], result[active[over]] = True, step, current[over]
        for place, mark in enumerate(marks):
            if mark >= step:
                told[active, place] = best[active]
        return ~over

    for step in range(steps):
        wanted = goal.of(active)
        seen = target.ascend(current, loss_for(loss, wanted), wanted.reached)
        backwards[active.cpu()] += seen.backward
        going = note(step, seen.logits)
        active, current = active[going], current[going]
        if len(active) == 0:
            break
        stepped = (current + step_size * budget.direction(seen.gradient[going])).clamp_(0.0, 1.0)
        origin = clean[active]
        current = (origin + budget.project(stepped - origin)).clamp_(0.0, 1.0)
    if len(active):
        going = note(steps, target(current))
        result[active[going]] = current[going]
    restarts = torch.full((count,), restart or 0, dtype=torch.long)
    return Climb(Outcome(result, reached, forwards, backwards, restarts, when), told, begin)
