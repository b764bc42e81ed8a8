"""Projections land in the ball, once is enough, points inside stay, and none in the ball is nearer."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vidbench.attack.algorithms.steps import along, largest, rescale, steepest
from vidbench.attack.threat import Budget

norms = st.sampled_from(["linf", "l2", "l1", "l21"])
radii = st.floats(1e-3, 1.0)
seeds = st.integers(0, 2**31)


def noise(seed: int, count: int = 4, frames: int = 2, side: int = 5) -> torch.Tensor:
    return torch.randn(count, 3, frames, side, side, generator=torch.Generator().manual_seed(seed))


@given(norms, radii, seeds, st.floats(1e-3, 100), st.sampled_from([1, 3, 4]), st.sampled_from([1, 3]))
def test_projection(norm: str, eps: float, seed: int, scale: float, count: int, frames: int) -> None:
    delta = noise(seed, count, frames) * scale
    budget = Budget(norm, eps)
    once = budget.project(delta)
    assert bool((budget.sizes(once) <= eps * (1 + 2e-6)).all())
    assert torch.allclose(budget.project(once), once, rtol=1e-5, atol=1e-7)
    inside = delta * (0.5 * eps / budget.sizes(delta).amax())
    assert torch.allclose(budget.project(inside), inside, rtol=1e-6, atol=0)
    # it only makes values smaller, so that what is cut to the box stays in it
    assert bool((once.abs() <= delta.abs() * (1 + 1e-6)).all())
    assert bool((once * delta >= 0).all())


@given(norms, radii, seeds, st.floats(1e-2, 10))
def test_no_point_of_the_ball_is_nearer_than_the_projection(norm: str, eps: float, seed: int, scale: float) -> None:
    """For the nearest point p of a convex set, (q - p) . (d - p) <= 0 for all q of the set."""
    budget = Budget(norm, eps)
    delta = noise(seed).double() * scale
    nearest = budget.project(delta.float()).double()
    for other in range(3):
        inside = budget.project(noise(seed + other + 1)).double()
        products = ((inside - nearest) * (delta - nearest)).flatten(1).sum(1)
        assert bool((products <= 1e-4 * (1 + scale)).all())


@given(radii, seeds, st.floats(1e-3, 100))
def test_rescaling_keeps_the_direction(eps: float, seed: int, scale: float) -> None:
    delta = noise(seed) * scale
    small = rescale(delta, eps)
    budget = Budget("l1", eps)
    assert bool((budget.sizes(small) <= eps * (1 + 1e-5)).all())
    cosines = torch.nn.functional.cosine_similarity(small.flatten(1), delta.flatten(1))
    assert cosines.tolist() == pytest.approx([1] * 4, abs=1e-5)
    assert not bool(rescale(torch.zeros_like(delta), eps).any())


@given(norms, radii, seeds)
def test_random_starts_lie_in_the_ball_and_depend_on_the_seed_alone(norm: str, eps: float, seed: int) -> None:
    budget = Budget(norm, eps)
    draw = [budget.random_start((3, 2, 5, 5), torch.Generator().manual_seed(seed)) for _ in range(2)]
    assert torch.equal(*draw)
    assert 0 < float(budget.sizes(draw[0][None])) <= eps * (1 + 1e-6)


@given(norms, seeds)
def test_directions_have_unit_size_and_a_zero_gradient_stays_finite(norm: str, seed: int) -> None:
    gradient = noise(seed, 3, 2, 4) * 1e-12
    gradient[1] = 0
    budget = Budget(norm, 0.1)
    for direction in (budget.direction(gradient), steepest(budget, gradient)):
        assert bool(torch.isfinite(direction).all())
        assert budget.sizes(direction).tolist() == pytest.approx([1, 0, 1], rel=1e-4)


@given(norms, seeds)
def test_no_step_of_unit_size_gains_more_than_the_direction(norm: str, seed: int) -> None:
    budget, gradient = Budget(norm, 1.0), noise(seed)
    gain = (steepest(budget, gradient) * gradient).flatten(1).sum(1)
    for other in range(3):
        step = budget.project(noise(seed + other + 1) * 100)
        assert bool((gain >= (step * gradient).flatten(1).sum(1) - 1e-4).all())


@given(seeds, st.floats(1e-4, 1.0))
def test_steps_in_l1_have_unit_size(seed: int, share: float) -> None:
    gradient = noise(seed)
    gradient[1] = 0
    gradient[2].view(-1)[1:] = 0
    for step in (along(gradient), largest(gradient, share)):
        assert Budget("l1", 1).sizes(step).tolist() == pytest.approx([1, 0, 1, 1], rel=1e-5)
        assert bool((step * gradient >= 0).all())
        assert int(step[2].count_nonzero()) == 1
    moved = largest(gradient, share)[0].flatten().abs()
    assert int(moved.count_nonzero()) == max(1, -int(-share * moved.numel() // 1))
    still = gradient[0].flatten().abs()[moved == 0]
    if len(still):
        assert float(gradient[0].flatten().abs()[moved > 0].min()) >= float(still.max())
