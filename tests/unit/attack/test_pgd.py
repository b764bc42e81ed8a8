"""The projected-gradient family: budgets, supports, restarts, what is kept, and independence of clips."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidbench.attack.algorithms.pgd import Pgd, PgdSettings
from vidbench.attack.goal import Goal
from vidbench.attack.method import Batch, Outcome
from vidbench.attack.methods import ATTACKS, parse_settings
from vidbench.attack.moves import Moves
from vidbench.attack.projected import Plan, projected_gradient
from vidbench.attack.support import Support
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget
from vidbench.errors import UsageError

CLIPS = np.load(Path(__file__).parents[2] / "parity" / "attacks" / "clips.npz")
X, Y = torch.from_numpy(CLIPS["x"]), torch.from_numpy(CLIPS["y"])
RADII = {"linf": 8 / 255, "l2": 0.5, "l1": 8.0, "l21": 0.5}
NAMES = ("fgsm", "r-fgsm", "pgd", "pgd-l1-dense", "pgd-l1-argmax", "mi-fgsm", "noise")
CASES = [(name, norm) for name in NAMES for norm in ATTACKS.get(name).norms]
SUPPORTS = ("all", "frames:1", "patch:8x8+2+4", "border:3", "flicker")


class Watched:
    """A network that remembers how many clips each pass had, and checks what it is given."""

    def __init__(self, net: nn.Module) -> None:
        self.net = net
        self.sizes: list[int] = []

    def __call__(self, clips: Tensor) -> Tensor:
        self.sizes.append(len(clips))
        assert clips.dtype == torch.float32
        assert float(clips.detach().min()) >= -6e-8
        assert float(clips.detach().max()) <= 1 + 6e-8
        return self.net(clips)


def attack(
    logits, name: str, norm: str, rows=range(10), *, eps: float = 0, support: str = "all", targeted: bool = False,
    width: int = 4, seed: int = 0, clips: Tensor = X, draws: int = 1, **given: str,
) -> Outcome:  # fmt: skip
    chosen = torch.tensor(list(rows))
    labels = Y[chosen]
    goal = Goal((labels + 1) % 5, True) if targeted else Goal(labels)
    batch = Batch(clips[chosen], goal, [str(row) for row in rows], seed, width)
    before = batch.clips.clone()
    budget = Budget(norm, eps or RADII[norm], Support.parse(support, tuple(clips.shape[1:])))
    method = ATTACKS.get(name)
    given = {key: value for key, value in given.items() if key in method.settings.model_fields}
    outcome = method.run(Target(logits, 5, draws=draws), batch, budget, parse_settings(method, given))
    assert torch.equal(batch.clips, before)
    budget.audit(batch.clips, outcome.clips)
    return outcome


def loss(net: nn.Module, clips: Tensor, rows=range(10)) -> Tensor:
    return nn.functional.cross_entropy(net(clips), Y[list(rows)], reduction="none")


@pytest.mark.parametrize("support", SUPPORTS)
@pytest.mark.parametrize(("name", "norm"), CASES)
def test_stays_in_budget_box_and_support_and_tells_the_truth(
    net: nn.Module, name: str, norm: str, support: str
) -> None:
    for targeted in (False, True):
        outcome = attack(net, name, norm, range(5), support=support, eps=RADII[norm] * 2, targeted=targeted, steps="5")
        goal = Goal((Y[:5] + 1) % 5, True) if targeted else Goal(Y[:5])
        assert outcome.clips.dtype == torch.float32
        assert torch.equal(outcome.reached, goal.reached(net(outcome.clips)))
        assert not torch.equal(outcome.clips, X[:5])
        assert bool(((outcome.steps >= 0) == outcome.reached).all())


@pytest.mark.parametrize(("name", "norm"), CASES)
def test_three_clips_and_one_frame(net: nn.Module, name: str, norm: str) -> None:
    """A batch as large as the channels, and clips that are images."""
    attack(net, name, norm, range(3), width=3)
    images = X[:3, :, 1:2].contiguous()
    # the network pools frames by two
    attack(lambda clips: net(clips.expand(-1, -1, 4, -1, -1)), name, norm, range(3), clips=images, steps="3")


@pytest.mark.parametrize("norm", RADII)
def test_a_clip_does_not_depend_on_width_order_or_company(net: nn.Module, norm: str) -> None:
    # one row at a time inside, so that all shapes take the same kernels
    def single(clips: Tensor) -> Tensor:
        return torch.cat([net(clip) for clip in clips.split(1)])

    settings = {"steps": "4", "restarts": "3"}
    one = attack(single, "pgd", norm, range(10), width=1, **settings)
    order = [7, 2, 9, 0, 4, 1]
    for rows, width in ((range(10), 4), (range(10), 10), (order, 3)):
        other = attack(single, "pgd", norm, rows, width=width, **settings)
        chosen = list(rows)
        assert torch.equal(one.clips[chosen], other.clips)
        for name in ("reached", "forwards", "backwards", "restarts", "steps"):
            assert torch.equal(getattr(one, name)[chosen], getattr(other, name)), name


def test_the_seed_decides(net: nn.Module) -> None:
    first, again, other = (attack(net, "pgd", "linf", steps="1", seed=seed).clips for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(("name", "norm"), [("pgd", "linf"), ("pgd", "l1"), ("noise", "l2"), ("r-fgsm", "linf")])
def test_passes_are_counted(net: nn.Module, name: str, norm: str) -> None:
    for width, draws in ((1, 1), (3, 1), (3, 2)):
        watched = Watched(net)
        outcome = attack(watched, name, norm, width=width, draws=draws, steps="4", restarts="2")
        assert int(outcome.forwards.sum()) == sum(watched.sizes)
        assert max(watched.sizes) <= width * draws
        assert bool((outcome.backwards <= outcome.forwards).all())
        if name == "noise":
            assert int(outcome.backwards.sum()) == 0


def test_backward_passes_are_those_that_each_clip_would_cost_alone(net: nn.Module) -> None:
    count = 0

    def counted(clips: Tensor) -> Tensor:
        def back(_: Tensor) -> None:
            nonlocal count
            count += 1

        if clips.requires_grad:
            clips.register_hook(back)
        return net(clips)

    outcome = attack(counted, "pgd", "linf", width=1, steps="5", restarts="2")
    assert int(outcome.backwards.sum()) == count
    assert torch.equal(attack(net, "pgd", "linf", width=5, steps="5", restarts="2").backwards, outcome.backwards)


def test_the_pool_stays_full_until_the_tail(net: nn.Module) -> None:
    watched = Watched(net)
    outcome = attack(watched, "pgd", "linf", range(24), width=4, restarts="2")
    assert watched.sizes == sorted(watched.sizes, reverse=True)
    assert len(set(outcome.forwards.tolist())) > 2, "clips differ in length"
    assert watched.sizes.count(4) > len(watched.sizes) / 2


@pytest.mark.parametrize("norm", RADII)
def test_stopping_early_breaks_the_clips_that_all_steps_break(net: nn.Module, norm: str) -> None:
    def single(clips: Tensor) -> Tensor:
        return torch.cat([net(clip) for clip in clips.split(1)])

    early, whole = (attack(single, "pgd", norm, range(16), keep=keep, restarts="2") for keep in ("first", "best"))
    assert torch.equal(early.reached, whole.reached)
    assert torch.equal(early.steps, whole.steps)
    assert early.backwards.sum() < whole.backwards.sum()
    assert whole.backwards.tolist() == [20] * 16


def test_the_best_iterate_is_kept_though_later_ones_fail(net: nn.Module) -> None:
    """A success at one iterate is not lost to the next, and of successes the one with the highest loss stays."""
    kept = {
        keep: attack(net, "pgd", "linf", range(24), keep=keep, steps="6", step="16/255", random_start="false")
        for keep in ("first", "best", "last")
    }
    assert kept["best"].reached.sum() >= kept["last"].reached.sum()
    same = kept["best"].reached == kept["last"].reached
    losses = {keep: loss(net, outcome.clips, range(24)) for keep, outcome in kept.items()}
    assert bool((losses["best"] >= losses["last"] - 1e-6)[same].all())
    assert bool((losses["best"] > losses["last"] + 1e-6).any())
    assert bool((losses["best"] >= losses["first"] - 1e-6).all())


def test_what_withstands_has_the_highest_loss_of_all_iterates(net: nn.Module) -> None:
    outcome = attack(net, "pgd", "linf", eps=1 / 255, steps="5", restarts="3", step="1/255")
    standing = ~outcome.reached
    assert int(standing.sum()) >= 5
    assert bool((loss(net, outcome.clips) >= loss(net, X[:10]))[standing].all())
    last = attack(net, "pgd", "linf", eps=1 / 255, steps="5", step="1/255", keep="last")
    assert bool((loss(net, outcome.clips) >= loss(net, last.clips) - 1e-6)[standing].all())


def test_restarts_are_kept_clip_by_clip(net: nn.Module) -> None:
    """Each restart finds other clips; together they lose none that one alone finds."""
    many = attack(net, "noise", "linf", range(48), eps=24 / 255, restarts="6")
    assert len(set(many.restarts[many.reached].tolist())) > 1
    one = attack(net, "noise", "linf", range(48), eps=24 / 255)
    assert bool((many.reached | ~one.reached).all())
    assert many.reached.sum() > one.reached.sum()
    assert many.forwards.tolist() == [
        int(restart) + 1 if reached else 6 for restart, reached in zip(many.restarts, many.reached, strict=True)
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_no_success(net: nn.Module, value: float) -> None:
    def broken(clips: Tensor) -> Tensor:
        return net(clips) * 0 + clips.new_tensor([value, 0, 0, 0, 0])

    for name, norm in CASES:
        outcome = attack(broken, name, norm, range(4), steps="2")
        assert not bool(outcome.reached.any())
        assert torch.equal(outcome.clips, X[:4])
        assert outcome.steps.tolist() == [-1] * 4


def test_one_clip_that_is_not_finite_leaves_the_others_alone(net: nn.Module) -> None:
    def broken(clips: Tensor) -> Tensor:
        logits = net(clips)
        poison = torch.where(clips.detach()[:, 0, 0, 0, 0] == 2 / 255, torch.nan, 0.0)
        return logits + poison[:, None]

    clips = X.clone()
    clips[3, 0, 0, 0, 0] = 2 / 255
    settings = {"support": "frames:1", "random_start": "false", "clips": clips}
    outcome, plain = (attack(net_, "pgd", "linf", **settings) for net_ in (broken, net))
    assert not bool(outcome.reached[3])
    others = [row for row in range(10) if row != 3]
    assert torch.equal(outcome.clips[others], plain.clips[others])


@pytest.mark.parametrize(("name", "norm"), [("pgd", norm) for norm in RADII] + [("mi-fgsm", "linf")])
@pytest.mark.parametrize("kind", ["ce", "dlr", "margin"])
def test_every_loss_attacks_and_reaches_targets(net: nn.Module, name: str, norm: str, kind: str) -> None:
    chance = attack(net, "noise", norm, range(16), eps=RADII[norm] * 3).reached.sum()
    outcome = attack(net, name, norm, range(16), loss=kind, eps=RADII[norm] * 3)
    assert int(outcome.reached.sum()) >= int(chance) + 5
    if kind != "dlr":
        targeted = attack(net, name, norm, range(16), loss=kind, eps=RADII[norm] * 6, targeted=True, steps="20")
        assert int(targeted.reached.sum()) >= 5


def test_the_ratio_of_logits_needs_three_classes(net: nn.Module) -> None:
    batch = Batch(X[:2], Goal(torch.tensor([0, 1])), ["0", "1"])
    with pytest.raises(UsageError, match="3 classes"):
        Pgd().run(Target(lambda clips: net(clips)[:, :2], 2), batch, Budget("linf", 0.1), PgdSettings(loss="dlr"))


def test_no_clips(net: nn.Module) -> None:
    outcome = Pgd().run(Target(net, 5), Batch(X[:0], Goal(Y[:0]), []), Budget("l2", 0.5), PgdSettings())
    assert outcome.clips.shape == (0, *X.shape[1:])
    assert len(outcome.reached) == len(outcome.forwards) == 0


def test_steps_in_l1_are_as_strong_as_the_reference(net: nn.Module) -> None:
    """Auto-PGD in L1 leaves 33 of 48 clips at radius 8 and 40 at 4 (auto-attack); the toolbox's steps 47 at 8."""
    left = {
        eps: int((~attack(net, "pgd", "l1", range(48), eps=eps, width=16, steps="40").reached).sum())
        for eps in (4.0, 8.0)
    }
    assert left[8.0] <= 34
    assert left[4.0] <= 41
    dense = attack(net, "pgd-l1-dense", "l1", range(48), width=16)
    assert left[8.0] < int((~dense.reached).sum()) < 47


