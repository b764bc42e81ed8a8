"""The threat model: which perturbations of a clip an attack may choose."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vidbench.attack.support import Support
from vidbench.errors import UsageError
from vidbench.model.radius import Eps, Norm

__all__ = ["SLACK", "TINY", "Budget", "Eps", "Norm", "frame_norms", "norms_of", "parse_sweep", "spread"]

SLACK = 6e-8
"""Half a unit in the last place of a float32 value up to 1."""
TINY = 1e-12


def parse_sweep(text: str, norm: Norm) -> tuple[Eps, ...]:
    """Several radii, separated by commas; ascending, each once."""
    parts = [part for part in text.split(",") if part.strip()]
    if not parts:
        raise UsageError("no eps is given", "For example --eps 0,2/255,4/255,8/255.")
    found = {eps.exact: eps for eps in reversed([Eps.parse(part, norm) for part in parts])}
    return tuple(found[exact] for exact in sorted(found))


@dataclass(frozen=True)
class Budget:
    """A ball around each clip, cut by the box [0, 1] and by a support.

    Attributes:
        norm: Of the perturbation of a whole clip: "linf", "l2", "l1", or "l21", the sum over frames of each frame's
            L2 norm.
        eps: Its radius.
        support: Where the perturbation may be; None is everywhere.
    """

    norm: Norm
    eps: float
    support: Support | None = None

    def of(self, chosen: Tensor) -> Budget:
        """The budget of a part of the batch: indices or a mask."""
        return self if self.support is None else Budget(self.norm, self.eps, self.support.of(chosen))

    def direction(self, gradient: Tensor) -> Tensor:
        """The steepest ascent step of unit norm for `(N, ...)` gradients, within the support (dual of the norm).

        For L1 that is one value, the one with the largest gradient: `pgd-l1` methods choose others.
        """
        if self.support is not None:
            gradient = self.support.pull(gradient)
        if self.norm == "linf":
            return gradient.sign()
        if self.norm == "l1":
            flat = gradient.flatten(1)
            place = flat.abs().argmax(1, keepdim=True)
            one = torch.zeros_like(flat).scatter_(1, place, flat.gather(1, place).sign())
            return one.view_as(gradient)
        if self.norm == "l21":
            frames = frame_norms(gradient)
            place = frames.argmax(1, keepdim=True)
            one = torch.zeros_like(frames).scatter_(1, place, 1 / frames.gather(1, place).clamp_min(TINY))
            return gradient * spread(one, gradient)
        return gradient / _norms(gradient).clamp_min(torch.finfo(gradient.dtype).tiny)

    def project(self, delta: Tensor) -> Tensor:
        """The nearest perturbation inside the ball, for `(N, ...)` perturbations that lie in the support."""
        if self.norm == "linf":
            clamped: Tensor = delta.clamp(-self.eps, self.eps)
            return clamped
        if self.norm == "l1":
            return _shrink(delta.flatten(1), self.eps).view_as(delta)
        if self.norm == "l21":
            norms = frame_norms(delta)
            factor = _shrink(norms, self.eps) / norms.clamp_min(TINY)
            return delta * spread(factor, delta)
        # the factor in float64: float32 factors drift out of the ball over many steps
        factor = (self.eps / delta.flatten(1).norm(dim=1).double()).clamp(max=1.0).nan_to_num(1.0)
        projected: Tensor = (delta * factor.view(-1, *[1] * (delta.ndim - 1))).to(delta.dtype)
        return projected

    def random_start(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """A uniform draw from the ball, `shape` of one clip; float32 on the CPU. The support is not looked at."""
        if self.norm == "linf":
            drawn: Tensor = (torch.rand(shape, generator=generator) * 2 - 1) * self.eps
            return drawn
        noise = torch.randn(shape, generator=generator)
        radius = torch.rand((), generator=generator).double() ** (1 / math.prod(shape))
        if self.norm == "l2":
            # uniform in a ball: Gaussian direction, radius u^(1/d) (Muller 1959)
            inside: Tensor = (noise * (self.eps * radius / noise.double().norm())).float()
            return inside
        if self.norm == "l1":
            # uniform on the simplex: exponential spacings; random signs
            spacings = torch.empty(shape, dtype=torch.float64).exponential_(generator=generator)
            return (spacings / spacings.sum() * noise.sign() * (self.eps * radius)).float()
        norms = frame_norms(noise.double()[None])
        return (noise * (self.eps * radius / norms.sum())).float()

    def sizes(self, delta: Tensor) -> Tensor:
        """`(N,)` float64 norms, of this budget's kind, of `(N, C, T, H, W)` perturbations."""
        return norms_of(delta, self.norm)

    def within(self, delta: Tensor) -> Tensor:
        """`(N,)` bool: whether each perturbation is in the ball, but for the rounding of float32."""
        return self.sizes(delta) <= self._limit(delta)

    def audit(self, clean: Tensor, attacked: Tensor) -> None:
        """Check that every clip is in the box, in the ball and in the support; a miss is a bug, not a result.

        Raises:
            RuntimeError: Some clip left the budget by more than float32 rounding.
        """
        if attacked.dtype != torch.float32 or attacked.shape != clean.shape:
            raise RuntimeError(f"attacked clips are {attacked.dtype} {tuple(attacked.shape)}")
        delta = attacked.double() - clean.double()
        largest = float(self.sizes(delta).amax()) if len(delta) else 0.0
        if not bool(torch.isfinite(attacked).all()) or largest > self._limit(delta):
            raise RuntimeError(f"an attacked clip left the budget: {self.norm} {largest} > {self.eps}")
        if len(attacked) and (float(attacked.min()) < -SLACK or float(attacked.max()) > 1 + SLACK):
            raise RuntimeError("an attacked clip left the box [0, 1]")
        if self.support is not None and not self.support.holds(delta):
            raise RuntimeError(f"an attacked clip left its support: {self.support.text}")

    def _limit(self, delta: Tensor) -> float:
        # a float32 sum x + delta rounds by half a unit in the last place of values up to 1
        count = delta[0].numel() if len(delta) else 0
        frames = delta.shape[2] if delta.ndim > 2 else 1
        grown = {"linf": 1.0, "l2": math.sqrt(count), "l1": count, "l21": math.sqrt(count * frames)}[self.norm]
        return 1e-5 * self.eps + self.eps + SLACK * grown


