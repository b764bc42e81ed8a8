"""Flickering attacks: one colour offset per frame, for one clip or for all."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from vidbench.attack.algorithms.universal import OneForAll, UniversalSettings, Update, rolled
from vidbench.attack.goal import Goal
from vidbench.attack.losses import Loss
from vidbench.attack.method import Batch, Outcome, Settings
from vidbench.attack.support import Support
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget, Norm

Scale = Literal["probability", "log"]
SOURCE = "Pony et al. 2021, arXiv:2002.05123, eq. 1: hinge loss, thickness and roughness"
BETAS = (0.9, 0.999)
ADAM_EPS = 1e-8


def thickness(offsets: Tensor) -> Tensor:
    """`(N,)` mean absolute offset, a share of the pixel range, of `(N, 3, T, 1, 1)`."""
    return offsets.abs().flatten(1).mean(1)


def roughness(offsets: Tensor) -> Tensor:
    """`(N,)` mean absolute change from a frame to the next, the last one's next being the first."""
    return (offsets - offsets.roll(1, 2)).abs().flatten(1).mean(1)


def regulariser(offsets: Tensor, thick: float, rough: float) -> Tensor:
    """`(N,)` `beta_1 D_1 + beta_2 D_2` of `(N, 3, T, 1, 1)` offsets d.

    `D_1 = |d|_2^2 / 3T`; `D_2 = (|d'|_2^2 + |d''|_2^2) / 3T`, with `d' = roll(d, 1) - d` and
    `d'' = roll(d, 1) - 2 d + roll(d, -1)` over time, as a flicker goes round.
    """
    before, after = offsets.roll(1, 2), offsets.roll(-1, 2)
    values = thick * offsets.square()
    values = values + rough * ((before - offsets).square() + (before - 2 * offsets + after).square())
    return values.flatten(1).mean(1)


def hinge(logits: Tensor, goal: Goal, margin: float, scale: Scale) -> Tensor:
    """`(N,)` `max(0, min(l^2 / m, l))`, where `l = p_y - max_{i != y} p_i + m`: 0 once y is behind by the margin m.

    p are probabilities or their logarithms; towards a target class the difference has the other sign.
    """
    p = functional.softmax(logits, 1) if scale == "probability" else functional.log_softmax(logits, 1)
    own = p.gather(1, goal.labels[:, None])[:, 0]
    others = p.scatter(1, goal.labels[:, None], -torch.inf).amax(1)
    left = (others - own if goal.targeted else own - others) + margin
    return torch.minimum(left.square() / margin, left).where(left > 0, torch.zeros_like(left))


