"""The nearest decision boundary by projections: FAB, towards all classes at once or class after class."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor

from vidbench.attack.algorithms.hyperplane import step_onto
from vidbench.attack.losses import Loss, loss_for
from vidbench.attack.method import Batch, Outcome, Settings
from vidbench.attack.moves import Moves
from vidbench.attack.pool import State, work_through
from vidbench.attack.target import Target
from vidbench.attack.threat import TINY, Budget, Norm, norms_of

LEAST = 1e-8
"""The distance below which two projections count as equally far."""

Boundary = Callable[[Tensor, Tensor, State], tuple[Tensor, Tensor]]
"""Rows of the batch, `(n, 3, T, H, W)` clips and the state to `(n,)` gaps, which are what a function of the clip lacks
to 0, and its gradients by points; 0 is the boundary that is aimed at."""


class FabSettings(Settings):
    """The settings of FAB.

    Attributes:
        steps: Iterations of each run.
        restarts: Runs; all but the first start at random, half of eps from the clip.
        alpha_max: The largest weight of the projection of the clip beside that of the iterate, in [0, 1].
        eta: How far to go over the boundary: 1 is onto it.
        beta: What is kept of a perturbation that succeeded, before the next iteration, in (0, 1].
        search: Secant steps at the end, between the clip and the nearest success.
        stop: End with a clip as soon as it has a success within eps, for those who do not want the nearest.
        classes: How many other classes are looked at in each iteration, those with the largest logits; None for all.
            Each costs a backward pass.
    """

    steps: int = Field(100, ge=1, le=100_000)
    restarts: int = Field(1, ge=1, le=1000)
    alpha_max: float = Field(0.1, ge=0, le=1)
    eta: float = Field(1.05, ge=1)
    beta: float = Field(0.9, gt=0, le=1)
    search: int = Field(3, ge=0, le=100)
    stop: bool = False
    classes: int | None = Field(None, ge=1)


class FabTargetedSettings(Settings):
    """The settings of targeted FAB: those of FAB, with `targets` in place of `classes`.

    Attributes:
        targets: How many classes to run towards, one after the other: those with the largest logits of the clean clip
            after its own.
        steps: Iterations of each run.
        restarts: Runs per class; all but the first start at random, half of eps from the clip.
        alpha_max: The largest weight of the projection of the clip beside that of the iterate, in [0, 1].
        eta: How far to go over the boundary: 1 is onto it.
        beta: What is kept of a perturbation that succeeded, before the next iteration, in (0, 1].
        search: Secant steps at the end, between the clip and the nearest success.
        stop: End with a clip as soon as it has a success within eps, for those who do not want the nearest.
    """

    targets: int = Field(9, ge=1)
    steps: int = Field(100, ge=1, le=100_000)
    restarts: int = Field(1, ge=1, le=1000)
    alpha_max: float = Field(0.1, ge=0, le=1)
    eta: float = Field(1.05, ge=1)
    beta: float = Field(0.9, gt=0, le=1)
    search: int = Field(3, ge=0, le=100)
    stop: bool = False


class Fab:
    """Fast adaptive boundary attack.

    Each iteration linearises the boundaries around the iterate, takes the nearest one, projects the iterate and the
    clip onto it within the box, goes a little beyond both, and mixes them; a success is noted and drawn back towards
    the clip (Croce and Hein 2020, arXiv:1907.02044, algorithm 1). A step takes two forward passes and a backward pass
    for each other class: with hundreds of classes take `fab-t`, or few `classes`.

    Towards a class, which the paper leaves open, the boundary between it and the class that leads at the iterate is
    aimed at: one backward pass.
    """

    name = "fab"
    summary = "the nearest decision boundary, by projections"
    norms: tuple[Norm, ...] = ("linf", "l2", "l1")
    source = "Croce and Hein 2020, arXiv:1907.02044, algorithm 1"
    settings: type[Settings] = FabSettings
    minimal = True

    def run(self, target: Target, batch: Batch, budget: Budget, settings: Settings) -> Outcome:
        """The nearest success of each clip, within the budget or beyond; the clean clip where there is none.

        The radius of the budget serves random starts and `stop` alone.
        """
        assert isinstance(settings, FabSettings)
        search = _Search(target, batch, budget, settings)
        if batch.goal.targeted:
            return search.run(search.towards, None)
        rivals = min(settings.classes or target.num_classes, target.num_classes - 1)
        return search.run(lambda rows, clips, state: search.nearest(rows, clips, state, rivals), None)


class FabTargeted:
    """FAB towards one class after the other: the boundary between it and the clip's own class is aimed at.

    Leaving the class for any other counts (Croce and Hein 2020, arXiv:2003.01690, section 4). A step takes two forward
    passes and one backward pass. When the goal is to reach a class, there is that class alone.
    """

    name = "fab-t"
    summary = "the same, class after class"
    norms: tuple[Norm, ...] = ("linf", "l2", "l1")
    source = "Croce and Hein 2020, arXiv:1907.02044, algorithm 1, and arXiv:2003.01690, section 4"
    settings: type[Settings] = FabTargetedSettings
    minimal = True

    def run(self, target: Target, batch: Batch, budget: Budget, settings: Settings) -> Outcome:
        """The nearest success of each clip over all classes, within the budget or beyond; else the clean clip.

        The radius of the budget serves random starts and `stop` alone.
        """
        assert isinstance(settings, FabTargetedSettings)
        search = _Search(target, batch, budget, settings)
        return search.run(search.towards, None if batch.goal.targeted else settings.targets)


class _Search:
    """Runs of FAB as rows of a pool; the nearest success of each clip is kept outside of it.

    A run is a lap: class after class, and for each the restarts.
    """

    def __init__(
        self, target: Target, batch: Batch, budget: Budget, settings: FabSettings | FabTargetedSettings
    ) -> None:
        self.target, self.batch, self.budget, self.settings = target, batch, budget, settings
        self.moves = Moves(budget, tuple(batch.clips.shape[1:]))
        # an offset is bounded by what it can do to any pixel
        self.low = -1.0 if self.moves.flicker else 0.0
        labels = batch.goal.labels
        self.points = self.moves.start(batch.clips, torch.arange(len(batch), device=labels.device))
        self.sizes = torch.full_like(labels, torch.inf, dtype=torch.float64)
        self.excess = torch.zeros_like(labels, dtype=torch.float32)
        self.restart, self.forwards, self.backwards = (torch.zeros_like(labels) for _ in range(3))
        self.when = torch.full_like(labels, -1)

    def run(self, boundary: Boundary, targets: int | None) -> Outcome:
        """Look at the clean clips, run all laps on those that do not reach the goal, and search at the end.

        Args:
            boundary: What each iteration aims at.
            targets: Number of classes to run towards; None where `boundary` chooses.
        """
        goal = self.batch.goal
        logits = torch.cat([self.target(part.clips) for _, part in self.batch.parts()])
        self.forwards += self.target.draws
        reached = goal.reached(logits)
        self.sizes[reached], self.when[reached] = 0.0, 0
        self.rivals = logits.scatter(1, goal.labels[:, None], -torch.inf).argsort(1, descending=True)[:, :-1]
        self.classes = 1 if targets is None else min(targets, self.rivals.shape[1])
        self.boundary = boundary
        self.left = (~reached).nonzero()[:, 0]
        work_through(self, len(self.left), self.batch.width, logits.device)
        found = torch.isfinite(self.sizes)
        chosen = (found & ~reached).nonzero()[:, 0]
        for start in range(0, len(chosen), self.batch.width):
            rows = chosen[start : start + self.batch.width]
            self._draw_near(rows, logits[rows])
        return Outcome(
            self.moves.clips(self.batch.clips, self.points), found, self.forwards.cpu(), self.backwards.cpu(),
            self.restart.cpu(), self.when.cpu(),
        )  # fmt: skip

    def enter(self, places: Tensor) -> State:
        """The first lap begins at the clip itself."""
        rows = self.left[places]
        zeros = torch.zeros_like(rows)
        return {"point": self._origin(rows), "step": zeros, "lap": zeros.clone()}

    def advance(self, places: Tensor, state: State) -> Tensor:
        """One iteration of each clip; then the next lap, where one ends."""
        settings, rows = self.settings, self.left[places]
        origin, clean = self._origin(rows), self.batch.clips[rows]
        gap, normal = self.boundary(rows, self.moves.clips(clean, state["point"]), state)
        point = self._project(origin, state["point"], gap, normal)
        clips = self.moves.clips(clean, point)
        logits = self.target(clips)
        self.forwards[rows] += 2 * self.target.draws
        state["step"] += 1
        hit = self.batch.goal.of(rows).reached(logits)
        self._note(rows, state, point, logits, hit, norms_of(clips - clean, self.budget.norm))
        drawn = origin + (point - origin) * settings.beta
        state["point"] = torch.where(_wide(hit, point), drawn, point)
        last = state["step"] == settings.steps
        over = last & (state["lap"] + 1 == self.classes * settings.restarts)
        if settings.stop:
            over |= self.budget.within(self.moves.clips(clean, self.points[rows]) - clean) & self._found(rows)
        again = (last & ~over).nonzero()[:, 0]
        if len(again):
            state["lap"][again] += 1
            state["step"][again] = 0
            state["point"][again] = self._start(rows[again], state["lap"][again])
        return over

    def towards(self, rows: Tensor, clips: Tensor, state: State) -> tuple[Tensor, Tensor]:
        """The boundary to the class of this lap, or to the goal's."""
        goal = self.batch.goal.of(rows)
        rival = self.rivals[rows, state["lap"] // self.settings.restarts]
        loss: Loss = loss_for("margin", goal) if goal.targeted else lambda logits: _lead(logits, rival, goal.labels)
        found = self.target.ascend(clips, loss)
        self.backwards[rows] += self.target.draws
        return -found.loss, self._by_points(found.gradient, rows, state)

    def nearest(self, rows: Tensor, clips: Tensor, state: State, rivals: int) -> tuple[Tensor, Tensor]:
        """Of the boundaries to several classes the one that is nearest to the iterate when linearised."""
        labels = self.batch.goal.labels[rows]
        with torch.enable_grad():
            shown = clips.detach().requires_grad_(True)
            logits = self.target.logits(shown)
        order = logits.detach().scatter(1, labels[:, None], -torch.inf).topk(rivals, dim=1).indices
        gap, normal, distance = None, torch.empty(0), torch.empty(0)
        for rank in range(rivals):
            lead = _lead(logits, order[:, rank], labels)
            (gradient,) = torch.autograd.grad(lead.sum(), shown, retain_graph=rank + 1 < rivals)
            gradient = self._by_points(gradient.nan_to_num(0.0, 0.0, 0.0), rows, state)
            lacks = -lead.detach()
            # to a hyperplane, box aside: the gap by the dual norm of the normal
            away = (lacks.abs() / (TINY + self._dual(gradient))).nan_to_num(torch.inf)
            if gap is None:
                gap, normal, distance = lacks, gradient, away
                continue
            closer = away < distance
            gap, distance = torch.where(closer, lacks, gap), torch.minimum(away, distance)
            normal = torch.where(_wide(closer, normal), gradient, normal)
        assert gap is not None
        self.backwards[rows] += rivals * self.target.draws
        return gap, normal

    def _project(self, origin: Tensor, point: Tensor, gap: Tensor, normal: Tensor) -> Tensor:
        """The next iterate: beyond both projections, mixed by how far they are."""
        settings, norm = self.settings, self.budget.norm
        gap = gap.nan_to_num(0.0, 0.0, 0.0).double()
        # the hyperplane as seen from the clip: the same function, further away by what the iterate has gained
        gained = (normal.double() * (point - origin).double()).flatten(1).sum(1)
        both = torch.cat([point, origin])
        steps = step_onto(both, normal.repeat(2, 1, 1, 1, 1), torch.cat([gap, gap + gained]), norm, self.low)
        lengths = norms_of(steps, norm).clamp_min(LEAST)
        own, other = lengths.chunk(2)
        share = (own / (own + other)).clamp_max(settings.alpha_max).to(point.dtype)
        onward, anew = (both + settings.eta * steps).chunk(2)
        # written so that what neither has moved stays as it is, to the bit
        return (onward + _wide(share, point) * (anew - onward)).clamp_(self.low, 1.0)

    def _note(self, rows: Tensor, state: State, point: Tensor, logits: Tensor, hit: Tensor, sizes: Tensor) -> None:
        better = hit & (sizes < self.sizes[rows])
        first = hit & (self.when[rows] < 0)
        self.when[rows[first]] = (state["lap"] * self.settings.steps + state["step"])[first]
        chosen = rows[better]
        self.points[chosen], self.sizes[chosen] = point[better], sizes[better]
        self.restart[chosen] = state["lap"][better]
        self.excess[chosen] = loss_for("margin", self.batch.goal.of(chosen))(logits[better])

    def _draw_near(self, rows: Tensor, logits: Tensor) -> None:
        """Secant steps between the last failure and the last success on the segment from the clip (section 2)."""
        goal, clean = self.batch.goal.of(rows), self.batch.clips[rows]
        loss = loss_for("margin", goal)
        outside, inside, below = self._origin(rows), self.points[rows], loss(logits)
        above = self.excess[rows]
        for _ in range(self.settings.search):
            share = (above / (above - below)).nan_to_num(0.0).clamp(0.0, 1.0)
            middle = inside + _wide(share, inside) * (outside - inside)
            clips = self.moves.clips(clean, middle)
            logits = self.target(clips)
            self.forwards[rows] += self.target.draws
            sizes = norms_of(clips - clean, self.budget.norm)
            hit, values = goal.reached(logits) & (sizes <= self.sizes[rows]), loss(logits)
            wide = _wide(hit, middle)
            inside, outside = torch.where(wide, middle, inside), torch.where(wide, outside, middle)
            above, below = torch.where(hit, values, above), torch.where(hit, below, values)
            self.sizes[rows] = torch.where(hit, sizes, self.sizes[rows])
        self.points[rows] = inside

    def _found(self, rows: Tensor) -> Tensor:
        return torch.isfinite(self.sizes[rows])

    def _origin(self, rows: Tensor) -> Tensor:
        return self.moves.start(self.batch.clips[rows], rows)

    def _start(self, rows: Tensor, laps: Tensor) -> Tensor:
        """The clip, or for a restart a random point half of eps away from it."""
        points = self._origin(rows)
        numbers = (laps % self.settings.restarts).tolist()
        for place, (row, lap, number) in enumerate(zip(rows.tolist(), laps.tolist(), numbers, strict=True)):
            if number:
                noise = self.moves.draw(_halfway, row, self.batch.generator(row, "fab", lap))
                points[place] = self.moves.start(self.batch.clips[row : row + 1], rows[place : place + 1], noise[None])
        return points

    def _by_points(self, gradient: Tensor, rows: Tensor, state: State) -> Tensor:
        """A gradient by the values of clips as one by points: an offset adds up over the pixels of its frame."""
        pixels = math.prod(self.moves.shape[2:]) if self.moves.flicker else 1
        return pixels * self.moves.pull(gradient, self.batch.clips[rows], state["point"], rows)

    def _dual(self, gradient: Tensor) -> Tensor:
        flat = gradient.flatten(1)
        norms: Tensor = flat.norm(p={"linf": 1.0, "l2": 2.0, "l1": math.inf}[self.budget.norm], dim=1)
        return norms


def _halfway(ball: Budget, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Noise of half the ball's radius, in a direction drawn uniformly (L-infinity: from a cube's inside)."""
    if ball.norm == "linf":
        drawn = torch.rand(shape, generator=generator) * 2 - 1
    else:
        drawn = torch.randn(shape, generator=generator)
    size = float(ball.sizes(drawn[None]).clamp_min(TINY))
    return drawn * (0.5 * ball.eps / size)


def _lead(logits: Tensor, classes: Tensor, labels: Tensor) -> Tensor:
    """`(N,)` by how much a class exceeds another."""
    return (logits.gather(1, classes[:, None]) - logits.gather(1, labels[:, None]))[:, 0]


def _wide(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.ndim - 1))
