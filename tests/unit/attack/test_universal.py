"""One perturbation for all clips."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidbench.attack.algorithms.universal import FreeSettings, Universal, rolled
from vidbench.attack.goal import Goal
from vidbench.attack.method import Batch, UniversalMethod
from vidbench.attack.support import Support
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget, norms_of
from vidbench.errors import UsageError

CLIPS = np.load(Path(__file__).parents[2] / "parity" / "attacks" / "clips.npz")
EPS = 16 / 255


def batch_of(first: int, last: int, width: int = 16) -> Batch:
    clips, labels = torch.from_numpy(CLIPS["x"])[first:last], torch.from_numpy(CLIPS["y"])[first:last]
    return Batch(clips, Goal(labels), [str(index) for index in range(first, last)], 0, width)


def learning(batch: Batch) -> Callable[[], Iterator[Batch]]:
    return lambda: iter([batch.of(torch.arange(16)), batch.of(torch.arange(16, len(batch)))])


@pytest.mark.parametrize(("norm", "eps"), [("linf", EPS), ("l2", 2.0)])
def test_it_fools_clips_that_it_never_saw_and_more_than_noise_does(net: nn.Module, norm: str, eps: float) -> None:
    target, held_out, budget, settings = Target(net, 5), batch_of(32, 48), Budget(norm, eps), FreeSettings()
    learnt = Universal().learn(target, learning(batch_of(0, 32)), budget, settings, 0)
    assert learnt.shape == (3, 4, 16, 16)
    found = Universal().apply(target, held_out, learnt, budget, settings)
    budget.audit(held_out.clips, found.clips)
    assert torch.equal(held_out.goal.reached(target(found.clips)), found.reached)
    noise = torch.randn(learnt.shape, generator=torch.Generator().manual_seed(0))
    noise = noise.sign() * eps if norm == "linf" else noise * (eps / noise.norm())
    by_noise = Universal().apply(target, held_out, noise, budget, settings).reached
    assert int(found.reached.sum()) >= int(by_noise.sum()) + 5
    assert found.forwards.tolist() == [1] * 16
    assert not bool(found.backwards.any())


def test_a_smaller_radius_takes_the_part_of_it_that_fits(net: nn.Module) -> None:
    batch, budget = batch_of(0, 3), Budget("l2", 0.5)
    wide = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    found = Universal().apply(Target(net, 5), batch, wide, budget, FreeSettings())
    budget.audit(batch.clips, found.clips)
    assert float(norms_of(found.clips - batch.clips, "l2").min()) > 0.4


def test_a_cyclic_one_works_whenever_it_begins(net: nn.Module) -> None:
    target, held_out, budget = Target(net, 5), batch_of(32, 48), Budget("linf", EPS)

    def worst(cyclic: bool) -> int:
        settings = FreeSettings(cyclic=cyclic)
        learnt = Universal().learn(target, learning(batch_of(0, 32)), budget, settings, 0)
        plain = FreeSettings()
        counts = [
            int(Universal().apply(target, held_out, learnt.roll(shift, 1), budget, plain).reached.sum())
            for shift in range(4)
        ]
        return min(counts)

    assert worst(True) >= worst(False) + 1


def test_learning_is_the_same_for_the_same_seed_and_any_width(net: nn.Module) -> None:
    target, budget, settings = Target(net, 5), Budget("linf", EPS), FreeSettings(epochs=2, cyclic=True)
    first, again, narrow, other = (
        Universal().learn(target, learning(batch_of(0, 20, width)), budget, settings, seed)
        for width, seed in ((16, 0), (16, 0), (3, 0), (16, 1))
    )
    assert torch.equal(first, again)
    assert (first - narrow).abs().le(1e-6).double().mean() > 0.99
    assert not torch.equal(first, other)


def test_shifts_belong_to_clips_and_not_to_their_places() -> None:
    theta = torch.arange(4.0).view(1, 4, 1, 1)
    whole = rolled(theta, batch_of(0, 12), True, "apply")
    assert torch.equal(whole[5:9], rolled(theta, batch_of(5, 9), True, "apply"))
    assert len({tuple(row.flatten().tolist()) for row in whole}) > 1
    assert torch.equal(rolled(theta, batch_of(0, 2), False, "apply"), theta.expand(2, -1, -1, -1, -1))


def test_without_a_set_it_learns_from_the_clips_themselves(net: nn.Module) -> None:
    asked: list[int] = []

    def logits(clips: Tensor) -> Tensor:
        asked.append(len(clips))
        result: Tensor = net(clips)
        return result

    batch, budget = batch_of(0, 12, 4), Budget("linf", EPS)
    assert isinstance(Universal(), UniversalMethod)
    found = Universal().run(Target(logits, 5), batch, budget, FreeSettings(epochs=5))
    budget.audit(batch.clips, found.clips)
    assert int(found.reached.sum()) >= 6
    assert int(found.forwards.sum()) == sum(asked)
    assert int(found.backwards.sum()) == sum(asked) - len(batch)
    assert max(asked) <= 4


@pytest.mark.parametrize("cyclic", [False, True])
@pytest.mark.parametrize("text", ["frames:0,2", "patch:8x8+4+4", "flicker"])
def test_it_stays_in_its_support(net: nn.Module, text: str, cyclic: bool) -> None:
    batch = batch_of(0, 3)
    budget = Budget("linf", 0.3, Support.parse(text, tuple(batch.clips.shape[1:])))
    found = Universal().run(Target(net, 5), batch, budget, FreeSettings(epochs=2, cyclic=cyclic))
    budget.audit(batch.clips, found.clips)
    assert not torch.equal(found.clips, batch.clips)


def test_clips_of_one_frame(net: nn.Module) -> None:
    target, whole = Target(lambda clips: net(clips.expand(-1, -1, 4, -1, -1)), 5), batch_of(0, 3)
    batch = Batch(whole.clips[:, :, :1].contiguous(), whole.goal, whole.keys)
    budget = Budget("linf", 0.3)
    found = Universal().run(target, batch, budget, FreeSettings(epochs=4, cyclic=True))
    budget.audit(batch.clips, found.clips)
    assert bool(found.reached.any())


def test_what_cannot_be_learnt_or_put_on_is_refused(net: nn.Module) -> None:
    batch, budget = batch_of(0, 2), Budget("linf", EPS)
    with pytest.raises(UsageError, match="there are none"):
        Universal().learn(Target(net, 5), lambda: iter(()), budget, FreeSettings(), 0)
    with pytest.raises(UsageError, match="shape"):
        Universal().apply(Target(net, 5), batch, torch.zeros(3, 5, 16, 16), budget, FreeSettings())
    each = Budget("linf", EPS, Support("a frame of each", torch.ones(2, 1, 4, 1, 1)))
    with pytest.raises(UsageError, match="one support for all"):
        Universal().apply(Target(net, 5), batch, torch.zeros(3, 4, 16, 16), each, FreeSettings())
