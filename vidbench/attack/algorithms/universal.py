"""One perturbation for all clips: how it is learnt and put on, and the kind that is free everywhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import torch
from pydantic import Field
from torch import Tensor

from vidbench.attack.losses import Loss, loss_for
from vidbench.attack.method import Batch, Outcome, Settings
from vidbench.attack.support import Support
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget, Eps, Norm
from vidbench.errors import UsageError
from vidbench.seeds import seed_for

Batches = Callable[[], Iterator[Batch]]
Update = Callable[[Tensor, Tensor, float], Tensor]
"""The perturbation, the gradient of the mean loss with respect to it and the share of the run that is over (0 to 1),
to the next perturbation."""


class UniversalSettings(Settings):
    """What all universal attacks have.

    Attributes:
        epochs: Passes over the clips that are learnt from.
        minibatch: Clips per step.
    """

    epochs: int = Field(20, ge=1, le=100_000)
    minibatch: int = Field(16, ge=1)


class OneForAll(ABC):
    """What universal attacks share: mini batches, the chain rule through `put_on`, and `run` without a set of its own.

    The perturbation theta maximises the mean of `loss(f(put_on(x_i, theta)))` over the clips by stochastic gradient
    steps (Shafahi et al. 2020, arXiv:1811.11304, algorithm 1). How a batch is split into passes makes no difference.
    """

    @abstractmethod
    def start(self, clips: Tensor, budget: Budget, settings: Settings, seed: int) -> Tensor:
        """Theta before the first step, on the clips' device; its shape is that of every theta for such clips."""

    @abstractmethod
    def put_on(self, theta: Tensor, batch: Batch, budget: Budget, settings: Settings, moment: object) -> Tensor:
        """`(N, 3, T, H, W)` clips with theta on them, in box, ball and support, differentiable in theta.

        `moment` names the occasion: what is random per clip is drawn from `batch.generator(row, ..., moment)`.
        """

    @abstractmethod
    def loss(self, batch: Batch, settings: Settings) -> Loss:
        """What theta maximises, per clip."""

    @abstractmethod
    def updates(self, budget: Budget, settings: Settings) -> Update:
        """A new rule for the steps of one run, with whatever it remembers."""

    def learn(self, target: Target, batches: Batches, budget: Budget, settings: Settings, seed: int) -> Tensor:
        """Theta, learnt from the clips that `batches` gives anew in each epoch; the same for the same seed.

        Raises:
            UsageError: There is no clip, clips differ in shape, or the support is not one for all clips.
        """
        assert isinstance(settings, UniversalSettings)
        theta: Tensor | None = None
        update = self.updates(budget, settings)
        for epoch in range(settings.epochs):
            for number, batch in enumerate(batches()):
                _check(budget.support)
                if theta is None:
                    theta = self.start(batch.clips[:1], budget, settings, seed)
                mixed = torch.Generator().manual_seed(seed_for(seed, "order", epoch, number))
                order = torch.randperm(len(batch), generator=mixed).to(batch.clips.device)
                for at in range(0, len(order), settings.minibatch):
                    chosen = batch.of(order[at : at + settings.minibatch])
                    gradient = self._gradient(target, theta, chosen, budget, settings, f"learn {seed} {epoch}")
                    theta = update(theta, gradient, epoch / settings.epochs).detach()
        if theta is None:
            raise UsageError("a universal attack needs clips to learn from, and there are none")
        return theta

    def apply(self, target: Target, batch: Batch, learnt: Tensor, budget: Budget, settings: Settings) -> Outcome:
        """The clips with theta on them, as they come out: one pass each, to see what they do.

        Raises:
            UsageError: Theta was learnt on clips of another shape.
        """
        _check(budget.support)
        shape = self.start(batch.clips[:1], budget, settings, 0).shape
        if learnt.shape != shape:
            raise UsageError(
                f"the perturbation has the shape {tuple(learnt.shape)}, and these clips need {tuple(shape)}"
            )
        theta = learnt.to(batch.clips)
        clips, reached = [], []
        for _, part in batch.parts():
            with torch.no_grad():
                clips.append(self.put_on(theta, part, budget, settings, "apply"))
            reached.append(part.goal.reached(target(clips[-1])))
        success = torch.cat(reached)
        passes = torch.full((len(batch),), target.draws, dtype=torch.long)
        none = torch.zeros(len(batch), dtype=torch.long)
        return Outcome(torch.cat(clips), success, passes, none, none.clone(), success.long().cpu() - 1)

    def run(self, target: Target, batch: Batch, budget: Budget, settings: Settings) -> Outcome:
        """Learn on these very clips, then put it on them: the result depends on who shares the batch."""
        assert isinstance(settings, UniversalSettings)
        learnt = self.learn(target, lambda: iter([batch]), budget, settings, batch.seed)
        found = self.apply(target, batch, learnt, budget, settings)
        passes = torch.full((len(batch),), settings.epochs * target.draws, dtype=torch.long)
        return Outcome(
            found.clips, found.reached, found.forwards + passes, passes, found.restarts,
            torch.where(found.reached.cpu(), settings.epochs, -1),
        )  # fmt: skip

    def _gradient(
        self, target: Target, theta: Tensor, batch: Batch, budget: Budget, settings: Settings, moment: str
    ) -> Tensor:
        total = torch.zeros_like(theta)
        for _, part in batch.parts():
            with torch.enable_grad():
                point = theta.detach().requires_grad_(True)
                clips = self.put_on(point, part, budget, settings, moment)
            found = target.ascend(clips.detach(), self.loss(part, settings))
            (gradient,) = torch.autograd.grad(clips, point, found.gradient)
            total += gradient
        return total / len(batch)