def norms_of(delta: Tensor, norm: Norm) -> Tensor:
    """`(N,)` norms, computed in float64, of `(N, C, T, H, W)` perturbations."""
    flat = delta.double().flatten(1)
    if norm == "linf":
        return flat.abs().amax(dim=1)
    if norm == "l21":
        return frame_norms(delta.double()).sum(1)
    norms: Tensor = flat.norm(p=1 if norm == "l1" else 2, dim=1)
    return norms


def frame_norms(delta: Tensor) -> Tensor:
    """`(N, T)` L2 norms of the frames of `(N, C, T, H, W)`."""
    norms: Tensor = delta.transpose(1, 2).flatten(2).norm(dim=2)
    return norms


def spread(values: Tensor, like: Tensor) -> Tensor:
    """`(N, T)` values, one per frame, in a shape that goes with `(N, C, T, H, W)`."""
    return values.to(like.dtype)[:, None, :, None, None]


def _norms(values: Tensor) -> Tensor:
    norms: Tensor = values.flatten(1).norm(dim=1)
    return norms.view(-1, *[1] * (values.ndim - 1))


def _shrink(flat: Tensor, radius: float) -> Tensor:
    """The nearest point of the L1 ball for each row (Duchi et al. 2008, figure 1, by sorting); rows inside stay."""
    sizes = flat.double().abs()
    ordered = sizes.sort(1, descending=True).values
    places = torch.arange(1, flat.shape[1] + 1, device=flat.device, dtype=torch.float64)
    over = (ordered.cumsum(1) - radius) / places
    last = (ordered > over).sum(1, keepdim=True).clamp_min(1)
    threshold = over.gather(1, last - 1).clamp_min(0.0)
    outside = sizes.sum(1, keepdim=True) > radius
    shrunk = ((sizes - threshold).clamp_min(0.0) * flat.sign()).to(flat.dtype)
    return torch.where(outside, shrunk, flat)
