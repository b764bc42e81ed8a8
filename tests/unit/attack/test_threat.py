"""Radii, balls and their audit."""

from fractions import Fraction

import pytest
import torch

from vidbench.attack.support import Support
from vidbench.attack.threat import Budget, Eps, parse_sweep
from vidbench.errors import UsageError

RADII = {"linf": 0.1, "l2": 1.0, "l1": 4.0, "l21": 1.0}


@pytest.mark.parametrize(
    ("text", "exact"),
    [("8/255", Fraction(8, 255)), ("0.03", Fraction(3, 100)), ("0", Fraction(0)), (" 1 ", Fraction(1))],
)
def test_radii_are_exact_and_keep_their_text(text: str, exact: Fraction) -> None:
    eps = Eps.parse(text, "linf")
    assert (eps.exact, eps.text, eps.value) == (exact, text.strip(), float(exact))


@pytest.mark.parametrize(("text", "why"), [("x", "not a number"), ("1/0", "not a number"), ("-1", "negative")])
def test_what_is_no_radius_is_refused(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        Eps.parse(text, "l2")


def test_sweeps_ascend_and_name_each_radius_once() -> None:
    assert [eps.text for eps in parse_sweep("8/255,0,16/510,2/255", "linf")] == ["0", "2/255", "8/255"]


@pytest.mark.parametrize("norm", ["l2", "l1", "l21"])
def test_sums_may_be_large(norm: str) -> None:
    assert Eps.parse("128", norm).value == 128
    with pytest.raises(UsageError, match="above 1"):
        Eps.parse("128", "linf")


@pytest.mark.parametrize("norm", RADII)
def test_the_audit_sees_a_clip_outside_the_ball(norm: str) -> None:
    clean, noise = torch.full((2, 3, 2, 4, 4), 0.5), torch.randn(2, 3, 2, 4, 4) * 10
    budget = Budget(norm, RADII[norm])
    largest = budget.project(noise)
    budget.audit(clean, clean + largest * (0.5 / largest.abs().amax()).clamp(max=1))
    with pytest.raises(RuntimeError, match="left the budget"):
        budget.audit(clean, clean + 2 * largest)


def test_the_audit_sees_a_clip_outside_the_box_and_one_that_is_none() -> None:
    clean = torch.full((2, 3, 2, 4, 4), 0.5)
    with pytest.raises(RuntimeError, match="left the box"):
        Budget("linf", 1.0).audit(clean, clean - 0.6)
    with pytest.raises(RuntimeError, match="left the budget"):
        Budget("linf", 1.0).audit(clean, clean * float("nan"))
    with pytest.raises(RuntimeError, match="float64"):
        Budget("linf", 1.0).audit(clean, clean.double())


@pytest.mark.parametrize("text", ["frames:1", "patch:2x2+0+0", "border:1", "flicker"])
def test_the_audit_sees_a_clip_outside_its_support(text: str) -> None:
    clean = torch.full((2, 3, 2, 4, 4), 0.5)
    support = Support.parse(text, (3, 2, 4, 4))
    budget = Budget("linf", 0.1, support)
    noise = budget.project(torch.randn(2, 3, 2, 4, 4))
    budget.audit(clean, clean + support.pull(noise))
    with pytest.raises(RuntimeError, match="left its support"):
        budget.audit(clean, clean + noise)


@pytest.mark.parametrize("norm", ["l2", "l1", "l21"])
def test_norms_are_per_clip_also_when_the_batch_is_as_large_as_the_channels(norm: str) -> None:
    """A view of shape (N, 1, 1, 1) would broadcast over channels here and break the budget."""
    budget = Budget(norm, 0.5)
    sizes = budget.sizes(budget.project(torch.randn(3, 3, 4, 8, 8) * 100))
    assert sizes.tolist() == pytest.approx([0.5] * 3, rel=1e-5)


def test_the_norm_of_frames_is_the_sum_over_them() -> None:
    delta = torch.zeros(1, 3, 2, 2, 2)
    delta[0, :, 0] = 1.0
    delta[0, 0, 1, 0, 0] = 2.0
    assert float(Budget("l21", 1).sizes(delta)) == pytest.approx(12**0.5 + 2)


def test_the_nearest_point_of_the_l1_ball_by_hand() -> None:
    delta = torch.tensor([3.0, -1.0, 0.5, 0.0]).view(1, 1, 1, 2, 2)
    assert Budget("l1", 3.0).project(delta).flatten().tolist() == pytest.approx([2.5, -0.5, 0, 0])
    assert Budget("l1", 1.0).project(delta).flatten().tolist() == pytest.approx([1, 0, 0, 0])


def test_frames_with_little_in_them_become_clean_first() -> None:
    delta = torch.zeros(1, 1, 3, 1, 1)
    delta[0, 0, :, 0, 0] = torch.tensor([3.0, -1.0, 0.5])
    assert Budget("l21", 2.0).project(delta).flatten().tolist() == pytest.approx([2, 0, 0])


@pytest.mark.parametrize("norm", RADII)
def test_a_radius_of_0_leaves_nothing(norm: str) -> None:
    assert not bool(Budget(norm, 0.0).project(torch.randn(2, 3, 2, 4, 4)).any())


def test_parts_of_a_batch_take_their_part_of_the_support() -> None:
    mask = torch.zeros(2, 1, 4, 1, 1)
    mask[0, 0, 0] = mask[1, 0, 3] = 1
    budget = Budget("l2", 1.0, Support("frames:?", mask))
    step = budget.of(torch.tensor([1])).direction(torch.ones(1, 3, 4, 2, 2))
    assert step[0, 0, :, 0, 0].nonzero().flatten().tolist() == [3]