def test_a_flicker_is_an_offset_that_saturates(net: nn.Module) -> None:
    outcome = attack(net, "pgd", "linf", support="flicker", eps=0.2, keep="last", steps="5")
    delta = outcome.clips - X[:10]
    offsets = delta.flatten(3).gather(3, delta.flatten(3).abs().argmax(3, keepdim=True))
    expected = (X[:10] + offsets[..., None]).clamp(0, 1)
    assert torch.allclose(outcome.clips, expected, atol=1e-6)
    assert len(offsets.unique()) > 12
    noise = attack(net, "noise", "linf", support="flicker", eps=0.2)
    assert int(outcome.reached.sum()) > int(noise.reached.sum())


@pytest.mark.parametrize("norm", RADII)
@pytest.mark.parametrize("support", SUPPORTS)
def test_starts_fill_the_part_of_the_ball_that_there_is(norm: str, support: str) -> None:
    budget = Budget(norm, RADII[norm], Support.parse(support, tuple(X.shape[1:])))
    moves = Moves(budget, tuple(X.shape[1:]))
    grey = torch.full((1, *X.shape[1:]), 0.5)
    for seed in range(3):
        noise = moves.draw(Budget.random_start, 0, torch.Generator().manual_seed(seed))
        clip = moves.clips(grey, moves.start(grey, torch.zeros(1, dtype=torch.long), noise[None]))
        budget.audit(grey, clip)
        # a flicker has 12 dimensions, so that its draws may be small; the others' are as large as the ball
        assert float(budget.sizes(clip - grey)) >= budget.eps * (0.5 if support == "flicker" else 0.9)


