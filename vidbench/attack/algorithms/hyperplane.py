"""The nearest point of a hyperplane cut by a box, in L-infinity, L2 and L1, exactly."""

from __future__ import annotations

import torch
from torch import Tensor

from vidbench.attack.threat import Norm


def step_onto(point: Tensor, normal: Tensor, change: Tensor, norm: Norm, low: float = 0.0, high: float = 1.0) -> Tensor:
    """The smallest step d with `<normal, d> = change` and `point + d` in `[low, high]`.

    The box-constrained projection of Croce and Hein 2020 (arXiv:1907.02044, section 2).
    Every value moves in its own good direction or not at all, by `min(t, room)` in L-infinity and by
    `min(t |normal|, room)` in L2, room being the way to the box: `<normal, d>` grows piecewise linearly with t, and t
    is found by sorting the bends. In L1 values move as far as they can, those with the largest normals first, until
    the change is reached. Where the box does not reach the hyperplane, the step goes to the corner that comes nearest
    to it; where the normal is 0 nothing moves.

    Args:
        point: `(N, ...)` float32 in the box.
        normal: `(N, ...)` in the same shape.
        change: `(N,)` by how much `<normal, .>` is to grow, of either sign.
        norm: "linf", "l2" or "l1".
        low: Of the box.
        high: Likewise.

    Returns:
        `(N, ...)` in the dtype of `point`.

    Raises:
        ValueError: Another norm.
    """
    start, slope = point.flatten(1), normal.flatten(1)
    uphill = slope.sign() * change.sign()[:, None].to(slope.dtype)
    room = torch.where(uphill > 0, high - start, start - low).clamp_min_(0.0)
    # what does not change the product has no room, so that it neither moves nor bends the sum
    room = torch.where(uphill == 0, 0.0, room)
    wanted, slope = change.double().abs()[:, None], slope.abs()
    if norm == "l1":
        moved = _largest_first(slope, room, wanted)
    elif norm in ("linf", "l2"):
        moved = _together(slope, room, wanted, torch.ones_like(slope) if norm == "linf" else slope)
    else:
        raise ValueError(f"{norm = }")
    return (moved * uphill).view_as(point)


def _together(slope: Tensor, room: Tensor, wanted: Tensor, speed: Tensor) -> Tensor:
    """`min(t * speed, room)` with the t at which `<slope, .>` is what is wanted."""
    bends, order = torch.where(room > 0, room / speed.clamp_min(torch.finfo(speed.dtype).tiny), 0.0).sort(1)
    rates = (slope * speed).masked_fill(room <= 0, 0.0).gather(1, order).double()
    # of the values that have stopped when the k-th bend is reached, and of those that still move before it
    stopped = (rates * bends).cumsum(1)
    moving = rates.flip(1).cumsum(1).flip(1)
    reached = stopped - rates * bends + moving * bends
    place = (reached < wanted).sum(1, keepdim=True)
    inside = place.clamp_max(rates.shape[1] - 1)
    before = (stopped - rates * bends).gather(1, inside)
    time = (wanted - before) / moving.gather(1, inside).clamp_min(torch.finfo(torch.float64).tiny)
    time = torch.where(place == rates.shape[1], torch.inf, time).to(speed.dtype)
    return torch.where(room > 0, torch.minimum(time * speed, room), 0.0)


def _largest_first(slope: Tensor, room: Tensor, wanted: Tensor) -> Tensor:
    """All the room of the values with the largest slopes, and of one as much as is still wanted."""
    ordered, order = slope.sort(1, descending=True)
    ranges = room.gather(1, order).double()
    gains = ordered.double() * ranges
    left = wanted - (gains.cumsum(1) - gains)
    share = (left / gains.clamp_min(torch.finfo(torch.float64).tiny)).clamp(0.0, 1.0)
    return torch.zeros_like(room).scatter_(1, order, (share * ranges).to(room.dtype))
