"""AutoAttack: several attacks one after the other, each on the clips that withstood so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field

from vidbench.attack.method import Batch, Outcome, Settings
from vidbench.attack.methods import ATTACKS, parse_settings
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget, Norm

Version = Literal["standard", "plus", "rand"]
_VERSIONS: dict[Version, tuple[str, ...]] = {
    "standard": ("apgd-ce", "apgd-t", "fab-t", "square"),
    "plus": ("apgd-ce", "apgd-dlr", "fab", "square", "apgd-t", "fab-t"),
    "rand": ("apgd-ce", "apgd-dlr"),
}
L1_TARGETS = 5


class AutoAttackSettings(Settings):
    """The settings of AutoAttack; smaller numbers than these make it cheaper, and something else than AutoAttack.

    Attributes:
        version: "standard"; "plus" with more attacks and restarts; "rand" for models that draw random numbers, to be
            averaged over draws.
        steps: Iterations of each run of Auto-PGD and FAB.
        targets: Classes that targeted attacks run towards; for Auto-PGD in L1 at most 5.
        queries: Of Square.
    """

    version: Version = "standard"
    steps: int = Field(100, ge=1, le=100_000)
    targets: int = Field(9, ge=1, le=10_000)
    queries: int = Field(5000, ge=1, le=1_000_000)


@dataclass(frozen=True)
class Stage:
    """One attack of a cascade.

    Attributes:
        attack: Its name.
        settings: As typed, `name=value`.
    """

    attack: str
    settings: dict[str, str]


def stages(settings: AutoAttackSettings, norm: Norm, num_classes: int, *, targeted: bool) -> tuple[Stage, ...]:
    """The attacks of a cascade in their order.

    Restarts and targets are those of the code published with the papers: for Linf and L2 one run of APGD-CE and 9
    target classes, for L1 five runs and 5 classes; in "plus" five runs of the attacks without a target. What a number
    of classes does not allow is missing: see `left_out`. For a goal to reach a class, APGD-DLR runs towards it in the
    place of APGD-T, and one FAB is enough.
    """
    refused = _too_few(num_classes, targeted)
    names = [name for name in _wanted(settings, targeted) if name not in refused]
    runs = 5 if settings.version == "plus" else 1
    steps = {"steps": str(settings.steps)}
    targets = min(settings.targets, L1_TARGETS) if norm == "l1" else settings.targets
    first = 5 if norm == "l1" and settings.version == "standard" else runs
    chosen = {
        "apgd-ce": {**steps, "restarts": str(first)},
        "apgd-dlr": {**steps, "restarts": str(runs)},
        "apgd-t": {**steps, "targets": str(targets)},
        "fab": {**steps, "restarts": str(runs), "stop": "true"},
        "fab-t": {**steps, "targets": str(settings.targets), "stop": "true"},
        "square": {"queries": str(settings.queries)},
    }
    return tuple(Stage(name, chosen[name]) for name in names)


def left_out(settings: AutoAttackSettings, num_classes: int, *, targeted: bool) -> tuple[str, ...]:
    """One sentence for each attack that has to be left out, because there are too few classes."""
    refused = _too_few(num_classes, targeted)
    return tuple(
        f"{name} is left out: it needs {refused[name]} classes, and there are {num_classes}."
        for name in _wanted(settings, targeted)
        if name in refused
    )


def _wanted(settings: AutoAttackSettings, targeted: bool) -> tuple[str, ...]:
    names = _VERSIONS[settings.version]
    if not targeted:
        return names
    # towards one class FAB and FAB-T are the same, and so are APGD-DLR and APGD-T
    alike = {"apgd-t": "apgd-dlr", "fab": "fab-t"}
    return tuple(dict.fromkeys(alike.get(name, name) for name in names))


def _too_few(num_classes: int, targeted: bool) -> dict[str, int]:
    """What cannot be, and the number of classes that it needs."""
    needs = {"apgd-dlr": 4 if targeted else 3, "apgd-t": 4}
    return {name: least for name, least in needs.items() if num_classes < least}


class AutoAttack:
    """The worst of several attacks with different weaknesses, none of which has a step size to choose.

    A clip takes part until it is broken. `Outcome.broken_by` says by which attack; of a clip that withstands all, the
    result is that of the first attack. FAB counts where its point is within the budget.
    """

    name = "autoattack"
    summary = "APGD-CE, APGD-T, FAB-T and Square, each on what the earlier ones left"
    norms: tuple[Norm, ...] = ("linf", "l2", "l1")
    source = "Croce and Hein 2020, arXiv:2003.01690, section 5; in L1 Croce and Hein 2021, arXiv:2103.01208"
    settings: type[Settings] = AutoAttackSettings
    minimal = False

    def left_out(self, settings: Settings, num_classes: int, *, targeted: bool) -> tuple[str, ...]:
        """What will not be run, and why, in sentences."""
        assert isinstance(settings, AutoAttackSettings)
        return left_out(settings, num_classes, targeted=targeted)

    def run(self, target: Target, batch: Batch, budget: Budget, settings: Settings) -> Outcome:
        """All attacks of the version that the number of classes allows; `left_out` names the others."""
        assert isinstance(settings, AutoAttackSettings)
        targeted = batch.goal.targeted
        clips, reached = batch.clips.clone(), torch.zeros_like(batch.goal.labels, dtype=torch.bool)
        forwards, backwards, restarts = (torch.zeros(len(batch), dtype=torch.long) for _ in range(3))
        when, by = torch.full((len(batch),), -1, dtype=torch.long), [""] * len(batch)
        for number, stage in enumerate(stages(settings, budget.norm, target.num_classes, targeted=targeted)):
            left = (~reached).nonzero()[:, 0]
            if len(left) == 0:
                break
            method, part, around = ATTACKS.get(stage.attack), batch.of(left), budget.of(left)
            outcome = method.run(target, part, around, parse_settings(method, stage.settings))
            won = outcome.reached
            if method.minimal:
                won = won & around.within(outcome.clips.double() - part.clips.double())
            kept = won if number else torch.ones_like(won)
            clips[left[kept]], reached[left] = outcome.clips[kept], won
            forwards[left.cpu()] += outcome.forwards
            backwards[left.cpu()] += outcome.backwards
            there = kept.cpu()
            restarts[left.cpu()[there]], when[left.cpu()[there]] = outcome.restarts[there], outcome.steps[there]
            for row in left[won].tolist():
                by[row] = stage.attack
        return Outcome(clips, reached, forwards, backwards, restarts, when, tuple(by))
