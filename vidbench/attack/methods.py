"""The catalogue of attacks: their names, their settings and what they do to a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor

from vidbench.attack.gradient import Goal, Logits, Outcome, projected_gradient
from vidbench.attack.threat import Budget, Eps, Norm
from vidbench.catalogue import Catalogue, Entry
from vidbench.errors import UsageError
from vidbench.seeds import seed_for

Engine = Literal["native", "art"]


class Settings(BaseModel):
    """The settings of one attack, validated by name and range."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FgsmSettings(Settings):
    """FGSM has none: one step of size eps from the clean clip."""


class PgdSettings(Settings):
    """The settings of PGD.

    Attributes:
        steps: Gradient steps.
        step: Step size like eps ("2/255"); None for a quarter of eps.
        restarts: Runs from new starts, on the clips that withstood so far.
        random_start: Start at a uniform draw from the ball; otherwise at the clean clip.
    """

    steps: int = Field(10, ge=1, le=100_000)
    step: str | None = None
    restarts: int = Field(1, ge=1, le=1000)
    random_start: bool = True

    @model_validator(mode="after")
    def _restarts_differ(self) -> Self:
        if self.restarts > 1 and not self.random_start:
            raise ValueError("restarts without a random start repeat the same attack")
        return self

    def step_size(self, budget: Budget) -> float:
        """The step in the budget's norm."""
        return budget.eps / 4 if self.step is None else Eps.parse(self.step, budget.norm).value


@dataclass(frozen=True)
class Batch:
    """Clips to attack.

    Attributes:
        clips: `(N, 3, T, H, W)` in [0, 1].
        goal: What to reach for each.
        keys: What each clip's random numbers are drawn from.
        seed: The user's seed.
    """

    clips: Tensor
    goal: Goal
    keys: Sequence[str]
    seed: int


class Method(Protocol):
    """An attack: a name, norms, settings and the work."""

    name: str
    summary: str
    norms: tuple[Norm, ...]
    source: str
    engines: tuple[Engine, ...]
    settings: type[Settings]

    def run(self, logits: Logits, batch: Batch, budget: Budget, settings: Settings) -> tuple[Outcome, list[int]]:
        """Attack a batch; also the restart that each clip's result comes from."""


class Fgsm:
    """The fast gradient sign method; for L2 the fast gradient method."""

    name = "fgsm"
    summary = "one gradient step of size eps"
    norms: tuple[Norm, ...] = ("linf", "l2")
    source = "Goodfellow et al. 2015, arXiv:1412.6572"
    engines: tuple[Engine, ...] = ("native", "art")
    settings: type[Settings] = FgsmSettings

    def run(self, logits: Logits, batch: Batch, budget: Budget, settings: Settings) -> tuple[Outcome, list[int]]:
        """One step from the clean clip; the result is taken as it falls, whatever it does."""
        outcome = projected_gradient(
            logits, batch.clips, batch.goal, budget, steps=1, step_size=budget.eps, stop_early=False
        )
        return outcome, [0] * len(batch.clips)


class Pgd:
    """Projected gradient descent from random starts."""

    name = "pgd"
    summary = "projected gradient steps from random starts, the first success kept"
    norms: tuple[Norm, ...] = ("linf", "l2")
    source = "Madry et al. 2018, arXiv:1706.06083"
    engines: tuple[Engine, ...] = ("native", "art")
    settings: type[Settings] = PgdSettings

    def run(self, logits: Logits, batch: Batch, budget: Budget, settings: Settings) -> tuple[Outcome, list[int]]:
        """All restarts, each on the clips that the earlier ones left unbroken."""
        if not isinstance(settings, PgdSettings):
            raise TypeError(f"expected PgdSettings, got {type(settings).__name__}")
        count = len(batch.clips)
        result = batch.clips.clone()
        reached = torch.zeros(count, dtype=torch.bool, device=batch.clips.device)
        forwards, backwards = torch.zeros(count, dtype=torch.long), torch.zeros(count, dtype=torch.long)
        restarts = [0] * count
        for restart in range(settings.restarts):
            left = (~reached).nonzero().flatten()
            if len(left) == 0:
                break
            clips = batch.clips[left]
            outcome = projected_gradient(
                logits,
                clips,
                batch.goal.of(left),
                budget,
                steps=settings.steps,
                step_size=settings.step_size(budget),
                start=self._start(clips, batch, left.tolist(), budget, restart) if settings.random_start else None,
            )
            # an unbroken clip keeps its last try: its figures show what was tried
            result[left] = outcome.clips
            reached[left] = outcome.reached
            forwards[left.cpu()] += outcome.forwards
            backwards[left.cpu()] += outcome.backwards
            for index in left.tolist():
                restarts[index] = restart
        return Outcome(result, reached, forwards, backwards), restarts

    @staticmethod
    def _start(clips: Tensor, batch: Batch, left: list[int], budget: Budget, restart: int) -> Tensor:
        noise = torch.stack(
            [
                budget.random_start(
                    tuple(clips.shape[1:]),
                    torch.Generator().manual_seed(seed_for(batch.seed, batch.keys[index], "start", restart)),
                )
                for index in left
            ]
        )
        return (clips + noise.to(clips)).clamp_(0.0, 1.0)


ATTACKS: Catalogue[Method] = Catalogue(
    "attack",
    (Entry(Fgsm.name, Fgsm.summary, Fgsm), Entry(Pgd.name, Pgd.summary, Pgd)),
    group="vidbench.attacks",
    listing="vidbench attack list",
)


def parse_settings(method: Method, given: dict[str, str]) -> Settings:
    """The attack's settings from `name=value` texts.

    Raises:
        UsageError: A setting that the attack does not have, or a value out of its range.
    """
    known = method.settings.model_fields
    for name in given:
        if name not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise UsageError(f"{method.name} has no setting {name!r}", f"{has[0].upper()}{has[1:]}.")
    try:
        settings = method.settings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{name}: " for name in first["loc"])
        raise UsageError(f"{method.name}: {where}{first['msg'].removeprefix('Value error, ')}") from error
    step = getattr(settings, "step", None)
    if step is not None and Eps.parse(step, "l2").exact == 0:
        raise UsageError(f"{method.name}: a step of 0 goes nowhere")
    return settings


def describe_all() -> list[dict[str, object]]:
    """What `attack list` shows: name, summary, norms, settings with defaults, engines, source."""
    rows: list[dict[str, object]] = []
    for entry in ATTACKS:
        method = entry.load()
        defaults = method.settings().model_dump(mode="json")
        rows.append(
            {
                "attack": entry.name,
                "summary": entry.summary,
                "norms": ", ".join(method.norms),
                "settings": ", ".join(
                    f"{name}={'eps/4' if value is None else value}" for name, value in defaults.items()
                ),
                "engines": ", ".join(method.engines),
                "source": method.source,
            }
        )
    return rows
