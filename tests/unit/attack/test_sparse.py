"""Attacks on one frame and on few frames."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from vidbench.attack.algorithms.pgd import Pgd, PgdSettings
from vidbench.attack.algorithms.sparse import OneFrame, OneFrameSettings, Sparse, SparseSettings
from vidbench.attack.goal import Goal
from vidbench.attack.method import Batch
from vidbench.attack.support import Support
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget, frame_norms, norms_of
from vidbench.errors import UsageError

CLIPS = np.load(Path(__file__).parents[2] / "parity" / "attacks" / "clips.npz")
EPS = 16 / 255


def batch_of(first: int = 0, last: int = 16, width: int = 8, *, targeted: bool = False) -> Batch:
    clips, labels = torch.from_numpy(CLIPS["x"])[first:last], torch.from_numpy(CLIPS["y"])[first:last]
    goal = Goal((labels + 1) % 5, True) if targeted else Goal(labels)
    return Batch(clips, goal, [str(index) for index in range(first, last)], 0, width)


def touched(batch: Batch, clips: Tensor) -> Tensor:
    return frame_norms(clips - batch.clips) > 0


@pytest.mark.parametrize(("norm", "eps"), [("linf", EPS), ("l2", 0.8)])
def test_one_frame_alone_is_touched_and_beats_noise_in_the_same_frame(net: nn.Module, norm: str, eps: float) -> None:
    target, batch, budget = Target(net, 5), batch_of(0, 32), Budget(norm, eps)
    before = batch.clips.clone()
    found = OneFrame().run(target, batch, budget, OneFrameSettings())
    budget.audit(batch.clips, found.clips)
    assert torch.equal(batch.clips, before)
    assert int(touched(batch, found.clips).sum(1).max()) == 1
    assert torch.equal(batch.goal.reached(target(found.clips)), found.reached)
    where = touched(batch, found.clips)[:, None, :, None, None]
    noise = torch.randn(batch.clips.shape, generator=torch.Generator().manual_seed(0)) * where
    noise = noise.sign() * eps if norm == "linf" else noise * (eps / noise.flatten(1).norm(dim=1)).view(-1, 1, 1, 1, 1)
    by_noise = int(batch.goal.reached(target((batch.clips + noise).clamp(0, 1))).sum())
    assert int(found.reached.sum()) >= by_noise + 6


def test_an_index_is_that_frame_and_a_scan_is_as_good_as_the_best_of_them(net: nn.Module) -> None:
    target, batch, budget = Target(net, 5), batch_of(0, 16), Budget("linf", EPS)
    alone = []
    for frame in range(4):
        found = OneFrame().run(target, batch, budget, OneFrameSettings(frame=str(frame)))
        assert touched(batch, found.clips).any(0).tolist() == [index == frame for index in range(4)]
        alone.append(found.reached)
    scan = OneFrame().run(target, batch, budget, OneFrameSettings(frame="scan"))
    assert torch.equal(scan.reached, torch.stack(alone).any(0))
    # the last frame says least to this network, and "gradient" knows it
    chosen = OneFrame().run(target, batch, budget, OneFrameSettings(tries=1))
    assert int(chosen.reached.sum()) > int(alone[3].sum())
    assert int(chosen.forwards.sum()) < int(scan.forwards.sum())


def test_the_passes_and_steps_of_one_frame_are_counted(net: nn.Module) -> None:
    asked: list[int] = []

    def logits(clips: Tensor) -> Tensor:
        asked.append(len(clips))
        result: Tensor = net(clips)
        return result

    batch = batch_of(0, 12)
    found = OneFrame().run(Target(logits, 5), batch, Budget("linf", EPS), OneFrameSettings(steps=5))
    assert int(found.forwards.sum()) == sum(asked)
    assert max(asked) <= batch.width
    assert torch.equal(found.steps >= 0, found.reached)


def test_one_frame_of_one_is_pgd(net: nn.Module) -> None:
    target = Target(lambda clips: net(clips.expand(-1, -1, 4, -1, -1)), 5)
    whole = batch_of(0, 8)
    batch = Batch(whole.clips[:, :, :1].contiguous(), whole.goal, whole.keys)
    budget = Budget("linf", 0.1)
    ours = OneFrame().run(target, batch, budget, OneFrameSettings(steps=10))
    theirs = Pgd().run(target, batch, budget, PgdSettings(steps=10))
    assert torch.equal(ours.reached, theirs.reached)
    assert torch.equal(ours.clips, theirs.clips)


@pytest.mark.parametrize(
    ("settings", "support", "match"),
    [
        (OneFrameSettings(frame="4"), None, "frames 0 to 3"),
        (OneFrameSettings(frame="2"), "frames:0,1", "no place in common"),
        (OneFrameSettings(), "flicker", "do not go together"),
    ],
)
def test_frames_that_are_not_there_are_refused(
    net: nn.Module, settings: OneFrameSettings, support: str | None, match: str
) -> None:
    batch = batch_of(0, 3)
    where = Support.parse(support, tuple(batch.clips.shape[1:])) if support else None
    with pytest.raises(UsageError, match=match):
        OneFrame().run(Target(net, 5), batch, Budget("linf", EPS, where), settings)


def test_one_frame_stays_in_the_callers_support(net: nn.Module) -> None:
    batch = batch_of(0, 3)
    budget = Budget("linf", 0.5, Support.parse("frames:0,3", tuple(batch.clips.shape[1:])))
    for frame in ("gradient", "scan"):
        found = OneFrame().run(Target(net, 5), batch, budget, OneFrameSettings(frame=frame))
        budget.audit(batch.clips, found.clips)
        assert int(touched(batch, found.clips).sum(1).max()) == 1


def test_sparse_finds_smaller_sums_and_fewer_frames_than_pgd(net: nn.Module) -> None:
    target, batch = Target(net, 5), batch_of(0, 8)
    found = Sparse().run(target, batch, Budget("l21", 1.0), SparseSettings())
    assert bool(found.reached.all())
    assert torch.equal(batch.goal.reached(target(found.clips)), found.reached)
    sizes = norms_of(found.clips - batch.clips, "l21")
    # clip 4 is wrong as it is
    assert sizes.argmin() == 4
    assert sizes[4] == 0
    assert found.steps[4] == 0
    pgd = Pgd().run(target, batch, Budget("linf", 8 / 255), PgdSettings())
    assert float(sizes.median()) < 0.7 * float(norms_of(pgd.clips - batch.clips, "l21").median())
    dense = Sparse().run(target, batch, Budget("l21", 1.0), SparseSettings(weight=0.0))
    assert touched(batch, found.clips).sum() < touched(batch, dense.clips).sum()
    assert sizes.mean() < norms_of(dense.clips - batch.clips, "l21").mean()


@pytest.mark.parametrize(
    ("frames", "allowed"), [("first:2", [0, 1]), ("strided:2", [0, 2]), ("strided:4", [0, 1, 2, 3])]
)
def test_sparse_keeps_to_its_mask(net: nn.Module, frames: str, allowed: list[int]) -> None:
    batch = batch_of(0, 8)
    found = Sparse().run(Target(net, 5), batch, Budget("l21", 1.0), SparseSettings(frames=frames, steps=60))
    assert int(found.reached.sum()) >= 6
    assert set(touched(batch, found.clips).any(0).nonzero().flatten().tolist()) <= set(allowed)


def test_sparse_takes_the_frames_with_the_largest_gradients(net: nn.Module) -> None:
    batch = batch_of(0, 8)
    settings = SparseSettings(frames="salient:1", steps=120)
    found = Sparse().run(Target(net, 5), batch, Budget("l21", 1.0), settings)
    assert int(found.reached.sum()) >= 7
    assert int(touched(batch, found.clips).sum(1).max()) == 1
    assert not bool(touched(batch, found.clips)[:, 3].any())


def test_sparse_leaves_what_it_cannot_change(net: nn.Module) -> None:
    batch = batch_of(0, 3)
    found = Sparse().run(Target(net, 5), batch, Budget("l21", 1.0), SparseSettings(steps=1, lr=1e-6))
    assert not bool(found.reached.any())
    assert torch.equal(found.clips, batch.clips)
    assert found.steps.tolist() == [-1, -1, -1]


def test_sparse_never_takes_logits_that_are_not_finite_for_success(net: nn.Module) -> None:
    batch = batch_of(0, 2)
    broken = Target(lambda clips: net(clips) * torch.where((clips - batch.clips).abs().sum() > 0, torch.nan, 1.0), 5)
    found = Sparse().run(broken, batch, Budget("l21", 1.0), SparseSettings(steps=5))
    assert not bool(found.reached.any())
    assert torch.equal(found.clips, batch.clips)


def test_sparse_stays_in_the_callers_support(net: nn.Module) -> None:
    batch = batch_of(0, 3)
    support = Support.parse("patch:10x10+3+3", tuple(batch.clips.shape[1:]))
    found = Sparse().run(Target(net, 5), batch, Budget("l21", 1.0, support), SparseSettings(steps=60))
    assert bool(found.reached.any())
    Budget("l21", 1000.0, support).audit(batch.clips, found.clips)


def test_a_mask_of_more_frames_than_there_are_is_refused(net: nn.Module) -> None:
    with pytest.raises(UsageError, match="have 4 frames"):
        Sparse().run(Target(net, 5), batch_of(0, 1), Budget("l21", 1.0), SparseSettings(frames="first:5"))


@pytest.mark.parametrize(
    "make",
    [
        lambda: OneFrameSettings(frame="best"),
        lambda: OneFrameSettings(random_start=False, restarts=2),
        lambda: SparseSettings(frames="first:0"),
        lambda: SparseSettings(frames="some"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ValidationError):
        make()


@pytest.mark.parametrize("name", ["one-frame", "sparse"])
def test_clips_do_not_depend_on_their_batch(net: nn.Module, name: str) -> None:
    target = Target(net, 5)

    def run(batch: Batch) -> Tensor:
        if name == "sparse":
            return Sparse().run(target, batch, Budget("l21", 1.0), SparseSettings(steps=30)).clips
        return OneFrame().run(target, batch, Budget("linf", EPS), OneFrameSettings(steps=5)).clips

    whole = run(batch_of(0, 7, width=7))
    parts = torch.cat([run(batch_of(0, 3, width=2)), run(batch_of(3, 7, width=1))])
    # another batch size may take another kernel, whose rounding can flip a tiny gradient's sign
    assert (whole - parts).abs().le(1e-5).double().mean() > 0.99


@pytest.mark.parametrize("name", ["one-frame", "sparse"])
def test_target_classes_are_reached(net: nn.Module, name: str) -> None:
    target, batch = Target(net, 5), batch_of(0, 6, targeted=True)
    if name == "sparse":
        found = Sparse().run(target, batch, Budget("l21", 1.0), SparseSettings(steps=100))
    else:
        found = OneFrame().run(target, batch, Budget("linf", 0.3), OneFrameSettings())
    assert int(found.reached.sum()) >= 4
    assert torch.equal(target(found.clips).argmax(1) == batch.goal.labels, found.reached)
