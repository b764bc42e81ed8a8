"""DeepFool: steps to the nearest boundary of the linearised network."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from vidbench.attack.method import Batch, Outcome, Settings
from vidbench.attack.nearest import Nearest, per_row, pulled, shown
from vidbench.attack.pool import State, work_through
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget, Norm
from vidbench.errors import UsageError

BEYOND = 1e-4
"""Added to each step, in the norm: the published code's, against steps that rounding keeps before the boundary."""
TINY = 1e-8


class DeepFoolSettings(Settings):
    """The settings of DeepFool.

    Attributes:
        steps: Steps at most.
        overshoot: By how much the sum of the steps is stretched (eta of section 2.2).
        candidates: Classes with the highest logits of the clean clip, its own among them, whose boundaries are looked
            at. Each but its own takes a backward pass per step.
    """

    steps: int = Field(50, ge=1, le=100_000)
    overshoot: float = Field(0.02, ge=0, allow_inf_nan=False)
    candidates: int = Field(10, ge=2)


class DeepFool:
    """DeepFool (Moosavi-Dezfooli et al. 2016, algorithm 2), for L2 and, by its section 3.3, for Linf."""

    name = "deepfool"
    summary = "steps to the nearest linearised boundary"
    norms: tuple[Norm, ...] = ("l2", "linf")
    source = "Moosavi-Dezfooli et al. 2016, arXiv:1511.04599, algorithm 2 and section 3.3"
    settings: type[Settings] = DeepFoolSettings
    minimal = True

    def run(self, target: Target, batch: Batch, budget: Budget, settings: Settings) -> Outcome:
        """The first iterate that leaves its class, within the budget or beyond; the clean clip if none does.

        Raises:
            UsageError: A targeted goal.
        """
        assert isinstance(settings, DeepFoolSettings)
        if batch.goal.targeted:
            raise UsageError("deepfool has no targets: it goes to whatever class is nearest", "Take cw or ddn.")
        search = _Search(target, batch, budget, settings)
        work_through(search, len(batch), batch.width, batch.clips.device)
        return search.nearest.outcome()


class _Search:
    """The search as rows of a pool; clips that are over the boundary leave it."""

    def __init__(self, target: Target, batch: Batch, budget: Budget, settings: DeepFoolSettings) -> None:
        self.target, self.batch, self.budget, self.settings = target, batch, budget, settings
        self.nearest = Nearest(target, batch, budget.norm)

    def enter(self, rows: Tensor) -> State:
        """The clean clip; its candidates are known after the first forward pass."""
        clean = self.batch.clips[rows]
        count = min(self.settings.candidates, self.target.num_classes) - 1
        return {
            "clean": clean,
            "sum": torch.zeros_like(clean),
            "classes": torch.zeros(len(rows), count, dtype=torch.long, device=clean.device),
            "step": torch.zeros_like(rows),
        }

    def advance(self, rows: Tensor, state: State) -> Tensor:
        """Look at each iterate, and step to the nearest of its linearised boundaries."""
        clean, step = state["clean"], state["step"]
        support, goal = self.budget.of(rows).support, self.batch.goal.of(rows)
        offset = state["sum"] * (1 + self.settings.overshoot)
        clips = shown(clean, offset)
        point = clips.detach().requires_grad_(True)
        output = self.target.logits(point)
        logits = output.detach()
        reached = goal.reached(logits)
        self.nearest.look(rows, clean, clips, reached, step)
        # nothing is known of a boundary where logits are not finite
        done = reached | (step == self.settings.steps) | ~torch.isfinite(logits).all(1)
        if bool(done.all()):
            return done
        own = goal.labels[:, None]
        others = logits.scatter(1, own, -torch.inf).topk(state["classes"].shape[1], dim=1).indices
        state["classes"] = torch.where((step == 0)[:, None], others, state["classes"])
        gaps = output.gather(1, state["classes"]) - output.gather(1, own)
        self.nearest.went_back(rows, ~done * gaps.shape[1])
        nearest = torch.full_like(gaps[:, 0].detach(), torch.inf)
        stride = torch.zeros_like(clean)
        for place in range(gaps.shape[1]):
            (gradient,) = torch.autograd.grad(gaps[:, place].sum(), point, retain_graph=place + 1 < gaps.shape[1])
            gradient = pulled(support, gradient.nan_to_num(0.0, 0.0, 0.0), clean, offset)
            distance, towards = self._boundary(gaps[:, place].detach(), gradient)
            nearer = distance < nearest
            nearest = torch.where(nearer, distance, nearest)
            stride = torch.where(per_row(nearer, stride), towards, stride)
        state["sum"] += stride
        state["step"] = step + 1
        return done

    def _boundary(self, gap: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """`(n,)` distances to the planes where linearised gaps are 0, and the steps there, of the clips' shape."""
        p = 2 if self.budget.norm == "l2" else 1
        # the length of a step is by the dual norm of the gradient: L1 for Linf
        dual = gradient.flatten(1).norm(p=p, dim=1) + TINY
        distance = gap.abs() / dual
        direction = gradient / per_row(dual, gradient) if p == 2 else gradient.sign()
        return distance, per_row(distance + BEYOND, gradient) * direction