def test_masks_of_their_own_go_with_their_clips(net: nn.Module) -> None:
    mask = torch.zeros(6, 1, 4, 1, 1)
    frames = [0, 1, 2, 3, 0, 1]
    for row, frame in enumerate(frames):
        mask[row, 0, frame] = 1.0
    budget = Budget("linf", 16 / 255, Support("frames:?", mask))
    batch = Batch(X[:6], Goal(Y[:6]), [str(row) for row in range(6)], width=2)
    outcome = Pgd().run(Target(net, 5), batch, budget, PgdSettings(restarts=2))
    budget.audit(X[:6], outcome.clips)
    touched = (outcome.clips - X[:6]).abs().amax((1, 3, 4)).argmax(1)
    assert touched.tolist() == frames


def test_momentum_goes_on_where_the_gradient_turns() -> None:
    """The loss peaks at a mean of 0.52: PGD steps over it and back, with momentum two opposite gradients cancel."""

    def logits(clips: Tensor) -> Tensor:
        apart = (clips.mean((1, 2, 3, 4)) - 0.52).abs()
        return torch.stack([apart + 1, apart * 0], 1)

    batch = Batch(torch.full((1, 3, 1, 2, 2), 0.5), Goal(torch.tensor([0])), ["0"])
    ends = []
    for decay in (None, 0.0, 1.0):
        plan = Plan(2, 0.05, loss="margin", keep="last", decay=decay)
        outcome = projected_gradient(Target(logits, 2), batch, Budget("linf", 0.2), plan)
        ends.append(float(outcome.clips.mean()))
    assert ends == pytest.approx([0.5, 0.5, 0.55], abs=1e-6)


