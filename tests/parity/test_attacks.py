"""FGSM and PGD give the clips that the Adversarial Robustness Toolbox gave."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidbench.attack.gradient import Goal, projected_gradient
from vidbench.attack.threat import Budget

HERE = Path(__file__).parent / "attacks"
GOLDEN = np.load(HERE / "pgd_art.npz")
CLIPS = np.load(HERE / "clips.npz")


def attack(net: nn.Module, norm: str, eps: float, step: float, steps: int, *, targeted=False, start=None) -> Tensor:
    clips, labels = torch.from_numpy(CLIPS["x"]), torch.from_numpy(CLIPS["y"])
    if targeted:
        labels = (labels + 1) % 5
    parts = []
    for at in range(0, 48, 16):
        chosen = slice(at, at + 16)
        outcome = projected_gradient(
            net, clips[chosen], Goal(labels[chosen], targeted), Budget(norm, eps),
            steps=steps, step_size=step, start=None if start is None else start[chosen], stop_early=False,
        )  # fmt: skip
        parts.append(outcome.clips)
    return torch.cat(parts)


def art_start(eps: float) -> Tensor:
    """The toolbox's random start: batch by batch from numpy's legacy generator."""
    generator = np.random.RandomState(0)
    noise = [generator.uniform(size=(16, 3072), low=-eps, high=eps).reshape(16, 3, 4, 16, 16) for _ in range(3)]
    return (torch.from_numpy(CLIPS["x"]) + torch.from_numpy(np.concatenate(noise).astype(np.float32))).clamp(0, 1)


CASES = {
    "fgsm_linf": ("linf", 8 / 255, 8 / 255, 1, {}),
    "pgd_linf": ("linf", 8 / 255, 2 / 255, 10, {}),
    "pgd_linf_rand": ("linf", 8 / 255, 2 / 255, 10, {"start": True}),
    "pgd_linf_targeted": ("linf", 8 / 255, 2 / 255, 10, {"targeted": True}),
    "pgd_l2": ("l2", 0.5, 0.1, 10, {}),
}


@pytest.mark.parametrize("key", CASES)
def test_equals_the_toolbox(net: nn.Module, key: str) -> None:
    norm, eps, step, steps, extra = CASES[key]
    if "start" in extra:
        extra = {"start": art_start(eps)}
    ours, theirs = attack(net, norm, eps, step, steps, **extra), torch.from_numpy(GOLDEN[key])
    with torch.no_grad():
        assert torch.equal(net(ours).argmax(1), torch.from_numpy(GOLDEN[f"{key}_pred"]))
    if norm == "l2":
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-6)
    else:
        # another convolution kernel may flip the sign of a gradient that is almost zero
        assert (ours == theirs).double().mean() >= 0.999
    assert (ours - theirs).abs().max() <= 2 * eps


def test_stopping_early_breaks_every_clip_that_the_last_iterate_breaks(net: nn.Module) -> None:
    clips, labels = torch.from_numpy(CLIPS["x"]), torch.from_numpy(CLIPS["y"])
    outcome = projected_gradient(net, clips, Goal(labels), Budget("linf", 8 / 255), steps=10, step_size=2 / 255)
    with torch.no_grad():
        final = net(outcome.clips).argmax(1) != labels
    assert torch.equal(final, outcome.reached)
    last = torch.from_numpy(GOLDEN["pgd_linf_pred"] != CLIPS["y"])
    assert bool((outcome.reached | ~last).all())
    assert outcome.backwards.sum() < 480
