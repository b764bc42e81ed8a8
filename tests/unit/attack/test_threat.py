"""Radii, balls and their audit."""

from fractions import Fraction

import pytest
import torch

from vidbench.attack.threat import Budget, Eps, parse_sweep
from vidbench.errors import UsageError


@pytest.mark.parametrize(
    ("text", "exact"),
    [("8/255", Fraction(8, 255)), ("0.03", Fraction(3, 100)), ("0", Fraction(0)), (" 1 ", Fraction(1))],
)
def test_radii_are_exact_and_keep_their_text(text: str, exact: Fraction) -> None:
    eps = Eps.parse(text, "linf")
    assert (eps.exact, eps.text, eps.value) == (exact, text.strip(), float(exact))


def test_sweeps_ascend_and_name_each_radius_once() -> None:
    assert [eps.text for eps in parse_sweep("8/255,0,16/510,2/255", "linf")] == ["0", "2/255", "8/255"]


def test_l2_may_be_large() -> None:
    assert Eps.parse("128", "l2").value == 128
    with pytest.raises(UsageError, match="above 1"):
        Eps.parse("128", "linf")


def test_the_audit_sees_a_clip_outside_ball_or_box() -> None:
    clean = torch.full((2, 3, 2, 4, 4), 0.5)
    for norm, eps in (("linf", 0.1), ("l2", 1.0)):
        budget = Budget(norm, eps)
        budget.audit(clean, clean + budget.project(torch.randn_like(clean)))
        with pytest.raises(RuntimeError, match="left the budget"):
            budget.audit(clean, clean + 2 * budget.project(torch.randn_like(clean) * 10))
    with pytest.raises(RuntimeError, match="left the box"):
        Budget("linf", 1.0).audit(clean, clean - 0.6)
    with pytest.raises(RuntimeError, match="left the budget"):
        Budget("linf", 1.0).audit(clean, clean * float("nan"))


def test_norms_are_per_clip_also_when_the_batch_is_as_large_as_the_channels() -> None:
    """A view of shape (N, 1, 1, 1) would broadcast over channels here and break the budget."""
    delta = torch.randn(3, 3, 4, 8, 8) * 100
    sizes = Budget("l2", 0.5).sizes(Budget("l2", 0.5).project(delta))[1]
    assert sizes == pytest.approx([0.5] * 3, rel=1e-5)
