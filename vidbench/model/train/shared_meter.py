"""A validation that several processes share: what each has gathered is put together before it is judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from vidbench.model.train.batch import Batch
from vidbench.model.train.objective import Meter, Objective
from vidbench.model.train.peers import Peers


class SharedObjective:
    """An objective whose meters answer for all processes; `result` is asked in all of them.

    Args:
        objective: What is learnt.
        peers: The processes.
    """

    def __init__(self, objective: Objective, peers: Peers) -> None:
        self.figure = objective.figure
        self._objective, self._peers = objective, peers

    def loss(self, logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """The objective's, of this process's things."""
        return self._objective.loss(logits, targets, smoothing)

    def right(self, logits: Tensor, targets: Tensor) -> int | None:
        """The objective's, of this process's things."""
        return self._objective.right(logits, targets)

    def meter(self) -> Meter:
        """One that takes this process's batches, and gives the figures of everybody's."""
        meter = self._objective.meter()
        return meter if self._peers.size == 1 else _Shared(meter, self._peers)


class _Shared:
    def __init__(self, meter: Meter, peers: Peers) -> None:
        self._meter, self._peers = meter, peers

    def add(self, logits: Tensor, batch: Batch) -> None:
        self._meter.add(logits, batch)

    def state(self) -> object:
        return self._meter.state()

    def merge(self, states: Sequence[Any]) -> None:
        self._meter.merge(states)

    def result(self) -> dict[str, float | None]:
        self.merge(self._peers.gather(self.state()))
        return self._meter.result()
