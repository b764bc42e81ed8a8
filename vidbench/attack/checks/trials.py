"""The attacks that a verdict rests on: each on all clips at each radius anew, judged by another pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from vidbench.attack.checks.answers import DLR_CLASSES
from vidbench.attack.checks.climb import Climb, climb
from vidbench.attack.confirm import Judge, seeded
from vidbench.attack.goal import Goal
from vidbench.attack.losses import LossName
from vidbench.attack.method import Batch, Outcome
from vidbench.attack.methods import ATTACKS, parse_settings
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget, Norm
from vidbench.seeds import seed_for

Json = dict[str, Any]

MARKS = (10, 20, 50, 100)
RESTARTS = 5
RESTART_STEPS = 20
UNBOUNDED_STEPS = 100
UNBOUNDED_STEP = 0.05


@dataclass(frozen=True)
class Bench:
    """What is attacked, and how hard.

    Attributes:
        judge: The classifier in the reference layout, which has the last word.
        targets: Whose gradients there are: `own`; `undefended`, the classifier without defences; `bypass`, with the
            identity in the backward pass of what conceals gradients. The latter two only where they differ.
        classes: K.
        norm: Of the budget.
        steps: Of PGD and APGD.
        queries: Of Square.
        seed: The user's.
        width: Clips per pass.
    """

    judge: Judge
    targets: Mapping[str, Target]
    classes: int
    norm: Norm
    steps: int
    queries: int
    seed: int
    width: int


def marks_of(steps: int) -> tuple[int, ...]:
    """Steps of PGD after which its state is told: usual ones, the half, nine tenths, and all."""
    wanted = {*MARKS, steps // 2, steps - max(1, steps // 10), steps}
    return tuple(sorted(mark for mark in wanted if 0 < mark <= steps))


@dataclass(frozen=True)
class Clips:
    """Clips that are right before any attack.

    Attributes:
        keys: N of them.
        clips: `(N, 3, T, H, W)` float32 in [0, 1], on the device.
        labels: `(N,)`.
    """

    keys: Sequence[str]
    clips: Tensor
    labels: Tensor


Found = tuple[Outcome, list[Json]]
Run = Callable[[Bench, Target, Batch, Budget], Found]


@dataclass(frozen=True)
class Trial:
    """One attack.

    Attributes:
        name: In records and tables.
        target: Whose gradients, or scores, it follows.
        gradients: Whether it needs gradients.
        unions: The sets of attacks that it belongs to, beside `best`, that of all.
        run: The attack.
        norms: The norms it has.
    """

    name: str
    target: str
    gradients: bool
    unions: tuple[str, ...]
    run: Run
    norms: tuple[Norm, ...] = ("linf", "l2")


def _catalogue(name: str, *wanted: str) -> Run:
    """An attack of the catalogue, with `steps` or `queries` of the bench."""

    def run(bench: Bench, target: Target, batch: Batch, budget: Budget) -> Found:
        method = ATTACKS.get(name)
        settings = parse_settings(method, {field: str(getattr(bench, field)) for field in wanted})
        return method.run(target, batch, budget, settings), [{} for _ in batch.keys]

    return run


def _pgd(loss: LossName) -> Run:
    def run(bench: Bench, target: Target, batch: Batch, budget: Budget) -> Found:
        marks = marks_of(bench.steps)
        found = climb(target, batch, budget, steps=bench.steps, step_size=budget.eps / 4, loss=loss, marks=marks)
        return found.outcome, _told(found, marks)

    return run


def _restarts(bench: Bench, target: Target, batch: Batch, budget: Budget) -> Found:
    """PGD from random starts, each on the clips that the earlier ones left."""
    steps = min(RESTART_STEPS, bench.steps)

    def start(number: int, wanted: Batch, ball: Budget) -> Outcome:
        return climb(target, wanted, ball, steps=steps, step_size=budget.eps / 4, restart=number).outcome

    found = _in_turn(batch, [partial(start, number) for number in range(RESTARTS)], budget, steps)
    return found, [{} for _ in batch.keys]


def _unbounded(bench: Bench, target: Target, batch: Batch, budget: Budget) -> Found:
    """By the cross entropy, and by the margin where it saturates: whether any loss leads anywhere is the question."""

    def by(loss: LossName, wanted: Batch, ball: Budget) -> Outcome:
        return climb(target, wanted, ball, steps=UNBOUNDED_STEPS, step_size=UNBOUNDED_STEP, loss=loss).outcome

    found = _in_turn(batch, (partial(by, "ce"), partial(by, "margin")), budget, UNBOUNDED_STEPS)
    return found, [{} for _ in batch.keys]


def _in_turn(batch: Batch, tries: Sequence[Callable[[Batch, Budget], Outcome]], budget: Budget, steps: int) -> Outcome:
    """Attacks of so many steps one after the other, each on the clips that the earlier ones left."""
    first = tries[0](batch, budget)
    clips, reached = first.clips.clone(), first.reached.clone()
    forwards, backwards = first.forwards.clone(), first.backwards.clone()
    restarts, when = torch.zeros_like(first.restarts), first.steps.clone()
    for number, attack in enumerate(tries[1:], start=1):
        left = (~reached).nonzero().flatten()
        if len(left) == 0:
            break
        where = left.cpu()
        again = attack(batch.of(left), budget.of(left))
        forwards[where] += again.forwards
        backwards[where] += again.backwards
        won = again.reached
        clips[left[won]], reached[left[won]] = again.clips[won], True
        restarts[where[won.cpu()]] = number
        when[where[won.cpu()]] = number * (steps + 1) + again.steps[won.cpu()]
    return Outcome(clips, reached, forwards, backwards, restarts, when)


def _told(found: Climb, marks: Sequence[int]) -> list[Json]:
    return [
        {"start": float(found.start[row]), "margins": {str(mark): float(found.margins[row, place])
                                                       for place, mark in enumerate(marks)}}
        for row in range(len(found.start))
    ]  # fmt: skip


TRIALS = (
    Trial("noise", "own", False, (), _catalogue("noise")),
    Trial("fgsm", "own", True, ("white-box", "ce"), _catalogue("fgsm")),
    Trial("pgd", "own", True, ("white-box", "ce"), _pgd("ce")),
    Trial("pgd-restarts", "own", True, ("white-box", "ce"), _restarts),
    Trial("pgd-margin", "own", True, ("white-box", "margin"), _pgd("margin")),
    Trial("apgd-ce", "own", True, ("white-box", "ce"), _catalogue("apgd-ce", "steps")),
    Trial("apgd-dlr", "own", True, ("white-box", "dlr"), _catalogue("apgd-dlr", "steps")),
    Trial("square", "own", False, (), _catalogue("square", "queries")),
    Trial("transfer-pgd", "undefended", True, ("transfer",), _pgd("ce")),
    Trial("transfer-margin", "undefended", True, ("transfer",), _pgd("margin")),
    Trial("bypass-pgd", "bypass", True, ("transfer", "bypass"), _pgd("ce")),
    Trial("bypass-margin", "bypass", True, ("transfer", "bypass"), _pgd("margin")),
    Trial("bypass-apgd-ce", "bypass", True, ("transfer", "bypass"), _catalogue("apgd-ce", "steps")),
)
"""In the order in which they are run."""

UNBOUNDED = Trial("unbounded", "own", True, (), _unbounded)


def chosen_trials(bench: Bench, connected: bool) -> list[Trial]:
    """The attacks that a model allows: with its own gradients, with others', with so many classes."""
    return [
        trial for trial in TRIALS
        if trial.target in bench.targets
        and bench.norm in trial.norms
        and (connected or not trial.gradients or trial.target != "own")
        and ("dlr" not in trial.unions or bench.classes >= DLR_CLASSES)
    ]  # fmt: skip


