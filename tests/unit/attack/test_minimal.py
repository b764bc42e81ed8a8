"""Searches for small perturbations: what they find, where they stay, and what they cost."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidbench.attack.goal import Goal
from vidbench.attack.method import Batch, Outcome
from vidbench.attack.methods import ATTACKS, parse_settings
from vidbench.attack.nearest import unit
from vidbench.attack.support import Support
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget, Norm, norms_of
from vidbench.errors import UsageError

CLIPS = np.load(Path(__file__).parents[2] / "parity" / "attacks" / "clips.npz")
SHORT: dict[str, dict[str, Any]] = {
    "cw": {"steps": 30, "binary_steps": 3, "lr": 0.05, "init_const": 1.0},
    "ddn": {"steps": 30},
    "fmn": {"steps": 30},
    "deepfool": {"steps": 30},
}
CASES: list[tuple[str, Norm]] = [(name, norm) for name in SHORT for norm in ATTACKS.get(name).norms]
TARGETED = [case for case in CASES if case[0] != "deepfool"]


def batch_of(count: int = 6, width: int = 4, targeted: bool = False) -> Batch:
    clips, labels = torch.from_numpy(CLIPS["x"])[:count], torch.from_numpy(CLIPS["y"])[:count]
    goal = Goal((labels + 1) % 5, True) if targeted else Goal(labels)
    return Batch(clips, goal, [str(index) for index in range(count)], width=width)


def run(target: Target, batch: Batch, case: tuple[str, Norm], support: Support | None = None, **more: Any) -> Outcome:
    method = ATTACKS.get(case[0])
    settings = method.settings(**{**SHORT[case[0]], **more})
    return method.run(target, batch, Budget(case[1], 0.5, support), settings)


class Counted:
    """A network that counts the clips it sees, forwards and backwards, and the largest pass."""

    def __init__(self, net: nn.Module) -> None:
        self.net = net
        self.forwards = self.backwards = self.widest = 0

    def __call__(self, clips: Tensor) -> Tensor:
        self.forwards += len(clips)
        self.widest = max(self.widest, len(clips))
        logits: Tensor = self.net(clips)
        if logits.requires_grad:
            logits.register_hook(self._back)
        return logits

    def _back(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)


@pytest.mark.parametrize("case", CASES)
def test_finds_clips_in_the_box_that_reach_the_goal(net: nn.Module, case: tuple[str, Norm]) -> None:
    batch = batch_of()
    before = batch.clips.clone()
    found = run(Target(net, 5), batch, case)
    assert torch.equal(batch.clips, before)
    assert found.clips.dtype == torch.float32
    assert bool(found.reached.all())
    assert torch.equal(found.reached, batch.goal.reached(net(found.clips)))
    assert float(found.clips.min()) >= 0
    assert float(found.clips.max()) <= 1
    assert bool((found.steps >= 0).all())


@pytest.mark.parametrize("case", TARGETED)
def test_reaches_targets(net: nn.Module, case: tuple[str, Norm]) -> None:
    batch = batch_of(targeted=True)
    found = run(Target(net, 5), batch, case, **({"steps": 100, "init_const": 10.0} if case[0] == "cw" else {}))
    assert bool(found.reached.all())
    assert torch.equal(net(found.clips).argmax(1), batch.goal.labels)


def test_deepfool_has_no_targets(net: nn.Module) -> None:
    with pytest.raises(UsageError, match="no targets"):
        run(Target(net, 5), batch_of(targeted=True), ("deepfool", "l2"))


@pytest.mark.parametrize("text", ["frames:1,2", "patch:12x10+2+3", "border:3"])
@pytest.mark.parametrize("case", CASES)
def test_stays_in_its_support(net: nn.Module, case: tuple[str, Norm], text: str) -> None:
    batch = batch_of(4)
    support = Support.parse(text, tuple(batch.clips.shape[1:]))
    found = run(Target(net, 5), batch, case, support)
    Budget(case[1], 1e9, support).audit(batch.clips, found.clips)
    assert torch.equal(found.reached, batch.goal.reached(net(found.clips)))
    assert int(found.reached.sum()) >= 3


@pytest.mark.parametrize("case", CASES)
def test_a_flicker_is_one_offset_per_frame(case: tuple[str, Norm]) -> None:
    batch = batch_of(4)
    weight = torch.randn(5, 12, generator=torch.Generator().manual_seed(1))

    def colours(clips: Tensor) -> Tensor:
        return (clips.mean((3, 4)).flatten(1) - 0.5) @ weight.T * 4

    labels = colours(batch.clips).argmax(1)
    support = Support.parse("flicker", tuple(batch.clips.shape[1:]))
    longer = {} if case[0] == "cw" else {"steps": 100}
    found = run(Target(colours, 5), Batch(batch.clips, Goal(labels), batch.keys), case, support, **longer)
    assert bool(found.reached.all())
    Budget(case[1], 1e9, support).audit(batch.clips, found.clips)
    # wherever the box lets all of the offset through
    delta = found.clips - batch.clips
    inner = (found.clips > 0) & (found.clips < 1)
    low = delta.masked_fill(~inner, torch.inf).amin((3, 4))
    high = delta.masked_fill(~inner, -torch.inf).amax((3, 4))
    assert float((high - low).max()) < 1e-5


@pytest.mark.parametrize("case", CASES)
def test_each_clip_may_have_a_support_of_its_own(net: nn.Module, case: tuple[str, Norm]) -> None:
    batch = batch_of()
    mask = torch.zeros(6, 1, 4, 1, 1)
    mask[torch.arange(6), 0, torch.arange(6) % 4] = 1.0
    mask[:, 0, 0] = 1.0
    found = run(Target(net, 5), batch, case, Support("own frames", mask))
    moved = (found.clips != batch.clips).flatten(3).any(3).any(1)
    assert not bool((moved & (mask[:, 0, :, 0, 0] == 0)).any())
    assert bool(moved.any(1)[found.reached & (torch.arange(6) != 4)].all())


@pytest.mark.parametrize("case", CASES)
def test_a_clip_does_not_depend_on_its_neighbours(net: nn.Module, case: tuple[str, Norm]) -> None:
    batch = batch_of(7, width=7)
    order = torch.tensor([3, 0, 6, 5, 1, 4, 2])
    together = run(Target(net, 5), batch, case)
    mixed = batch.of(order)
    apart = run(Target(net, 5), Batch(mixed.clips, mixed.goal, mixed.keys, width=2), case)
    sizes = norms_of(together.clips - batch.clips, case[1])[order]
    # kernels change with the shape, and a weight of C&W may be given up one check later
    assert torch.allclose(norms_of(apart.clips - mixed.clips, case[1]), sizes, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_counts_the_passes_that_it_makes(net: nn.Module, case: tuple[str, Norm]) -> None:
    alone = Counted(net)
    found = run(Target(alone, 5), batch_of(3, width=1), case)
    assert int(found.forwards.sum()) == alone.forwards
    assert int(found.backwards.sum()) == alone.backwards
    together = Counted(net)
    found = run(Target(together, 5), batch_of(7, width=3), case)
    assert int(found.forwards.sum()) == together.forwards
    assert int(found.backwards.sum()) <= together.backwards
    assert together.widest == 3
    twice = Counted(net)
    found = run(Target(twice, 5, draws=2), batch_of(2, width=1), case)
    assert int(found.forwards.sum()) == twice.forwards


@pytest.mark.parametrize("value", [0.0, torch.nan])
@pytest.mark.parametrize("case", CASES)
def test_gives_the_clean_clip_where_nothing_is_found(case: tuple[str, Norm], value: float) -> None:
    def same(clips: Tensor) -> Tensor:
        logits = clips.flatten(1).sum(1, keepdim=True) * torch.zeros(5)
        return logits + value * torch.ones(5) + torch.tensor([1.0, 0, 0, 0, 0])

    batch = Batch(torch.from_numpy(CLIPS["x"])[:3], Goal(torch.zeros(3, dtype=torch.long)), ["a", "b", "c"])
    found = run(Target(same, 5), batch, case)
    assert not bool(found.reached.any())
    assert torch.equal(found.clips, batch.clips)
    assert found.steps.tolist() == [-1, -1, -1]


@pytest.mark.parametrize("case", CASES)
def test_finds_the_distance_to_a_plane(case: tuple[str, Norm]) -> None:
    """Of a linear network the distance is known: the gap over the dual norm of its gradient."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 3 * 2 * 4 * 4, generator=generator)
    clips = 0.45 + 0.1 * torch.rand(5, 3, 2, 4, 4, generator=generator)
    # gaps of 1 to 1.4 at the clips: the box is far
    bias = torch.tensor([1.0, 0.0, -9.0, -9.0])

    def logits(given: Tensor) -> Tensor:
        return (given - clips.mean(0)).flatten(1) @ weight.T * 0.2 + bias

    labels = logits(clips).argmax(1)
    gaps = logits(clips).gather(1, labels[:, None]) - logits(clips)
    rows = (weight[None] - weight[labels][:, None]) * 0.2
    dual = rows.norm(p=2 if case[1] == "l2" else 1, dim=2)
    exact = (gaps / dual).scatter(1, labels[:, None], torch.inf).amin(1)
    longer = {"cw": {"steps": 200, "binary_steps": 6, "lr": 0.02}}.get(case[0], {"steps": 100})
    found = run(Target(logits, 4), Batch(clips, Goal(labels), list("abcde")), case, **longer)
    assert bool(found.reached.all())
    ratio = norms_of(found.clips - clips, case[1]) / exact
    assert float(ratio.min()) >= 1 - 1e-5
    # FMN's steps go along the gradient, not its sign: in Linf they end a little farther
    assert float(ratio.max()) <= 1.03


