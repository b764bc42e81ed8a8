"""Carlini and Wagner's attack: the smallest L2 perturbation by Adam, and a search for the weight of the margin."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor

from vidbench.attack.losses import loss_for
from vidbench.attack.method import Batch, Outcome, Settings
from vidbench.attack.nearest import Nearest, per_row, pulled, shown
from vidbench.attack.pool import State, work_through
from vidbench.attack.support import Support
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget, Norm

BETAS = (0.9, 0.999)
TINY = 1e-8
INSIDE = 0.999999
"""What clean values are drawn towards grey by, so that those of 0 and 1 have a finite artanh."""
CHECKS = 10
PROGRESS = 0.9999
"""A search over a weight is given up when a tenth of its steps did not bring the loss below this share of it."""
GROWTH = 10
"""The weight after a failure, while none has succeeded yet."""


class CarliniWagnerSettings(Settings):
    """The settings of C&W.

    Attributes:
        steps: Iterates for each weight.
        binary_steps: Weights that are tried for each clip.
        lr: Adam's learning rate, in tanh space.
        init_const: The first weight of the margin.
        confidence: The margin between logits from which on an iterate counts (kappa).
        abort_early: Give a weight up when its loss stalls; each clip for itself.
    """

    steps: int = Field(1000, ge=1, le=100_000)
    binary_steps: int = Field(9, ge=1, le=100)
    lr: float = Field(0.01, gt=0, allow_inf_nan=False)
    init_const: float = Field(1e-3, gt=0, allow_inf_nan=False)
    confidence: float = Field(0.0, ge=0, allow_inf_nan=False)
    abort_early: bool = True


class CarliniWagner:
    """C&W in L2 (Carlini and Wagner 2017, section VI.A): `||x' - x||_2^2 + c f(x')`, f the margin of equation 6.

    `x' = (tanh(w) + 1) / 2` holds the box. The search over c is a bisection once some c succeeded (section V.B).
    """

    name = "cw"
    summary = "Carlini and Wagner's smallest L2 perturbation"
    norms: tuple[Norm, ...] = ("l2",)
    source = "Carlini and Wagner 2017, arXiv:1608.04644, section VI.A"
    settings: type[Settings] = CarliniWagnerSettings
    minimal = True

    def run(self, target: Target, batch: Batch, budget: Budget, settings: Settings) -> Outcome:
        """The nearest iterate that reaches the goal, within the budget or beyond; the clean clip if none does."""
        assert isinstance(settings, CarliniWagnerSettings)
        search = _Search(target, batch, budget, settings)
        work_through(search, len(batch), batch.width, batch.clips.device)
        return search.nearest.outcome()


class _Search:
    """The search as rows of a pool: each clip has its own weight, Adam and progress."""

    def __init__(self, target: Target, batch: Batch, budget: Budget, settings: CarliniWagnerSettings) -> None:
        self.target, self.batch, self.budget, self.settings = target, batch, budget, settings
        self.nearest = Nearest(target, batch, "l2")
        self.every = math.ceil(settings.steps / CHECKS)

    def enter(self, rows: Tensor) -> State:
        """The clean clip and the first weight."""
        clean = self.batch.clips[rows]
        numbers = torch.zeros(len(rows), dtype=torch.float64, device=clean.device)
        return {
            "clean": clean,
            "delta": torch.zeros_like(clean),
            "mean": torch.zeros_like(clean),
            "square": torch.zeros_like(clean),
            "const": numbers + self.settings.init_const,
            "lower": numbers.clone(),
            "upper": numbers + torch.inf,
            "checked": torch.full((len(rows),), torch.inf, device=clean.device),
            "found": torch.zeros_like(rows, dtype=torch.bool),
            "search": torch.zeros_like(rows),
            "step": torch.zeros_like(rows),
        }

    def advance(self, rows: Tensor, state: State) -> Tensor:
        """Look at each iterate; then a step of Adam, or the next weight, or none."""
        settings, clean, step = self.settings, state["clean"], state["step"]
        support, goal = self.budget.of(rows).support, self.batch.goal.of(rows)
        clips, base, slope = _mapped(clean, state["delta"], support)
        const = state["const"].float()
        offset = clips - base
        squared = offset.square().flatten(1).sum(1)
        margin = loss_for("margin", goal)
        last = step == settings.steps - 1
        checking = (step % self.every == 0) & settings.abort_early

        def short(logits: Tensor) -> Tensor:
            return const * (settings.confidence - margin(logits)).clamp_min(0.0)

        def ends(loss: Tensor) -> Tensor:
            return last | (checking & ~(squared + loss <= PROGRESS * state["checked"]))

        # without a shortfall the gradient is that of the distance alone
        found = self.target.ascend(clips, short, lambda logits: ends(short(logits)) | ~(short(logits) > 0))
        over = ends(found.loss)
        reached = goal.reached(found.logits) & (margin(found.logits) >= settings.confidence)
        self.nearest.look(rows, clean, clips, reached, state["search"] * settings.steps + step)
        self.nearest.went_back(rows, ~over & (found.loss > 0))
        state["found"] |= reached
        state["checked"] = torch.where(checking, squared + found.loss, state["checked"])
        gradient = (found.gradient + 2 * offset) * slope
        self._descend(state, pulled(support, gradient, clean, state["delta"]))
        state["step"] = step + 1
        return self._next_weight(state, over)

    def _descend(self, state: State, gradient: Tensor) -> None:
        first, second = BETAS
        state["mean"].mul_(first).add_(gradient, alpha=1 - first)
        state["square"].mul_(second).add_(gradient.square(), alpha=1 - second)
        number = (state["step"] + 1).double()
        mean = state["mean"] / per_row((1 - first**number).float(), gradient)
        square = state["square"] / per_row((1 - second**number).float(), gradient)
        state["delta"] -= self.settings.lr * mean / (square.sqrt() + TINY)

    def _next_weight(self, state: State, over: Tensor) -> Tensor:
        """Begin anew where a weight is over; whether it was the last."""
        if not bool(over.any()):
            return over
        const, worked = state["const"], state["found"]
        state["upper"] = torch.where(over & worked, const, state["upper"])
        state["lower"] = torch.where(over & ~worked, const, state["lower"])
        halfway = (state["lower"] + state["upper"]) / 2
        state["const"] = torch.where(over, torch.where(state["upper"].isinf(), const * GROWTH, halfway), const)
        state["search"] = state["search"] + over
        places = over.nonzero()[:, 0]
        for name in ("delta", "mean", "square", "step", "found"):
            state[name][places] = 0
        state["checked"][places] = torch.inf
        return over & (state["search"] == self.settings.binary_steps)


def _mapped(clean: Tensor, delta: Tensor, support: Support | None) -> tuple[Tensor, Tensor, Tensor]:
    """Clips in [0, 1] at points of tanh space, what distances are measured from, and the map's derivative.

    Only values in the support are mapped: the others stay as they are to the bit. The offsets of a flicker are added
    as they are, and the box cut off: a shift in tanh space is no common offset of a frame's pixels.
    """
    if support is not None and support.flicker:
        return shown(clean, delta), clean, torch.ones((), device=clean.device)
    origin = torch.atanh((2 * clean - 1) * INSIDE)
    tanh = torch.tanh(origin + delta)
    base, clips = torch.tanh(origin) / 2 + 0.5, (tanh / 2 + 0.5).clamp_(0.0, 1.0)
    slope = (1 - tanh.square()) / 2
    if support is not None:
        inside = support.mask > 0
        base, clips = torch.where(inside, base, clean), torch.where(inside, clips, clean)
    return clips, base, slope
