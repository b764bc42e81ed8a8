"""Attacks that are settings of one projected-gradient loop."""

from __future__ import annotations

import math
from typing import Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from vidbench.attack.algorithms.steps import along, largest, rescale, steepest
from vidbench.attack.losses import LossName
from vidbench.attack.method import Batch, Outcome, Settings
from vidbench.attack.moves import Draw, Moves, Step
from vidbench.attack.projected import Keep, Plan, Start, projected_gradient
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget, Eps, Norm
from vidbench.errors import UsageError

L1_SHARE = 0.01
"""Of the values of a clip, how many a step in L1 moves (the percentile 99 of arXiv:1904.13000)."""


class FgsmSettings(Settings):
    """The settings of FGSM: one step of size eps from the clean clip.

    Attributes:
        loss: What the step goes up.
    """

    loss: LossName = "ce"


class RandomFgsmSettings(FgsmSettings):
    """The settings of FGSM from a random start.

    Attributes:
        restarts: Starts, on the clips that withstood so far.
    """

    restarts: int = Field(1, ge=1, le=1000)


class NoiseSettings(Settings):
    """The settings of noise.

    Attributes:
        restarts: Draws, on the clips that withstood so far.
    """

    restarts: int = Field(1, ge=1, le=1000)


class IteratedSettings(Settings):
    """What attacks of many steps have in common.

    Attributes:
        steps: Gradient steps.
        step: Step size like eps ("2/255"); None for a quarter of eps.
        restarts: Runs from new starts. With `keep="first"`, on the clips that withstood so far.
        random_start: Start at a uniform draw from the ball; otherwise at the clean clip.
        loss: What the steps go up: cross entropy, difference of logits ratio, or margin.
        keep: "first" stops a clip at its first success, "best" does all steps; both give the iterate with the
            highest loss, successes first. "last" gives the last iterate, as the Adversarial Robustness Toolbox does.
        rng: "own" draws by clip and restart. "art" draws starts as the toolbox does after `numpy.random.seed(seed)`,
            for all clips of a pass through the network at once: for comparison with it.
    """

    steps: int = Field(10, ge=1, le=100_000)
    step: str | None = None
    restarts: int = Field(1, ge=1, le=1000)
    random_start: bool = True
    loss: LossName = "ce"
    keep: Keep = "first"
    rng: Literal["own", "art"] = "own"

    @model_validator(mode="after")
    def _starts_fit(self) -> Self:
        if self.restarts > 1 and not self.random_start:
            raise ValueError("restarts without a random start repeat the same attack")
        if self.rng == "art" and not (self.random_start and self.restarts == 1 and self.keep == "last"):
            raise ValueError("rng=art needs random_start=true, restarts=1 and keep=last")
        return self

    def step_size(self, budget: Budget) -> float:
        """The step in the budget's norm."""
        return budget.eps / 4 if self.step is None else Eps.parse(self.step, budget.norm).value


class PgdSettings(IteratedSettings):
    """The settings of PGD."""


class OldL1Settings(IteratedSettings):
    """The settings of PGD in L1 as others did it: their number of steps, and the last iterate."""

    steps: int = Field(20, ge=1, le=100_000)
    keep: Keep = "last"


class MomentumSettings(IteratedSettings):
    """The settings of MI-FGSM.

    Attributes:
        decay: Of the accumulated gradients; 0 is PGD.
    """

    random_start: bool = False
    decay: float = Field(1.0, ge=0, le=10)


def _own_start(batch: Batch, draw: Draw) -> Start:
    """Starts by clip and restart."""

    def start(moves: Moves, rows: Tensor, restarts: Tensor) -> Tensor:
        pairs = zip(rows.tolist(), restarts.tolist(), strict=True)
        return torch.stack([moves.draw(draw, row, batch.generator(row, "start", number)) for row, number in pairs])

    return start


def _art_start(seed: int, budget: Budget) -> Start:
    """Starts as ART 1.20 draws them for L-infinity: uniform, batch by batch, by numpy's legacy generator."""
    if budget.norm != "linf" or (budget.support is not None and budget.support.flicker):
        raise UsageError("rng=art draws starts for linf and pixels alone", "Take rng=own.")
    generator = np.random.RandomState(seed % 2**32)

    def start(moves: Moves, rows: Tensor, restarts: Tensor) -> Tensor:
        size = (len(rows), math.prod(moves.shape))
        drawn = generator.uniform(low=-budget.eps, high=budget.eps, size=size).astype(np.float32)
        return torch.from_numpy(drawn).view(len(rows), *moves.shape)

    return start