def test_cw_gives_up_for_each_clip_alone(net: nn.Module) -> None:
    batch = batch_of(6, width=6)
    patient = run(Target(net, 5), batch, ("cw", "l2"), steps=60, abort_early=False)
    hasty = run(Target(net, 5), batch, ("cw", "l2"), steps=60)
    assert patient.forwards.tolist() == [180] * 6
    assert bool((hasty.forwards <= 180).all())
    assert len(set(hasty.forwards.tolist())) > 1
    sizes = [norms_of(found.clips - batch.clips, "l2") for found in (hasty, patient)]
    assert float((sizes[0] / sizes[1].clamp_min(1e-3)).median()) <= 1.05


def test_cw_raises_a_weight_that_is_too_small(net: nn.Module) -> None:
    batch = batch_of(4)
    tried = [run(Target(net, 5), batch, ("cw", "l2"), init_const=1e-4, binary_steps=count, lr=0.02) for count in (1, 8)]
    assert int(tried[0].reached.sum()) < 2
    assert bool(tried[1].reached.all())


def test_cw_keeps_its_confidence(net: nn.Module) -> None:
    batch = batch_of(4)
    found = run(Target(net, 5), batch, ("cw", "l2"), confidence=1.0, steps=100)
    logits = net(found.clips)
    own = logits.gather(1, batch.goal.labels[:, None])[:, 0]
    others = logits.scatter(1, batch.goal.labels[:, None], -torch.inf).amax(1)
    assert bool(found.reached.all())
    assert bool((others - own >= 1.0 - 1e-5).all())


