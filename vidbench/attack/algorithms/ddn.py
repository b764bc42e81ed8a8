"""Decoupled direction and norm: the smallest L2 perturbation by steps on spheres that shrink and grow."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from vidbench.attack.losses import loss_for
from vidbench.attack.method import Batch, Outcome, Settings
from vidbench.attack.nearest import Nearest, cosine, farthest, kept, per_row, pulled, shown, unit
from vidbench.attack.pool import State, work_through
from vidbench.attack.target import Target
from vidbench.attack.threat import TINY, Budget, Norm

STEP_SIZES = (1.0, 0.01)
"""The first and the last, on half a cosine (section 3)."""


class DdnSettings(Settings):
    """The settings of DDN.

    Attributes:
        steps: Iterates, the clean clip among them.
        init_eps: The first sphere's radius.
        gamma: The share by which the radius shrinks after an iterate that reaches the goal, and grows otherwise.
    """

    steps: int = Field(100, ge=2, le=100_000)
    init_eps: float = Field(1.0, gt=0, allow_inf_nan=False)
    gamma: float = Field(0.05, gt=0, lt=1)


class Ddn:
    """Decoupled direction and norm (Rony et al. 2019, algorithm 1), without the rounding to grey levels.

    Each step goes up the cross entropy along the gradient of unit norm, and is then scaled to the sphere's radius.
    """

    name = "ddn"
    summary = "the smallest L2 perturbation by decoupled direction and norm"
    norms: tuple[Norm, ...] = ("l2",)
    source = "Rony et al. 2019, arXiv:1811.09600, algorithm 1"
    settings: type[Settings] = DdnSettings
    minimal = True

    def run(self, target: Target, batch: Batch, budget: Budget, settings: Settings) -> Outcome:
        """The nearest iterate that reaches the goal, within the budget or beyond; the clean clip if none does."""
        assert isinstance(settings, DdnSettings)
        search = _Search(target, batch, budget, settings)
        work_through(search, len(batch), batch.width, batch.clips.device)
        return search.nearest.outcome()


class _Search:
    """The search as rows of a pool."""

    def __init__(self, target: Target, batch: Batch, budget: Budget, settings: DdnSettings) -> None:
        self.target, self.batch, self.budget, self.settings = target, batch, budget, settings
        self.nearest = Nearest(target, batch, "l2")

    def enter(self, rows: Tensor) -> State:
        """The clean clip, and the first radius."""
        clean = self.batch.clips[rows]
        return {
            "clean": clean,
            "delta": torch.zeros_like(clean),
            "radius": torch.full((len(rows),), self.settings.init_eps, device=clean.device),
            "farthest": farthest(self.budget.of(rows).support, clean, "l2"),
            "step": torch.zeros_like(rows),
        }

    def advance(self, rows: Tensor, state: State) -> Tensor:
        """Look at each iterate, change its radius, and step."""
        clean, delta, step = state["clean"], state["delta"], state["step"]
        support, goal = self.budget.of(rows).support, self.batch.goal.of(rows)
        last = step == self.settings.steps - 1
        clips = shown(clean, delta)
        found = self.target.ascend(clips, loss_for("ce", goal), lambda _: last)
        reached = goal.reached(found.logits)
        self.nearest.look(rows, clean, clips, reached, step)
        self.nearest.went_back(rows, ~last)
        factor = torch.where(reached, 1 - self.settings.gamma, 1 + self.settings.gamma)
        state["radius"] = torch.minimum(state["radius"] * factor, state["farthest"])
        direction = unit(pulled(support, found.gradient, clean, delta))
        flat = ~direction.flatten(1).any(1) & ~last
        if bool(flat.any()):
            direction = unit(pulled(support, self._drawn(rows, step, direction, flat), clean, delta))
        moved = delta + per_row(cosine(step, self.settings.steps, *STEP_SIZES), delta) * direction
        sizes = moved.flatten(1).norm(dim=1).clamp_min(TINY)
        state["delta"] = kept(support, clean, moved * per_row(state["radius"] / sizes, moved))
        state["step"] = step + 1
        return last

    def _drawn(self, rows: Tensor, step: Tensor, direction: Tensor, flat: Tensor) -> Tensor:
        """Directions, those drawn that there are none of: a flat place would otherwise never be left."""
        drawn = direction.clone()
        for place in flat.nonzero()[:, 0].tolist():
            generator = self.batch.generator(int(rows[place]), "direction", int(step[place]))
            drawn[place] = torch.randn(drawn.shape[1:], generator=generator).to(drawn)
        return drawn