def _signs(size: float) -> Draw:
    """The corners of a cube."""

    def draw(ball: Budget, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return torch.randn(shape, generator=generator).sign() * size

    return draw


def _sphere(ball: Budget, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """A random direction of size eps: signs for L-infinity, Gaussian otherwise."""
    if ball.norm == "linf":
        return _signs(ball.eps)(ball, shape, generator)
    noise = torch.randn(shape, generator=generator)
    scaled: Tensor = (noise * (ball.eps / ball.sizes(noise[None]))).float()
    return scaled


class Fgsm:
    """The fast gradient sign method; for L2 the fast gradient method."""

    name = "fgsm"
    summary = "one gradient step of size eps"
    norms: tuple[Norm, ...] = ("linf", "l2")
    source = "Goodfellow et al. 2015, arXiv:1412.6572"
    settings: type[Settings] = FgsmSettings
    minimal = False

    def run(self, target: Target, batch: Batch, budget: Budget, settings: Settings) -> Outcome:
        """One step from the clean clip; the result is taken as it falls, whatever it does."""
        assert isinstance(settings, FgsmSettings)
        return projected_gradient(target, batch, budget, Plan(1, budget.eps, loss=settings.loss, keep="last"))


class RandomFgsm:
    """FGSM from a random corner of the half-sized cube, with the other half as its step."""

    name = "r-fgsm"
    summary = "one gradient step from a random start"
    norms: tuple[Norm, ...] = ("linf",)
    source = "Tramer et al. 2018, arXiv:1705.07204"
    settings: type[Settings] = RandomFgsmSettings
    minimal = False

    def run(self, target: Target, batch: Batch, budget: Budget, settings: Settings) -> Outcome:
        """Signs of size eps / 2, then a step of eps / 2; the first success is kept."""
        assert isinstance(settings, RandomFgsmSettings)
        half = budget.eps / 2
        plan = Plan(
            1, half, restarts=settings.restarts, loss=settings.loss, start=_own_start(batch, _signs(half))
        )  # fmt: skip
        return projected_gradient(target, batch, budget, plan)


class Pgd:
    """Projected gradient descent from random starts.

    In L1 a step moves the hundredth of the values with the largest gradients that are free to move (arXiv:1904.13000)
    and the projection is the nearest point of the ball (Duchi et al. 2008). In L2,1 a step moves the frame with the
    largest gradient, and the projection takes the same off the norm of each.
    """

    name = "pgd"
    summary = "projected gradient steps from random starts, the first success kept"
    norms: tuple[Norm, ...] = ("linf", "l2", "l1", "l21")
    source = "Madry et al. 2018, arXiv:1706.06083; in L1 Tramer and Boneh 2019, arXiv:1904.13000"
    settings: type[Settings] = PgdSettings
    minimal = False

    def run(self, target: Target, batch: Batch, budget: Budget, settings: Settings) -> Outcome:
        """All restarts of each clip, until one succeeds or as `keep` says.

        Raises:
            UsageError: `rng=art` with another norm than L-infinity, or a loss that the classes do not allow.
        """
        assert isinstance(settings, IteratedSettings)
        start = None
        if settings.random_start:
            start = _art_start(batch.seed, budget) if settings.rng == "art" else _own_start(batch, Budget.random_start)
        plan = Plan(
            settings.steps, settings.step_size(budget), restarts=settings.restarts, loss=settings.loss,
            keep=settings.keep, start=start, direction=self._direction(budget), project=self._projection(),
            decay=settings.decay if isinstance(settings, MomentumSettings) else None, spare=self._spares(budget),
        )  # fmt: skip
        return projected_gradient(target, batch, budget, plan)

    def _direction(self, budget: Budget) -> Step:
        if budget.norm == "l1":
            return lambda ball, gradient: largest(gradient, L1_SHARE)
        return steepest

    def _projection(self) -> Step:
        return Budget.project

    def _spares(self, budget: Budget) -> bool:
        return budget.norm == "l1"


class PgdL1Dense(Pgd):
    """PGD in L1 along the whole gradient, projected by rescaling: the last iterate, as RobustART's table has it.

    That table took eps 1600 and steps of 120, 20 of them, for images of 150 528 values.
    """

    name = "pgd-l1-dense"
    summary = "PGD in L1 with steps along the whole gradient, as RobustART's table"
    norms = ("l1",)
    source = "Adversarial Robustness Toolbox before 1.18; RobustART, arXiv:2109.05211"
    settings = OldL1Settings

    def _direction(self, budget: Budget) -> Step:
        return lambda ball, gradient: along(gradient)

    def _projection(self) -> Step:
        return lambda ball, delta: rescale(delta, ball.eps)

    def _spares(self, budget: Budget) -> bool:
        return False


class PgdL1Argmax(PgdL1Dense):
    """PGD in L1 with steps of one value, projected by rescaling: the last iterate.

    A weak attack: a value that has reached the box is chosen again and again.
    """

    name = "pgd-l1-argmax"
    summary = "PGD in L1 with steps of one value, as the Adversarial Robustness Toolbox 1.18 and later"
    source = "Adversarial Robustness Toolbox 1.18 and later"

    def _direction(self, budget: Budget) -> Step:
        return steepest


class MomentumFgsm(Pgd):
    """The momentum iterative method: PGD along gradients that are accumulated, each of unit L1 norm."""

    name = "mi-fgsm"
    summary = "PGD with momentum"
    norms = ("linf", "l2")
    source = "Dong et al. 2018, arXiv:1710.06081, eq. 6 and 7"
    settings = MomentumSettings


class Noise:
    """No attack: what perturbations of the same size do by chance."""

    name = "noise"
    summary = "random signs or directions of size eps: the baseline that an attack has to beat"
    norms: tuple[Norm, ...] = ("linf", "l2", "l1", "l21")
    source = "random signs (linf) or a Gaussian direction, of size eps"
    settings: type[Settings] = NoiseSettings
    minimal = False

    def run(self, target: Target, batch: Batch, budget: Budget, settings: Settings) -> Outcome:
        """As many draws as there are restarts; the first success is kept."""
        assert isinstance(settings, NoiseSettings)
        plan = Plan(0, 0.0, restarts=settings.restarts, start=_own_start(batch, _sphere))
        return projected_gradient(target, batch, budget, plan)
