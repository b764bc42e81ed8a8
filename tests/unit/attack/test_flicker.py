"""Flickering attacks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidbench.attack.algorithms.flicker import (
    Flicker,
    FlickerSettings,
    UniversalFlicker,
    UniversalFlickerSettings,
    hinge,
    regulariser,
    roughness,
    thickness,
)
from vidbench.attack.goal import Goal
from vidbench.attack.method import Batch
from vidbench.attack.support import Support
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget

CLIPS = np.load(Path(__file__).parents[2] / "parity" / "attacks" / "clips.npz")
EPS = 80 / 255


def batch_of(first: int = 0, last: int = 16, width: int = 16, *, targeted: bool = False) -> Batch:
    clips, labels = torch.from_numpy(CLIPS["x"])[first:last], torch.from_numpy(CLIPS["y"])[first:last]
    goal = Goal((labels + 1) % 5, True) if targeted else Goal(labels)
    return Batch(clips, goal, [str(index) for index in range(first, last)], 0, width)


def offsets_of(batch: Batch, clips: Tensor) -> Tensor:
    """The offset of each frame: what its least saturated pixel moved by."""
    delta = clips - batch.clips
    high, low = delta.amax((3, 4), keepdim=True), delta.amin((3, 4), keepdim=True)
    return torch.where(high > -low, high, low)


def test_unsaturated_pixels_of_a_frame_all_move_alike(net: nn.Module) -> None:
    target, batch = Target(net, 5), batch_of()
    budget = Budget("linf", EPS, Support.parse("flicker", tuple(batch.clips.shape[1:])))
    before = batch.clips.clone()
    found = Flicker().run(target, batch, budget, FlickerSettings(steps=40))
    budget.audit(batch.clips, found.clips)
    assert torch.equal(batch.clips, before)
    assert torch.equal(batch.goal.reached(target(found.clips)), found.reached)
    off = (found.clips - batch.clips - offsets_of(batch, found.clips)).abs()
    free = (found.clips > 0) & (found.clips < 1)
    assert float(off[free].max()) < 1e-6
    assert 0.5 < float(free.double().mean()) < 1


def test_a_flicker_beats_random_flickers(net: nn.Module) -> None:
    target, batch = Target(net, 5), batch_of(0, 32)
    found = Flicker().run(target, batch, Budget("linf", EPS), FlickerSettings(steps=30))
    drawn = torch.randn(32, 3, 4, 1, 1, generator=torch.Generator().manual_seed(0)).sign() * EPS
    by_noise = batch.goal.reached(target((batch.clips + drawn).clamp(0, 1)))
    assert int(found.reached.sum()) >= int(by_noise.sum()) + 6


def test_the_regularisers_make_it_thinner_and_smoother(net: nn.Module) -> None:
    target, batch, budget = Target(net, 5), batch_of(), Budget("linf", EPS)
    runs = {
        name: Flicker().run(target, batch, budget, settings)
        for name, settings in {
            "neither": FlickerSettings(weight=0.0, steps=60),
            "thick": FlickerSettings(thick=5.0, rough=0.0, steps=60),
            "rough": FlickerSettings(thick=0.0, rough=5.0, steps=60),
        }.items()
    }
    both = torch.stack([found.reached for found in runs.values()]).all(0)
    both[4] = False  # wrong as it is
    assert int(both.sum()) >= 4
    thick = {name: float(thickness(offsets_of(batch, found.clips))[both].mean()) for name, found in runs.items()}
    rough = {name: float(roughness(offsets_of(batch, found.clips))[both].mean()) for name, found in runs.items()}
    assert thick["thick"] < 0.9 * thick["neither"]
    assert rough["rough"] < 0.9 * rough["neither"]


def test_more_steps_keep_the_thinnest_success(net: nn.Module) -> None:
    target, batch, budget = Target(net, 5), batch_of(0, 8), Budget("linf", EPS)
    few, many = (Flicker().run(target, batch, budget, FlickerSettings(steps=steps)) for steps in (15, 60))
    both = few.reached & many.reached
    assert bool((many.reached | ~few.reached).all())
    # the same path, gone on with; the box makes what is seen of an offset a little less than the offset
    assert bool(
        (thickness(offsets_of(batch, many.clips)) <= thickness(offsets_of(batch, few.clips)) + 0.01)[both].all()
    )
    assert few.forwards.tolist() == [16] * 8
    assert few.backwards.tolist() == [15] * 8
    assert few.steps[4] == 0


def test_thickness_and_roughness() -> None:
    steady = torch.full((1, 3, 4, 1, 1), -0.2)
    assert float(thickness(steady)) == pytest.approx(0.2)
    assert float(roughness(steady)) == 0
    assert float(regulariser(steady, 1.0, 1.0)) == pytest.approx(0.04)
    blinking = torch.tensor([0.1, -0.1, 0.1, -0.1]).view(1, 1, 4, 1, 1).expand(1, 3, 4, 1, 1)
    assert float(thickness(blinking)) == pytest.approx(0.1)
    assert float(roughness(blinking)) == pytest.approx(0.2)
    # first differences 0.2, second 0.4
    assert float(regulariser(blinking, 0.0, 1.0)) == pytest.approx(0.04 + 0.16)
    assert float(regulariser(torch.rand(1, 3, 1, 1, 1), 0.0, 1.0)) == 0


@pytest.mark.parametrize(
    ("own", "expected"),
    # ahead: linear; a little ahead, then behind by less than the margin: quadratic; behind by more: 0
    [(0.9, 0.85), (0.5, 0.05), (0.49, 0.018), (0.47, 0.0)],
)
def test_the_hinge_is_linear_then_quadratic_then_0(own: float, expected: float) -> None:
    logits = torch.tensor([[own, 1 - own]]).log()
    assert float(hinge(logits, Goal(torch.tensor([0])), 0.05, "probability")) == pytest.approx(expected, abs=1e-6)
    assert float(hinge(logits, Goal(torch.tensor([1]), True), 0.05, "probability")) == pytest.approx(expected, abs=1e-6)


def test_the_hinge_on_logarithms_keeps_its_gradient_where_the_model_is_sure() -> None:
    grown = {}
    for scale in ("probability", "log"):
        logits = torch.tensor([[40.0, 0.0]], requires_grad=True)
        hinge(logits, Goal(torch.tensor([0])), 0.05, scale).sum().backward()
        grown[scale] = float(logits.grad.abs().max())
    assert grown["probability"] < 1e-8
    assert grown["log"] == pytest.approx(1.0)


def test_target_classes_and_logarithms(net: nn.Module) -> None:
    target, batch = Target(net, 5), batch_of(0, 8, targeted=True)
    found = Flicker().run(target, batch, Budget("linf", 0.9), FlickerSettings(scale="log", steps=40))
    assert torch.equal(target(found.clips).argmax(1) == batch.goal.labels, found.reached)
    assert bool(found.reached.any())


@pytest.mark.parametrize("support", [None, "frames:1", "border:3", "flicker"])
def test_three_clips_of_one_frame_or_four_stay_in_budget(net: nn.Module, support: str | None) -> None:
    whole = batch_of(0, 3, 2)
    shape = tuple(whole.clips.shape[1:])
    budget = Budget("linf", 0.2, Support.parse(support, shape) if support else None)
    found = Flicker().run(Target(net, 5), whole, budget, FlickerSettings(steps=3))
    budget.audit(whole.clips, found.clips)
    assert not torch.equal(found.clips, whole.clips)
    still = Batch(whole.clips[:, :, :1].contiguous(), whole.goal, whole.keys)
    target = Target(lambda clips: net(clips.expand(-1, -1, 4, -1, -1)), 5)
    for method, settings in ((Flicker(), FlickerSettings(steps=3)), (UniversalFlicker(), UniversalFlickerSettings())):
        Budget("linf", 0.2).audit(still.clips, method.run(target, still, Budget("linf", 0.2), settings).clips)


def test_no_logits_that_are_not_finite_count(net: nn.Module) -> None:
    batch = batch_of(0, 2)
    broken = Target(lambda clips: net(clips) * torch.where((clips - batch.clips).abs().sum() > 0, torch.nan, 1.0), 5)
    found = Flicker().run(broken, batch, Budget("linf", EPS), FlickerSettings(steps=4))
    assert not bool(found.reached.any())
    assert bool(torch.isfinite(found.clips).all())


def test_clips_do_not_depend_on_their_batch(net: nn.Module) -> None:
    target, budget, settings = Target(net, 5), Budget("linf", EPS), FlickerSettings(steps=10)
    whole = Flicker().run(target, batch_of(0, 7), budget, settings).clips
    parts = [Flicker().run(target, batch_of(*at, 2), budget, settings).clips for at in ((0, 3), (3, 7))]
    assert (whole - torch.cat(parts)).abs().max() < 1e-3


def test_one_flicker_fools_clips_that_it_never_saw_whenever_it_begins(net: nn.Module) -> None:
    target, held_out, budget = Target(net, 5), batch_of(32, 48), Budget("linf", 0.5)
    settings = UniversalFlickerSettings(epochs=40)
    learnt = UniversalFlicker().learn(target, lambda: iter([batch_of(0, 32)]), budget, settings, 0)
    again = UniversalFlicker().learn(target, lambda: iter([batch_of(0, 32)]), budget, settings, 0)
    assert torch.equal(learnt, again)
    assert learnt.shape == (3, 4, 1, 1)
    found = UniversalFlicker().apply(target, held_out, learnt, budget, settings)
    budget.audit(held_out.clips, found.clips)
    plain = UniversalFlickerSettings(cyclic=False)

    def at_each_moment(theta: Tensor) -> list[int]:
        return [
            int(UniversalFlicker().apply(target, held_out, theta.roll(at, 1), budget, plain).reached.sum())
            for at in range(4)
        ]

    noise = [torch.randn(3, 4, 1, 1, generator=torch.Generator().manual_seed(seed)).sign() * 0.5 for seed in range(5)]
    by_noise = [count for one in noise for count in at_each_moment(one)]
    ours = at_each_moment(learnt)
    assert sum(ours) / 4 >= sum(by_noise) / 20 + 2
    fixed = UniversalFlickerSettings(epochs=40, cyclic=False)
    synchronised = UniversalFlicker().learn(target, lambda: iter([batch_of(0, 32)]), budget, fixed, 0)
    assert min(ours) >= min(at_each_moment(synchronised)) + 1


def test_more_weight_makes_the_universal_flicker_thinner(net: nn.Module) -> None:
    target, budget = Target(net, 5), Budget("linf", 0.5)
    sizes = [
        float(
            thickness(
                UniversalFlicker().learn(
                    target, lambda: iter([batch_of()]), budget, UniversalFlickerSettings(epochs=20, weight=weight), 0
                )[None]
            )
        )
        for weight in (0.0, 30.0)
    ]
    assert sizes[1] < 0.5 * sizes[0]
