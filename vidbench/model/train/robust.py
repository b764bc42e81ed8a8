"""The validation figure that is left under attack: projected gradient steps on the first clips of the list."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from vidbench.model.radius import Eps
from vidbench.model.train.adversarial import up
from vidbench.model.train.adversarial_settings import PgdTraining
from vidbench.model.train.ball import Ball, climb, quiet
from vidbench.model.train.batch import Batch, Network
from vidbench.model.train.draws import drawn_by_number
from vidbench.model.train.objective import Objective
from vidbench.seeds import seed_for


@dataclass(frozen=True)
class RobustValidation:
    """How an epoch's weights are attacked; every epoch from the same starts.

    Attributes:
        attack: Its norm, radius, steps and start; its mode and share of the clips are not looked at.
        clips: The first so many of the validation list are attacked.
        seed: Of the run.
    """

    attack: PgdTraining
    clips: int
    seed: int

    def measure(self, model: Network, batches: Iterable[Batch], objective: Objective) -> dict[str, float | None]:
        """Figures under attack by name, each with "robust_" before it.

        Of clips of one class each, one is right where the network is right at the clip and at every iterate; of
        several classes the last iterate is ranked.

        Args:
            model: In evaluation mode.
            batches: The clips to attack, on the model's device. What is drawn for one depends on its number in the
                list alone, not on the batch or the process that it is in.
            objective: What is learnt.
        """
        asked = self.attack
        eps = Eps.parse(asked.eps, asked.norm).value
        ball, step = Ball(asked.norm, eps), asked.relative_step() * eps
        meter = objective.meter()
        for batch in batches:
            if not batch.things:
                continue
            begin = self._starts(ball, batch) if asked.start else batch.clips
            worst = _Worst(batch, objective)
            drawn = drawn_by_number(seed_for(self.seed, "robust-val", "network"), batch.numbers)
            with quiet(model, "eval"), torch.no_grad(), drawn:
                worst.see(batch.through(model))
                examples = climb(
                    model, batch, ball, up(batch, objective), begin=begin, steps=asked.steps, step=step, seen=worst.see
                )
                worst.see(batch.through(model, examples))
            meter.add(worst.logits, batch)
        return {f"robust_{name}": value for name, value in meter.result().items()}

    def _starts(self, ball: Ball, batch: Batch) -> Tensor:
        seeds = [seed_for(self.seed, "robust-val", number) for number in batch.numbers]
        drawn = [
            ball.start(clip[None], torch.Generator().manual_seed(seed))
            for clip, seed in zip(batch.clips, seeds, strict=True)
        ]
        return torch.cat(drawn)


class _Worst:
    """The logits that count: the first that are wrong, or the last."""

    def __init__(self, batch: Batch, objective: Objective) -> None:
        self.labels = batch.targets if objective.figure == "top1" else None
        self.logits = torch.empty(0)

    def see(self, logits: Tensor) -> None:
        if self.labels is None or not len(self.logits):
            self.logits = logits.float()
            return
        right = self.logits.argmax(1) == self.labels
        self.logits = torch.where(right[:, None], logits.float(), self.logits)
