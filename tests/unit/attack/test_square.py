"""Square stays in its budget, counts its queries and draws for each clip by itself."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vidbench.attack.algorithms.square import Square, SquareSettings, pattern
from vidbench.attack.goal import Goal
from vidbench.attack.method import Batch
from vidbench.attack.support import Support
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget
from vidbench.errors import UsageError

CLIPS = np.load(Path(__file__).parents[2] / "parity" / "attacks" / "clips.npz")
RADII = {"linf": 8 / 255, "l2": 0.5, "l1": 8.0}


def some(width: int = 12, targeted: bool = False, count: int = 12) -> Batch:
    labels = torch.from_numpy(CLIPS["y"])[:count]
    goal = Goal((labels + 1) % 5, True) if targeted else Goal(labels)
    return Batch(torch.from_numpy(CLIPS["x"])[:count], goal, [str(row) for row in range(count)], 0, width)


@pytest.mark.parametrize("temporal", ["frame", "clip", "tube"])
@pytest.mark.parametrize("norm", RADII)
def test_stays_in_budget_and_tells_the_truth(net: nn.Module, norm: str, temporal: str) -> None:
    batch, budget = some(), Budget(norm, RADII[norm])
    before = batch.clips.clone()
    outcome = Square().run(Target(net, 5), batch, budget, SquareSettings(queries=40, temporal=temporal))
    budget.audit(batch.clips, outcome.clips)
    assert torch.equal(batch.clips, before)
    assert float(outcome.clips.min()) >= 0
    assert float(outcome.clips.max()) <= 1
    assert torch.equal(outcome.reached, batch.goal.reached(net(outcome.clips)))
    assert not bool(outcome.backwards.any())
    expected = torch.where(outcome.reached, outcome.steps + 1, 41)
    assert torch.equal(outcome.forwards, expected)


@pytest.mark.parametrize("norm", RADII)
def test_each_clip_is_sent_once_per_query(net: nn.Module, norm: str) -> None:
    sent: list[int] = []

    def counting(clips: torch.Tensor) -> torch.Tensor:
        sent.append(len(clips))
        return net(clips)

    batch = some(width=5)
    outcome = Square().run(
        Target(counting, 5), batch, Budget(norm, RADII[norm]), SquareSettings(queries=30, restarts=2)
    )
    assert sum(sent) == int(outcome.forwards.sum())
    assert max(sent) == 5
    assert int(outcome.forwards.max()) == 62


@pytest.mark.parametrize("norm", RADII)
def test_clips_do_not_depend_on_their_batch(net: nn.Module, norm: str) -> None:
    budget, settings = Budget(norm, RADII[norm]), SquareSettings(queries=40, restarts=2)
    whole, parts = (Square().run(Target(net, 5), some(width, count=6), budget, settings) for width in (6, 1))
    assert torch.allclose(whole.clips, parts.clips, atol=1e-5)
    assert torch.equal(whole.forwards, parts.forwards)


@pytest.mark.parametrize("norm", RADII)
def test_more_queries_never_lower_the_loss(net: nn.Module, norm: str) -> None:
    batch, budget = some(), Budget(norm, RADII[norm])
    own = batch.goal.labels[:, None]
    margins = []
    for queries in (1, 60):
        outcome = Square().run(Target(net, 5), batch, budget, SquareSettings(queries=queries))
        logits = net(outcome.clips)
        margins.append(logits.scatter(1, own, -torch.inf).amax(1) - logits.gather(1, own)[:, 0])
    assert bool((margins[1] >= margins[0] - 1e-5).all())
    assert float((margins[1] - margins[0]).mean()) > 0.05


@pytest.mark.parametrize("text", ["frames:1,2", "border:4", "patch:6x5+3+4"])
@pytest.mark.parametrize("norm", RADII)
def test_stays_in_its_support(net: nn.Module, norm: str, text: str) -> None:
    batch = some()
    budget = Budget(norm, RADII[norm], Support.parse(text, (3, 4, 16, 16)))
    outcome = Square().run(Target(net, 5), batch, budget, SquareSettings(queries=20))
    budget.audit(batch.clips, outcome.clips)
    assert bool((outcome.clips != batch.clips).flatten(1).any(1).all())


def test_a_flicker_has_one_offset_per_frame(net: nn.Module) -> None:
    batch, support = some(), Support.parse("flicker", (3, 4, 16, 16))
    budget = Budget("linf", 0.1, support)
    outcome = Square().run(Target(net, 5), batch, budget, SquareSettings(queries=20))
    budget.audit(batch.clips, outcome.clips)
    inside = (outcome.clips > 0) & (outcome.clips < 1)
    sizes = (outcome.clips - batch.clips).abs()[inside]
    assert torch.allclose(sizes, torch.full_like(sizes, 0.1), atol=1e-6)
    with pytest.raises(UsageError, match="flicker"):
        Square().run(Target(net, 5), batch, Budget("l2", 0.5, support), SquareSettings(queries=2))


def test_targeted_goals_are_reached(net: nn.Module) -> None:
    batch, budget = some(targeted=True), Budget("linf", 0.2)
    outcome = Square().run(Target(net, 5), batch, budget, SquareSettings(queries=100, loss="ce"))
    assert int(outcome.reached.sum()) >= 4
    assert torch.equal(outcome.reached, batch.goal.reached(net(outcome.clips)))


def test_signs_are_shared_over_frames_where_asked(net: nn.Module) -> None:
    batch = some()
    outcome = Square().run(Target(net, 5), batch, Budget("linf", 0.01), SquareSettings(queries=5, temporal="clip"))
    free = (batch.clips > 0.02) & (batch.clips < 0.98)
    signs = (outcome.clips - batch.clips).sign()
    both = free[:, :, 1:] & free[:, :, :-1]
    assert bool((signs[:, :, 1:] == signs[:, :, :-1])[both].all())


def test_the_schedule_halves_and_stretches() -> None:
    settings = SquareSettings(queries=5000)
    assert [settings.share(query) for query in (1, 10, 11, 51, 5000)] == [0.8, 0.8, 0.4, 0.2, 0.8 / 128]
    assert SquareSettings(queries=100, resc_schedule=True).share(100) == 0.8 / 512


def test_patterns_are_a_hill_and_a_hollow() -> None:
    for side in (1, 3, 5, 9, 16):
        whole = pattern(side)
        assert whole.shape == (side, side)
        assert float(whole.norm()) == pytest.approx(1.0)
        assert bool((whole[: side // 2] > 0).all())
        assert bool((whole[side // 2 :] < 0).all())


def test_logits_that_are_not_finite_are_no_success() -> None:
    batch = some()
    broken = Target(lambda clips: clips.flatten(1)[:, :5] * torch.nan, 5)
    outcome = Square().run(broken, batch, Budget("linf", 0.1), SquareSettings(queries=5))
    assert not bool(outcome.reached.any())
