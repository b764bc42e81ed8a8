"""Adversarial training: the loss of examples that are made near a batch's clips, as rules of the training loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from vidbench.model.radius import Eps
from vidbench.model.train.adversarial_settings import (
    FULL,
    AdversarialSettings,
    EpsSchedule,
    FgsmTraining,
    PgdTraining,
    TradesTraining,
    W4Training,
)
from vidbench.model.train.ball import Ball, climb, gradient_of, quiet
from vidbench.model.train.batch import Batch, Network
from vidbench.model.train.draws import each, things_of_all
from vidbench.model.train.objective import Objective
from vidbench.model.train.rule import Plain, Rule

_NUDGE = 1e-3
"""Standard deviation of the noise that TRADES starts from: at the clip itself the divergence has no gradient."""


def rule_for(settings: AdversarialSettings | None, growth: EpsSchedule | None = None) -> Rule:
    """The rule that is asked for: plain training without settings."""
    if settings is None:
        return Plain()
    if isinstance(settings, W4Training):
        return SignRegularised(settings, growth or FULL)
    if isinstance(settings, TradesTraining):
        return Trades(settings, growth or FULL)
    return OnExamples(settings, growth or FULL)


class OnExamples:
    """FGSM and PGD: the loss of examples near the clips, and of the clips themselves by their share.

    The logits it gives are those of the examples: what is right in training is right under attack.
    """

    def __init__(self, settings: FgsmTraining | PgdTraining, growth: EpsSchedule) -> None:
        self.settings, self.growth = settings, growth

    def __call__(
        self, model: Network, batch: Batch, objective: Objective, smoothing: float, epoch: float,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Two passes more for each gradient step, and one for the clips where they have a share."""
        asked = self.settings
        ball = _ball(asked, self.growth.share(epoch))
        begin = ball.start(batch.clips, generator) if asked.start else batch.clips
        with quiet(model, asked.mode):
            examples = climb(
                model, batch, ball, up(batch, objective), begin=begin,
                steps=asked.steps if isinstance(asked, PgdTraining) else 1, step=asked.relative_step() * ball.eps,
            )  # fmt: skip
        logits = batch.through(model, examples)
        loss = objective.loss(logits, batch.targets, smoothing)
        if asked.clean:
            clean = objective.loss(batch.through(model), batch.targets, smoothing)
            loss = asked.clean * clean + (1 - asked.clean) * loss
        return loss, logits


