"""Projections land in the ball, once is enough, and points inside stay."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vidbench.attack.threat import Budget

norms = st.sampled_from(["linf", "l2"])
radii = st.floats(1e-3, 1.0)
seeds = st.integers(0, 2**31)


def size(budget: Budget, delta: torch.Tensor) -> list[float]:
    linf, l2 = budget.sizes(delta)
    return linf if budget.norm == "linf" else l2


@given(norms, radii, seeds, st.floats(1e-3, 100))
def test_projection(norm: str, eps: float, seed: int, scale: float) -> None:
    delta = torch.randn(4, 3, 2, 5, 5, generator=torch.Generator().manual_seed(seed)) * scale
    budget = Budget(norm, eps)
    once = budget.project(delta)
    assert all(value <= eps * (1 + 1e-6) for value in size(budget, once))
    assert torch.allclose(budget.project(once), once, rtol=1e-6, atol=1e-9)
    inside = delta * (0.5 * eps / max(size(budget, delta)))
    assert torch.equal(budget.project(inside), inside)


@given(norms, radii, seeds)
def test_random_starts_lie_in_the_ball_and_depend_on_the_seed_alone(norm: str, eps: float, seed: int) -> None:
    budget = Budget(norm, eps)
    draw = [budget.random_start((3, 2, 5, 5), torch.Generator().manual_seed(seed)) for _ in range(2)]
    assert torch.equal(*draw)
    assert 0 < size(budget, draw[0][None])[0] <= eps * (1 + 1e-6)


@given(norms, seeds)
def test_directions_have_unit_size_and_a_zero_gradient_stays_finite(norm: str, seed: int) -> None:
    gradient = torch.randn(3, 3, 2, 4, 4, generator=torch.Generator().manual_seed(seed)) * 1e-12
    gradient[1] = 0
    direction = Budget(norm, 0.1).direction(gradient)
    assert bool(torch.isfinite(direction).all())
    assert size(Budget(norm, 0.1), direction) == pytest.approx([1, 0, 1], rel=1e-4)
