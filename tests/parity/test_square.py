"""As many clips withstand our Square attack as the published one."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vidbench.attack.algorithms.square import Square, SquareSettings
from vidbench.attack.goal import Goal
from vidbench.attack.method import Batch
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget

HERE = Path(__file__).parent / "attacks"
CLIPS = np.load(HERE / "clips.npz")
COUNTS = json.loads((HERE / "autoattack.json").read_text())["robust_of_48"]["square"]


def withstand(net: nn.Module, norm: str, eps: float, seed: int) -> int:
    clips, labels = torch.from_numpy(CLIPS["x"]), torch.from_numpy(CLIPS["y"])
    batch = Batch(clips, Goal(labels), [str(index) for index in range(48)], seed, 48)
    budget = Budget(norm, eps)
    outcome = Square().run(Target(net, 5), batch, budget, SquareSettings(queries=1000))
    budget.audit(clips, outcome.clips)
    return 48 - int(outcome.reached.sum())


@pytest.mark.parametrize(
    ("norm", "key", "eps", "seeds", "more"),
    [
        ("linf", "Linf", "8/255", (0,), 2),
        pytest.param("linf", "Linf", "8/255", (1, 2), 2, marks=pytest.mark.slow),
        pytest.param("linf", "Linf", "4/255", (0, 1, 2), 1, marks=pytest.mark.slow),
        pytest.param("l2", "L2", "0.5", (0, 1, 2), 1, marks=pytest.mark.slow),
        pytest.param("l2", "L2", "0.25", (0, 1, 2), 1, marks=pytest.mark.slow),
        pytest.param("l1", "L1", "8", (0, 1, 2), 2, marks=pytest.mark.slow),
        pytest.param("l1", "L1", "4", (0, 1, 2), 1, marks=pytest.mark.slow),
    ],
)
def test_as_many_clips_withstand(
    net: nn.Module, norm: str, key: str, eps: str, seeds: tuple[int, ...], more: int
) -> None:
    found = COUNTS[key][eps]["robust"]
    top, _, bottom = eps.partition("/")
    for seed in seeds:
        count = withstand(net, norm, float(top) / float(bottom or 1), seed)
        assert min(found) - more <= count <= max(found) + more