class FreeSettings(UniversalSettings):
    """The settings of the universal perturbation.

    Attributes:
        epochs: Passes over the clips that are learnt from.
        minibatch: Clips per step.
        step: Step size like eps ("2/255") at first; it falls to 0 over the epochs. None for a quarter of eps.
        clip: The cross entropy is cut off here, so that clips that are lost anyway do not decide the steps.
        cyclic: Roll the perturbation over time, by another shift for each clip and epoch, so that it works from
            whatever moment it begins.
    """

    step: str | None = None
    clip: float = Field(9.0, gt=0)
    cyclic: bool = False


class Universal(OneForAll):
    """One perturbation of the size of a clip.

    `max over |delta|_p <= eps of (1/N) sum_i min(l(f(x_i + delta), y_i), beta)`, by steps along the sign (L2: the
    direction) of the gradient and projections (Shafahi et al. 2020, eq. 3 and algorithm 1, beta = `clip`); the aim is
    that of Moosavi-Dezfooli et al. 2017 (arXiv:1610.08401, section 3). With `cyclic`, delta is rolled over time by a
    random shift per clip, as Li et al. 2019 (arXiv:1807.00458) do for streams.
    """

    name = "universal"
    summary = "one perturbation for all clips"
    norms: tuple[Norm, ...] = ("linf", "l2")
    source = "Shafahi et al. 2020, arXiv:1811.11304, algorithm 1; Moosavi-Dezfooli et al. 2017, arXiv:1610.08401"
    settings: type[Settings] = FreeSettings
    minimal = False

    def start(self, clips: Tensor, budget: Budget, settings: Settings, seed: int) -> Tensor:
        """`(3, T, H, W)` zeros."""
        return torch.zeros_like(clips[0])

    def put_on(self, theta: Tensor, batch: Batch, budget: Budget, settings: Settings, moment: object) -> Tensor:
        """Added to each clip, rolled where the setting says so, and cut to the box."""
        assert isinstance(settings, FreeSettings)
        # theta may come from a larger ball; steps do not go through this projection, which learning never needs
        whole = theta + (Budget(budget.norm, budget.eps).project(theta.detach()[None])[0] - theta).detach()
        delta = rolled(whole, batch, settings.cyclic, moment)
        if budget.support is not None:
            delta = budget.support.pull(delta)
        return (batch.clips + delta).clamp(0.0, 1.0)

    def loss(self, batch: Batch, settings: Settings) -> Loss:
        """The clipped cross entropy; towards a target class it has a bound of its own."""
        assert isinstance(settings, FreeSettings)
        plain, limit = loss_for("ce", batch.goal), settings.clip
        return lambda logits: plain(logits).clamp(max=limit)

    def updates(self, budget: Budget, settings: Settings) -> Update:
        """Projected steps of a size that falls linearly to 0."""
        assert isinstance(settings, FreeSettings)
        size = budget.eps / 4 if settings.step is None else Eps.parse(settings.step, budget.norm).value
        # the support is in put_on, behind the roll, and in the gradient by the chain rule
        ball = Budget(budget.norm, budget.eps)

        def update(theta: Tensor, gradient: Tensor, over: float) -> Tensor:
            return ball.project(theta[None] + size * (1 - over) * ball.direction(gradient[None]))[0]

        return update


def rolled(theta: Tensor, batch: Batch, cyclic: bool, moment: object) -> Tensor:
    """`(N, C, T, H, W)`: a `(C, T, H, W)` perturbation for each clip, begun at a moment of its own if cyclic."""
    if not cyclic:
        return theta.expand(len(batch), *theta.shape)
    frames = theta.shape[1]
    shifts = [
        int(torch.randint(frames, (), generator=batch.generator(row, "shift", moment))) for row in range(len(batch))
    ]
    return torch.stack([theta.roll(shift, 1) for shift in shifts])


def _check(support: Support | None) -> None:
    if support is not None and len(support.mask) > 1:
        raise UsageError("a universal attack needs one support for all clips")
