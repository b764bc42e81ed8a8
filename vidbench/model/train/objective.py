"""What a network learns: how outputs are turned into a loss, and into the figure by which epochs are compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vidbench.model.multilabel import average_precision
from vidbench.model.train.batch import Batch


class Meter(Protocol):
    """Gathers the outputs of a validation, batch by batch."""

    def add(self, logits: Tensor, batch: Batch) -> None:
        """Take the logits of a batch, a row per thing."""

    def state(self) -> object:
        """What was taken, in plain values and tensors on the CPU."""

    def merge(self, states: Sequence[Any]) -> None:
        """Have taken what these states say, in their order, in place of what was taken here."""

    def result(self) -> dict[str, float | None]:
        """Figures by name, the objective's `figure` among them; None where nothing could be measured."""


class Objective(Protocol):
    """The task of a training.

    Attributes:
        figure: Name of the validation figure that epochs are compared by, the higher the better, in [0, 1].
    """

    figure: str

    def loss(self, logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """Mean over the things of a batch, float32, `()`; `smoothing` spreads that share of a target over others."""

    def right(self, logits: Tensor, targets: Tensor) -> int | None:
        """How many things are right; None where that is no figure of the task."""

    def meter(self) -> Meter:
        """A new meter for a validation."""


class OneClass:
    """Each clip has one class: cross-entropy, and top-1 accuracy."""

    figure = "top1"

    def loss(self, logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """Of `(N, K)` logits with `(N,)` classes, or with `(N, K)` shares, which are smoothed already."""
        return functional.cross_entropy(
            logits.float(), targets, label_smoothing=smoothing if targets.ndim == 1 else 0.0
        )

    def right(self, logits: Tensor, targets: Tensor) -> int | None:
        """Clips whose largest logit is that of their class."""
        return int((logits.argmax(1) == targets).sum())

    def meter(self) -> Meter:
        """Counts."""
        return _TopOne()


class SeveralClasses:
    """A clip, or a box, has any number of classes: binary cross-entropy of each, and mean average precision.

    The loss is the mean over things and classes, as PySlowFast's `bce_logit`.
    """

    figure = "mean_ap"

    def loss(self, logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """Of `(N, K)` logits with `(N, K)` targets in [0, 1]; smoothing draws these towards a half."""
        soft = targets * (1 - smoothing) + 0.5 * smoothing if smoothing else targets
        return functional.binary_cross_entropy_with_logits(logits.float(), soft)

    def right(self, logits: Tensor, targets: Tensor) -> int | None:
        """None: there is no one answer."""
        return None

    def meter(self) -> Meter:
        """Ranks things class by class (`vidbench.model.multilabel.average_precision`)."""
        return _MeanAp()


class _TopOne:
    def __init__(self) -> None:
        self._right = self._seen = 0

    def add(self, logits: Tensor, batch: Batch) -> None:
        self._right += int((logits.argmax(1) == batch.targets.to(logits.device)).sum())
        self._seen += len(logits)

    def state(self) -> object:
        return self._right, self._seen

    def merge(self, states: Sequence[Any]) -> None:
        self._right, self._seen = (sum(state[place] for state in states) for place in (0, 1))

    def result(self) -> dict[str, float | None]:
        return {"top1": self._right / self._seen if self._seen else None}


class _MeanAp:
    def __init__(self) -> None:
        self._scores: list[Tensor] = []
        self._truth: list[Tensor] = []

    def add(self, logits: Tensor, batch: Batch) -> None:
        self._scores.append(torch.sigmoid(logits.float()).cpu())
        self._truth.append(batch.targets.cpu())

    def state(self) -> object:
        return self._scores, self._truth

    def merge(self, states: Sequence[Any]) -> None:
        self._scores, self._truth = ([part for state in states for part in state[place]] for place in (0, 1))

    def result(self) -> dict[str, float | None]:
        if not self._scores:
            return {"mean_ap": None}
        _, mean = average_precision(torch.cat(self._scores).numpy(), torch.cat(self._truth).numpy() > 0.5)
        return {"mean_ap": None if np.isnan(mean) else mean}
