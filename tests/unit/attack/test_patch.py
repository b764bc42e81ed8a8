"""Patches and borders."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from vidbench.attack.algorithms.patch import (
    Border,
    BorderSettings,
    Patch,
    PatchSettings,
    UniversalPatch,
    UniversalPatchSettings,
    box_of,
    shown,
)
from vidbench.attack.goal import Goal
from vidbench.attack.method import Batch
from vidbench.attack.support import Support
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget
from vidbench.errors import UsageError

CLIPS = np.load(Path(__file__).parents[2] / "parity" / "attacks" / "clips.npz")
CPU = torch.device("cpu")
SIZE = "8x8+4+4"


def batch_of(first: int = 0, last: int = 16, width: int = 16, *, targeted: bool = False) -> Batch:
    clips, labels = torch.from_numpy(CLIPS["x"])[first:last], torch.from_numpy(CLIPS["y"])[first:last]
    goal = Goal((labels + 1) % 5, True) if targeted else Goal(labels)
    return Batch(clips, goal, [str(index) for index in range(first, last)], 0, width)


@pytest.mark.parametrize(
    ("method", "settings", "text"),
    [
        (Patch(), PatchSettings(size=SIZE), "patch:8x8+4+4"),
        (Patch(), PatchSettings(size="5x6", place="bottom-right"), "patch:5x6+11+10"),
        (Patch(), PatchSettings(size="0.25", shared=False), "patch:8x8+4+4"),
        (Border(), BorderSettings(thickness=2), "border:2"),
        (Border(), BorderSettings(thickness=0.19, shared=False), "border:3"),
    ],
)
def test_only_the_region_changes_and_by_eps_at_most(
    net: nn.Module, method: Patch | Border, settings: PatchSettings | BorderSettings, text: str
) -> None:
    target, batch = Target(net, 5), batch_of()
    before = batch.clips.clone()
    for eps in (0.1, 1.0):
        budget = Budget("linf", eps, Support.parse(text, tuple(batch.clips.shape[1:])))
        found = method.run(target, batch, budget, settings)
        budget.audit(batch.clips, found.clips)
        assert torch.equal(batch.goal.reached(target(found.clips)), found.reached)
        assert torch.equal(found.steps >= 0, found.reached)
    assert torch.equal(batch.clips, before)


@pytest.mark.parametrize("name", ["patch", "border"])
def test_learnt_contents_beat_random_ones_and_stay_the_same_over_time(net: nn.Module, name: str) -> None:
    target, batch, budget = Target(net, 5), batch_of(0, 32), Budget("linf", 1.0)
    method = Patch() if name == "patch" else Border()
    settings = PatchSettings(size="6x6") if name == "patch" else BorderSettings(thickness=1)
    found = method.run(target, batch, budget, settings)
    mask = method.region(settings, tuple(batch.clips.shape[1:]), CPU).mask > 0
    inside = found.clips.masked_fill(~mask, 0.0)
    assert torch.equal(inside, inside[:, :, :1].expand_as(inside))
    noise = torch.rand(32, 3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    random = torch.where(mask, noise, batch.clips)
    assert int(found.reached.sum()) >= int(batch.goal.reached(target(random)).sum()) + 8


def test_contents_that_may_change_are_at_least_as_strong(net: nn.Module) -> None:
    target, batch, budget = Target(net, 5), batch_of(0, 32), Budget("linf", 0.1)
    same = Patch().run(target, batch, budget, PatchSettings(size=SIZE))
    free = Patch().run(target, batch, budget, PatchSettings(size=SIZE, shared=False))
    assert int(free.reached.sum()) >= int(same.reached.sum()) > 0


def test_restarts_go_on_with_what_withstood_and_all_passes_are_counted(net: nn.Module) -> None:
    asked: list[int] = []

    def logits(clips: Tensor) -> Tensor:
        asked.append(len(clips))
        result: Tensor = net(clips)
        return result

    batch, budget = batch_of(0, 12, 5), Budget("linf", 0.1)
    one = Patch().run(Target(net, 5), batch, budget, PatchSettings(size=SIZE, steps=5))
    three = Patch().run(Target(logits, 5), batch, budget, PatchSettings(size=SIZE, steps=5, restarts=3))
    assert bool((three.reached | ~one.reached).all())
    assert torch.equal(three.clips[one.reached], one.clips[one.reached])
    assert int(three.forwards.sum()) == sum(asked)
    assert int(three.backwards.max()) == 15
    assert max(asked) <= 5


def test_target_classes_are_reached(net: nn.Module) -> None:
    target, batch = Target(net, 5), batch_of(targeted=True)
    found = Patch().run(target, batch, Budget("linf", 1.0), PatchSettings(size="10x10"))
    assert int(found.reached.sum()) >= 8
    assert torch.equal(target(found.clips).argmax(1) == batch.goal.labels, found.reached)


def test_clips_do_not_depend_on_their_batch(net: nn.Module) -> None:
    target, budget, settings = Target(net, 5), Budget("linf", 0.1), PatchSettings(size=SIZE, steps=5, restarts=2)
    whole = Patch().run(target, batch_of(0, 7), budget, settings).clips
    parts = [Patch().run(target, batch_of(*at, 2), budget, settings).clips for at in ((0, 3), (3, 7))]
    # another batch size may take another kernel, whose rounding can flip a tiny gradient's sign
    assert (whole - torch.cat(parts)).abs().le(1e-6).double().mean() > 0.99


def test_three_clips_of_one_frame_and_the_callers_support(net: nn.Module) -> None:
    whole = batch_of(0, 3)
    still = Batch(whole.clips[:, :, :1].contiguous(), whole.goal, whole.keys)
    budget = Budget("linf", 0.5, Support.parse("frames:0", tuple(still.clips.shape[1:])))
    target = Target(lambda clips: net(clips.expand(-1, -1, 4, -1, -1)), 5)
    for method, settings in (
        (Patch(), PatchSettings()),
        (Border(), BorderSettings(thickness=3)),
        (UniversalPatch(), UniversalPatchSettings(epochs=2)),
    ):
        found = method.run(target, still, budget, settings)
        budget.audit(still.clips, found.clips)
        assert not torch.equal(found.clips, still.clips)
    part = Budget("linf", 0.5, Support.parse("frames:1,2", tuple(whole.clips.shape[1:])))
    for one in (Patch(), UniversalPatch()):
        found = one.run(Target(net, 5), whole, part, one.settings())
        part.audit(whole.clips, found.clips)
        assert not torch.equal(found.clips, whole.clips)


def test_no_logits_that_are_not_finite_count(net: nn.Module) -> None:
    batch = batch_of(0, 2)
    found = Patch().run(Target(lambda clips: net(clips) * torch.nan, 5), batch, Budget("linf", 1.0), PatchSettings())
    assert not bool(found.reached.any())
    assert torch.equal(found.clips, batch.clips)


@pytest.mark.parametrize(
    ("size", "place", "box"),
    [
        ("32x16+10+20", "centre", (10, 20, 32, 16)),
        ("32x16", "centre", (64, 42, 32, 16)),
        ("32x16", "top-left", (0, 0, 32, 16)),
        ("32x16", "bottom-right", (128, 84, 32, 16)),
        ("0.25", "top-right", (80, 0, 80, 50)),
        ("1", "bottom-left", (0, 0, 160, 100)),
        ("0.000001", "bottom-left", (0, 99, 1, 1)),
    ],
)
def test_sizes_and_places(size: str, place: str, box: tuple[int, int, int, int]) -> None:
    assert box_of(size, place, 100, 160) == box  # type: ignore[arg-type]


@pytest.mark.parametrize("size", ["161x10", "10x10+151+0", "10x10+0+91", "0x5"])
def test_patches_that_do_not_fit_are_refused(size: str) -> None:
    with pytest.raises(UsageError, match="does not lie"):
        box_of(size, "top-left", 100, 160)


def test_contents_come_as_near_as_eps_lets_them() -> None:
    content = torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1, 1).requires_grad_(True)
    clean = torch.full((1, 3, 2, 1, 1), 0.4)
    near = shown(content, clean, 0.25)
    assert near[0, :, 1].flatten().tolist() == pytest.approx([0.15, 0.5, 0.65])
    near.sum().backward()
    assert content.grad is not None
    assert content.grad.flatten().tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: PatchSettings(size="big"),
        lambda: PatchSettings(size="0"),
        lambda: UniversalPatchSettings(size="1.5"),
        lambda: PatchSettings(size="nan"),
        lambda: BorderSettings(thickness=0),
    ],
)
def test_settings_that_make_no_sense_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ValidationError):
        make()


def test_regions_and_flickers_do_not_mix(net: nn.Module) -> None:
    batch = batch_of(0, 1)
    budget = Budget("linf", 1.0, Support.parse("flicker", tuple(batch.clips.shape[1:])))
    for method in (Patch(), Border(), UniversalPatch()):
        with pytest.raises(UsageError, match="flicker"):
            method.run(Target(net, 5), batch, budget, method.settings())


@pytest.mark.parametrize("jitter", [False, True])
def test_one_patch_fools_clips_that_it_never_saw(net: nn.Module, jitter: bool) -> None:
    target, held_out, budget = Target(net, 5), batch_of(32, 48), Budget("linf", 1.0)
    settings = UniversalPatchSettings(size="7x7", jitter=jitter, epochs=15)
    learnt = UniversalPatch().learn(target, lambda: iter([batch_of(0, 32)]), budget, settings, 0)
    assert torch.equal(learnt, UniversalPatch().learn(target, lambda: iter([batch_of(0, 32)]), budget, settings, 0))
    assert learnt.shape == (3, 1, 7, 7)
    found = UniversalPatch().apply(target, held_out, learnt, budget, settings)
    budget.audit(held_out.clips, found.clips)
    changed = (found.clips != held_out.clips).any(1).any(1)
    places = {tuple(mask.nonzero().amin(0).tolist()) for mask in changed}
    assert int(changed.flatten(1).sum(1).max()) <= 49
    assert (len(places) > 4) == jitter
    noise = [torch.rand(learnt.shape, generator=torch.Generator().manual_seed(seed)) for seed in range(5)]
    by_noise = [int(UniversalPatch().apply(target, held_out, one, budget, settings).reached.sum()) for one in noise]
    assert int(found.reached.sum()) >= sum(by_noise) / 5 + 2
    with pytest.raises(UsageError, match="shape"):
        UniversalPatch().apply(target, held_out, learnt[..., :5], budget, settings)
