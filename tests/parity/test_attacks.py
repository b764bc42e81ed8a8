"""The projected-gradient family gives the clips that the Adversarial Robustness Toolbox gave."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidbench.attack.goal import Goal
from vidbench.attack.method import Batch, Outcome
from vidbench.attack.methods import ATTACKS, parse_settings
from vidbench.attack.support import Support
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget

HERE = Path(__file__).parent / "attacks"
GOLDEN = np.load(HERE / "pgd_art.npz")
CLIPS = np.load(HERE / "clips.npz")
LINF = {"step": "2/255", "steps": "10", "keep": "last"}
PLAIN = {**LINF, "random_start": "false"}
CASES = {
    "fgsm_linf": ("fgsm", "linf", 8 / 255, {}),
    "pgd_linf": ("pgd", "linf", 8 / 255, PLAIN),
    "pgd_linf_rand": ("pgd", "linf", 8 / 255, {**LINF, "rng": "art"}),
    "pgd_linf_targeted": ("pgd", "linf", 8 / 255, PLAIN),
    "pgd_linf_mask_frame1": ("pgd", "linf", 8 / 255, PLAIN),
    "pgd_l2": ("pgd", "l2", 0.5, {**PLAIN, "step": "0.1"}),
    "pgd_l1": ("pgd-l1-argmax", "l1", 8.0, {**PLAIN, "step": "1"}),
    "mifgsm_linf": ("mi-fgsm", "linf", 8 / 255, PLAIN),
}
ROBUST = {
    "fgsm_linf": 22, "pgd_linf": 12, "pgd_linf_rand": 13, "pgd_linf_targeted": 16, "pgd_linf_mask_frame1": 38,
    "pgd_l2": 35, "pgd_l1": 47, "mifgsm_linf": 14,
}  # fmt: skip


def attack(net: nn.Module, key: str, width: int = 16, **changes: str) -> Outcome:
    name, norm, eps, given = CASES[key]
    clips, labels = torch.from_numpy(CLIPS["x"]), torch.from_numpy(CLIPS["y"])
    goal = Goal((labels + 1) % 5, True) if "targeted" in key else Goal(labels)
    support = Support.parse("frames:1", tuple(clips.shape[1:])) if "mask" in key else None
    batch = Batch(clips, goal, [str(row) for row in range(48)], seed=0, width=width)
    method, budget = ATTACKS.get(name), Budget(norm, eps, support)
    outcome = method.run(Target(net, 5), batch, budget, parse_settings(method, {**given, **changes}))
    budget.audit(clips, outcome.clips)
    return outcome


def expect(net: nn.Module, key: str, ours: Tensor) -> None:
    theirs = torch.from_numpy(GOLDEN[key])
    assert torch.equal(net(ours).argmax(1), torch.from_numpy(GOLDEN[f"{key}_pred"]))
    if key == "pgd_l2":
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-6)
    else:
        # another convolution kernel may flip the sign of a gradient that is almost zero
        assert (ours == theirs).double().mean() >= 0.999


@pytest.mark.parametrize("key", CASES)
def test_equals_the_toolbox(net: nn.Module, key: str) -> None:
    outcome = attack(net, key)
    expect(net, key, outcome.clips)
    assert int((~outcome.reached).sum()) == ROBUST[key]
    steps = 1 if key == "fgsm_linf" else 10
    assert outcome.backwards.tolist() == [steps] * 48
    assert outcome.forwards.tolist() == [steps + 1] * 48


@pytest.mark.parametrize("key", ["pgd_linf", "pgd_l1", "mifgsm_linf"])
def test_equals_the_toolbox_in_parts_of_another_size(net: nn.Module, key: str) -> None:
    expect(net, key, attack(net, key, width=7).clips)


@pytest.mark.parametrize("key", ["pgd_linf", "pgd_linf_targeted", "pgd_linf_mask_frame1", "pgd_l2", "mifgsm_linf"])
def test_stopping_early_breaks_the_same_clips_or_more(net: nn.Module, key: str) -> None:
    """The first success ends a clip, so that fewer passes break what the last iterate breaks."""
    whole, early = attack(net, key, width=8), attack(net, key, width=8, keep="first")
    assert bool((early.reached | ~whole.reached).all())
    assert early.backwards.sum() < whole.backwards.sum()
    best = attack(net, key, width=8, keep="best")
    assert torch.equal(best.reached, early.reached)