def test_cw_starts_at_values_of_0_and_1(net: nn.Module) -> None:
    clips = torch.from_numpy(CLIPS["x"])[:2].round()
    labels = net(clips).argmax(1)
    found = run(Target(net, 5), Batch(clips, Goal(labels), ["a", "b"]), ("cw", "l2"), lr=0.2, steps=100)
    assert bool(found.reached.all())
    assert bool(((found.clips >= 0) & (found.clips <= 1)).all())
    assert bool((found.clips != clips).flatten(1).any(1).all())


def test_ddn_leaves_a_place_without_gradient() -> None:
    seen = []

    def flat(clips: Tensor) -> Tensor:
        seen.append(clips.detach().clone())
        return clips.flatten(1).sum(1, keepdim=True) * 0 + torch.tensor([1.0, 0.0, 0.0])

    clips = torch.full((2, 3, 2, 4, 4), 0.5)
    for _ in range(2):
        run(Target(flat, 3), Batch(clips, Goal(torch.zeros(2, dtype=torch.long)), ["a", "b"]), ("ddn", "l2"), steps=3)
    assert torch.equal(seen[0], clips)
    assert not torch.equal(seen[1], clips)
    assert not torch.equal(seen[1][0], seen[1][1])
    assert torch.equal(seen[1], seen[4])


def test_deepfool_looks_at_the_classes_with_the_highest_logits() -> None:
    def logits(clips: Tensor) -> Tensor:
        slopes, at_grey = torch.tensor([1.0, 1.0, 9.0, 9.0]), torch.tensor([3.0, 2.9, 2.0, 2.0])
        return (clips - 0.5).flatten(1)[:, :4] * slopes + at_grey

    clips = torch.full((1, 3, 1, 4, 4), 0.5)
    batch = Batch(clips, Goal(torch.tensor([0])), ["a"])
    two = run(Target(logits, 4), batch, ("deepfool", "l2"), candidates=2)
    four = run(Target(logits, 4), batch, ("deepfool", "l2"), candidates=9)
    assert logits(two.clips).argmax(1).tolist() == [1]
    assert two.backwards.tolist() == [1]
    assert four.backwards.tolist() == [3]


def test_tiny_gradients_keep_their_direction() -> None:
    gradient = torch.tensor([[[[[3e-30, 4e-30]]]], [[[[0.0, 0.0]]]]])
    assert torch.allclose(unit(gradient).flatten(1), torch.tensor([[0.6, 0.8], [0.0, 0.0]]))


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("deepfool", {"candidates": "1"}),
        ("ddn", {"gamma": "1"}),
        ("fmn", {"max_step": "0"}),
        ("cw", {"init_const": "0"}),
        ("cw", {"lr": "inf"}),
        ("ddn", {"restarts": "2"}),
    ],
)
def test_refuses_settings_out_of_range(name: str, given: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=name):
        parse_settings(ATTACKS.get(name), given)