def attempt(bench: Bench, trial: Trial, given: Clips, eps: float) -> Iterator[Json]:
    """Attack clips and judge the result; a record's facts of each, in their order.

    The judge's float32 pass decides, whatever the attack saw. A perturbation outside the budget is told, not used.
    """
    budget = Budget("linf" if trial is UNBOUNDED else bench.norm, eps)
    batch = Batch(given.clips, Goal(given.labels), list(given.keys), bench.seed, bench.width)
    outcome, told = _run(bench, trial, batch, budget)
    logits = bench.judge.logits(outcome.clips, batch.keys)
    broken = batch.goal.reached(logits)
    sizes = budget.sizes(outcome.clips.double() - given.clips.double())
    for row in range(len(batch)):
        fault = _fault(budget, given.clips[row : row + 1], outcome.clips[row : row + 1])
        yield {
            "robust": not bool(broken[row]) or bool(fault),
            "claimed": bool(outcome.reached[row]),
            "confirmed": bool(broken[row]),
            "size": float(sizes[row]),
            "fault": fault,
            "step": int(outcome.steps[row]),
            "restart": int(outcome.restarts[row]),
            "forwards": int(outcome.forwards[row]),
            "backwards": int(outcome.backwards[row]),
            **told[row],
        }


def _run(bench: Bench, trial: Trial, batch: Batch, budget: Budget) -> Found:
    target = bench.targets[trial.target]
    if not target.random:
        return trial.run(bench, target, batch, budget)
    # one by one, each after a seed of its own: who shares a pass must not decide what a defence draws
    outcomes, told = [], []
    for row, key in enumerate(batch.keys):
        only = torch.tensor([row], device=batch.clips.device)
        with seeded(seed_for(bench.seed, key, trial.name, budget.eps)):
            outcome, facts = trial.run(bench, target, batch.of(only), budget.of(only))
        outcomes.append(outcome)
        told += facts
    return Outcome.joined(outcomes), told


def _fault(budget: Budget, clean: Tensor, attacked: Tensor) -> str:
    try:
        budget.audit(clean, attacked)
    except RuntimeError as error:
        return str(error)
    return ""
