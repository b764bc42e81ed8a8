"""Projected gradient ascent on many clips, each at its own iteration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vidbench.attack.algorithms.steps import along, steepest
from vidbench.attack.losses import LossName, loss_for
from vidbench.attack.method import Batch, Outcome
from vidbench.attack.moves import Moves, Step
from vidbench.attack.pool import State, work_through
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget
from vidbench.errors import UsageError

Keep = Literal["first", "best", "last"]
Start = Callable[[Moves, Tensor, Tensor], Tensor]
"""Moves, `(n,)` rows of the batch and `(n,)` restarts to `(n, ...)` noise in the shape of points."""


@dataclass(frozen=True)
class Plan:
    """What the loop does.

    Attributes:
        steps: Gradient steps of each run; 0 only looks at the starts.
        size: Of a step, in the budget's norm.
        restarts: Runs, each from its own start.
        loss: What the steps go up.
        keep: "first" ends a clip at its first success, "best" does every step. Both keep the iterate with the highest
            loss, one that reaches the goal before any that does not; starts count. "last" does every step and looks
            at the last iterate of each run alone.
        start: Noise to start at; None starts at the clean clips.
        direction: Gradients to steps of unit norm.
        project: Perturbations to perturbations in the ball.
        decay: Of the momentum, `g <- decay * g + gradient / ||gradient||_1`; None for none.
        spare: See `Moves`.
    """

    steps: int
    size: float
    restarts: int = 1
    loss: LossName = "ce"
    keep: Keep = "first"
    start: Start | None = None
    direction: Step = steepest
    project: Step = Budget.project
    decay: float | None = None
    spare: bool = False


def projected_gradient(target: Target, batch: Batch, budget: Budget, plan: Plan) -> Outcome:
    """Attack a batch, `batch.width` clips at work at a time (Madry et al. 2018, arXiv:1706.06083, section 2.1).

    Clips that are done make way for others; with `keep="last"` none is done before its neighbours, and the batch
    passes in plain consecutive parts. The result for a clip depends on the clip, its key and the seed alone, but for
    the rounding of kernels that change with the shape.

    A forward pass is counted for each iterate of a clip, a backward pass where its gradient was used: what the clip
    would have cost alone.

    Raises:
        UsageError: The difference of logits ratio with fewer than 3 classes.
    """
    if plan.loss == "dlr" and target.num_classes < 3:
        raise UsageError("the difference of logits ratio needs 3 classes", "Take loss=margin.")
    loop = _Loop(target, batch, budget, plan)
    work_through(loop, len(batch), batch.width, batch.clips.device)
    return loop.outcome()


class _Loop:
    """The loop as rows of a pool; the best of each clip is kept outside of it."""

    def __init__(self, target: Target, batch: Batch, budget: Budget, plan: Plan) -> None:
        self.target, self.batch, self.plan = target, batch, plan
        self.moves = Moves(budget, tuple(batch.clips.shape[1:]), plan.spare)
        labels = batch.goal.labels
        self.best = batch.clips.clone()
        self.loss = torch.full_like(labels, -torch.inf, dtype=torch.float32)
        self.reached = torch.zeros_like(labels, dtype=torch.bool)
        self.restart, self.forwards, self.backwards = (torch.zeros_like(labels) for _ in range(3))
        self.when = torch.full_like(labels, -1)

    def outcome(self) -> Outcome:
        """What is kept."""
        return Outcome(
            self.best, self.reached, self.forwards.cpu(), self.backwards.cpu(), self.restart.cpu(), self.when.cpu()
        )

    def enter(self, rows: Tensor) -> State:
        """The first start of each clip."""
        clean, zeros = self.batch.clips[rows], torch.zeros_like(rows)
        point = self._warm(rows)
        if point is None:
            point = self._start(clean, rows, zeros)
        state = {"clean": clean, "point": point, "step": zeros, "restart": zeros.clone()}
        if self.plan.decay is not None:
            state["momentum"] = torch.zeros_like(state["point"])
        return state

    def advance(self, rows: Tensor, state: State) -> Tensor:
        """Look at each iterate; then a step, or the next start, or none."""
        plan, clean, point = self.plan, state["clean"], state["point"]
        clips = self.moves.clips(clean, point)
        goal = self.batch.goal.of(rows)
        loss = loss_for(plan.loss, goal)
        last = state["step"] == plan.steps
        gradient = None
        if bool(last.all()):
            logits = self.target(clips)
            values = loss(logits)
        else:
            ends = (lambda logits: goal.reached(logits) | last) if plan.keep == "first" else None
            found = self.target.ascend(clips, loss, ends)
            logits, values = found.logits, found.loss
            gradient = found.gradient if found.backward else None
            del found
        reached = goal.reached(logits)
        self._note(rows, state, clips, reached, values, last)
        won = reached & (plan.keep == "first")
        going = ~(last | won)
        again = last & ~won & (state["restart"] + 1 < plan.restarts)
        self.forwards[rows] += self.target.draws
        self.backwards[rows] += going * self.target.draws
        if gradient is not None:
            del clips
            state["point"] = self._step(rows, state, gradient)
        state["step"] += going
        if bool(again.any()):
            self._begin_again(rows, state, again.nonzero()[:, 0])
        return ~(going | again)

    def _note(self, rows: Tensor, state: State, clips: Tensor, reached: Tensor, values: Tensor, last: Tensor) -> None:
        counts = last if self.plan.keep == "last" else torch.ones_like(last)
        before, highest = self.reached[rows], self.loss[rows]
        values = values.masked_fill(~torch.isfinite(values), -torch.inf)
        better = counts & ((reached & ~before) | ((reached == before) & (values > highest)))
        places = better.nonzero()[:, 0]
        chosen = rows[places]
        self.best[chosen] = clips[places]
        self.loss[chosen] = values[places]
        self.restart[chosen] = state["restart"][places]
        first = counts & reached & ~before
        number = state["restart"] * self.plan.steps + state["step"]
        self.when[rows] = torch.where(first, number, self.when[rows])
        self.reached[rows] = before | (counts & reached)

    def _step(self, rows: Tensor, state: State, gradient: Tensor) -> Tensor:
        plan, moves = self.plan, self.moves
        gradient = moves.pull(gradient, state["clean"], state["point"], rows)
        if plan.decay is not None:
            gradient = state["momentum"].mul_(plan.decay).add_(along(gradient))
        step = plan.direction(moves.ball, gradient).mul_(plan.size / moves.weight)
        return moves.move(state["clean"], state["point"], step, plan.project)

    def _begin_again(self, rows: Tensor, state: State, places: Tensor) -> None:
        state["restart"][places] += 1
        state["step"][places] = 0
        state["point"][places] = self._start(state["clean"][places], rows[places], state["restart"][places])
        if "momentum" in state:
            state["momentum"][places] = 0.0

    def _warm(self, rows: Tensor) -> Tensor | None:
        """Where a smaller ball was left: a better start than any other, as the clips nearly fell there.

        Attacks that look at their last iterate alone are others' attacks, step by step, and begin where those do.
        """
        if self.batch.warm is None or self.plan.keep == "last" or self.moves.flicker:
            return None
        return self.batch.warm[rows].clone()

    def _start(self, clean: Tensor, rows: Tensor, restarts: Tensor) -> Tensor:
        noise = None if self.plan.start is None else self.plan.start(self.moves, rows, restarts)
        return self.moves.start(clean, rows, noise)
