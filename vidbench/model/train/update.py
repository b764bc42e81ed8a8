"""One optimizer step: forward and backward passes of its batches, clipping, the step, the average."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vidbench.errors import InputError
from vidbench.model.train.batch import Batch, Network
from vidbench.model.train.ema import Ema
from vidbench.model.train.fitting import what_fits
from vidbench.model.train.objective import Objective
from vidbench.model.train.optimizers import build_optimizer, parameter_groups, set_rate
from vidbench.model.train.peers import Peers
from vidbench.model.train.precision import Precision
from vidbench.model.train.rule import Rule
from vidbench.model.train.settings import MOMENTUM, TrainSettings

Json = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What a batch gave.

    Attributes:
        loss: Mean over its things.
        right: Things that are right; None where the task has no such figure.
    """

    loss: float
    right: int | None


class Updater:
    """What changes the weights; everything that it remembers between two steps is in `state_dict`.

    Args:
        model: In training mode where it is called; parameters that want no gradient are left alone.
        settings: How to train.
        lr: Largest learning rate.
        head: Front of the names of the head's parameters, for layer-wise rates.
        objective: What is learnt.
        rule: How the loss of a batch comes about.
        peers: The processes that take the step together, each with its part of the batches.
    """

    def __init__(
        self, model: Network, settings: TrainSettings, lr: float, head: str, objective: Objective, rule: Rule,
        peers: Peers | None = None,
    ) -> None:  # fmt: skip
        self.model, self.settings = model, settings
        self.peers = peers or Peers.alone()
        self.objective, self.rule = objective, rule
        self.trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        groups = parameter_groups(model.net, settings.weight_decay, settings.layer_decay, head)
        momentum = MOMENTUM if settings.momentum is None else settings.momentum
        self.optimizer = build_optimizer(settings.optimizer, groups, lr, momentum)
        self.precision = Precision(settings.precision, model.device)
        self.ema = Ema(model.net, settings.ema) if settings.ema else None
        self._planned, self._taken = 0, 0

    def begin(self, things: int) -> None:
        """Start a step that is meant to be the mean over so many things; an estimate will do."""
        self.optimizer.zero_grad(set_to_none=True)
        self._planned, self._taken = things, 0

    def take(
        self, batch: Batch, labels: Tensor, epoch: float, generator: torch.Generator, things: int | None = None
    ) -> Outcome:
        """Add the gradients of one batch to the step.

        Args:
            batch: On the model's device, its targets those of the loss; of at least one thing.
            labels: What counts as right, in place of mixed targets.
            epoch: Epochs done so far, whole or not.
            generator: What the rule draws from.
            things: Of the batch in all processes; None where there is one.

        Raises:
            InputError: The batch is too small for a batch normalisation, or too large for the memory.
        """
        try:
            value, logits = self._pass(batch, epoch, generator)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise InputError(
                f"a batch of {len(batch)} is too small: a batch normalisation sees one value per channel",
                "--freeze-bn normalises with the statistics of the start, as --init pretrained brings them.",
            ) from error
        except torch.OutOfMemoryError as error:
            # what the failed pass still holds would be missing from the memory that is searched
            traceback.clear_frames(error.__traceback__)
            # the other processes do not go along with a search
            fits = what_fits(self._tried(epoch, generator), batch) if self.peers.size == 1 else ""
            raise InputError(
                f"a batch of {len(batch)} clips does not fit into the memory of {self.model.device}{fits}",
                "Lower --batch and raise --accumulate alike: the same step. --checkpointing and --precision bf16 "
                "save memory, too.",
            ) from error
        self._taken += batch.things if things is None else things
        return Outcome(value, self.objective.right(logits, labels))

    def _pass(self, batch: Batch, epoch: float, generator: torch.Generator) -> tuple[float, Tensor]:
        with self.precision.forward():
            loss, logits = self.rule(self.model, batch, self.objective, self.settings.smoothing, epoch, generator)
        value = float(loss.detach())
        # several processes go on to the end of the step, where they all hear of it
        if math.isfinite(value) or self.peers.size > 1:
            share = batch.things / self._planned if self.peers.present else 0.0
            self.precision.backward(loss if share == 1 else loss * share)
        return value, logits.detach()

    def _tried(self, epoch: float, generator: torch.Generator) -> Callable[[Batch], None]:
        def attempt(batch: Batch) -> None:
            with self.precision.forward():
                loss, _ = self.rule(self.model, batch, self.objective, self.settings.smoothing, epoch, generator)
            self.precision.backward(loss)

        return attempt

    def apply(self, lr: float) -> bool:
        """Take the step at a learning rate; False where float16 overflowed and the weights stayed."""
        if not self._taken:
            return False
        set_rate(self.optimizer, lr)
        self.peers.sum_gradients(self.trained)
        self.precision.unscale(self.optimizer)
        if self._taken != self._planned:
            # some could not be read, or there were more boxes than thought: the mean is over what there was
            for parameter in self.trained:
                if parameter.grad is not None:
                    parameter.grad.mul_(self._planned / self._taken)
        if self.settings.clip_norm:
            nn.utils.clip_grad_norm_(self.trained, self.settings.clip_norm)
        stepped = self.precision.step(self.optimizer)
        if self.ema is not None and stepped:
            self.ema.update(self.model.net)
        return stepped

    def state_dict(self) -> Json:
        """Model, optimizer, scaler and average."""
        return {
            "model": self.model.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.precision.state_dict(),
            "ema": None if self.ema is None else self.ema.state_dict(),
        }

    def load_state_dict(self, state: Json) -> None:
        """Go on where a state was taken."""
        self.model.net.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.precision.load_state_dict(state["scaler"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