class Trades:
    """TRADES: the loss of the clips, and beta times the divergence of the answers to examples from those to clips."""

    def __init__(self, settings: TradesTraining, growth: EpsSchedule) -> None:
        self.settings, self.growth = settings, growth

    def __call__(
        self, model: Network, batch: Batch, objective: Objective, smoothing: float, epoch: float,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """The logits are those of the clips; gradients pass both answers, as in the paper's program."""
        asked = self.settings
        ball = _ball(asked, self.growth.share(epoch))
        shape = batch.clips.shape[1:]
        noise = torch.stack(each(len(batch), lambda: torch.randn(shape, generator=generator)))
        begin = ball.nearest(batch.clips, batch.clips + _NUDGE * noise.to(batch.clips.device))
        with quiet(model, asked.mode):
            answers = batch.through(model).detach()
            examples = climb(
                model, batch, ball, lambda logits: divergence(logits, answers, objective) * batch.things,
                begin=begin, steps=asked.steps, step=asked.relative_step() * ball.eps,
            )  # fmt: skip
        logits = batch.through(model)
        apart = divergence(batch.through(model, examples), logits, objective)
        return objective.loss(logits, batch.targets, smoothing) + asked.beta * apart, logits


class SignRegularised:
    """The FGSM regularisation of Robust-Classification, see `W4Training`; the logits are those of the clips."""

    def __init__(self, settings: W4Training, growth: EpsSchedule) -> None:
        self.settings, self.growth = settings, growth

    def __call__(
        self, model: Network, batch: Batch, objective: Objective, smoothing: float, epoch: float,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """All gradients are taken before the first loss."""
        asked, share = self.settings, self.growth.share(epoch)
        parts: list[Batch] = []
        with quiet(model, asked.mode):
            if asked.symmetric:
                eps = self._draw(generator) * share
                sign = gradient_of(model, batch, batch.clips, up(batch, objective))[0].sign_()
                parts.append(_twice(batch, batch.clips + eps * sign, batch.clips - eps * sign))
            if asked.targeted:
                aims = replace(batch, targets=other_targets(batch.targets, model.num_classes, objective, generator))
                eps = self._draw(generator) * share
                sign = gradient_of(model, batch, batch.clips, up(aims, objective))[0].sign_()
                parts.append(replace(batch, clips=(batch.clips - eps * sign).clamp_(0.0, 1.0)))
        logits = batch.through(model)
        loss = objective.loss(logits, batch.targets, smoothing)
        for part in parts:
            loss = loss + asked.weight * objective.loss(part.through(model), part.targets, smoothing)
        return loss, logits

    def _draw(self, generator: torch.Generator) -> float:
        asked = self.settings
        if asked.eps is not None:
            return Eps.parse(asked.eps, "linf").value
        level = int(torch.randint(asked.levels, (), generator=generator))
        return asked.low + (asked.high - asked.low) * level / (asked.levels - 1)


def up(batch: Batch, objective: Objective) -> Callable[[Tensor], Tensor]:
    """The sum of the batch's losses, unsmoothed."""
    return lambda logits: objective.loss(logits, batch.targets) * batch.things


def divergence(moved: Tensor, still: Tensor, objective: Objective) -> Tensor:
    """Mean over things of the Kullback-Leibler divergence of the answers `moved` from `still`, `()`, float32.

    Of one class per thing it is that of the softmax. Of several it is that of each class's sigmoid, and the mean
    over the classes, as the loss is.
    """
    new, old = moved.float(), still.float()
    if objective.figure == "top1":
        return functional.kl_div(
            functional.log_softmax(new, 1), functional.log_softmax(old, 1), reduction="batchmean", log_target=True
        )
    chance = torch.sigmoid(old)
    yes = chance * (functional.logsigmoid(old) - functional.logsigmoid(new))
    no = (1 - chance) * (functional.logsigmoid(-old) - functional.logsigmoid(-new))
    return (yes + no).mean()


def other_targets(targets: Tensor, classes: int, objective: Objective, generator: torch.Generator) -> Tensor:
    """A wrong answer for each thing, drawn at random: another class, or of several classes one that is flipped.

    Of one class per thing it is `(N,)` int64, also where the targets are shares of classes.
    """
    part = things_of_all(len(targets))
    own = slice(part.before, part.before + part.own)
    if objective.figure == "top1":
        true = targets if targets.ndim == 1 else targets.argmax(1)
        drawn = torch.randint(max(classes - 1, 1), (part.total,), generator=generator)[own].to(true.device)
        return (true + 1 + drawn) % classes
    column = torch.randint(targets.shape[1], (part.total, 1), generator=generator)[own].to(targets.device)
    return targets.scatter(1, column, 1 - targets.gather(1, column))


def _ball(settings: FgsmTraining | PgdTraining | TradesTraining, share: float) -> Ball:
    norm = "linf" if isinstance(settings, FgsmTraining) else settings.norm
    return Ball(norm, Eps.parse(settings.eps, norm).value * share)


def _twice(batch: Batch, first: Tensor, second: Tensor) -> Batch:
    """Both examples of each clip, one after the other, as `drawn_together` has them."""
    boxes, rows = batch.boxes, torch.arange(batch.things, device=batch.targets.device).repeat_interleave(2)
    if boxes is not None:
        boxes = boxes[rows]
        boxes[:, 0] *= 2
        boxes[1::2, 0] += 1
    clips = torch.stack((first, second), dim=1).flatten(0, 1).clamp_(0.0, 1.0)
    names = tuple(name for name in batch.names for _ in range(2))
    return Batch(clips, batch.targets[rows], boxes, names)
