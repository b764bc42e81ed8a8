"""What an attack is: a name, norms, settings, and what it does to clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from vidbench.attack.goal import Goal
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget, Norm
from vidbench.seeds import seed_for

Engine = Literal["native", "art"]


class Settings(BaseModel):
    """The settings of one attack, validated by name and range."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Batch:
    """Clips to attack, any number of them.

    Attributes:
        clips: `(N, 3, T, H, W)` float32 in [0, 1].
        goal: What to reach for each.
        keys: What each clip's random numbers are drawn from, never its place.
        seed: The user's seed.
        width: Clips per pass through the network; an attack splits, or keeps as many at work.
        warm: `(N, 3, T, H, W)` where the same attack ended within a smaller ball that the clips withstood; None where
            there was none. Projected gradients take it for their first start.
    """

    clips: Tensor
    goal: Goal
    keys: Sequence[str]
    seed: int = 0
    width: int = 4
    warm: Tensor | None = None

    def __len__(self) -> int:
        return len(self.clips)

    def of(self, chosen: Tensor) -> Batch:
        """A part of it, by indices."""
        keys = [self.keys[index] for index in chosen.tolist()]
        warm = None if self.warm is None else self.warm[chosen]
        return Batch(self.clips[chosen], self.goal.of(chosen), keys, self.seed, self.width, warm)

    def parts(self) -> Iterator[tuple[Tensor, Batch]]:
        """The batch, `width` clips at a time: the indices of each part and the part."""
        for start in range(0, len(self), self.width):
            chosen = torch.arange(start, min(start + self.width, len(self)), device=self.clips.device)
            yield chosen, self.of(chosen)

    def generator(self, row: int, *purpose: object) -> torch.Generator:
        """A generator on the CPU for one clip and purpose: the same whoever shares the batch."""
        return torch.Generator().manual_seed(seed_for(self.seed, self.keys[row], *purpose))


@dataclass(frozen=True)
class Outcome:
    """What an attack did to a batch.

    Attributes:
        clips: `(N, 3, T, H, W)` float32: the best that was found, whether it succeeds or not.
        reached: `(N,)` bool: the goal is reached at `clips`, as the attack saw it.
        forwards: `(N,)` int64 forward passes per clip, on the CPU; those of random starts and draws included.
        backwards: `(N,)` int64 backward passes per clip, likewise.
        restarts: `(N,)` int64: the restart that the result comes from.
        steps: `(N,)` int64: the iteration at which the goal was first reached, counted through all restarts from 0
            (the start); -1 where it never was.
        broken_by: For a cascade: the attack that broke each clip, empty where none did; empty for other attacks.
    """

    clips: Tensor
    reached: Tensor
    forwards: Tensor
    backwards: Tensor
    restarts: Tensor
    steps: Tensor
    broken_by: tuple[str, ...] = field(default=())

    @classmethod
    def joined(cls, parts: Sequence[Outcome]) -> Outcome:
        """The outcomes of the parts of a batch, in its order."""
        names = ("clips", "reached", "forwards", "backwards", "restarts", "steps")
        together = {name: torch.cat([getattr(part, name) for part in parts]) for name in names}
        return cls(**together, broken_by=tuple(name for part in parts for name in part.broken_by))


class Method(Protocol):
    """An attack.

    Attributes:
        name: As typed.
        summary: One line.
        source: Paper and equation, or whose steps these are.
        norms: What its budget may be.
        settings: The class of its settings.
        minimal: Whether it looks for the smallest perturbation, within the budget or beyond: one run then serves
            every eps. Others use the budget as it is.
    """

    name: str
    summary: str
    source: str
    norms: tuple[Norm, ...]
    settings: type[Settings]
    minimal: bool

    def run(self, target: Target, batch: Batch, budget: Budget, settings: Settings) -> Outcome:
        """Attack clips that do not reach the goal yet."""


@runtime_checkable
class UniversalMethod(Protocol):
    """An attack with one perturbation for all clips, which is learnt before it is used."""

    def learn(
        self, target: Target, batches: Callable[[], Iterator[Batch]], budget: Budget, settings: Settings, seed: int
    ) -> Tensor:
        """The perturbation that all clips share; `batches` gives the clips to learn from, anew at each call."""

    def apply(self, target: Target, batch: Batch, learnt: Tensor, budget: Budget, settings: Settings) -> Outcome:
        """The clips of a batch with that perturbation."""
