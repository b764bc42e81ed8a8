"""Auto-PGD: projections, starts, schedules, supports, goals, and what a clip costs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from vidbench.attack.algorithms.apgd import towards
from vidbench.attack.algorithms.apgd_ball import Ball, phases, windows
from vidbench.attack.algorithms.l1_ball import nearest
from vidbench.attack.goal import Goal
from vidbench.attack.method import Batch, Outcome
from vidbench.attack.methods import ATTACKS, parse_settings
from vidbench.attack.support import Support
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget
from vidbench.errors import UsageError

DATA = np.load(Path(__file__).parents[2] / "parity" / "attacks" / "clips.npz")
EPS = {"linf": 8 / 255, "l2": 0.5, "l1": 8.0}
NORMS = tuple(EPS)


def batch(count: int = 12, *, targeted: bool = False, width: int = 4, seed: int = 0, first: int = 5) -> Batch:
    labels = torch.from_numpy(DATA["y"])[first : first + count]
    clips = torch.from_numpy(DATA["x"])[first : first + count]
    goal = Goal((labels + 1) % 5, True) if targeted else Goal(labels)
    return Batch(clips, goal, [str(index) for index in range(first, first + count)], seed, width)


def attack(name: str, target: Target, given_batch: Batch, budget: Budget, **settings: object) -> Outcome:
    method = ATTACKS.get(name)
    before = given_batch.clips.clone()
    outcome = method.run(
        target, given_batch, budget, parse_settings(method, {key: str(value) for key, value in settings.items()})
    )
    budget.audit(given_batch.clips, outcome.clips)
    assert torch.equal(given_batch.clips, before)
    assert torch.equal(outcome.reached, given_batch.goal.reached(target(outcome.clips)))
    assert torch.equal(outcome.steps >= 0, outcome.reached)
    return outcome


def by_bisection(clean: np.ndarray, delta: np.ndarray, radius: float) -> np.ndarray:
    """Another way to the same point: halve the interval of the threshold."""
    sizes, room = np.abs(delta), np.where(delta > 0, 1 - clean, clean)
    if np.minimum(sizes, room).sum() <= radius:
        return np.minimum(sizes, room) * np.sign(delta)
    low, high = 0.0, sizes.max()
    for _ in range(200):
        middle = (low + high) / 2
        if np.clip(sizes - middle, 0, room).sum() > radius:
            low = middle
        else:
            high = middle
    return np.clip(sizes - high, 0, room) * np.sign(delta)


@given(st.integers(0, 10_000), st.integers(1, 40), st.floats(0, 12))
def test_the_l1_projection_is_exact(seed: int, count: int, radius: float) -> None:
    generator = np.random.default_rng(seed)
    clean = generator.choice([0.0, 1.0, 0.5, 0.25], size=(3, count)) + 0.0
    delta = generator.normal(size=(3, count)) * generator.choice([0.0, 0.01, 1.0, 5.0], size=(3, 1))
    found = nearest(torch.from_numpy(clean), torch.from_numpy(delta), radius).numpy()
    expected = np.stack([by_bisection(*row, radius) for row in zip(clean, delta, strict=True)])
    assert np.abs(found - expected).max() < 1e-9
    assert np.abs(found).sum(1).max() <= radius + 1e-9
    assert ((clean + found >= 0) & (clean + found <= 1)).all()


def test_without_a_box_it_is_the_projection_onto_the_ball() -> None:
    delta = torch.randn(4, 3, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    found = nearest(torch.rand(4, 3, 2, 5, 5), delta, 6.0, box=False)
    assert torch.allclose(found, Budget("l1", 6.0).project(delta), atol=1e-6)


def test_schedules_are_those_of_the_papers() -> None:
    assert windows(100) == (22, 3, 6)
    assert windows(1) == (1, 1, 1)
    assert phases(100) == ((3.0, 30), (2.0, 30), (1.0, 40))
    for steps in range(1, 60):
        assert sum(count for _, count in phases(steps)) == steps
        assert phases(steps)[-1][0] == 1.0


@pytest.mark.parametrize("norm", NORMS)
def test_starts_lie_on_the_sphere_before_the_box_cuts_them(norm: str) -> None:
    clean = torch.full((3, 3, 4, 8, 8), 0.5)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    budget = Budget(norm, EPS[norm])
    start = Ball(budget).start(clean, noise)
    assert torch.allclose(budget.sizes(start - clean).float(), torch.full((3,), EPS[norm]), rtol=1e-5)
    patch = Support.parse("patch:2x2+1+1", (3, 4, 8, 8))
    within = Budget(norm, EPS[norm] / 10, patch)
    start = Ball(within).start(clean, noise)
    within.audit(clean, start)
    assert torch.allclose(within.sizes(start - clean).float(), torch.full((3,), EPS[norm] / 10), rtol=1e-4)


@pytest.mark.parametrize("support", ["frames:1", "patch:8x8+2+4", "border:2", "flicker"])
@pytest.mark.parametrize("norm", NORMS)
def test_perturbations_stay_in_their_support(net: nn.Module, norm: str, support: str) -> None:
    chosen = batch()
    budget = Budget(norm, EPS[norm] * 6, Support.parse(support, tuple(chosen.clips.shape[1:])))
    outcome = attack("apgd-ce", Target(net, 5), chosen, budget, steps=20)
    assert bool(outcome.reached.any())
    if support == "flicker":
        delta = outcome.clips - chosen.clips
        offset = torch.where((outcome.clips > 0) & (outcome.clips < 1), delta, torch.nan).flatten(3)
        mean = offset.nanmean(3, keepdim=True)
        assert (offset - mean).abs().nan_to_num(0.0).max() < 1e-5


def test_each_clip_may_have_its_own_support(net: nn.Module) -> None:
    chosen = batch(6)
    mask = torch.zeros(6, 1, 4, 1, 1)
    mask[torch.arange(6), 0, torch.arange(6) % 4] = 1.0
    for norm in NORMS:
        attack("apgd-ce", Target(net, 5), chosen, Budget(norm, EPS[norm] * 4, Support("own", mask)), steps=6)


@pytest.mark.parametrize("name", ["apgd-ce", "apgd-dlr", "apgd-t"])
@pytest.mark.parametrize("norm", NORMS)
def test_every_row_that_passes_the_network_is_counted(net: nn.Module, name: str, norm: str) -> None:
    rows, largest = 0, 0

    def logits(clips: Tensor) -> Tensor:
        nonlocal rows, largest
        rows, largest = rows + len(clips), max(largest, len(clips))
        return net(clips)

    method, chosen = ATTACKS.get(name), batch(width=3)
    outcome = method.run(Target(logits, 5), chosen, Budget(norm, EPS[norm]), parse_settings(method, {"steps": "10"}))
    assert rows == int(outcome.forwards.sum())
    assert largest == 3
    assert bool((outcome.backwards < outcome.forwards).all())


def test_a_broken_clip_leaves_at_once(net: nn.Module) -> None:
    outcome = attack("apgd-ce", Target(net, 5), batch(30), Budget("linf", 8 / 255), steps=30, restarts=2)
    early = outcome.reached & (outcome.restarts == 0)
    assert bool(early.any())
    assert torch.equal(outcome.forwards[early], outcome.steps[early] + 1)
    assert torch.equal(outcome.backwards[early], outcome.steps[early])
    assert bool((~outcome.reached).any())
    assert set(outcome.forwards[~outcome.reached].tolist()) == {62}
    assert set(outcome.backwards[~outcome.reached].tolist()) == {60}


def test_steps_count_through_restarts_and_larger_balls(net: nn.Module) -> None:
    outcome = attack("apgd-ce", Target(net, 5), batch(20), Budget("l1", 16.0), steps=10)
    assert bool(outcome.reached.any())
    assert bool((outcome.steps[outcome.reached] >= 6).all())
    assert torch.equal(outcome.forwards[outcome.reached], outcome.steps[outcome.reached] + 3)


@pytest.mark.parametrize("norm", NORMS)
def test_clips_do_not_depend_on_their_company(net: nn.Module, norm: str) -> None:
    target, budget = Target(net, 5), Budget(norm, EPS[norm])
    whole = attack("apgd-ce", target, batch(12, width=12), budget, steps=10)
    parts = [attack("apgd-ce", target, batch(4, first=at), budget, steps=10) for at in (5, 9, 13)]
    together = Outcome.joined(parts)
    # another width may take another kernel, whose rounding can flip the sign of a gradient that is almost zero
    assert ((whole.clips - together.clips).abs() <= 1e-5).double().mean() > 0.99
    assert torch.equal(whole.reached, together.reached)


@pytest.mark.parametrize("name", ["apgd-ce", "apgd-dlr"])
@pytest.mark.parametrize("norm", NORMS)
def test_classes_can_be_reached(net: nn.Module, name: str, norm: str) -> None:
    chosen = batch(targeted=True)
    outcome = attack(name, Target(net, 5), chosen, Budget(norm, EPS[norm] * 4), steps=20)
    assert int(outcome.reached.sum()) >= 8
    assert torch.equal(net(outcome.clips).argmax(1)[outcome.reached], chosen.goal.labels[outcome.reached])


def test_the_targeted_ratio_moves_where_the_plain_one_stands_still() -> None:
    logits = torch.tensor([[3.0, 2.0, 1.0, 0.0, -1.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(towards(Goal(torch.tensor([2]), True))(logits).sum(), logits)
    assert float(gradient[0, 2]) > 0.1


def test_too_few_classes_are_an_error_that_says_so(net: nn.Module) -> None:
    budget = Budget("linf", 0.03)
    two, three = (Target(lambda clips, count=count: net(clips)[:, :count], count) for count in (2, 3))
    chosen, reach = batch(3), batch(3, targeted=True)
    for name, target, some in (
        ("apgd-dlr", two, chosen), ("apgd-dlr", three, reach), ("apgd-t", three, chosen), ("apgd-t", three, reach),
    ):  # fmt: skip
        method = ATTACKS.get(name)
        with pytest.raises(UsageError):
            method.run(target, some, budget, method.settings())


def test_logits_that_are_not_finite_break_nothing(net: nn.Module) -> None:
    chosen = batch(6)

    def logits(clips: Tensor) -> Tensor:
        found = net(clips)
        return torch.cat([found[:, :4], found[:, 4:] + torch.inf], 1)

    for name in ("apgd-ce", "apgd-dlr", "apgd-t"):
        outcome = attack(name, Target(logits, 5), chosen, Budget("linf", 8 / 255), steps=3)
        assert not bool(outcome.reached.any())


def test_a_clip_that_withstands_gets_its_point_of_highest_loss(net: nn.Module) -> None:
    chosen = batch(20)
    outcome = attack("apgd-ce", Target(net, 5), chosen, Budget("linf", 1 / 255), steps=20)
    withstood = ~outcome.reached
    assert int(withstood.sum()) >= 10
    before, after = (
        nn.functional.cross_entropy(net(clips), chosen.goal.labels, reduction="none")[withstood]
        for clips in (chosen.clips, outcome.clips)
    )
    assert bool((after > before).all())


def test_draws_are_counted(net: nn.Module) -> None:
    once, twice = (
        attack("apgd-ce", Target(net, 5, draws=draws), batch(4), Budget("linf", 1 / 255), steps=4) for draws in (1, 2)
    )
    assert torch.equal(twice.forwards, 2 * once.forwards)
    assert torch.equal(twice.backwards, 2 * once.backwards)


@pytest.mark.parametrize("norm", NORMS)
def test_a_radius_of_nothing_changes_nothing(net: nn.Module, norm: str) -> None:
    chosen = batch(3)
    outcome = attack("apgd-ce", Target(net, 5), chosen, Budget(norm, 0.0), steps=3)
    assert torch.equal(outcome.clips, chosen.clips)
