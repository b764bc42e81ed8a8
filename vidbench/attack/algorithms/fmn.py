"""Fast minimum-norm attack: the smallest perturbation by steps in a ball whose radius follows the boundary."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from vidbench.attack.losses import loss_for
from vidbench.attack.method import Batch, Outcome, Settings
from vidbench.attack.nearest import Nearest, cosine, farthest, kept, per_row, pulled, shown, unit
from vidbench.attack.pool import State, work_through
from vidbench.attack.target import Target
from vidbench.attack.threat import TINY, Budget, Norm, norms_of

LAST_STEP = 0.01
"""The last step size, as a share of the first."""
LAST_GAMMA = 0.001
"""The last share by which the radius changes."""


class FmnSettings(Settings):
    """The settings of FMN.

    Attributes:
        steps: Iterates, the clean clip among them.
        max_step: The first step's L2 norm, in either norm; the last is a hundredth of it.
        gamma: The share by which the radius shrinks after an iterate that reaches the goal, and grows otherwise, at
            first; the last is 0.001.
    """

    steps: int = Field(100, ge=2, le=100_000)
    max_step: float = Field(1.0, gt=0, allow_inf_nan=False)
    gamma: float = Field(0.05, ge=LAST_GAMMA, lt=1)


class Fmn:
    """Fast minimum-norm attack (Pintor et al. 2021, algorithm 1), for L2 and Linf.

    Until a clip first reaches its goal, the radius is its distance plus that to the linearised boundary (equation 5).
    """

    name = "fmn"
    summary = "the smallest perturbation, in a ball whose radius follows the boundary"
    norms: tuple[Norm, ...] = ("l2", "linf")
    source = "Pintor et al. 2021, arXiv:2102.12827, algorithm 1"
    settings: type[Settings] = FmnSettings
    minimal = True

    def run(self, target: Target, batch: Batch, budget: Budget, settings: Settings) -> Outcome:
        """The nearest iterate that reaches the goal, within the budget or beyond; the clean clip if none does."""
        assert isinstance(settings, FmnSettings)
        search = _Search(target, batch, budget, settings)
        work_through(search, len(batch), batch.width, batch.clips.device)
        return search.nearest.outcome()


class _Search:
    """The search as rows of a pool."""

    def __init__(self, target: Target, batch: Batch, budget: Budget, settings: FmnSettings) -> None:
        self.target, self.batch, self.budget, self.settings = target, batch, budget, settings
        self.nearest = Nearest(target, batch, budget.norm)

    def enter(self, rows: Tensor) -> State:
        """The clean clip, and no radius yet."""
        clean = self.batch.clips[rows]
        return {
            "clean": clean,
            "delta": torch.zeros_like(clean),
            "radius": torch.full((len(rows),), torch.inf, device=clean.device),
            "farthest": farthest(self.budget.of(rows).support, clean, self.budget.norm),
            "step": torch.zeros_like(rows),
        }

    def advance(self, rows: Tensor, state: State) -> Tensor:
        """Look at each iterate, change its radius, and step."""
        settings, clean, delta, step = self.settings, state["clean"], state["delta"], state["step"]
        support, goal = self.budget.of(rows).support, self.batch.goal.of(rows)
        last = step == settings.steps - 1
        clips = shown(clean, delta)
        found = self.target.ascend(clips, loss_for("margin", goal), lambda _: last)
        reached = goal.reached(found.logits)
        self.nearest.look(rows, clean, clips, reached, step)
        self.nearest.went_back(rows, ~last)
        gradient = pulled(support, found.gradient, clean, delta)
        dual = gradient.flatten(1).norm(p=2 if self.budget.norm == "l2" else 1, dim=1).clamp_min(TINY)
        best = self.nearest.distance[rows].float()
        gamma = cosine(step, settings.steps, settings.gamma, LAST_GAMMA)
        nearer = state["radius"] * (1 - gamma)
        if support is None or not support.flicker:
            # a flicker's radius is that of its offsets, of which the box has cut the clips' distance
            nearer = torch.minimum(nearer, best)
        boundary = norms_of(delta, self.budget.norm).float() + (found.loss.abs() / dual).nan_to_num()
        farther = torch.where(best.isinf(), boundary, state["radius"] * (1 + gamma))
        state["radius"] = torch.minimum(torch.where(reached, nearer, farther), state["farthest"])
        size = cosine(step, settings.steps, settings.max_step, LAST_STEP * settings.max_step)
        moved = delta + per_row(size, delta) * unit(gradient)
        state["delta"] = kept(support, clean, self._inside(moved, state["radius"]))
        state["step"] = step + 1
        return last

    def _inside(self, delta: Tensor, radius: Tensor) -> Tensor:
        """Perturbations projected onto balls of `(n,)` radii."""
        if self.budget.norm == "linf":
            limit = per_row(radius, delta)
            return delta.clamp(-limit, limit)
        sizes = delta.flatten(1).norm(dim=1).clamp_min(TINY)
        return delta * per_row((radius / sizes).clamp_max(1.0), delta)
