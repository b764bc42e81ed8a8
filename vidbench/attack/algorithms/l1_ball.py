"""The nearest point of an L1 ball cut by a box, exactly."""

from __future__ import annotations

import torch
from torch import Tensor


def nearest(clean: Tensor, delta: Tensor, radius: float, *, box: bool = True) -> Tensor:
    """The perturbation nearest to `delta` with `||.||_1 <= radius` and `clean + .` in [0, 1].

    It keeps the signs and is `min(max(|delta| - t, 0), room)`, room being the way to the box and t >= 0 the smallest
    number that brings the sum down to the radius (Croce and Hein 2021, arXiv:2103.01208, proposition 2.1). The sum
    is piecewise linear in t: t is found by sorting its bends, in float64.

    Args:
        clean: `(N, ...)` float32 in [0, 1].
        delta: `(N, ...)` in the same shape.
        radius: Of the ball, 0 or more.
        box: False: the ball alone.

    Returns:
        `(N, ...)` in the dtype of `delta`.
    """
    flat, centre = delta.flatten(1).double(), clean.flatten(1).double()
    sizes = flat.abs()
    room = torch.where(flat > 0, 1 - centre, centre).clamp_min_(0.0) if box else sizes
    total = torch.minimum(sizes, room).sum(1, keepdim=True)
    # each value begins to fall at |delta| - room and has fallen to 0 at |delta|
    bends, order = torch.cat([(sizes - room).clamp_min_(0.0), sizes], 1).sort(1)
    slope = torch.where(order < flat.shape[1], -1.0, 1.0).double().cumsum_(1)
    widths = bends.diff(dim=1, prepend=torch.zeros_like(total))
    before = torch.cat([torch.zeros_like(total), slope[:, :-1]], 1)
    sums = total + (before * widths).cumsum_(1)
    # the sums never rise: the last bend that is still outside the ball
    last = ((sums > radius).sum(1, keepdim=True) - 1).clamp_min_(0)
    over = sums.gather(1, last) - radius
    threshold = bends.gather(1, last) + over / (-slope.gather(1, last)).clamp_min_(1.0)
    threshold = torch.where(total > radius, threshold, 0.0)
    found: Tensor = torch.minimum((sizes - threshold).clamp_min_(0.0), room) * flat.sign()
    return found.to(delta.dtype).view_as(delta)
