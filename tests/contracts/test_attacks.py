"""What every attack of the catalogue must do, in every norm it has; adding an entry adds its tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidbench.attack.goal import Goal
from vidbench.attack.method import Batch, Outcome, UniversalMethod
from vidbench.attack.methods import ATTACKS, parse_settings
from vidbench.attack.names import ATTACK_NAMES
from vidbench.attack.support import Support
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget
from vidbench.errors import UsageError

HERE = Path(__file__).parents[1] / "parity" / "attacks"
CLIPS = np.load(HERE / "clips.npz")
X, Y = torch.from_numpy(CLIPS["x"]), torch.from_numpy(CLIPS["y"])
COUNT = 12
CASES = [(name, norm) for name in ATTACKS.names() for norm in ATTACKS.get(name).norms]
# the cascade's four attacks and the searches take long; the norm that each is usually run in shows the same
LONG = ("autoattack", "square", "fab", "fab-t", "apgd-t", "apgd-dlr", "fmn", "ddn")
SLOW = tuple(case for case in CASES if case[0] in LONG and case[1] != ATTACKS.get(case[0]).norms[0])
UNIVERSAL = [case for case in CASES if isinstance(ATTACKS.get(case[0]), UniversalMethod)]
ALONE = [case for case in CASES if case not in UNIVERSAL]


def marked(cases: list[tuple[str, str]]) -> list[Any]:
    """Cases for pytest, the slow ones marked."""
    return [pytest.param(*case, marks=pytest.mark.slow) if case in SLOW else case for case in cases]


RADII = {"linf": 8 / 255, "l2": 0.5, "l1": 8.0, "l21": 0.5}
WEAK = ("noise", "pgd-l1-argmax")
"""What need not be better than chance: noise, and steps of one value that go nowhere at the box, by design."""
LOCAL = ("flicker", "flicker-universal", "patch", "patch-universal", "border")
"""Attacks on a small part of what there is, for which the whole pixel range is a fair radius."""
SMALL = {"steps": 20, "binary_steps": 3, "queries": 150, "targets": 2, "epochs": 10}
"""Settings that make an attack quick, where it has them."""
SLOWER = {"cw": {"steps": "60", "lr": "0.05"}, "sparse": {"steps": "60"}}
"""What needs more than that."""


def budget_for(name: str, norm: str, factor: float = 1.0, support: str = "all") -> Budget:
    eps = 0.5 if name in LOCAL else RADII[norm]
    return Budget(norm, eps * factor, Support.parse(support, tuple(X.shape[1:])))


def small(name: str) -> dict[str, str]:
    fields = ATTACKS.get(name).settings.model_fields
    quick = {key: str(value) for key, value in SMALL.items() if key in fields and fields[key].default > value}
    return quick | SLOWER.get(name, {})


def batch_of(rows: list[int], *, targeted: bool = False, width: int = 4) -> Batch:
    labels = Y[rows]
    goal = Goal((labels + 1) % 5, True) if targeted else Goal(labels)
    return Batch(X[rows], goal, [str(row) for row in rows], seed=0, width=width)


def run(
    logits, name: str, norm: str, rows: list[int] | None = None, *, factor: float = 1.0, support: str = "all",
    targeted: bool = False, width: int = 4,
) -> tuple[Batch, Outcome]:  # fmt: skip
    method = ATTACKS.get(name)
    batch = batch_of(list(range(COUNT)) if rows is None else rows, targeted=targeted, width=width)
    before = batch.clips.clone()
    budget = budget_for(name, norm, factor, support)
    settings = parse_settings(method, small(name))
    outcome = method.run(Target(logits, 5), batch, budget, settings)
    assert torch.equal(batch.clips, before), "the input was written to"
    check(name, batch, budget, outcome)
    return batch, outcome


def check(name: str, batch: Batch, budget: Budget, outcome: Outcome) -> None:
    """What holds for all outcomes; attacks that look for the nearest point may leave the ball, not box or support."""
    ball = Budget(budget.norm, 1e6, budget.support) if ATTACKS.get(name).minimal else budget
    ball.audit(batch.clips, outcome.clips)
    counts = (outcome.forwards, outcome.backwards, outcome.restarts, outcome.steps)
    for values in (outcome.reached, *counts):
        assert values.shape == (len(batch),)
    assert outcome.reached.dtype == torch.bool
    assert all(values.dtype == torch.int64 and values.device.type == "cpu" for values in counts)
    assert bool((outcome.restarts >= 0).all())
    assert bool(((outcome.steps >= 0) >= outcome.reached.cpu()).all())


def broken(name: str, norm: str, batch: Batch, outcome: Outcome, factor: float = 1.0) -> Tensor:
    """Successes within the radius."""
    return outcome.reached & budget_for(name, norm, factor).within(outcome.clips - batch.clips)


def row_by_row(net: nn.Module):
    """The same kernels for every clip, whatever the batch."""
    return lambda clips: torch.cat([net(clip) for clip in clips.split(1)])


def test_the_names_are_those_that_completion_knows() -> None:
    assert sorted(ATTACKS.names()) == sorted(ATTACK_NAMES)


@pytest.mark.parametrize("name", ATTACKS.names())
def test_entries_say_what_they_are(name: str) -> None:
    method = ATTACKS.get(name)
    assert method.name == name
    assert method.summary
    assert method.source
    assert method.norms
    method.settings()


@pytest.mark.parametrize(("name", "norm"), marked(CASES))
def test_stays_in_budget_and_tells_the_truth(net: nn.Module, name: str, norm: str) -> None:
    batch, outcome = run(net, name, norm)
    assert torch.equal(outcome.reached, batch.goal.reached(net(outcome.clips)))
    assert bool((outcome.forwards >= 1).all())


@pytest.mark.parametrize(("name", "norm"), marked([case for case in CASES if case[0] not in WEAK]))
def test_breaks_more_clips_than_chance(net: nn.Module, name: str, norm: str) -> None:
    factor = 2 if name in LOCAL else 4
    batch, outcome = run(net, name, norm, factor=factor)
    # of the clips as they are, one is wrong
    by_chance = 1 if name in LOCAL else int(run(net, "noise", norm, factor=factor)[1].reached.sum())
    assert int(broken(name, norm, batch, outcome, factor).sum()) > by_chance


@pytest.mark.parametrize(("name", "norm"), marked([case for case in CASES if case[0] not in WEAK]))
def test_a_larger_radius_breaks_more(net: nn.Module, name: str, norm: str) -> None:
    few, many = (
        int(broken(name, norm, *run(net, name, norm, factor=factor), factor).sum())
        for factor in ((0.02, 2) if name in LOCAL else (0.25, 8))
    )
    assert few < many


@pytest.mark.parametrize(("name", "norm"), marked(ALONE))
def test_a_clip_does_not_depend_on_width_order_or_company(net: nn.Module, name: str, norm: str) -> None:
    logits = row_by_row(net)
    together = run(logits, name, norm, width=4)[1]
    order = [9, 3, 0, 7, 5]
    apart = run(logits, name, norm, order, width=2)[1]
    assert torch.equal(together.reached[order], apart.reached)
    for field in ("forwards", "backwards", "restarts", "steps"):
        assert torch.equal(getattr(together, field)[order], getattr(apart, field)), field
    assert (together.clips[order] - apart.clips).abs().le(1e-6).double().mean() > 0.995


@pytest.mark.parametrize(("name", "norm"), marked(CASES))
def test_forward_passes_are_no_larger_than_the_width_and_are_counted(net: nn.Module, name: str, norm: str) -> None:
    sizes: list[int] = []

    def logits(clips: Tensor) -> Tensor:
        sizes.append(len(clips))
        return net(clips)

    _, outcome = run(logits, name, norm, width=3)
    assert max(sizes) <= 3
    assert int(outcome.forwards.sum()) == sum(sizes)


@pytest.mark.parametrize(("name", "norm"), marked([case for case in CASES if case[0] not in WEAK]))
def test_targeted_attacks_reach_their_class_or_refuse(net: nn.Module, name: str, norm: str) -> None:
    try:
        _, outcome = run(net, name, norm, factor=2 if name in LOCAL else 8, targeted=True)
    except UsageError as refusal:
        assert "target" in str(refusal)  # noqa: PT017
    else:
        assert int(outcome.reached.sum()) >= 1


@pytest.mark.parametrize(("name", "norm"), marked(CASES))
@pytest.mark.parametrize("support", ["frames:1", "patch:8x8+0+0"])
def test_a_support_is_kept_or_refused(net: nn.Module, name: str, norm: str, support: str) -> None:
    try:
        run(net, name, norm, list(range(5)), factor=2, support=support)
    except UsageError as refusal:
        assert "support" in str(refusal)  # noqa: PT017


@pytest.mark.parametrize(("name", "norm"), marked(CASES))
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_no_success(net: nn.Module, name: str, norm: str, value: float) -> None:
    def logits(clips: Tensor) -> Tensor:
        return net(clips) + clips.new_tensor([value, 0, 0, 0, 0])

    assert not bool(run(logits, name, norm, [0, 1, 2])[1].reached.any())


@pytest.mark.parametrize(("name", "norm"), marked(UNIVERSAL))
def test_what_is_learnt_on_some_clips_breaks_others(net: nn.Module, name: str, norm: str) -> None:
    method = ATTACKS.get(name)
    assert isinstance(method, UniversalMethod)
    settings, budget = parse_settings(method, small(name)), budget_for(name, norm, 2)
    target = Target(net, 5)

    def batches() -> Iterator[Batch]:
        yield batch_of(list(range(12, 24)))
        yield batch_of(list(range(24, 36)))

    learnt, again = (method.learn(target, batches, budget, settings, 0) for _ in range(2))
    assert torch.equal(learnt, again)
    batch = batch_of(list(range(COUNT)))
    outcome = method.apply(target, batch, learnt, budget, settings)
    check(name, batch, budget, outcome)
    assert torch.equal(outcome.reached, batch.goal.reached(net(outcome.clips)))
    assert int(outcome.reached.sum()) >= 2
    part = method.apply(target, batch_of([3, 8]), learnt, budget, settings)
    assert torch.equal(part.clips, outcome.clips[[3, 8]])


def test_more_steps_are_at_least_as_strong(net: nn.Module) -> None:
    for norm in ("linf", "l2"):
        assert run(net, "pgd", norm)[1].reached.sum() >= run(net, "fgsm", norm)[1].reached.sum()
