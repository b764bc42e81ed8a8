"""Continuous batching: as many clips at work as a pass through the network takes, each with its own progress."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

State = dict[str, Tensor]
"""What is known of the clips at work: tensors whose first dimension is the place in the pool."""


class Rowwise(Protocol):
    """An attack whose clips do not know of each other, one iteration at a time.

    It keeps its results itself, and has them ready for a clip when it says that the clip is done.
    """

    def enter(self, rows: Tensor) -> State:
        """The state with which clips begin.

        Args:
            rows: `(n,)` their indices in the batch.

        Returns:
            Tensors of its own, `(n, ...)`, the same names at each call: the pool writes into them.
        """

    def advance(self, rows: Tensor, state: State) -> Tensor:
        """One iteration.

        Args:
            rows: `(n,)` the indices of the clips at work, n at most the width.
            state: Theirs; changed in place or entry by entry. No entry may depend on another clip.

        Returns:
            `(n,)` bool: which clips are done.
        """


def work_through(attack: Rowwise, count: int, width: int, device: torch.device) -> None:
    """Run an attack on `count` clips, in order, `width` at a time.

    The next clip takes the place of one that is done, so that the network sees one shape until fewer than `width`
    clips are left. Clips that all take equally long thus pass in plain consecutive parts.

    Raises:
        ValueError: A width below 1.
    """
    if width < 1:
        raise ValueError(f"{width = }")
    entered = min(width, count)
    rows = torch.arange(entered, device=device)
    state = attack.enter(rows) if entered else {}
    while len(rows):
        done = attack.advance(rows, state)
        if not bool(done.any()):
            continue
        places = done.nonzero()[:, 0]
        taken = places[: count - entered]
        if len(taken):
            fresh = torch.arange(entered, entered + len(taken), device=device)
            entered += len(taken)
            for name, values in attack.enter(fresh).items():
                state[name][taken] = values
            rows[taken] = fresh
        if len(taken) < len(places):
            staying = torch.ones_like(done)
            staying[places[len(taken) :]] = False
            rows = rows[staying]
            state = {name: values[staying] for name, values in state.items()}
