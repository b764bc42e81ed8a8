"""FAB and its projections."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vidbench.attack.algorithms.fab import Fab, FabSettings, FabTargeted, FabTargetedSettings
from vidbench.attack.algorithms.hyperplane import step_onto
from vidbench.attack.goal import Goal
from vidbench.attack.method import Batch
from vidbench.attack.support import Support
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget, norms_of

CLIPS = np.load(Path(__file__).parents[2] / "parity" / "attacks" / "clips.npz")
NORMS = ("linf", "l2", "l1")


def some(first: int, last: int, width: int = 6, targeted: bool = False) -> Batch:
    labels = torch.from_numpy(CLIPS["y"])[first:last]
    goal = Goal((labels + 1) % 5, True) if targeted else Goal(labels)
    return Batch(
        torch.from_numpy(CLIPS["x"])[first:last], goal, [str(row) for row in range(first, last)], 0, width
    )  # fmt: skip


@pytest.mark.parametrize("norm", NORMS)
def test_steps_reach_the_hyperplane_and_are_the_smallest(norm: str) -> None:
    generator = torch.Generator().manual_seed(1)
    point = torch.rand(40, 12, generator=generator)
    normal = torch.randn(40, 12, generator=generator)
    normal[:, 3] = 0
    change = 3 * torch.randn(40, generator=generator)
    step = step_onto(point, normal, change, norm)
    assert float((point + step).min()) >= -1e-6
    assert float((point + step).max()) <= 1 + 1e-6
    uphill = normal * change.sign()[:, None]
    most = torch.where(uphill > 0, (1 - point) * normal, -point * normal).where(uphill != 0, torch.zeros(()))
    reach = most.sum(1)
    wanted = torch.where(reach.abs() < change.abs(), reach, change)
    assert torch.allclose((step * normal).sum(1), wanted, atol=1e-5)
    assert bool((reach.abs() < change.abs()).any())
    # no feasible step found by chance, and then made to reach the hyperplane, is smaller
    sizes = norms_of(step.view(40, 1, 1, 1, 12), norm)
    for _ in range(50):
        other = step + 0.02 * torch.randn(40, 12, generator=generator)
        other += normal * ((wanted - (other * normal).sum(1)) / (normal**2).sum(1))[:, None]
        inside = ((point + other >= 0) & (point + other <= 1)).all(1)
        assert bool((norms_of(other.view(40, 1, 1, 1, 12), norm)[inside] >= sizes[inside] - 1e-5).all())


def test_steps_do_not_move_without_a_normal() -> None:
    point = torch.full((1, 4), 0.5)
    for norm in NORMS:
        assert not bool(step_onto(point, torch.zeros(1, 4), torch.ones(1), norm).any())


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("method", [Fab(), FabTargeted()])
def test_tells_the_truth_within_the_box_and_counts_passes(net: nn.Module, norm: str, method) -> None:
    batch = some(2, 8)
    before = batch.clips.clone()
    targeted = isinstance(method, FabTargeted)
    settings = FabTargetedSettings(steps=12, targets=2) if targeted else FabSettings(steps=12)
    outcome = method.run(Target(net, 5), batch, Budget(norm, 1.0), settings)
    assert torch.equal(batch.clips, before)
    assert torch.equal(outcome.reached, batch.goal.reached(net(outcome.clips)))
    assert bool(outcome.reached.all())
    assert float(outcome.clips.min()) >= 0
    assert float(outcome.clips.max()) <= 1
    # clip 4 is misclassified as it is: one pass, and nothing is done to it
    assert torch.equal(outcome.clips[2], before[2])
    assert outcome.forwards.tolist() == [
        1 + 24 * (1 + targeted) + 3 * (row != 2) if row != 2 else 1 for row in range(6)
    ]
    assert outcome.backwards.tolist() == [0 if row == 2 else 24 if targeted else 48 for row in range(6)]


def test_the_search_at_the_end_only_comes_nearer(net: nn.Module) -> None:
    batch, target = some(5, 11), Target(net, 5)
    rough, fine = (Fab().run(target, batch, Budget("l2", 1.0), FabSettings(steps=5, search=steps)) for steps in (0, 3))
    sizes = [norms_of(outcome.clips - batch.clips, "l2") for outcome in (rough, fine)]
    assert bool((sizes[1] <= sizes[0]).all())
    assert int((sizes[1] < 0.999 * sizes[0]).sum()) >= 3


def test_clips_do_not_depend_on_their_batch(net: nn.Module) -> None:
    settings = FabTargetedSettings(steps=6, targets=2, restarts=2)
    whole, single = (
        FabTargeted().run(Target(net, 5), some(5, 9, width), Budget("l2", 0.5), settings) for width in (4, 1)
    )
    assert torch.allclose(whole.clips, single.clips, atol=1e-4)
    assert torch.equal(whole.forwards, single.forwards)


@pytest.mark.parametrize("text", ["frames:1,2", "border:4", "flicker"])
@pytest.mark.parametrize("norm", NORMS)
def test_stays_in_its_support(net: nn.Module, norm: str, text: str) -> None:
    batch = some(5, 9)
    support = Support.parse(text, (3, 4, 16, 16))
    found = FabTargeted().run(
        Target(net, 5), batch, Budget(norm, 1.0, support), FabTargetedSettings(steps=10, targets=1, restarts=2)
    )
    assert support.holds(found.clips.double() - batch.clips.double())
    assert bool(found.reached.any())
    assert torch.equal(found.reached, batch.goal.reached(net(found.clips)))


def test_targeted_goals_are_reached(net: nn.Module) -> None:
    batch = some(0, 6, targeted=True)
    for method, settings in ((Fab(), FabSettings(steps=30)), (FabTargeted(), FabTargetedSettings(steps=30))):
        outcome = method.run(Target(net, 5), batch, Budget("l2", 1.0), settings)
        assert torch.equal(outcome.reached, batch.goal.reached(net(outcome.clips)))
        assert int(outcome.reached.sum()) >= 5


def test_stops_within_the_radius_where_asked(net: nn.Module) -> None:
    batch, budget = some(5, 11, width=2), Budget("linf", 0.1)
    outcome = FabTargeted().run(Target(net, 5), batch, budget, FabTargetedSettings(steps=30, stop=True))
    budget.audit(batch.clips, outcome.clips)
    assert bool(outcome.reached.all())
    assert int(outcome.backwards.max()) < 30


def test_logits_that_are_not_finite_are_no_success() -> None:
    batch = some(5, 7)
    broken = Target(lambda clips: clips.flatten(1)[:, :5] * torch.nan, 5)
    outcome = FabTargeted().run(broken, batch, Budget("l2", 1.0), FabTargetedSettings(steps=3, targets=1))
    assert not bool(outcome.reached.any())
    assert torch.equal(outcome.clips, batch.clips)
