"""The one-to-one mapping is the best one."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from vidbench.model.assignment import one_to_one


@pytest.mark.parametrize("seed", range(6))
def test_one_to_one_is_the_best_mapping(seed: int) -> None:
    draw = np.random.default_rng(seed)
    counts = draw.integers(0, 9, (30, 30)) * (draw.random((30, 30)) < 0.3)
    mapping = one_to_one(counts)
    assert sorted(mapping) == list(range(30))
    best = linear_sum_assignment(counts, maximize=True)
    assert counts[np.arange(30), mapping].sum() == counts[best].sum()
    assert list(one_to_one(np.zeros((5, 5), dtype=np.int64))) == [0, 1, 2, 3, 4]
