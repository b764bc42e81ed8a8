"""What every attack of the catalogue must do, in every norm it has; adding an entry adds its tests."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vidbench.attack.gradient import Goal
from vidbench.attack.methods import ATTACKS, Batch, parse_settings
from vidbench.attack.threat import Budget

HERE = Path(__file__).parents[1] / "parity" / "attacks"
CLIPS = np.load(HERE / "clips.npz")
CASES = [(name, norm) for name in ATTACKS.names() for norm in ATTACKS.get(name).norms]
RADII = {"linf": 8 / 255, "l2": 0.5}


def run(net: nn.Module, name: str, norm: str, chosen: slice = slice(0, 48), eps: float = 0, targeted: bool = False):
    labels = torch.from_numpy(CLIPS["y"])[chosen]
    clips = torch.from_numpy(CLIPS["x"])[chosen]
    goal = Goal((labels + 1) % 5, True) if targeted else Goal(labels)
    keys = [str(index) for index in range(48)[chosen]]
    method = ATTACKS.get(name)
    budget = Budget(norm, eps or RADII[norm])
    outcome, restarts = method.run(net, Batch(clips, goal, keys, seed=0), budget, parse_settings(method, {}))
    budget.audit(clips, outcome.clips)
    assert len(restarts) == len(clips)
    return clips, goal, outcome


@pytest.mark.parametrize(("name", "norm"), CASES)
def test_stays_in_budget_and_tells_the_truth(net: nn.Module, name: str, norm: str) -> None:
    clips, goal, outcome = run(net, name, norm)
    before = clips.clone()
    assert torch.equal(clips, before)
    assert outcome.clips.dtype == torch.float32
    assert torch.equal(outcome.reached, goal.reached(net(outcome.clips)))
    assert bool((outcome.forwards >= 1).all())


@pytest.mark.parametrize(("name", "norm"), CASES)
def test_beats_noise_of_the_same_size(net: nn.Module, name: str, norm: str) -> None:
    clips, goal, outcome = run(net, name, norm)
    budget = Budget(norm, RADII[norm])
    generator = torch.Generator().manual_seed(0)
    noise = torch.stack([budget.random_start(tuple(clips.shape[1:]), generator) for _ in clips])
    by_noise = int(goal.reached(net((clips + noise).clamp(0, 1))).sum())
    assert int(outcome.reached.sum()) >= by_noise + 8


@pytest.mark.parametrize(("name", "norm"), CASES)
def test_a_larger_radius_breaks_more(net: nn.Module, name: str, norm: str) -> None:
    counts = [int(run(net, name, norm, eps=RADII[norm] * factor)[2].reached.sum()) for factor in (0.25, 1, 4)]
    assert counts == sorted(counts)
    assert counts[0] < counts[2]


@pytest.mark.parametrize(("name", "norm"), CASES)
def test_clips_do_not_depend_on_their_batch(net: nn.Module, name: str, norm: str) -> None:
    whole = run(net, name, norm)[2].clips
    parts = torch.cat([run(net, name, norm, slice(at, at + 5))[2].clips for at in range(0, 48, 5)])
    # another batch size may take another convolution kernel, whose rounding can flip a tiny gradient's sign
    assert (whole - parts).abs().le(1e-6).double().mean() > 0.995


@pytest.mark.parametrize(("name", "norm"), CASES)
def test_targeted_attacks_reach_their_class(net: nn.Module, name: str, norm: str) -> None:
    _, _, outcome = run(net, name, norm, eps=RADII[norm] * 4, targeted=True)
    assert int(outcome.reached.sum()) >= 10


def test_pgd_is_at_least_as_strong_as_fgsm(net: nn.Module) -> None:
    for norm in ("linf", "l2"):
        assert run(net, "pgd", norm)[2].reached.sum() >= run(net, "fgsm", norm)[2].reached.sum()
