"""Steps of unit norm along gradients, and the projections that go with them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vidbench.attack.threat import Budget


def steepest(ball: Budget, gradient: Tensor) -> Tensor:
    """`Budget.direction`; for L2 by the reciprocal of the norm, to the bit as the Adversarial Robustness Toolbox."""
    if ball.norm != "l2":
        return ball.direction(gradient)
    sizes = gradient.flatten(1).norm(dim=1).clamp_min(torch.finfo(gradient.dtype).tiny)
    return gradient * _per_row(1 / sizes, gradient)


def along(gradient: Tensor) -> Tensor:
    """`g / ||g||_1`: dense, of unit L1 norm, for `(N, ...)` gradients (ART before 1.18; so RobustART's table)."""
    sizes = gradient.flatten(1).norm(p=1, dim=1).clamp_min(torch.finfo(gradient.dtype).tiny)
    return gradient / _per_row(sizes, gradient)


def largest(gradient: Tensor, share: float) -> Tensor:
    """Equal steps in the values with the largest gradients, of unit L1 norm together.

    Sparse L1 descent (Tramer and Boneh 2019, arXiv:1904.13000, algorithm 1), by a number of values in place of a
    percentile, so that ties do not change it. Values without a gradient take none.

    Args:
        gradient: `(N, ...)`.
        share: Of the values of a clip, in (0, 1]; at least one is taken.
    """
    flat = gradient.flatten(1)
    places = flat.abs().topk(max(1, math.ceil(share * flat.shape[1])), dim=1, sorted=False).indices
    signs = flat.gather(1, places).sign()
    signs = signs / signs.abs().sum(1, keepdim=True).clamp_min(1.0)
    return torch.zeros_like(flat).scatter_(1, places, signs).view_as(gradient)


def rescale(delta: Tensor, eps: float) -> Tensor:
    """`(N, ...)` perturbations made smaller as a whole until their L1 norm is `eps`: in the ball, but not the nearest.

    The projection of the Adversarial Robustness Toolbox. The norm is a float32 sum and the factor float64, as there.
    """
    sizes = delta.flatten(1).norm(p=1, dim=1).double()
    factor = (eps / sizes).clamp(max=1.0).nan_to_num(1.0)
    shrunk: Tensor = (delta * _per_row(factor, delta)).to(delta.dtype)
    return shrunk


def _per_row(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.ndim - 1))