class _Adam:
    """Adam (Kingma and Ba 2015, algorithm 1), descending, for one tensor."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._count = 0
        self._first: Tensor | float = 0.0
        self._second: Tensor | float = 0.0

    def step(self, gradient: Tensor) -> Tensor:
        """What to add."""
        self._count += 1
        self._first = BETAS[0] * self._first + (1 - BETAS[0]) * gradient
        self._second = BETAS[1] * self._second + (1 - BETAS[1]) * gradient.square()
        mean = self._first / (1 - BETAS[0] ** self._count)
        square = self._second / (1 - BETAS[1] ** self._count)
        return -self._rate * mean / (square.sqrt() + ADAM_EPS)


class FlickerSettings(Settings):
    """The settings of the flicker.

    Attributes:
        steps: Gradient steps.
        rate: Adam's step as a share of eps.
        weight: Lambda, of both regularisers.
        thick: beta_1, of the thickness.
        rough: beta_2, of the roughness.
        margin: By how much the other class has to lead.
        scale: Whether the lead is one of probabilities or of their logarithms, whose gradient stays when the model
            is sure.
    """

    steps: int = Field(100, ge=1, le=100_000)
    rate: float = Field(0.1, gt=0, le=1)
    weight: float = Field(1.0, ge=0)
    thick: float = Field(0.5, ge=0)
    rough: float = Field(0.5, ge=0)
    margin: float = Field(0.05, gt=0)
    scale: Scale = "probability"


class Flicker:
    """One RGB offset per frame, little and smooth over time.

    Pony et al. 2021, eq. 1: minimise `lambda (beta_1 D_1 + beta_2 D_2) + hinge(f(x + d))` over the offsets d with
    Adam, x + d cut to [0, 1]. Here the offsets are bounded by eps besides, and of all successes that with the smallest
    thickness is kept.
    """

    name = "flicker"
    summary = "one colour offset per frame, little and smooth over time"
    norms: tuple[Norm, ...] = ("linf",)
    source = SOURCE
    settings: type[Settings] = FlickerSettings
    minimal = False

    def run(self, target: Target, batch: Batch, budget: Budget, settings: Settings) -> Outcome:
        """All steps, also after the first success: the thinnest flicker counts. Of failures the smallest hinge loss."""
        assert isinstance(settings, FlickerSettings)
        return Outcome.joined([self._run(target, part, budget.of(chosen), settings) for chosen, part in batch.parts()])

    def _run(self, target: Target, batch: Batch, budget: Budget, settings: FlickerSettings) -> Outcome:
        clean, goal, count = batch.clips, batch.goal, len(batch)
        offsets = clean.new_zeros(count, 3, clean.shape[2], 1, 1)
        adam = _Adam(settings.rate * budget.eps)
        best, reached = clean.clone(), torch.zeros(count, dtype=torch.bool, device=clean.device)
        # successes before failures, then by thickness or by loss
        score = torch.full((count,), torch.inf, device=clean.device)
        when = torch.full((count,), -1, dtype=torch.long)

        def keep(clips: Tensor, logits: Tensor, number: int) -> None:
            now = goal.reached(logits)
            value = torch.where(now, thickness(offsets), hinge(logits, goal, settings.margin, settings.scale))
            value = value.nan_to_num(torch.inf, torch.inf)
            better = (now & ~reached) | ((now == reached) & (value < score))
            best[better], score[better] = clips[better], value[better]
            reached.logical_or_(now)
            when[(when < 0) & now.cpu()] = number

        for number in range(settings.steps):
            with torch.enable_grad():
                point = offsets.detach().requires_grad_(True)
                clips = flickered(clean, point, budget.support)
                extra = settings.weight * regulariser(point, settings.thick, settings.rough)
            found = target.ascend(clips.detach(), _away(goal, settings.margin, settings.scale))
            keep(clips.detach(), found.logits, number)
            (gradient,) = torch.autograd.grad(
                (extra.sum(), clips), point, (torch.ones_like(extra.sum()), -found.gradient)
            )
            offsets = (offsets + adam.step(gradient)).clamp(-budget.eps, budget.eps)
        clips = flickered(clean, offsets, budget.support)
        keep(clips, target(clips), settings.steps)
        passes = torch.full((count,), settings.steps * target.draws, dtype=torch.long)
        none = torch.zeros(count, dtype=torch.long)
        return Outcome(best, reached, passes + target.draws, passes.clone(), none, when)


class UniversalFlickerSettings(UniversalSettings):
    """The settings of the universal flicker.

    Attributes:
        epochs: Passes over the clips that are learnt from.
        minibatch: Clips per step.
        rate: As of the flicker.
        weight: Lambda, of both regularisers; small, as one flicker for all clips has to be strong and the regularisers
            grow with its square.
        thick: beta_1, of the thickness.
        rough: beta_2, of the roughness.
        margin: By how much the other class has to lead.
        scale: "probability" or "log".
        cyclic: Begin the flicker at a random frame of each clip, while learning and after.
    """

    epochs: int = Field(50, ge=1, le=100_000)
    rate: float = Field(0.1, gt=0, le=1)
    weight: float = Field(0.01, ge=0)
    thick: float = Field(0.5, ge=0)
    rough: float = Field(0.5, ge=0)
    margin: float = Field(0.05, gt=0)
    scale: Scale = "probability"
    cyclic: bool = True


class UniversalFlicker(OneForAll):
    """One flicker for all clips, at whatever moment it begins.

    Pony et al. 2021, eq. 1 with the mean of the hinge loss over many clips; for the time-invariant flicker each clip
    meets `roll(d, tau)`, tau uniform over the frames.
    """

    name = "flicker-universal"
    summary = "one flicker for all clips, at whatever moment it begins"
    norms: tuple[Norm, ...] = ("linf",)
    source = SOURCE
    settings: type[Settings] = UniversalFlickerSettings
    minimal = False

    def start(self, clips: Tensor, budget: Budget, settings: Settings, seed: int) -> Tensor:
        """`(3, T, 1, 1)` zeros."""
        return clips.new_zeros(3, clips.shape[2], 1, 1)

    def put_on(self, theta: Tensor, batch: Batch, budget: Budget, settings: Settings, moment: object) -> Tensor:
        """Added to all pixels of each frame, from a random frame on if cyclic."""
        assert isinstance(settings, UniversalFlickerSettings)
        offsets = rolled(theta, batch, settings.cyclic, moment).clamp(-budget.eps, budget.eps)
        return flickered(batch.clips, offsets, budget.support)

    def loss(self, batch: Batch, settings: Settings) -> Loss:
        """The hinge, negated."""
        assert isinstance(settings, UniversalFlickerSettings)
        return _away(batch.goal, settings.margin, settings.scale)

    def updates(self, budget: Budget, settings: Settings) -> Update:
        """Adam on the mean loss and the regularisers, then the bound."""
        assert isinstance(settings, UniversalFlickerSettings)
        adam, chosen = _Adam(settings.rate * budget.eps), settings

        def update(theta: Tensor, gradient: Tensor, over: float) -> Tensor:
            with torch.enable_grad():
                point = theta.detach().requires_grad_(True)
                extra = chosen.weight * regulariser(point[None], chosen.thick, chosen.rough).sum()
            (pull,) = torch.autograd.grad(extra, point)
            return (theta + adam.step(pull - gradient)).clamp(-budget.eps, budget.eps)

        return update


def flickered(clean: Tensor, offsets: Tensor, support: Support | None) -> Tensor:
    """`(N, 3, T, H, W)` clips with `(N, 3, T, 1, 1)` offsets, cut to [0, 1] as a camera would; in a region if told."""
    if support is not None and not support.flicker:
        offsets = offsets * support.mask
    return (clean + offsets).clamp(0.0, 1.0)


def _away(goal: Goal, margin: float, scale: Scale) -> Loss:
    return lambda logits: -hinge(logits, goal, margin, scale)
