"""AutoAttack's cascade: which attacks in which order, on which clips, and who broke what."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vidbench.attack.algorithms.cascade import AutoAttackSettings, left_out, stages
from vidbench.attack.goal import Goal
from vidbench.attack.method import Batch, Outcome
from vidbench.attack.methods import ATTACKS, parse_settings
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget

DATA = np.load(Path(__file__).parents[2] / "parity" / "attacks" / "clips.npz")
SMALL = {"steps": "3", "targets": "2", "queries": "10"}


def batch(count: int = 10, first: int = 5) -> Batch:
    labels = torch.from_numpy(DATA["y"])[first : first + count]
    keys = [str(index) for index in range(first, first + count)]
    return Batch(torch.from_numpy(DATA["x"])[first : first + count], Goal(labels), keys, 0, 8)


def run(name: str, target: Target, chosen: Batch, budget: Budget, settings: dict[str, str]) -> Outcome:
    method = ATTACKS.get(name)
    outcome = method.run(target, chosen, budget, parse_settings(method, settings))
    budget.audit(chosen.clips, outcome.clips)
    return outcome


def names(version: str, norm: str = "linf", classes: int = 10, *, targeted: bool = False) -> list[str]:
    found = stages(AutoAttackSettings(version=version), norm, classes, targeted=targeted)
    for stage in found:
        parse_settings(ATTACKS.get(stage.attack), stage.settings)
    return [stage.attack for stage in found]


def test_versions_are_the_published_ones() -> None:
    assert names("standard") == ["apgd-ce", "apgd-t", "fab-t", "square"]
    assert names("plus") == ["apgd-ce", "apgd-dlr", "fab", "square", "apgd-t", "fab-t"]
    assert names("rand") == ["apgd-ce", "apgd-dlr"]
    by_name = {stage.attack: stage.settings for stage in stages(AutoAttackSettings(), "linf", 10, targeted=False)}
    assert by_name["apgd-ce"] == {"steps": "100", "restarts": "1"}
    assert by_name["apgd-t"]["targets"] == by_name["fab-t"]["targets"] == "9"
    assert by_name["square"] == {"queries": "5000"}


def test_l1_has_more_runs_and_fewer_classes() -> None:
    by_name = {stage.attack: stage.settings for stage in stages(AutoAttackSettings(), "l1", 10, targeted=False)}
    assert by_name["apgd-ce"]["restarts"] == "5"
    assert by_name["apgd-t"]["targets"] == "5"
    assert by_name["fab-t"]["targets"] == "9"


def test_a_goal_to_reach_a_class_gets_attacks_that_can() -> None:
    assert names("standard", targeted=True) == ["apgd-ce", "apgd-dlr", "fab-t", "square"]
    assert names("plus", targeted=True) == ["apgd-ce", "apgd-dlr", "fab-t", "square"]


@pytest.mark.parametrize(
    ("version", "classes", "targeted", "left"),
    [
        ("standard", 3, False, ["apgd-ce", "fab-t", "square"]),
        ("plus", 3, False, ["apgd-ce", "apgd-dlr", "fab", "square", "fab-t"]),
        ("rand", 2, False, ["apgd-ce"]),
        ("standard", 3, True, ["apgd-ce", "fab-t", "square"]),
    ],
)
def test_too_few_classes_leave_attacks_out_and_say_so(
    version: str, classes: int, targeted: bool, left: list[str]
) -> None:
    assert names(version, classes=classes, targeted=targeted) == left
    said = left_out(AutoAttackSettings(version=version), classes, targeted=targeted)
    assert said
    assert all(f"there are {classes}" in sentence for sentence in said)
    assert not left_out(AutoAttackSettings(version=version), 4, targeted=targeted)


def test_two_classes_are_attacked_by_what_is_left(net: nn.Module) -> None:
    chosen = batch(8)
    target = Target(lambda clips: torch.stack([net(clips)[:, 0], net(clips)[:, 1:].logsumexp(1)], 1), 2)
    goal = Goal((target(chosen.clips)).argmax(1))
    pair = Batch(chosen.clips, goal, chosen.keys, 0, 8)
    outcome = run("autoattack", target, pair, Budget("linf", 16 / 255), {"version": "rand", "steps": "10"})
    assert bool(outcome.reached.any())
    assert set(outcome.broken_by) <= {"", "apgd-ce"}


@pytest.mark.parametrize(("norm", "eps"), [("linf", 6 / 255), ("l2", 0.4), ("l1", 12.0)])
def test_each_attack_gets_what_is_left(net: nn.Module, norm: str, eps: float) -> None:
    chosen, target, budget = batch(), Target(net, 5), Budget(norm, eps)
    outcome = run("autoattack", target, chosen, budget, SMALL)
    assert torch.equal(outcome.reached, chosen.goal.reached(target(outcome.clips)))
    assert [bool(name) for name in outcome.broken_by] == outcome.reached.tolist()
    order = stages(AutoAttackSettings(**{key: int(value) for key, value in SMALL.items()}), norm, 5, targeted=False)
    left = torch.arange(len(chosen))
    forwards = torch.zeros(len(chosen), dtype=torch.long)
    for stage in order:
        alone = run_stage(target, chosen.of(left), budget, stage.attack, stage.settings)
        forwards[left] += alone.forwards
        within = budget.within(alone.clips - chosen.clips[left])
        won = alone.reached & within
        assert [outcome.broken_by[row] == stage.attack for row in left.tolist()] == won.tolist()
        left = left[~won]
    assert torch.equal(outcome.forwards, forwards)
    assert torch.equal(left, (~outcome.reached).nonzero()[:, 0])


def run_stage(target: Target, chosen: Batch, budget: Budget, name: str, settings: dict[str, str]) -> Outcome:
    method = ATTACKS.get(name)
    return method.run(target, chosen, budget, parse_settings(method, settings))


def test_it_breaks_all_that_its_first_attack_breaks(net: nn.Module) -> None:
    chosen, target, budget = batch(), Target(net, 5), Budget("linf", 6 / 255)
    first = run("apgd-ce", target, chosen, budget, {"steps": "5"})
    whole = run("autoattack", target, chosen, budget, {"version": "rand", "steps": "5"})
    assert torch.equal(whole.clips[first.reached], first.clips[first.reached])
    assert torch.equal(whole.forwards[first.reached], first.forwards[first.reached])
    assert bool((whole.forwards > first.forwards)[~first.reached].all())
    assert {name for name, yes in zip(whole.broken_by, first.reached.tolist(), strict=True) if yes} == {"apgd-ce"}
    withstood = ~whole.reached
    assert torch.equal(whole.clips[withstood], first.clips[withstood])
    assert set(whole.steps[withstood].tolist()) <= {-1}
