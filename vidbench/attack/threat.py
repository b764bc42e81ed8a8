"""The threat model: which perturbations of a clip an attack may choose."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor

from vidbench.errors import UsageError

Norm = Literal["linf", "l2"]


@dataclass(frozen=True)
class Eps:
    """A radius in units of the pixel range [0, 1], written as the user wrote it.

    Attributes:
        text: "8/255", "0.5".
        exact: The same as a fraction.
    """

    text: str
    exact: Fraction

    @property
    def value(self) -> float:
        """As a float."""
        return float(self.exact)

    @classmethod
    def parse(cls, text: str, norm: Norm) -> Eps:
        """Read "8/255" or "0.03"; 0 is the clean point of a sweep.

        Raises:
            UsageError: No number, negative, or above 1 for Linf (the whole pixel range).
        """
        try:
            exact = Fraction(text.strip())
        except (ValueError, ZeroDivisionError):
            raise UsageError(f"eps {text!r} is not a number", "Write a fraction of the pixel range: 8/255.") from None
        if exact < 0:
            raise UsageError(f"eps {text} is negative", "eps is a radius; 0 is the clean point of a sweep.")
        if norm == "linf" and exact > 1:
            raise UsageError(
                f"eps {text} is above 1, the whole pixel range",
                f"Clips are in [0, 1]: write {text}/255 for {text} grey levels.",
            )
        return cls(text.strip(), exact)


def parse_sweep(text: str, norm: Norm) -> tuple[Eps, ...]:
    """Several radii, separated by commas; ascending, each once."""
    parts = [part for part in text.split(",") if part.strip()]
    if not parts:
        raise UsageError("no eps is given", "For example --eps 0,2/255,4/255,8/255.")
    found = {eps.exact: eps for eps in reversed([Eps.parse(part, norm) for part in parts])}
    return tuple(found[exact] for exact in sorted(found))


@dataclass(frozen=True)
class Budget:
    """A ball around each clip, cut by the box [0, 1].

    Attributes:
        norm: "linf" over all values of a clip, or "l2" of the whole clip.
        eps: Its radius.
    """

    norm: Norm
    eps: float

    def direction(self, gradient: Tensor) -> Tensor:
        """The steepest ascent step of unit norm for `(N, ...)` gradients (dual of the norm)."""
        if self.norm == "linf":
            return gradient.sign()
        scaled: Tensor = gradient / _norms(gradient).clamp_min(torch.finfo(gradient.dtype).tiny)
        return scaled

    def project(self, delta: Tensor) -> Tensor:
        """The nearest perturbation inside the ball, for `(N, ...)` perturbations."""
        if self.norm == "linf":
            clamped: Tensor = delta.clamp(-self.eps, self.eps)
            return clamped
        # the factor in float64: float32 factors drift out of the ball over many steps
        factor = (self.eps / delta.flatten(1).norm(dim=1).double()).clamp(max=1.0).nan_to_num(1.0)
        projected: Tensor = (delta * factor.view(-1, *[1] * (delta.ndim - 1))).to(delta.dtype)
        return projected

    def random_start(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """A uniform draw from the ball, `shape` of one clip; float32 on the CPU."""
        if self.norm == "linf":
            drawn: Tensor = (torch.rand(shape, generator=generator) * 2 - 1) * self.eps
            return drawn
        # uniform in a ball: Gaussian direction, radius u^(1/d) (Muller 1959)
        noise = torch.randn(shape, generator=generator)
        radius = torch.rand((), generator=generator).double() ** (1 / math.prod(shape))
        inside: Tensor = (noise * (self.eps * radius / noise.double().norm())).float()
        return inside

    def sizes(self, delta: Tensor) -> tuple[list[float], list[float]]:
        """Linf and L2 of each of `(N, ...)` perturbations, computed in float64."""
        flat = delta.double().flatten(1)
        return flat.abs().amax(dim=1).tolist(), flat.norm(dim=1).tolist()

    def audit(self, clean: Tensor, attacked: Tensor) -> None:
        """Check that every clip is in the box and in the ball; a miss is a bug, not a result.

        Raises:
            RuntimeError: Some clip left the budget by more than float32 rounding.
        """
        linf, l2 = self.sizes(attacked.double() - clean.double())
        largest = max(linf if self.norm == "linf" else l2, default=0.0)
        # a float32 sum x + delta rounds by half a unit in the last place of values up to 1
        slack = 1e-5 * self.eps + (6e-8 if self.norm == "linf" else 6e-8 * math.sqrt(clean[0].numel()))
        if not bool(torch.isfinite(attacked).all()) or largest > self.eps + slack:
            raise RuntimeError(f"an attacked clip left the budget: {self.norm} {largest} > {self.eps}")
        if float(attacked.min()) < -6e-8 or float(attacked.max()) > 1 + 6e-8:
            raise RuntimeError("an attacked clip left the box [0, 1]")


def _norms(values: Tensor) -> Tensor:
    norms: Tensor = values.flatten(1).norm(dim=1)
    return norms.view(-1, *[1] * (values.ndim - 1))
