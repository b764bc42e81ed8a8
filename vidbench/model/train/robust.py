"""The validation figure that is left under attack: projected gradient steps on the first clips of the list."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vidbench.model.radius import Eps
from vidbench.model.train.adversarial import up
from vidbench.model.train.adversarial_settings import PgdTraining
from vidbench.model.train.ball import Ball, climb, quiet
from vidbench.model.train.batch import Batch, Network
from vidbench.model.train.objective import Objective
from vidbench.seeds import seed_for


@dataclass(frozen=True)
class RobustValidation:
    """How an epoch's weights are attacked; every epoch from the same starts.

    Attributes:
        attack: Its norm, radius, steps and start; its mode and share of the clips are not looked at.
        clips: At most so many of the validation clips, the first ones.
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
            batches: The clips in order, on the model's device.
            objective: What is learnt.
        """
        asked = self.attack
        eps = Eps.parse(asked.eps, asked.norm).value
        ball, step = Ball(asked.norm, eps), asked.relative_step() * eps
        meter, left = objective.meter(), self.clips
        for number, batch in enumerate(batches):
            if left <= 0:
                break
            part = first_clips(batch, left)
            left -= len(part)
            if not part.things:
                continue
            generator = torch.Generator().manual_seed(seed_for(self.seed, "robust-val", number))
            worst = _Worst(part, objective)
            with quiet(model, "eval"), torch.no_grad():
                worst.see(part.through(model))
                examples = climb(
                    model, part, ball, up(part, objective), steps=asked.steps, step=step, seen=worst.see,
                    begin=ball.start(part.clips, generator) if asked.start else part.clips,
                )  # fmt: skip
                worst.see(part.through(model, examples))
            meter.add(worst.logits, part)
        return {f"robust_{name}": value for name, value in meter.result().items()}


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


def first_clips(batch: Batch, count: int) -> Batch:
    """The first clips of a batch, with what belongs to them."""
    if count >= len(batch):
        return batch
    if batch.boxes is None:
        return replace(batch, clips=batch.clips[:count], targets=batch.targets[:count], names=batch.names[:count])
    kept = batch.boxes[:, 0] < count
    return Batch(batch.clips[:count], batch.targets[kept], batch.boxes[kept], batch.names[:count])