def test_fgsm_from_a_random_start_uses_half_of_the_radius_for_each(net: nn.Module) -> None:
    grey = torch.full_like(X, 0.5)
    outcome = attack(net, "r-fgsm", "linf", range(4), clips=grey, targeted=True, eps=4 / 255)
    steps = ((outcome.clips - 0.5) * 255).round().unique().tolist()
    assert set(steps) <= {-4.0, -2.0, 0.0, 2.0, 4.0}
    assert len(steps) > 1


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"restarts": "2", "random_start": "false"}, "repeat the same attack"),
        ({"rng": "art"}, "rng=art needs"),
        ({"rng": "art", "keep": "last", "restarts": "2"}, "rng=art needs"),
        ({"keep": "all"}, "keep"),
        ({"steps": "0"}, "steps"),
        ({"step": "0"}, "goes nowhere"),
        ({"decay": "1"}, "no setting"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(given: dict[str, str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse_settings(Pgd(), given)


def test_the_toolboxs_starts_are_for_linf(net: nn.Module) -> None:
    with pytest.raises(UsageError, match="rng=art"):
        attack(net, "pgd", "l2", rng="art", keep="last")
    assert not attack(net, "pgd", "linf", rng="art", keep="last", seed=2**40).clips.isnan().any()


@pytest.mark.parametrize("random_start", ["true", "false"])
def test_a_larger_ball_begins_where_a_smaller_one_ended(net: nn.Module, random_start: str) -> None:
    small = attack(net, "pgd", "linf", eps=0.5 / 255, keep="best", steps="5", random_start="false")
    method = ATTACKS.get("pgd")
    budget = Budget("linf", 1 / 255)
    batch = Batch(X[:10], Goal(Y[:10]), [str(row) for row in range(10)], 0, 4)

    def go(warm: Tensor | None, keep: str) -> Outcome:
        settings = parse_settings(method, {"steps": "1", "keep": keep, "random_start": random_start})
        begun = Batch(batch.clips, batch.goal, batch.keys, 0, 4, warm)
        return method.run(Target(net, 5), begun, budget, settings)

    warm, cold = go(small.clips, "best"), go(None, "best")
    budget.audit(batch.clips, warm.clips)
    # what it begins at counts, so nothing that was reached is lost; a step from the clean clip gets less far
    assert bool((loss(net, warm.clips) >= loss(net, small.clips) - 1e-6)[warm.reached == small.reached].all())
    assert bool((warm.reached >= small.reached).all())
    assert float(loss(net, warm.clips).mean()) > float(loss(net, cold.clips).mean())
    # the toolbox's way begins where the toolbox does
    assert torch.equal(go(small.clips, "last").clips, go(None, "last").clips)
    # a part of a batch takes its own starts along
    part = Batch(batch.clips, batch.goal, batch.keys, 0, 4, small.clips).of(torch.tensor([7, 2]))
    assert torch.equal(part.warm, small.clips[[7, 2]])
